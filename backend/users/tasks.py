"""The guide's e-mail tasks. They only open the door to `notifications.delivery`, which keeps one row per mail.

All of them may be called directly (at once, in this process) or by `.delay(...)`. A repeat never mails anybody twice
(how: `notifications.delivery`); a mail server that cannot take a mail now makes the task retry, and what is left after
that is tried again every minute for three days.
"""

from typing import Any
from uuid import uuid4

from celery import Task, shared_task

from notifications import delivery

RETRIES = 3


def _finish(task: Task, report: delivery.Report, **more: Any) -> dict[str, Any]:
    """The result; or, if a mail is left for later, another try of this task after 1, 2 and 4 minutes."""
    try:
        report.raise_if_deferred()
    except delivery.DeliveryDeferred as error:
        raise task.retry(exc=error, countdown=60 * 2**task.request.retries) from error
    return report.as_result(**more)


@shared_task(bind=True, max_retries=RETRIES, throws=delivery.EXPECTED_ERRORS)
def send_email_notification(self: Task, subject: str, message: str, recipient_list: list[str]) -> dict[str, Any]:
    """Send the same words to each address of `recipient_list`, one mail each.

    Returns {'success', 'subject', 'recipients', 'notifications_sent'}; `success` is false, and `refused` says why, if
    the server refused somebody for good. Raises ValueError for a subject or an address that no mail can carry.

    Idempotent because the mail is named by the task's id: a message that is delivered twice, or retried, finds what
    was sent before. Each direct call is a mail of its own.
    """
    key = f"message:{self.request.id or uuid4()}"
    report = delivery.send_message(key=key, subject=subject, message=message, recipient_list=recipient_list)
    return _finish(self, report, subject=subject)


@shared_task(bind=True, max_retries=RETRIES, throws=delivery.EXPECTED_ERRORS)
def send_transaction_notification(
    self: Task,
    transaction_id: int,
    notification_type: str,
    milestone_id: int | None = None,
    event_id: int | None = None,
) -> dict[str, Any]:
    """Tell the parties of an escrow transaction what happened: 'created', 'funded', 'completed', ...

    `milestone_id` and `event_id` say which milestone or occurrence is meant; without them it is the latest. Returns
    {'success', 'transaction_id', 'notification_type', 'recipients', 'notifications_sent'}. Raises UnknownTransaction,
    and ValueError for an unknown type (it lists the known ones) or for something that has not happened.

    Idempotent because each mail is named by the fact it tells, so it does not matter who tells it, or how often.
    """
    report = delivery.notify_transaction(
        transaction_id=transaction_id,
        notification_type=notification_type,
        milestone_id=milestone_id,
        event_id=event_id,
    )
    return _finish(self, report, transaction_id=transaction_id, notification_type=notification_type)


@shared_task(bind=True, max_retries=RETRIES, throws=delivery.EXPECTED_ERRORS)
def send_verification_notification(self: Task, user_id: int, verification_status: str) -> dict[str, Any]:
    """Tell a seller that the verification is 'PENDING', 'VERIFIED' or 'REJECTED'.

    Returns {'success', 'user_id', 'status', 'recipients', 'notifications_sent'}. Raises ValueError for an unknown user
    or status, or one that the seller's record contradicts.

    Idempotent because each mail is named by the verification request and its decision.
    """
    report = delivery.notify_verification(user_id=user_id, verification_status=verification_status)
    return _finish(self, report, user_id=user_id, status=verification_status)


@shared_task(bind=True, max_retries=RETRIES, throws=delivery.EXPECTED_ERRORS)
def send_account_notification(self: Task, user_id: int, notification_type: str = "welcome") -> dict[str, Any]:
    """Tell somebody about the own account: 'welcome' after registration.

    Returns {'success', 'user_id', 'notification_type', 'recipients', 'notifications_sent'}. Raises ValueError for an
    unknown user or type.

    Idempotent because each account is welcomed once.
    """
    report = delivery.notify_account(user_id=user_id, notification_type=notification_type)
    return _finish(self, report, user_id=user_id, notification_type=notification_type)
