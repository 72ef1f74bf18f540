"""What the chain has said, finally. Facts never refuse: parties may act on the vault directly.

Every function moves the mirror, settles the intent that asked for it, voids intents that it contradicts, posts to
the ledger and tells people. Each is idempotent by its chain log (the audit event is unique per log). Each returns
False if the escrow is not one of ours, else True. `escrow`, hashes and addresses are 0x-hex; units are base units.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction as db_transaction
from django.db.models import QuerySet

from common.clock import to_epoch, utc_now
from ledger.posting import post_transfer
from transactions import queries, rules, terms
from transactions.events import ChainLog, record_event
from transactions.locks import lock_milestones, lock_transaction
from transactions.models import ActionIntent, ChangeRequest, Dispute, EscrowTransaction, Milestone, Submission
from transactions.rules import Action, MilestoneStatus, Money, TransactionStatus

Milestones = dict[int, Milestone]


def record_funded(*, escrow: str, positions: Iterable[int], log: ChainLog) -> bool:
    """The buyer's money for these milestones lies in the vault."""
    numbers = sorted(positions)

    def apply(deal: EscrowTransaction, milestones: Milestones) -> None:
        fresh = [milestones[p] for p in numbers if _record(deal, milestones[p], "milestone.funded", log)]
        for milestone in fresh:
            _set(milestone, "funded", deadline_at=None, funded_at=log.block_at)
            _post(
                deal, milestone, log, "funded", debit=_vault(deal), credit=_escrow(deal), units=milestone.amount_units
            )
        bits = terms.bitmap(numbers)
        _settle_intents(deal, None, Action.FUND, target=str(bits))
        for intent in deal.intents.filter(action=Action.FUND, status__in=ActionIntent.OPEN):
            if int(intent.target) & bits:
                _void(deal.intents.filter(pk=intent.pk))
        if fresh:
            if deal.funded_at is None:
                deal.funded_at = log.block_at
            total = sum(milestone.amount_units for milestone in fresh)
            record_event("transaction.funded", deal, data={"amount_units": str(total), "milestones": numbers}, log=log)

    return _apply(escrow, log, apply)


def record_submitted(
    *, escrow: str, position: int, round: int, deliverable: str, review_ends_at: datetime, log: ChainLog
) -> bool:
    """The seller handed in work; the buyer's review window runs until `review_ends_at`."""

    def apply(deal: EscrowTransaction, milestones: Milestones) -> None:
        milestone = milestones[position]
        data = {"round": round, "deliverable": deliverable, "review_ends_at": review_ends_at.isoformat()}
        if _record(deal, milestone, "milestone.submitted", log, data):
            _set(milestone, "submitted", deadline_at=review_ends_at, round=round)
            wanted = milestone.submissions.filter(round=round, deliverable_hash=deliverable, confirmed_at__isnull=True)
            submission = wanted.order_by("-id").first()
            if submission is None:
                submission = Submission(milestone=milestone, round=round, deliverable_hash=deliverable)
            submission.confirmed_at = log.block_at
            submission.save()
            _settle_intents(deal, milestone, Action.SUBMIT)

    return _apply(escrow, log, apply)


def record_changes_requested(
    *, escrow: str, position: int, round: int, reason: str, revision_ends_at: datetime, log: ChainLog
) -> bool:
    """The buyer asked for changes; the seller has until `revision_ends_at`."""

    def apply(deal: EscrowTransaction, milestones: Milestones) -> None:
        milestone = milestones[position]
        data = {"round": round, "reason_hash": reason, "revision_ends_at": revision_ends_at.isoformat()}
        if _record(deal, milestone, "milestone.changes_requested", log, data):
            _set(
                milestone,
                "changes_requested",
                deadline_at=revision_ends_at,
                change_requests=milestone.change_requests + 1,
            )
            wanted = milestone.change_request_rows.filter(round=round, reason_hash=reason, confirmed_at__isnull=True)
            request = wanted.order_by("-id").first()
            if request is None:
                request = ChangeRequest(milestone=milestone, round=round, reason_hash=reason)
            request.confirmed_at = log.block_at
            request.save()
            _settle_intents(deal, milestone, Action.REQUEST_CHANGES)

    return _apply(escrow, log, apply)


def record_extended(*, escrow: str, position: int, until: datetime, log: ChainLog) -> bool:
    """The buyer granted a later delivery or revision date."""

    def apply(deal: EscrowTransaction, milestones: Milestones) -> None:
        milestone = milestones[position]
        if _record(deal, milestone, "milestone.extended", log, {"until": until.isoformat()}):
            milestone.deadline_at = until
            milestone.save(update_fields=["deadline_at"])
            _settle_intents(deal, milestone, Action.EXTEND)

    return _apply(escrow, log, apply)


def record_disputed(
    *, escrow: str, position: int, party: str, reason: str, arbitration_ends_at: datetime, log: ChainLog
) -> bool:
    """A party called the arbiter; the milestone's clocks stand still until he decides or his time is over."""

    def apply(deal: EscrowTransaction, milestones: Milestones) -> None:
        milestone = milestones[position]
        data = {"party": party, "reason_hash": reason, "arbitration_ends_at": arbitration_ends_at.isoformat()}
        if _record(deal, milestone, "milestone.disputed", log, data):
            _set(milestone, "disputed", deadline_at=arbitration_ends_at)
            dispute = milestone.disputes.filter(status="REQUESTED", reason_hash=reason).order_by("-id").first()
            if dispute is None:
                dispute = Dispute(milestone=milestone, reason_hash=reason, opened_by=_party(deal, party))
            dispute.status = Dispute.Status.OPEN
            dispute.arbitration_ends_at = arbitration_ends_at
            dispute.opened_at = log.block_at
            dispute.save()
            _settle_intents(deal, milestone, Action.DISPUTE)

    return _apply(escrow, log, apply)


def record_released(
    *, escrow: str, positions: Iterable[int], fee_units: int, log: ChainLog, claimed: bool = False
) -> bool:
    """These milestones were paid to the seller: approved by the buyer, or `claimed` after the review window."""
    numbers = sorted(positions)

    def apply(deal: EscrowTransaction, milestones: Milestones) -> None:
        shares = {p: milestones[p].amount_units for p in numbers}
        _settle(deal, milestones, shares, "milestone.released", log, {"claimed": claimed}, fee_units)
        for position in numbers:
            _settle_intents(deal, milestones[position], Action.CLAIM if claimed else Action.APPROVE)

    return _apply(escrow, log, apply)


def record_refunded(*, escrow: str, positions: Iterable[int], log: ChainLog, reclaimed: bool = False) -> bool:
    """These milestones were paid back to the buyer: by the seller, or `reclaimed` after a missed date."""
    numbers = sorted(positions)

    def apply(deal: EscrowTransaction, milestones: Milestones) -> None:
        shares = dict.fromkeys(numbers, 0)
        _settle(deal, milestones, shares, "milestone.refunded", log, {"reclaimed": reclaimed}, 0)
        for position in numbers:
            _end_dispute(milestones[position], Dispute.Status.SETTLED, 0, log)
            _settle_intents(deal, milestones[position], Action.RECLAIM if reclaimed else Action.REFUND)

    return _apply(escrow, log, apply)


def record_split(
    *, escrow: str, seller_units: Mapping[int, int], how: str, fee_units: int, log: ChainLog, reason: str = ""
) -> bool:
    """Milestones were split: `how` is "resolved" (arbiter), "timed_out" or "settled". Units per milestone number."""
    endings = {
        "resolved": (Dispute.Status.RESOLVED, Action.RESOLVE),
        "timed_out": (Dispute.Status.TIMED_OUT, Action.TIME_OUT),
        "settled": (Dispute.Status.SETTLED, None),
    }
    ending, action = endings[how]

    def apply(deal: EscrowTransaction, milestones: Milestones) -> None:
        data = {"how": how, "reason_hash": reason}
        fresh = _settle(deal, milestones, dict(seller_units), "milestone.split", log, data, fee_units)
        for milestone in fresh:
            was_disputed = _end_dispute(milestone, ending, milestone.seller_units, log)
            if was_disputed:
                record_event(
                    "dispute.resolved",
                    deal,
                    milestone=milestone,
                    data={
                        **data,
                        "seller_units": str(milestone.seller_units),
                        "buyer_units": str(milestone.buyer_units),
                    },
                    log=log,
                )
            _settle_intents(deal, milestone, action)

    return _apply(escrow, log, apply)


def record_signatures_revoked(*, escrow: str, party: str, epoch: int, log: ChainLog) -> bool:
    """A party voided every signature he gave so far: intents that carry one are void too."""

    def apply(deal: EscrowTransaction, milestones: Milestones) -> None:
        if record_event("signatures.revoked", deal, data={"party": party, "epoch": epoch}, log=log) is None:
            return
        user = _party(deal, party)
        field = "buyer_epoch" if user == deal.buyer else "seller_epoch"
        setattr(deal, field, max(getattr(deal, field), epoch))
        deal.save(update_fields=[field, "updated_at"])
        _void(deal.intents.filter(signer__iexact=party, status__in=["REQUESTED", "SENT"]))

    return _apply(escrow, log, apply)


def _apply(escrow: str, log: ChainLog, apply: Callable[[EscrowTransaction, Milestones], None]) -> bool:
    found = EscrowTransaction.objects.filter(chain_id=log.chain_id, escrow_id__iexact=escrow)
    transaction_id = found.values_list("pk", flat=True).first()
    if transaction_id is None:
        return False
    with db_transaction.atomic():
        deal = lock_transaction(transaction_id)
        milestones = {m.position: m for m in lock_milestones(deal)}
        apply(deal, milestones)
        derive_status(deal, list(milestones.values()), log)
    return True


def derive_status(deal: EscrowTransaction, milestones: Iterable[Milestone], log: ChainLog | None = None) -> None:
    """Recompute a locked deal's status from its milestones and tell what that ends."""
    before = TransactionStatus(deal.status)
    states = [(MilestoneStatus(m.status), Money(m.money)) for m in milestones]
    after = rules.derive_transaction_status(before, states)
    deal.status = after
    ended = after in (TransactionStatus.COMPLETED, TransactionStatus.REFUNDED)
    if ended and after is not before:
        deal.completed_at = log.block_at if log else utc_now()
    deal.save(update_fields=["status", "funded_at", "completed_at", "updated_at"])
    if ended and after is not before:
        name = "transaction.completed" if after is TransactionStatus.COMPLETED else "transaction.refunded"
        record_event(name, deal, log=log)


def _record(
    deal: EscrowTransaction, milestone: Milestone, name: str, log: ChainLog, data: Mapping[str, Any] | None = None
) -> bool:
    return record_event(name, deal, milestone=milestone, data=data, log=log) is not None


def _set(milestone: Milestone, fact: str, **fields: Any) -> None:
    status, money = rules.FACT_OUTCOMES[fact]
    _save(milestone, status=status, money=money, **fields)


def _save(milestone: Milestone, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(milestone, name, value)
    milestone.save(update_fields=list(fields))


def _settle(
    deal: EscrowTransaction,
    milestones: Milestones,
    seller_units: Mapping[int, int],
    name: str,
    log: ChainLog,
    data: Mapping[str, Any],
    fee_units: int,
) -> list[Milestone]:
    """Pay out milestones in the mirror and the ledger; returns those for which this log is news.

    The fee of each is floor(seller's part × fee_bps / 10,000), the vault's formula; the vault's own sum is kept in
    the event so that reconciliation can compare.
    """
    fresh = []
    for position, units in sorted(seller_units.items()):
        milestone = milestones[position]
        fee = units * deal.fee_bps // 10_000
        back = milestone.amount_units - units
        amounts = {"seller_units": str(units), "buyer_units": str(back), "fee_units": str(fee)}
        event_data = {**data, **amounts, "vault_fee_units": str(fee_units)}
        if not _record(deal, milestone, name, log, event_data):
            continue
        status, money = rules.split_outcome(amount_units=milestone.amount_units, seller_units=units)
        _save(
            milestone,
            status=status,
            money=money,
            deadline_at=None,
            seller_units=units,
            buyer_units=back,
            fee_units=fee,
            settled_at=log.block_at,
        )
        _post(
            deal, milestone, log, "to_seller", debit=_escrow(deal), credit=f"user:{deal.seller_id}", units=units - fee
        )
        _post(deal, milestone, log, "fee", debit=_escrow(deal), credit="platform:fees", units=fee)
        _post(deal, milestone, log, "to_buyer", debit=_escrow(deal), credit=f"user:{deal.buyer_id}", units=back)
        fresh.append(milestone)
    return fresh


def _post(
    deal: EscrowTransaction, milestone: Milestone, log: ChainLog, kind: str, *, debit: str, credit: str, units: int
) -> None:
    if units:
        post_transfer(
            key=f"{log.chain_id}:{log.tx_hash}:{log.log_index}:{milestone.pk}:{kind}",
            kind=kind,
            escrow_transaction_id=deal.pk,
            currency=f"{deal.chain_id}:{deal.token.address}",
            debit=debit,
            credit=credit,
            units=units,
            occurred_at=log.block_at,
        )


def _vault(deal: EscrowTransaction) -> str:
    return f"vault:{deal.chain_id}:{deal.vault_address}"


def _escrow(deal: EscrowTransaction) -> str:
    return f"escrow:{deal.pk}"


def _party(deal: EscrowTransaction, address: str) -> Any:
    struct = deal.terms_versions.get(escrow_id=deal.escrow_id).struct
    return {struct["buyer"].lower(): deal.buyer, struct["seller"].lower(): deal.seller}.get(address.lower())


def _end_dispute(milestone: Milestone, status: str, seller_units: int, log: ChainLog) -> bool:
    changed = milestone.disputes.filter(status=Dispute.Status.OPEN).update(
        status=status, seller_units=seller_units, decided_at=log.block_at
    )
    return bool(changed)


def _settle_intents(
    deal: EscrowTransaction, milestone: Milestone | None, action: Action | None, *, target: str | None = None
) -> None:
    """The intents that asked for this are DONE; those on the same milestone that it made impossible are VOIDED."""
    waiting = deal.intents.filter(milestone=milestone, status__in=ActionIntent.OPEN)
    done = waiting.filter(action=action) if target is None else waiting.filter(action=action, target=target)
    done.update(status="DONE", settled_at=utc_now())
    if milestone is None:
        return
    now = utc_now()
    situation = queries.situation_of(deal, milestone=milestone, now=now)
    for intent in waiting:
        refusal = rules.check(Action(intent.action), rules.Role(intent.role), situation, now=to_epoch(now))
        # The transaction's own status is derived after this, and block time, not ours, decides about deadlines.
        if refusal and refusal.code in ("wrong_money_state", "wrong_milestone_status", "no_revisions_left"):
            _void(deal.intents.filter(pk=intent.pk))
            if intent.action == Action.DISPUTE:
                milestone.disputes.filter(status=Dispute.Status.REQUESTED).update(status=Dispute.Status.FAILED)


def _void(intents: QuerySet[ActionIntent]) -> None:
    intents.filter(status__in=ActionIntent.OPEN).update(status="VOIDED", settled_at=utc_now())
