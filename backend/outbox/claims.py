"""The worker's side of a row: claim it, run once, write the end state.

A running claim is a session advisory lock on a connection of its own, so it lasts exactly as long as the process that
holds it: a task of 30 minutes is never run twice, and a killed worker's row is free at once. An end state is written
only if the row's attempt number is still the claim's.
"""

import json
import logging
import traceback as traceback_module
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celery import Celery
from django.conf import settings
from django.db import connection
from django.db import transaction as db_transaction
from django.db.models.functions import Now

from common.clock import utc_now
from outbox import locks, messages
from outbox.errors import ClaimLost
from outbox.models import OutboxMessage
from outbox.serialization import revive

logger = logging.getLogger(__name__)

State = OutboxMessage.State

_CLAIM = """
UPDATE outbox_message SET
    state = 'RUNNING', attempts = attempts + 1, worker = %s, started_at = clock_timestamp(), locked_until = NULL,
    losses = losses + CASE WHEN state = 'RUNNING' THEN 1 ELSE 0 END
WHERE id = %s AND task = %s
  AND (state IN ('PUBLISHED', 'RUNNING') OR (state = 'PENDING' AND next_attempt_at <= clock_timestamp()))
RETURNING task_id, attempts, retries, losses, args, kwargs, options, expires_at < clock_timestamp()
"""


@dataclass
class Claim:
    """One attempt at one row. `attempt` is the fence: a later attempt makes this one's end state void."""

    row_id: int
    task_id: str
    attempt: int
    retries: int
    losses: int
    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    successor: OutboxMessage | None = None  # what retry() or replace() asked for; written when the run has ended
    settling: bool = False
    exhausted: bool = False  # retry() was asked for, and there was none left

    def release(self) -> None:
        """Free the row. After an end state nobody wants it; without one the sweeper gives it to another attempt."""
        locks.unlock_row(self.row_id)


running: ContextVar[Claim | None] = ContextVar("outbox_running_claim", default=None)


def take(row_id: int, *, task: str, worker: str) -> Claim | None:
    """Claim a row for this process, or None if there is nothing to do (settled, running elsewhere, not due yet).

    A row whose earlier workers died under it `OUTBOX_MAX_LOSSES` times is given up here (DEAD), and one past its
    expiry is dropped (REVOKED). Raises OperationalError or InterfaceError if the database is away; the relay will
    publish the row again.
    """
    if not locks.try_lock_row(row_id):
        return None
    try:
        claim = _claim_locked(row_id, task, worker)
    except BaseException:
        locks.drop_own_connection()  # and the lock with it: nobody else may wait for this row until we end
        raise
    if claim is None:
        locks.unlock_row(row_id)
    return claim


def _claim_locked(row_id: int, task: str, worker: str) -> Claim | None:
    # Autocommit, on the lock's own connection: the claim must outlive whatever the task does to its transaction.
    # Losing the connection between lock and claim loses both; running the statement twice would count a loss too many.
    with locks.own_connection().cursor() as cursor:
        cursor.execute(_CLAIM, (worker[:200], row_id, task))
        row = cursor.fetchone()
    if row is None:
        return None
    task_id, attempt, retries, losses, args, kwargs, options, expired = row
    args, kwargs, options = (_decoded(value) for value in (args, kwargs, options))
    claim = Claim(row_id, task_id, attempt, retries, losses, revive(args), revive(kwargs), revive(options))
    if expired:
        _close(claim, State.REVOKED, error="expired before a worker could start it")
        return None
    if losses >= settings.OUTBOX_MAX_LOSSES:
        error = f"given up: its worker died {losses} times while running it"
        _close(claim, State.DEAD, error=error)
        logger.error("%s[%s] %s", task, task_id, error)
        return None
    return claim


def settle_done(claim: Claim, result: Any) -> None:
    """Write the row's success, in the current database transaction. Raises ClaimLost if another attempt began."""
    _settle(claim, state=State.DONE, finished_at=Now(), result=result, error="", traceback="")


def settle_failed(claim: Claim, state: str, exception: BaseException, encoded: Any) -> None:
    """Write the row's failure with the exception, in the current database transaction."""
    _settle(
        claim,
        state=state,
        finished_at=Now(),
        result=encoded,
        error=describe(exception),
        traceback=_text(format_traceback(exception)),
    )


def settle_again(claim: Claim, successor: OutboxMessage, reason: BaseException | None) -> None:
    """Write what retry() or replace() asked for onto the same row: it waits for its next attempt."""
    due_at = successor.next_attempt_at
    _settle(
        claim,
        state=State.PENDING,
        task=successor.task,
        args=successor.args,
        kwargs=successor.kwargs,
        options=successor.options,
        queue=successor.queue,
        retries=successor.retries,
        expires_at=successor.expires_at,
        next_attempt_at=due_at if isinstance(due_at, datetime) else Now(),
        error=describe(reason) if reason else "",
        traceback=_text(format_traceback(reason)) if reason else "",
    )
    ring()


def settle_requeued(claim: Claim) -> None:
    """The task gave the message back (`Reject(requeue=True)`): another attempt in a second."""
    _settle(claim, state=State.PENDING, next_attempt_at=utc_now() + timedelta(seconds=1))


def settle_interrupted(claim: Claim, error: Exception) -> bool:
    """The database went away under the task, or ended its transaction (deadlock, time-out): none of that is the task's.

    Another attempt follows, later each time, up to OUTBOX_MAX_LOSSES; True if there will be one.
    """
    losses = claim.losses + 1
    if losses >= settings.OUTBOX_MAX_LOSSES:
        settle_failed(claim, State.DEAD, error, None)
        return False
    pause = timedelta(seconds=min(2**losses, 60))
    _settle(claim, state=State.PENDING, losses=losses, next_attempt_at=utc_now() + pause, error=describe(error))
    return True


def close_from_outside(app: Celery, task_id: str, state: str, error: str) -> bool:
    """End a row from the process above the one that runs it (time limit, expired, revoked), with its `link_error`.

    True if the row was open until now.
    """
    open_states = [State.RUNNING] if state == State.FAILED else OutboxMessage.OPEN
    with db_transaction.atomic():
        row = OutboxMessage.objects.select_for_update().filter(task_id=task_id, state__in=open_states).first()
        if row is None:
            return False
        OutboxMessage.objects.filter(pk=row.pk).update(state=state, finished_at=Now(), error=error, locked_until=None)
        if state == State.FAILED:
            messages.write_errbacks(app, task_id, row.options.get("root_id"), row.options.get("link_error"))
    return True


def ring() -> None:
    """Wake the relay when the current transaction commits. (An insert does it by a trigger.)"""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('outbox', '')")


def describe(exception: BaseException | None) -> str:
    """The exception in one line: `ValueError: no such user`."""
    if exception is None:
        return ""
    text = _text(str(exception)).strip()
    return f"{type(exception).__name__}: {text}" if text else type(exception).__name__


def format_traceback(exception: BaseException | None, limit_characters: int = 20_000) -> str:
    """The traceback as text; the end of it, where the error is, if it is longer than `limit_characters`."""
    if exception is None or exception.__traceback__ is None:
        return ""
    return "".join(traceback_module.format_exception(exception))[-limit_characters:]


def _close(claim: Claim, state: str, *, error: str) -> None:
    locks.fetch(
        "UPDATE outbox_message SET state = %s, finished_at = clock_timestamp(), error = %s"
        " WHERE id = %s AND attempts = %s AND state = 'RUNNING'",
        (state, error, claim.row_id, claim.attempt),
    )


def _settle(claim: Claim, **fields: Any) -> None:
    changed = OutboxMessage.objects.filter(pk=claim.row_id, attempts=claim.attempt, state=State.RUNNING).update(
        **fields
    )
    if not changed:
        raise ClaimLost(f"attempt {claim.attempt} of {claim.task_id} is no longer the last one")


def _text(value: str) -> str:
    return value.replace("\x00", "")


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
