"""The relay: publishes what was committed, and publishes again what the broker seems to have lost.

One process per worker, started and ended with it; one of all leads (an advisory lock), the others stand by. It is the
only part that publishes durable tasks, so neither a web request nor a task ever waits for the broker.

Each round: free the rows of workers that died; then, queue by queue, take what is due, but no more than keeps the queue
short (OUTBOX_QUEUE_LIMIT): a message must not wait longer in the queue than its lease, and a full queue never keeps
another one waiting. Rows are marked as published and committed before the broker sees them. A crash in between costs
one lease; a second copy of a message costs one look at the row.
"""

import json
import logging
import os
import signal
import time
from typing import Any

from celery import Celery
from django.conf import settings
from django.db import connection
from django.db import transaction as db_transaction

from outbox import locks
from outbox.broker import Broker
from outbox.messages import write_errbacks
from outbox.models import OutboxMessage
from outbox.outages import Outages

logger = logging.getLogger(__name__)

BATCH = 200  # rows per claim
POLL_SECONDS = 1.0  # the fallback if a notification is lost, and how soon an end of the parent is seen
SWEEP_SECONDS = 2.0  # how often rows of dead workers are looked for
STANDBY_SECONDS = 1.0  # how often a relay that does not lead tries to

_QUEUES = """
WITH RECURSIVE waiting AS (
    (SELECT queue FROM outbox_message WHERE state = 'PENDING' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT queue FROM outbox_message WHERE state = 'PENDING' AND queue > waiting.queue ORDER BY queue LIMIT 1)
    FROM waiting WHERE waiting.queue IS NOT NULL
) SELECT queue FROM waiting WHERE queue IS NOT NULL
"""

_TAKE = """
WITH due AS (
    SELECT id FROM outbox_message WHERE {condition} ORDER BY {order}, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE outbox_message AS message SET
    state = 'PUBLISHED', publishes = publishes + 1, published_at = clock_timestamp(),
    locked_until = clock_timestamp()
        + least(%(lease)s * power(2, least(publishes, 10)), %(longest)s) * interval '1 second'
FROM due WHERE message.id = due.id
RETURNING message.id, task_id, task, args, kwargs, queue, options, expires_at, retries
"""
_TAKE_DUE = _TAKE.format(
    condition="queue = %(queue)s AND state = 'PENDING' AND next_attempt_at <= clock_timestamp()",
    order="next_attempt_at",
)
_TAKE_LOST = _TAKE.format(
    condition="queue = %(queue)s AND state = 'PUBLISHED'"
    " AND locked_until <= clock_timestamp() - %(grace)s * interval '1 second'",
    order="locked_until",
)

_GIVE_BACK = """
UPDATE outbox_message SET state = 'PENDING', locked_until = NULL, publishes = publishes - 1
WHERE id = ANY(%s) AND state = 'PUBLISHED'
"""

_FORGOTTEN = "UPDATE outbox_message SET locked_until = clock_timestamp(), publishes = 1 WHERE state = 'PUBLISHED'"

# The lock is tried only on rows that claim to be running; the CTE keeps the planner from trying it on others.
_ORPHANS = """
WITH candidates AS MATERIALIZED (
    SELECT id FROM outbox_message
    WHERE state = 'RUNNING' AND started_at < clock_timestamp() - interval '1 second'
    ORDER BY started_at LIMIT 1000
), orphans AS MATERIALIZED (
    SELECT id FROM candidates WHERE pg_try_advisory_xact_lock(%(space)s, (id & 2147483647)::int)
)
UPDATE outbox_message AS message SET
    losses = losses + 1,
    state = CASE WHEN losses + 1 >= %(most)s THEN 'DEAD' ELSE 'PENDING' END,
    finished_at = CASE WHEN losses + 1 >= %(most)s THEN clock_timestamp() END,
    error = CASE WHEN losses + 1 >= %(most)s
            THEN 'given up: its worker died ' || (losses + 1) || ' times while running it' ELSE error END,
    next_attempt_at = clock_timestamp()
FROM orphans WHERE message.id = orphans.id AND message.state = 'RUNNING'
RETURNING message.task, message.task_id, message.state, message.options
"""


class Relay:
    """Runs until it is told to stop or its parent has died."""

    def __init__(self, app: Celery, *, parent_pid: int | None = None) -> None:
        self._app = app
        self._broker = Broker(app)
        self._parent_pid = parent_pid
        self._stopping = False
        self._leads = False
        self._swept_at = 0.0
        self._outages = Outages(logger, "tasks wait in the outbox")

    def stop(self, *_: Any) -> None:
        """End after the current round. Usable as a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Relay until stopped. Outages of database and broker are said once, and once when they are over."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        pause = 0.0
        while not self._finished():
            try:
                pause = self._round(pause)
            except locks.DATABASE_GONE as error:
                self._outages.gone("database", error)
                self._leads = False
                connection.close()
                pause = self._rest(1.0)
            except self._broker.gone as error:
                self._outages.gone("broker", error, self._broker.url())
                self._broker.close()
                self._resign()
                pause = self._rest(1.0)
        self._resign()
        connection.close()
        self._broker.close()

    def _round(self, pause: float) -> float:
        """One round. Returns for how long there is nothing to do, in seconds."""
        if connection.connection is None:
            self._listen()
            self._outages.back("database")
        elif pause > 0:
            self._wait(pause)
        if self._finished():
            return 0.0
        self._broker.connect()
        self._outages.back("broker")
        if not self._lead():
            return STANDBY_SECONDS
        if not self._broker.remembers():
            self._after_amnesia()
        if time.monotonic() - self._swept_at >= SWEEP_SECONDS:
            self.free_orphans()
            self._swept_at = time.monotonic()
        published, room_left = self.publish_due()
        if published and room_left:
            return 0.0
        return self._idle_seconds(room_left)

    # --- publishing -------------------------------------------------------------------------------------------------

    def publish_due(self) -> tuple[int, bool]:
        """Publish what is due and what seems lost, queue by queue. Returns how many, and if no queue is full."""
        published, room_left = 0, True
        limit = settings.OUTBOX_QUEUE_LIMIT
        for queue in self._queues_waiting():
            room = min(limit - self._broker.length(queue), BATCH)
            if room <= 0:
                room_left = False
                continue
            published += self._publish(_TAKE_DUE, queue=queue, limit=room, grace=0)
        for queue, in_the_queue in self._published():
            length = self._broker.length(queue)
            # As many messages as rows: none seems lost, they only wait long. Doubling them would make that worse, so
            # it is done much later, for the case that the messages are others' after all.
            grace = 0 if length < in_the_queue else 10 * settings.OUTBOX_LEASE_SECONDS
            room = min(limit - length, BATCH)
            if room > 0:
                published += self._publish(_TAKE_LOST, queue=queue, limit=room, grace=grace)
        return published, room_left

    def free_orphans(self) -> int:
        """Give the rows of workers that died to another attempt, or give them up. Returns how many."""
        with db_transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_ORPHANS, {"space": locks.RUNNING_ROW, "most": settings.OUTBOX_MAX_LOSSES})
            rows = [(task, task_id, state, json.loads(options)) for task, task_id, state, options in cursor.fetchall()]
            for _, task_id, state, options in rows:
                if state == "DEAD":
                    write_errbacks(self._app, task_id, options.get("root_id"), options.get("link_error"))
        for task, task_id, state, _ in rows:
            said = "given up" if state == "DEAD" else "it will run again"
            logger.warning("the worker of %s[%s] died while running it: %s", task, task_id, said)
        return len(rows)

    def _publish(self, take: str, *, queue: str, limit: int, grace: float) -> int:
        parameters = {
            "queue": queue,
            "limit": limit,
            "grace": grace,
            "lease": float(settings.OUTBOX_LEASE_SECONDS),
            "longest": float(settings.OUTBOX_LONGEST_LEASE_SECONDS),
        }
        messages = list(OutboxMessage.objects.raw(take, parameters))
        for position, message in enumerate(messages):
            try:
                self._broker.publish(message)
            except self._broker.gone:
                # Not published: due as before. If this fails as well, the lease brings them back.
                with connection.cursor() as cursor:
                    cursor.execute(_GIVE_BACK, [[unsent.pk for unsent in messages[position:]]])
                raise
        return len(messages)

    def _after_amnesia(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_FORGOTTEN)
            if cursor.rowcount:
                logger.warning("the broker has lost its memory: publishing %s tasks again", cursor.rowcount)

    def _queues_waiting(self) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(_QUEUES)
            return [queue for (queue,) in cursor.fetchall()]

    def _published(self) -> list[tuple[str, int]]:
        """Queues with the number of rows in them that no worker has begun; at most OUTBOX_QUEUE_LIMIT or so each."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT queue, count(*) FROM outbox_message WHERE state = 'PUBLISHED' GROUP BY queue")
            return cursor.fetchall()

    def _idle_seconds(self, room_left: bool) -> float:
        if not room_left:
            return 0.1  # a full queue empties without telling us
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT extract(epoch FROM min(next_attempt_at) - clock_timestamp())"
                " FROM outbox_message WHERE state = 'PENDING'"
            )
            (seconds,) = cursor.fetchone()
        return POLL_SECONDS if seconds is None else min(max(float(seconds), 0.005), POLL_SECONDS)

    # --- leading ----------------------------------------------------------------------------------------------------

    def _lead(self) -> bool:
        if not self._leads:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_lock(%s, 0)", [locks.RELAY_LEADER])
                (self._leads,) = cursor.fetchone()
            if self._leads:
                logger.info("relay leads: publishing to %s", self._broker.url())
        return self._leads

    def _resign(self) -> None:
        """Let a relay that reaches its broker lead instead."""
        if self._leads and connection.connection is not None:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock(%s, 0)", [locks.RELAY_LEADER])
            except locks.DATABASE_GONE:
                connection.close()
        self._leads = False

    # --- waiting ----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("LISTEN outbox")

    def _wait(self, seconds: float) -> None:
        """Sleep until a row is inserted anywhere, the time is over, or the relay is told to stop."""
        raw = connection.connection
        assert raw is not None
        end = time.monotonic() + seconds
        with connection.wrap_database_errors:
            while not self._finished() and (left := end - time.monotonic()) > 0:
                # In slices, because a signal does not interrupt the wait.
                if any(True for _ in raw.notifies(timeout=min(left, 0.25), stop_after=1)):
                    return

    def _rest(self, seconds: float) -> float:
        end = time.monotonic() + seconds
        while not self._finished() and time.monotonic() < end:
            time.sleep(0.1)
        return 0.0

    def _finished(self) -> bool:
        return self._stopping or (self._parent_pid is not None and os.getppid() != self._parent_pid)
