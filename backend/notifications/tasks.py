"""The clock's door to delivery."""

from typing import Any

from celery import shared_task

from notifications import delivery


@shared_task(durable=False, expires=60)
def deliver_due_notifications() -> dict[str, Any]:
    """Try again the mails that a server could not take before. Poked every minute.

    Idempotent because a row is sent only by the worker that claims it.
    """
    report = delivery.deliver_due()
    return {**report.as_result(), "deferred": len(report.deferred)}
