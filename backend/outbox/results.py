"""`AsyncResult` of a durable task: the row knows, also when the result backend has forgotten or is away."""

import logging
import threading
import time
from typing import Any

from celery import states
from celery.backends.base import Backend, SyncBackendMixin
from celery.exceptions import TimeoutError as CeleryTimeoutError
from django.db import DatabaseError, InterfaceError

logger = logging.getLogger(__name__)

_storing = threading.local()


def row_meta(backend: Backend, task_id: str) -> dict[str, Any] | None:
    """What Celery calls a task's meta data, read from its row; None if there is no such row.

    Raises DatabaseError or InterfaceError if the database is away.
    """
    from outbox.models import OutboxMessage  # the Celery app is made before Django's models are loaded
    from outbox.serialization import revive

    State = OutboxMessage.State
    row = OutboxMessage.objects.filter(task_id=task_id).first()
    if row is None:
        return None
    meta: dict[str, Any] = {
        "task_id": task_id,
        "status": {
            State.PENDING: states.RETRY if row.retries else states.PENDING,
            State.PUBLISHED: states.RETRY if row.retries else states.PENDING,
            State.RUNNING: states.STARTED,
            State.DONE: states.SUCCESS,
            State.FAILED: states.FAILURE,
            State.DEAD: states.FAILURE,
            State.REVOKED: states.REVOKED,
        }[State(row.state)],
        "result": None,
        "traceback": row.traceback or None,
        "children": [],
        "date_done": row.finished_at.isoformat() if row.finished_at else None,
        "name": row.task,
        "args": row.args,
        "kwargs": row.kwargs,
        "worker": row.worker,
        "retries": row.retries,
        "queue": row.queue,
    }
    if row.state == State.DONE:
        meta["result"] = revive(row.result)
    elif row.finished_at is not None:
        described = row.result or {
            "exc_type": "TaskRevokedError" if row.state == State.REVOKED else "WorkerLostError",
            "exc_module": "celery.exceptions" if row.state == State.REVOKED else "billiard.exceptions",
            "exc_message": [row.error],
        }
        if row.error.startswith("TimeLimitExceeded"):
            described = {
                "exc_type": "TimeLimitExceeded",
                "exc_module": "billiard.exceptions",
                "exc_message": [row.error.partition(": ")[2]],
            }
        meta["result"] = backend.exception_to_python(described)
    return meta


class RemembersInOutbox(SyncBackendMixin):
    """Mixed over the configured result backend: the settled row answers first, the backend for everything else.

    Waiting is by asking again, not by a subscription: a subscription is opened by the *publisher* (which would make a
    web request wait for a result backend that is down) and is deaf to a result whose server has been wiped.
    """

    supports_native_join = False

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        if getattr(_storing, "now", False):
            stored: dict[str, Any] = super()._get_task_meta_for(task_id)
            return stored
        try:
            row = row_meta(self, task_id)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("database is away, asking the result backend only: %s", str(error).partition("\n")[0])
            row = None
        if row is not None and row["status"] in states.READY_STATES:
            return row
        try:
            meta: dict[str, Any] = super()._get_task_meta_for(task_id)
        except Exception as error:
            if row is not None:
                return row
            logger.warning("result backend is away: %s", error)
            raise
        if row is None:
            return meta
        # The row is not settled. What the backend says of the end of an earlier run (an operator has sent it again) or
        # of a start that came to nothing is past; a state of the task's own (update_state) and the reason of a retry
        # are news.
        if row["status"] == states.STARTED:
            return meta if meta["status"] not in states.ALL_STATES else row
        return meta if meta["status"] == row["status"] == states.RETRY else row

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        """Celery's; a backend that is away is no failure of a task whose row has the result."""
        # Celery asks first if it has stored a success before. That question is for the backend alone: the row has its
        # end state already, and would keep every result out of the backend.
        _storing.now = True
        try:
            return super().store_result(task_id, result, state, *args, **kwargs)
        except Exception as error:
            request = kwargs.get("request")
            if request is None or getattr(request, "outbox_id", None) is None:
                raise
            logger.warning("result backend is away (%s); the result of %s is in its row", error, task_id)
            return result
        finally:
            _storing.now = False

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_interval: Any = None,
    ) -> dict[str, Any]:
        """Wait until the task has ended; asks after 20 ms, then less and less often, at most every `interval` s."""
        self._ensure_not_eager()
        started, pause = time.monotonic(), min(0.02, interval)
        while True:
            meta: dict[str, Any] = self.get_task_meta(task_id)
            if meta["status"] in states.READY_STATES:
                return meta
            if on_interval:
                on_interval()
            if timeout is not None and time.monotonic() - started >= timeout:
                raise CeleryTimeoutError("The operation timed out.")
            time.sleep(pause)
            pause = min(pause * 1.5, interval)

    def on_task_call(self, producer: Any, task_id: str) -> dict[str, Any]:
        """No subscription from the publisher."""
        return {}


def remembering(backend_class: type) -> type:
    """The backend class with the outbox mixed in; subclasses are not made twice."""
    if issubclass(backend_class, RemembersInOutbox):
        return backend_class
    return type(backend_class.__name__, (RemembersInOutbox, backend_class), {"__module__": backend_class.__module__})
