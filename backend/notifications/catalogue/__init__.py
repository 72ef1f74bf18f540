"""What can be told: every type of notification, to whom it goes, what makes two of them the same, and its words.

`docs/reference/notifications.md` lists the types; a test compares.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from notifications.catalogue import deals, milestones
from notifications.catalogue.facts import DealFacts, Reader
from notifications.errors import UnknownNotificationType
from notifications.message import Message
from transactions.rules import Money, Role, TransactionStatus

PARTIES = (Role.BUYER, Role.SELLER)
EVERYONE = (Role.BUYER, Role.SELLER, Role.ARBITER)


@dataclass(frozen=True)
class DealNotification:
    """One type of message about a deal or, if `about_milestone`, about one of its milestones.

    `event_names` are the audit events that it tells. `happened` says whether the record agrees. `occurrence` tells two
    such facts of one object apart (a submission's round); it follows from the record alone, so that whoever tells the
    same fact arrives at the same key. `audience` is who is told.
    """

    name: str
    event_names: tuple[str, ...]
    words: Callable[[DealFacts, Reader], Message]
    happened: Callable[[DealFacts], bool]
    summary: str
    audience: Callable[[DealFacts], Iterable[Role]] = lambda facts: PARTIES
    occurrence: Callable[[DealFacts], str] = lambda facts: ""
    about_milestone: bool = False
    is_optional: bool = False

    def key(self, facts: DealFacts) -> str:
        """Names the fact: the same text for the same fact, whoever tells it."""
        subject = facts.about.pk if self.about_milestone else facts.deal.pk
        noun = "milestone" if self.about_milestone else "transaction"
        return ":".join(part for part in (self.name, noun, str(subject), self.occurrence(facts)) if part)


def _author_until_proposed(facts: DealFacts) -> Iterable[Role]:
    return (facts.author_role,) if facts.deal.proposed_at is None else PARTIES


def _status(*statuses: TransactionStatus) -> Callable[[DealFacts], bool]:
    return lambda facts: facts.deal.status in statuses


def _had_event(facts: DealFacts) -> bool:
    return facts.event is not None


def _was_declined(facts: DealFacts) -> bool:
    return facts.deal.events.filter(name="transaction.declined").exists()


def _all_if_disputed(facts: DealFacts) -> Iterable[Role]:
    return EVERYONE if facts.dispute is not None else PARTIES


def _payment(facts: DealFacts) -> str:
    # Each payment into the vault is told; without an event, the set of milestones that were ever paid names it.
    if facts.event is not None:
        return f"event-{facts.event.pk}"
    return "milestones-" + "-".join(str(m.position) for m in facts.funded)


def _actor(facts: DealFacts) -> Iterable[Role]:
    actor_id = facts.event.actor_id if facts.event is not None else None
    return [role for role in EVERYONE if actor_id is not None and facts.user_of(role).pk == actor_id]


def _reviewed_party(facts: DealFacts) -> Iterable[Role]:
    author_id = deals.reviewer_of(facts)
    return [role for role in PARTIES if author_id is not None and facts.user_of(role).pk != author_id]


def _money(*states: Money) -> Callable[[DealFacts], bool]:
    return lambda facts: facts.about.money in states


def _extended_until(facts: DealFacts) -> str:
    until = facts.moment("until", facts.about.deadline_at)
    return until.isoformat() if until else ""


_ALL: tuple[DealNotification, ...] = (
    DealNotification(
        "created",
        ("transaction.created", "transaction.proposed"),
        deals.created,
        lambda facts: True,
        "A draft is saved (its author only); once the terms are proposed, the other party is asked to answer.",
        audience=_author_until_proposed,
    ),
    DealNotification(
        "accepted",
        ("transaction.accepted",),
        deals.accepted,
        lambda facts: facts.deal.accepted_at is not None,
        "Both parties have signed; the buyer pays next. The arbiter learns of the appointment.",
        audience=lambda facts: EVERYONE,
    ),
    DealNotification(
        "declined",
        ("transaction.declined",),
        deals.declined,
        _had_event,
        "The other party said no.",
    ),
    DealNotification(
        "cancelled",
        ("transaction.cancelled",),
        deals.cancelled,
        lambda facts: facts.deal.status == TransactionStatus.CANCELLED and not _was_declined(facts),
        "A party cancelled before any money came. A draft's cancellation is told to its author only.",
        audience=_author_until_proposed,
    ),
    DealNotification(
        "expired",
        ("transaction.expired",),
        deals.expired,
        _status(TransactionStatus.EXPIRED),
        "Not accepted or not paid in time.",
    ),
    DealNotification(
        "funded",
        ("transaction.funded",),
        deals.funded,
        lambda facts: bool(facts.funded),
        "Money of some or all milestones is in the vault; once per payment.",
        occurrence=_payment,
    ),
    DealNotification(
        "submitted",
        ("milestone.submitted",),
        milestones.submitted,
        lambda facts: facts.about.round > 0,
        "The seller handed in work; once per round.",
        occurrence=lambda facts: f"round-{facts.round}",
        about_milestone=True,
    ),
    DealNotification(
        "changes_requested",
        ("milestone.changes_requested",),
        milestones.changes_requested,
        lambda facts: facts.about.change_requests > 0,
        "The buyer asked for changes; once per round.",
        occurrence=lambda facts: f"round-{facts.round}",
        about_milestone=True,
    ),
    DealNotification(
        "released",
        ("milestone.released",),
        milestones.released,
        _money(Money.RELEASED),
        "A milestone was paid to the seller: approved, or the review window ran out.",
        about_milestone=True,
    ),
    DealNotification(
        "extended",
        ("milestone.extended",),
        milestones.extended,
        _had_event,
        "The buyer granted a later date; once per new date.",
        occurrence=_extended_until,
        about_milestone=True,
    ),
    DealNotification(
        "milestone_refunded",
        ("milestone.refunded",),
        milestones.milestone_refunded,
        _money(Money.REFUNDED),
        "A milestone's money went back to the buyer; the arbiter is told if he was called.",
        audience=_all_if_disputed,
        about_milestone=True,
    ),
    DealNotification(
        "milestone_cancelled",
        ("milestone.cancelled",),
        milestones.milestone_cancelled,
        lambda facts: facts.about.status == "CANCELLED",
        "A milestone's delivery date passed before it was paid.",
        about_milestone=True,
    ),
    DealNotification(
        "disputed",
        ("milestone.disputed",),
        milestones.disputed,
        lambda facts: facts.dispute is not None,
        "A party called the arbiter; the arbiter is asked to decide.",
        audience=lambda facts: EVERYONE,
        about_milestone=True,
    ),
    DealNotification(
        "resolved",
        ("milestone.split", "dispute.resolved"),
        milestones.resolved,
        lambda facts: facts.about.settled_at is not None and (_had_event(facts) or facts.dispute is not None),
        "A milestone was split: decided by the arbiter or by the arbiter's silence, or agreed by both.",
        audience=_all_if_disputed,
        about_milestone=True,
    ),
    DealNotification(
        "completed",
        ("transaction.completed",),
        deals.completed,
        lambda facts: facts.deal.completed_at is not None and facts.deal.status != TransactionStatus.REFUNDED,
        "Every milestone is settled and the seller was paid at least a part.",
    ),
    DealNotification(
        "refunded",
        ("transaction.refunded",),
        deals.refunded,
        lambda facts: facts.deal.completed_at is not None and all(m.seller_units == 0 for m in facts.milestones),
        "All the money went back to the buyer.",
    ),
    DealNotification(
        "closed",
        ("transaction.closed",),
        deals.closed,
        _status(TransactionStatus.CLOSED),
        "Nothing is left to do or to say.",
        is_optional=True,
    ),
    DealNotification(
        "reviewed",
        ("review.left",),
        deals.reviewed,
        lambda facts: deals.reviewer_of(facts) is not None,
        "The other party left a review; told to the one it is about.",
        audience=_reviewed_party,
        occurrence=lambda facts: f"by-{deals.reviewer_of(facts)}",
        is_optional=True,
    ),
    DealNotification(
        "action_failed",
        ("action.failed",),
        deals.action_failed,
        _had_event,
        "The chain refused what a party had signed; told to that party.",
        audience=_actor,
        occurrence=lambda facts: f"intent-{facts.data('intent_id')}",
    ),
    DealNotification(
        "signatures_revoked",
        ("signatures.revoked",),
        deals.signatures_revoked,
        _had_event,
        "A party voided the signatures it had given.",
        occurrence=lambda facts: f"{facts.data('party')}-{facts.data('epoch')}",
    ),
)
DEAL_NOTIFICATIONS = {kind.name: kind for kind in _ALL}
# The proposal is what makes the other party learn of the deal: the same fact as `created`, so never a second mail.
ALIASES = {"proposed": "created"}
VERIFICATION_STATUSES = ("PENDING", "REJECTED", "VERIFIED")
ACCOUNT_NOTIFICATIONS = ("welcome",)
SCHEDULED_NOTIFICATIONS = {
    "daily_summary": "The reader's active transactions and what waits for the reader; once per day.",
    "funding_reminder": "A transaction waits for acceptance or payment; on day 7, 14 and 21.",
    "overdue": "A funded milestone is more than 14 days past its date; once per further week.",
}
OPTIONAL_KINDS = frozenset({kind.name for kind in _ALL if kind.is_optional} | {"daily_summary", "funding_reminder"})


def known_types() -> list[str]:
    """The names that `send_transaction_notification` takes."""
    return sorted([*DEAL_NOTIFICATIONS, *ALIASES])


def find_type(name: str) -> DealNotification:
    """The type of this name or alias. Raises UnknownNotificationType, which lists the known ones."""
    kind = DEAL_NOTIFICATIONS.get(ALIASES.get(name, name)) if isinstance(name, str) else None
    if kind is None:
        raise UnknownNotificationType.among(name, known_types())
    return kind


__all__ = ["DealFacts", "DealNotification", "Reader", "find_type", "known_types"]
