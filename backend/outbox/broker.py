"""The relay's way to the broker: short time-outs, no retries, below the result backend and its subscriptions."""

import contextlib
import secrets
from typing import Any

from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import OperationalError as BrokerDown

from outbox.messages import OUTBOX_ID
from outbox.models import OutboxMessage

_EPOCH_KEY = "outbox.epoch"


class Broker:
    """One connection for publishing. Every method raises one of `gone` if the broker is away; then `close()` it."""

    gone: tuple[type[BaseException], ...] = (BrokerDown, OSError)

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection | None = None
        self._declared: set[str] = set()

    def connect(self) -> None:
        """Connect if that is not done yet, within three seconds."""
        if self._connection is not None:
            return
        options = dict(self._app.conf.broker_transport_options or {})
        options |= {"max_retries": 0, "interval_start": 0, "interval_step": 0, "connect_retries_timeout": 3}
        if "socket_timeout" in options:  # Redis; an AMQP connection knows none of these
            options |= {"socket_timeout": 5, "socket_connect_timeout": 3}
        connection = self._app.connection_for_write(
            connect_timeout=3, heartbeat=0, transport_options=options, failover_strategy="round-robin"
        )
        self.gone = (BrokerDown, OSError, *connection.connection_errors, *connection.channel_errors)
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=3)
            connection.default_channel  # noqa: B018 - opens it, so that a wrong password shows here
            if self._is_redis(connection):
                connection.default_channel.client.ping()
        except BaseException:
            connection.release()
            raise
        self._connection = connection
        self._declared.clear()

    def close(self) -> None:
        """Forget the connection; the next call connects anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it is gone, that is why we are here
                connection.release()

    def url(self) -> str:
        """The address without the password."""
        return self._app.connection_for_write().as_uri()

    def length(self, queue: str) -> int:
        """Messages that wait in a queue (without those that a worker holds)."""
        channel = self._channel()
        if self._is_redis(self._connection):
            return int(channel._size(queue))
        try:
            return int(channel.queue_declare(queue=queue, passive=True).message_count)
        except self._connection.channel_errors:  # type: ignore[union-attr]  # there is no such queue yet
            return 0

    def remembers(self) -> bool:
        """False once after the broker has lost its memory (restart without persistence, FLUSHALL); Redis only.

        Other brokers answer True: there the lease alone finds what was lost.
        """
        channel = self._channel()
        if not self._is_redis(self._connection):
            return True
        # An ordinary key beside the queues: gone with them.
        return not channel.client.set(_EPOCH_KEY, secrets.token_hex(8), nx=True)

    def publish(self, message: OutboxMessage) -> None:
        """Put one message for the row into its queue. The row must be PUBLISHED, and that committed, before."""
        app, options = self._app, message.options
        headers = dict(options.get("headers") or {})
        if message.pk is not None:  # a poke has no row
            headers[OUTBOX_ID] = message.pk
        stamps = {name: options[name] for name in options.get("stamped_headers") or () if name in options}
        envelope = app.amqp.as_task_v2(
            message.task_id,
            message.task,
            message.args,
            message.kwargs,
            group_id=options.get("group_id"),
            group_index=options.get("group_index"),
            expires=message.expires_at,
            retries=message.retries,
            time_limit=options.get("time_limit"),
            soft_time_limit=options.get("soft_time_limit"),
            root_id=options.get("root_id"),
            parent_id=options.get("parent_id"),
            shadow=options.get("shadow"),
            ignore_result=options.get("ignore_result", False),
            replaced_task_nesting=options.get("replaced_task_nesting", 0),
            stamped_headers=options.get("stamped_headers"),
            **stamps,
        )
        self._declare(message.queue)
        properties = {"priority": options["priority"]} if options.get("priority") is not None else {}
        app.amqp.send_task_message(
            app.amqp.Producer(self._channel()),
            message.task,
            envelope,
            # To the queue by its name, not through an exchange: a wiped Redis forgets what is bound to an exchange.
            exchange="",
            exchange_type="direct",
            queue=message.queue,
            routing_key=message.queue,
            declare=[],
            retry=False,
            headers=headers,
            **properties,
        )

    def _declare(self, queue: str) -> None:
        if queue not in self._declared and not self._is_redis(self._connection):
            declared: Queue = self._app.amqp.queues[queue]
            declared(self._channel()).declare()
        self._declared.add(queue)

    def _channel(self) -> Any:
        self.connect()
        assert self._connection is not None
        return self._connection.default_channel

    @staticmethod
    def _is_redis(connection: Connection | None) -> bool:
        return connection is not None and connection.transport.driver_type == "redis"
