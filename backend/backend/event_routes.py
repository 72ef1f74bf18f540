"""Which tasks follow which fact. Requests are routed in `urls.py`, the clock in `celery.py`, facts here.

The outbox finds this page through `settings.EVENT_ROUTES` and writes one durable row per route, in the database
transaction of the fact. Every route's task is idempotent, so a fact that is published or delivered twice is harmless.
"""

from typing import Any

from outbox.publish import Route

Data = dict[str, Any]
TELL_THE_PARTIES = "users.tasks.send_transaction_notification"


def _tell(notification_type: str) -> tuple[Route, ...]:
    """The mails about a fact of a deal; its data is what `transactions.events.record_event` publishes."""

    def arguments(data: Data) -> Data:
        return {
            "transaction_id": data["transaction_id"],
            "notification_type": notification_type,
            "milestone_id": data["milestone_id"],
            "event_id": data["event_id"],
        }

    return (Route(task=TELL_THE_PARTIES, arguments=arguments),)


def _verification(status: str) -> tuple[Route, ...]:
    def arguments(data: Data) -> Data:
        return {"user_id": data["user_id"], "verification_status": status}

    return (Route(task="users.tasks.send_verification_notification", arguments=arguments),)


ROUTES: dict[str, tuple[Route, ...]] = {
    # People and files
    "account.registered": (
        Route(task="users.tasks.send_account_notification", arguments=lambda data: {"user_id": data["user_id"]}),
    ),
    "seller.verification_submitted": _verification("PENDING"),
    "seller.verified": _verification("VERIFIED"),
    "seller.rejected": _verification("REJECTED"),
    "document.received": (
        Route(task="documents.tasks.process_document", arguments=lambda data: {"document_id": data["document_id"]}),
    ),
    # The agreement. `proposed` is what `created` tells the other party, so it never makes a second mail.
    "transaction.created": _tell("created"),
    "transaction.edited": (),
    "transaction.proposed": _tell("proposed"),
    "transaction.accepted": _tell("accepted"),
    "transaction.declined": _tell("declined"),
    "transaction.cancelled": _tell("cancelled"),
    "transaction.expired": _tell("expired"),
    # What somebody signed goes to the chain, and what the chain refused comes back to that person.
    "action.requested": (
        Route(task="chain.tasks.send_intent", arguments=lambda data: {"intent_id": data["data"]["intent_id"]}),
    ),
    "action.failed": _tell("action_failed"),
    "signatures.revoked": _tell("signatures_revoked"),
    # What the chain has said, finally. One payment funds many milestones and is told once, for the deal.
    "transaction.funded": _tell("funded"),
    "milestone.funded": (),
    "milestone.submitted": _tell("submitted"),
    "milestone.changes_requested": _tell("changes_requested"),
    "milestone.released": _tell("released"),
    "milestone.extended": _tell("extended"),
    "milestone.refunded": _tell("milestone_refunded"),
    "milestone.cancelled": _tell("milestone_cancelled"),
    "milestone.disputed": _tell("disputed"),
    "milestone.split": _tell("resolved"),
    "dispute.resolved": (),  # every decision is a split as well, which tells it
    "transaction.completed": _tell("completed"),
    "transaction.refunded": _tell("refunded"),
    "transaction.closed": _tell("closed"),
    "review.left": _tell("reviewed"),
}
