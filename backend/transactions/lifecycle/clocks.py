"""What passed deadlines lead to. The vault enforces them by itself; this only pokes it and ends what never began."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import transaction as db_transaction

from common.clock import to_epoch, utc_now
from transactions import queries, rules
from transactions.events import record_event
from transactions.lifecycle.actions import request_clock_action
from transactions.lifecycle.agreement import end_unfunded
from transactions.lifecycle.facts import derive_status
from transactions.lifecycle.reviews import close
from transactions.locks import lock_milestones, lock_transaction
from transactions.models import EscrowTransaction, Milestone
from transactions.rules import Action, MilestoneStatus, Money, Role, TransactionStatus

REVIEW_WINDOW = timedelta(days=14)
PROPOSAL_LIFETIME = timedelta(days=30)
CLOCK_ACTIONS = (Action.CLAIM, Action.RECLAIM, Action.TIME_OUT)


def apply_deadlines(*, now: datetime | None = None) -> dict[str, int]:
    """Expire what was never funded, ask the vault for what deadlines entitle anyone to, close what is over.

    Returns counts of `expired`, `requested`, `closed`. Each deal is handled under its own lock in its own database
    transaction and checked again there, so runs may overlap and be repeated.
    """
    moment = now or utc_now()
    counts: Counter[str] = Counter(expired=0, requested=0, closed=0)
    for transaction_id in _due(moment):
        with db_transaction.atomic():
            counts.update(_apply(lock_transaction(transaction_id), moment))
    return dict(counts)


def _due(now: datetime) -> Iterator[int]:
    deals = EscrowTransaction.objects.order_by("pk").values_list("pk", flat=True)
    unfunded = deals.filter(status__in=["PENDING_FUNDING", "AWAITING_PAYMENT"])
    yield from unfunded.filter(accept_by__lte=now).iterator()
    yield from unfunded.filter(accept_by__gt=now, proposed_at__lte=now - PROPOSAL_LIFETIME).iterator()
    finished = deals.filter(status__in=["COMPLETED", "CANCELLED", "REFUNDED", "EXPIRED"], proposed_at__isnull=False)
    yield from finished.filter(updated_at__lte=now - REVIEW_WINDOW).iterator()
    never_funded = Milestone.objects.filter(
        money=Money.UNFUNDED, status="PENDING", deliver_by__lte=now, transaction__status__in=list(rules.HOLDING)
    )
    yield from never_funded.values_list("transaction_id", flat=True).distinct().iterator()
    clocked = Milestone.objects.filter(money=Money.FUNDED).order_by("transaction_id").distinct()
    passed = clocked.filter(deadline_at__lte=now) | clocked.filter(deadline_at__isnull=True, deliver_by__lte=now)
    yield from passed.values_list("transaction_id", flat=True).iterator()


def _apply(deal: EscrowTransaction, now: datetime) -> Counter[str]:
    counts: Counter[str] = Counter()
    status = TransactionStatus(deal.status)
    if status in (TransactionStatus.PENDING_FUNDING, TransactionStatus.AWAITING_PAYMENT):
        too_old = deal.proposed_at is not None and deal.proposed_at <= now - PROPOSAL_LIFETIME
        if (deal.accept_by <= now or too_old) and not deal.intents.filter(status__in=["SENT", "SEEN"]).exists():
            end_unfunded(deal, TransactionStatus.EXPIRED)
            record_event("transaction.expired", deal)
            counts["expired"] += 1
    elif status in rules.FINISHED and status is not TransactionStatus.CLOSED:
        if deal.updated_at <= now - REVIEW_WINDOW:
            close(deal)
            counts["closed"] += 1
    else:
        milestones = lock_milestones(deal)
        for milestone in milestones:
            counts["requested"] += _poke(deal, milestone, now)
        counts["expired"] += _cancel_unfundable(deal, milestones, now)
    return counts


def _cancel_unfundable(deal: EscrowTransaction, milestones: list[Milestone], now: datetime) -> int:
    """A milestone that nobody funded before its delivery date can never be funded: it keeps nothing open."""
    late = [
        m
        for m in milestones
        if m.money == Money.UNFUNDED and m.status == MilestoneStatus.PENDING and m.deliver_by <= now
    ]
    for milestone in late:
        milestone.status = MilestoneStatus.CANCELLED
        milestone.save(update_fields=["status"])
        record_event("milestone.cancelled", deal, milestone=milestone)
    if late:
        derive_status(deal, milestones)
    return len(late)


def _poke(deal: EscrowTransaction, milestone: Milestone, now: datetime) -> int:
    situation = queries.situation_of(deal, milestone=milestone, now=now)
    for action in CLOCK_ACTIONS:
        if rules.check(action, Role.CLOCK, situation, now=to_epoch(now)) is None:
            return int(request_clock_action(action=action, deal=deal, milestone=milestone) is not None)
    return 0
