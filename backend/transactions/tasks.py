"""The clock's door to the lifecycle."""

from celery import shared_task

from transactions import lifecycle


@shared_task(durable=False, expires=60)
def apply_deadlines() -> dict[str, int]:
    """Do what passed deadlines entitle people to. Poked every minute.

    Returns counts of `expired`, `requested`, `closed`. Idempotent because each deal is checked again under its lock.
    """
    return lifecycle.apply_deadlines()
