"""A vault's log in the words of the lifecycle: which fact it states, about which milestones."""

from collections.abc import Callable, Mapping
from typing import Any

from chain import bindings
from chain.models import ChainLog
from common.clock import from_epoch
from transactions import lifecycle
from transactions.events import ChainLog as LogPlace
from transactions.models import EscrowTransaction
from transactions.terms import positions_of

Arguments = Mapping[str, Any]


def apply_log(row: ChainLog) -> bool:
    """Tell the lifecycle what this final log states; False if it concerns no deal of ours, or is no fact of a deal.

    Idempotent because every `record_*` is, by the log.
    """
    event = bindings.decode_vault_log(row.topics, row.data)
    if event is None or event.name not in _FACTS:
        return False
    # The same terms can be funded in another vault too; a deal is known by both.
    is_ours = EscrowTransaction.objects.filter(
        chain_id=row.chain_id, vault_address__iexact=row.address, escrow_id__iexact=event.args["escrow"]
    ).exists()
    return is_ours and _FACTS[event.name](event.args, place_of(row))


def place_of(row: ChainLog) -> LogPlace:
    """Where the chain says it, as the lifecycle keeps it."""
    return LogPlace(
        chain_id=row.chain_id,
        tx_hash=row.tx_hash,
        log_index=row.log_index,
        block_number=row.block_number,
        block_hash=row.block_hash,
        block_at=row.block_at,
    )


def _funded(args: Arguments, log: LogPlace) -> bool:
    return lifecycle.record_funded(escrow=args["escrow"], positions=positions_of(args["milestones"]), log=log)


def _submitted(args: Arguments, log: LogPlace) -> bool:
    return lifecycle.record_submitted(
        escrow=args["escrow"],
        position=args["milestone"],
        round=args["round"],
        deliverable=args["deliverable"],
        review_ends_at=from_epoch(args["review_ends_at"]),
        log=log,
    )


def _changes_requested(args: Arguments, log: LogPlace) -> bool:
    return lifecycle.record_changes_requested(
        escrow=args["escrow"],
        position=args["milestone"],
        round=args["round"],
        reason=args["reason"],
        revision_ends_at=from_epoch(args["revision_ends_at"]),
        log=log,
    )


def _released(args: Arguments, log: LogPlace) -> bool:
    return lifecycle.record_released(
        escrow=args["escrow"], positions=positions_of(args["milestones"]), fee_units=args["fee"], log=log
    )


def _claimed(args: Arguments, log: LogPlace) -> bool:
    return lifecycle.record_released(
        escrow=args["escrow"], positions=[args["milestone"]], fee_units=args["fee"], log=log, claimed=True
    )


def _extended(args: Arguments, log: LogPlace) -> bool:
    return lifecycle.record_extended(
        escrow=args["escrow"], position=args["milestone"], until=from_epoch(args["until"]), log=log
    )


def _reclaimed(args: Arguments, log: LogPlace) -> bool:
    return lifecycle.record_refunded(escrow=args["escrow"], positions=[args["milestone"]], log=log, reclaimed=True)


def _refunded(args: Arguments, log: LogPlace) -> bool:
    return lifecycle.record_refunded(escrow=args["escrow"], positions=positions_of(args["milestones"]), log=log)


def _settled(args: Arguments, log: LogPlace) -> bool:
    shares = dict(zip(positions_of(args["milestones"]), args["seller_amounts"], strict=True))
    return lifecycle.record_split(
        escrow=args["escrow"], seller_units=shares, how="settled", fee_units=args["fee"], log=log
    )


def _disputed(args: Arguments, log: LogPlace) -> bool:
    return lifecycle.record_disputed(
        escrow=args["escrow"],
        position=args["milestone"],
        party=args["party"],
        reason=args["reason"],
        arbitration_ends_at=from_epoch(args["arbitration_ends_at"]),
        log=log,
    )


def _resolved(args: Arguments, log: LogPlace) -> bool:
    return lifecycle.record_split(
        escrow=args["escrow"],
        seller_units={args["milestone"]: args["seller_amount"]},
        how="resolved",
        reason=args["reason"],
        fee_units=args["fee"],
        log=log,
    )


def _timed_out(args: Arguments, log: LogPlace) -> bool:
    return lifecycle.record_split(
        escrow=args["escrow"],
        seller_units={args["milestone"]: args["seller_amount"]},
        how="timed_out",
        fee_units=args["fee"],
        log=log,
    )


def _signatures_revoked(args: Arguments, log: LogPlace) -> bool:
    return lifecycle.record_signatures_revoked(escrow=args["escrow"], party=args["party"], epoch=args["epoch"], log=log)


# EscrowOpened (always with the first MilestonesFunded), Credited and Withdrawn change nothing in the mirror: kept raw.
_FACTS: Mapping[str, Callable[[Arguments, LogPlace], bool]] = {
    "MilestonesFunded": _funded,
    "MilestoneSubmitted": _submitted,
    "MilestonesReleased": _released,
    "ChangesRequested": _changes_requested,
    "MilestoneClaimed": _claimed,
    "MilestoneExtended": _extended,
    "MilestoneReclaimed": _reclaimed,
    "MilestonesRefunded": _refunded,
    "MilestonesSettled": _settled,
    "MilestoneDisputed": _disputed,
    "DisputeResolved": _resolved,
    "DisputeTimedOut": _timed_out,
    "SignaturesRevoked": _signatures_revoked,
}
