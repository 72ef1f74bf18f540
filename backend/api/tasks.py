"""The API's own housekeeping."""

from typing import Any

from celery import shared_task

from api import idempotency


@shared_task(queue="default", time_limit=300)
def forget_old_idempotency_keys(**_: Any) -> int:
    """Delete the answers whose Idempotency-Key is past its lifetime; returns how many.

    Idempotent because what is deleted is not found again.
    """
    return idempotency.forget_old_keys()
