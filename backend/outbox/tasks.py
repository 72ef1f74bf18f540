"""The outbox's own chores."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings

from common.clock import utc_now
from outbox.models import OutboxMessage

_BATCH = 5_000  # rows per statement, so that no lock and no transaction lasts long


@shared_task(queue="bulk")
def purge_history() -> dict[str, int]:
    """Delete the history of tasks that ended OUTBOX_HISTORY_DAYS ago or earlier. Nightly.

    Tasks that were given up (DEAD) or failed stay three times as long: somebody may still want to look.
    Idempotent because a second run finds nothing old.
    """
    State = OutboxMessage.State
    days = settings.OUTBOX_HISTORY_DAYS
    settled = _purge([State.DONE, State.REVOKED], days)
    failed = _purge([State.FAILED, State.DEAD], 3 * days)
    return {"purged": settled + failed}


def _purge(states: list[str], days: int) -> int:
    too_old = OutboxMessage.objects.filter(state__in=states, finished_at__lt=utc_now() - timedelta(days=days))
    purged = 0
    while True:
        batch = list(too_old.values_list("pk", flat=True)[:_BATCH])
        if not batch:
            return purged
        purged += OutboxMessage.objects.filter(pk__in=batch).delete()[0]
