"""The Celery app and the clock: which task runs when. Requests are routed in `urls.py`, facts in `event_routes.py`."""

import os
from typing import Any

from celery.schedules import crontab

from outbox.celery_app import DurableCelery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")

app = DurableCelery("backend")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Autodiscovery looks for modules called `tasks`; without this line the worker does not know the scheduled tasks.
app.autodiscover_tasks(["backend"], related_name="scheduled_tasks")


def schedule() -> dict[str, dict[str, Any]]:
    """The schedule as seeded into the database. What an operator has edited there since is never overwritten.

    Times are UTC. A poke is repeated so soon that a lost one does not matter: it is not durable, and expires.
    """
    from django.conf import settings

    return {
        # The guide's three.
        "send-daily-transaction-summary": {
            "task": "backend.scheduled_tasks.send_daily_transaction_summary",
            "schedule": crontab(hour=8, minute=0),
        },
        "cleanup-old-pending-transactions": {
            "task": "backend.scheduled_tasks.cleanup_old_pending_transactions",
            "schedule": crontab(hour=2, minute=0),
        },
        "check-overdue-milestones": {
            "task": "backend.scheduled_tasks.check_overdue_milestones",
            "schedule": crontab(hour=10, minute=0, day_of_week="monday"),
        },
        # The platform's own.
        "apply-deadlines": {"task": "transactions.tasks.apply_deadlines", "schedule": 60.0},
        "deliver-due-notifications": {"task": "notifications.tasks.deliver_due_notifications", "schedule": 60.0},
        "follow-chain": {
            "task": "chain.tasks.follow_chain",
            "schedule": settings.CHAIN_POLL_SECONDS,
            "options": {"expire_seconds": max(1, round(4 * settings.CHAIN_POLL_SECONDS))},
        },
        "send-pending-intents": {
            "task": "chain.tasks.send_pending_intents",
            "schedule": 30.0,
            "options": {"expire_seconds": 30},
        },
        "forget-old-idempotency-keys": {
            "task": "api.tasks.forget_old_idempotency_keys",
            "schedule": crontab(hour=3, minute=40),
        },
        "purge-task-history": {"task": "outbox.tasks.purge_history", "schedule": crontab(hour=3, minute=30)},
    }


@app.on_after_configure.connect
def _set_schedule(sender: DurableCelery, **_: Any) -> None:
    sender.conf.beat_schedule = schedule()
