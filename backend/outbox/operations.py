"""What an operator may do with a task: send it again, or drop it."""

from collections.abc import Iterable

from django.db import transaction as db_transaction
from django.db.models.functions import Now

from outbox.claims import ring
from outbox.models import OutboxMessage

State = OutboxMessage.State

RETRYABLE = (State.FAILED, State.DEAD, State.REVOKED)
DISCARDABLE = (State.PENDING, State.PUBLISHED, State.FAILED, State.DEAD)


def retry_tasks(*, ids: Iterable[int]) -> int:
    """Let tasks that failed, were given up or dropped run again, as if they were called now. Returns how many.

    A repeat is harmless: a task that waits already is left alone.
    """
    with db_transaction.atomic():
        count = OutboxMessage.objects.filter(pk__in=ids, state__in=RETRYABLE).update(
            state=State.PENDING,
            next_attempt_at=Now(),
            finished_at=None,
            expires_at=None,
            locked_until=None,
            retries=0,
            losses=0,
            publishes=0,
            result=None,
        )
        ring()
    return count


def discard_tasks(*, ids: Iterable[int], by: str) -> int:
    """Drop tasks that wait, failed or were given up. A task that runs goes on. Returns how many were dropped.

    A repeat is harmless: a dropped task stays as it is.
    """
    return OutboxMessage.objects.filter(pk__in=ids, state__in=DISCARDABLE).update(
        state=State.REVOKED, finished_at=Now(), locked_until=None, error=f"discarded by {by}"
    )
