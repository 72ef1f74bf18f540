"""Reads: what may be seen by whom, and the situation that the rules are asked about."""

from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from common.clock import to_epoch, utc_now
from documents.models import Document
from transactions import rules
from transactions.errors import NotFound, UnknownTransaction
from transactions.models import ActionIntent, Dispute, EscrowTransaction, Milestone, Submission, Terms
from users.models import User, VerificationRequest


def visible_to(user: User) -> QuerySet[EscrowTransaction]:
    """The transactions this user may see: his own; an arbiter's from the proposal on; a draft only its author's.

    Operators see all but drafts.
    """
    deals = EscrowTransaction.objects.select_related("buyer", "seller", "arbiter", "token")
    if not user.is_authenticated:
        return deals.none()
    mine = Q(author=user) | (~Q(status="DRAFT") & (Q(buyer=user) | Q(seller=user) | Q(arbiter=user)))
    # A draft that was cancelled never reached the other side.
    mine &= Q(author=user) | ~Q(status="CANCELLED", proposed_at__isnull=True)
    if user.is_staff:
        mine |= Q(proposed_at__isnull=False)
    return deals.filter(mine)


def get_visible(user: User, transaction_id: int) -> EscrowTransaction:
    """One transaction this user may see; raises UnknownTransaction alike for none and for somebody else's."""
    deal = visible_to(user).filter(pk=transaction_id).first()
    if deal is None:
        raise UnknownTransaction(f"there is no transaction {transaction_id}", transaction_id=transaction_id)
    return deal


def milestones_visible_to(user: User) -> QuerySet[Milestone]:
    """The milestones of the transactions this user may see."""
    return Milestone.objects.filter(transaction__in=visible_to(user)).select_related("transaction__token")


def disputes_visible_to(user: User) -> QuerySet[Dispute]:
    """The disputes of the transactions this user may see."""
    return Dispute.objects.filter(milestone__transaction__in=visible_to(user)).select_related(
        "milestone__transaction__token"
    )


def documents_readable_by(user: User) -> QuerySet[Document]:
    """The files this user may open: his own, those of deals he sees, and for reviewers the sellers' proofs.

    A submission's files are the other side's to read once it is on its way to the vault, unless it never arrived.
    """
    if not user.is_authenticated:
        return Document.objects.none()
    deals = visible_to(user).values("pk")
    on_its_way = Q(milestone__intents__action=rules.Action.SUBMIT, milestone__intents__status__in=ActionIntent.OPEN)
    handed_in = Submission.objects.filter(Q(confirmed_at__isnull=False) | on_its_way, milestone__transaction__in=deals)
    readable = Q(owner=user) | Q(pk__in=handed_in.values("documents"))
    readable |= Q(
        pk__in=EscrowTransaction.attachments.through.objects.filter(escrowtransaction__in=deals).values("document")
    )
    if user.is_reviewer:
        readable |= Q(pk__in=VerificationRequest.documents.through.objects.values("document"))
    return Document.objects.filter(readable)


def get_readable_document(user: User, document_id: int) -> Document:
    """One file this user may open; raises NotFound alike for none and for somebody else's."""
    document = documents_readable_by(user).filter(pk=document_id).first()
    if document is None:
        raise NotFound(f"there is no document {document_id}", document_id=document_id)
    return document


def latest_terms(deal: EscrowTransaction) -> Terms | None:
    """The newest proposed version of the terms, None for a draft."""
    return deal.terms_versions.order_by("-version").first()


def vault_deadline(milestone: Milestone) -> datetime | None:
    """The clock that runs on a funded milestone: the vault's deadline, or the delivery date before any submission."""
    if milestone.deadline_at is not None:
        return milestone.deadline_at
    return milestone.deliver_by if milestone.status == rules.MilestoneStatus.PENDING else None


def situation_of(
    deal: EscrowTransaction, *, user: Any = None, milestone: Milestone | None = None, now: datetime | None = None
) -> rules.Situation:
    """What the rules need to know, from rows that the caller has read (or locked)."""
    moment = now or utc_now()
    deadline = vault_deadline(milestone) if milestone is not None else None
    return rules.Situation(
        status=rules.TransactionStatus(deal.status),
        is_author=user is not None and deal.author_id == user.pk,
        has_reviewed=user is not None and deal.pk is not None and deal.reviews.filter(author_id=user.pk).exists(),
        has_fundable_milestone=(deal.funded_at is not None or deal.accept_by > moment)
        and any(
            m.money == rules.Money.UNFUNDED and m.status == rules.MilestoneStatus.PENDING and m.deliver_by > moment
            for m in deal.milestones.all()
        ),
        max_revisions=deal.max_revisions,
        review_seconds=deal.review_seconds,
        milestone=None
        if milestone is None
        else rules.MilestoneSituation(
            status=rules.MilestoneStatus(milestone.status),
            money=rules.Money(milestone.money),
            deadline_at=to_epoch(deadline) if deadline else None,
            change_requests=milestone.change_requests,
        ),
    )


def available_actions(deal: EscrowTransaction, user: User, milestone: Milestone | None = None) -> list[rules.Action]:
    """The actions this user may take now on the transaction, or on one of its milestones.

    What is pending is not offered again, and nothing else on a milestone while this user's own request there is; the
    other party's request holds up nobody. The API's `actions` and the portal's buttons come from here.
    """
    roles = deal.roles_of(user)
    if not roles:
        return []
    now = utc_now()
    scope = rules.Scope.TRANSACTION if milestone is None else rules.Scope.MILESTONE
    situation = situation_of(deal, user=user, milestone=milestone, now=now)
    actions = rules.available_actions(roles, situation, now=to_epoch(now), scope=scope)
    open_intents = deal.intents.filter(status__in=["REQUESTED", "SENT", "SEEN"], milestone=milestone)
    pending = dict(open_intents.values_list("action", "actor_id"))
    if milestone is not None and user.pk in pending.values():
        return []
    return [action for action in actions if str(action) not in pending]
