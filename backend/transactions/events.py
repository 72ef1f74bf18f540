"""Recording what happened: the audit row, and the tasks that follow it, in the caller's database transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.clock import utc_now
from outbox.publish import publish_fact
from transactions.models import EscrowTransaction, Event, Milestone


@dataclass(frozen=True)
class ChainLog:
    """Where the chain says it: one log of one block. `block_at` is the block's time, UTC."""

    chain_id: int
    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    block_at: datetime


def record_event(
    name: str,
    deal: EscrowTransaction,
    *,
    milestone: Milestone | None = None,
    actor: Any = None,
    data: Mapping[str, Any] | None = None,
    log: ChainLog | None = None,
) -> Event | None:
    """Write the audit event and publish the fact. None if this chain log was recorded before (a repeat is harmless).

    The fact's data: `event_id`, `name`, `transaction_id`, `milestone_id` (or None), `actor_id` (or None), and `data`.
    """
    fields = {
        "transaction": deal,
        "milestone": milestone,
        "name": name,
        "actor": actor if getattr(actor, "pk", None) else None,
        "data": dict(data or {}),
        "occurred_at": log.block_at if log else utc_now(),
    }
    if log is not None:
        place = {"chain_tx_hash": log.tx_hash, "chain_log_index": log.log_index}
        # Not by block: a transaction that was mined again in another one states the same fact.
        if Event.objects.filter(transaction=deal, milestone=milestone, name=name, **place).exists():
            return None
        fields |= {**place, "chain_block_number": log.block_number}
    event = Event.objects.create(**fields)
    publish_fact(
        name,
        key=f"event:{event.pk}",
        data={
            "event_id": event.pk,
            "name": name,
            "transaction_id": deal.pk,
            "milestone_id": milestone.pk if milestone else None,
            "actor_id": event.actor_id,
            "data": event.data,
        },
    )
    return event
