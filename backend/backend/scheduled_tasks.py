"""The tasks that the clock starts. When they run: `backend/celery.py`, and after that the schedule in the admin.

All may be repeated, overlap or be late: each message is named by what it says and when, and goes out once.
"""

from typing import Any

from celery import shared_task

from notifications import digests
from transactions import lifecycle


@shared_task(queue="bulk")
def send_daily_transaction_summary() -> dict[str, Any]:
    """Send everybody with active transactions a summary of them. Daily at 8:00.

    Returns {'success', 'summaries_sent'}; mails that the server could not take now are not counted, they follow.
    Idempotent because there is one summary per person and day.
    """
    report = digests.send_daily_summaries()
    return {"success": True, "summaries_sent": len(report.sent), "failed": len(report.refused)}


@shared_task(queue="bulk")
def cleanup_old_pending_transactions() -> dict[str, Any]:
    """Remind of transactions that wait for acceptance or payment for more than 7 days, expire what is too old.

    Daily at 2:00. Returns {'success', 'reminders_sent', 'transactions_expired'}. Idempotent because each reminder
    belongs to a step (day 7, 14, 21) and the lifecycle expires a transaction once.
    """
    # First, so that nobody is asked to pay for what has just ended.
    expired = lifecycle.apply_deadlines()["expired"]
    report = digests.send_funding_reminders()
    return {
        "success": True,
        "reminders_sent": len(report.sent),
        "transactions_expired": expired,
        "failed": len(report.refused),
    }


@shared_task(queue="bulk")
def check_overdue_milestones() -> dict[str, Any]:
    """Tell sellers of funded milestones that are more than 14 days overdue. Mondays at 10:00.

    Returns {'success', 'notifications_sent'}. Idempotent because each notice belongs to a milestone, its date and the
    number of weeks that it is late.
    """
    report = digests.send_overdue_notices()
    return {"success": True, "notifications_sent": len(report.sent), "failed": len(report.refused)}
