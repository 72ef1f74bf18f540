"""What the vaults say becomes true here, once, in the chain's order, and only when it is final.

At every look the logs from the cursor to the head are read again: the blocks that are not final are few, and whatever
a reorganisation did to them shows as logs that came and logs that went. Raw logs are stored first. Once
`confirmations` blocks hold a log, it is applied through the lifecycle; its state moves in the same database
transaction as its effects, so that it is applied once even if the process dies between any two lines.
"""

import logging
import time
import traceback
from collections.abc import Sequence
from typing import Any

from django.db import transaction as db_transaction
from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.exceptions import BlockNotFound, Web3RPCError
from web3.types import BlockData, LogReceipt

from chain import deployments, facts
from chain.client import Chain, chain_of, connect
from chain.errors import ChainRewritten
from chain.locks import FOLLOWING, try_lock
from chain.models import ChainCursor, ChainLog, ChainTransaction
from common.clock import from_epoch, utc_now
from transactions import lifecycle

log = logging.getLogger(__name__)

MAX_RANGE_BLOCKS = 2_000
MAX_SECONDS = 20.0  # of catching up in one look; the next look goes on
State = ChainLog.State


def follow_chain(chain_id: int | None = None) -> dict[str, int] | None:
    """Take in what the vaults of a chain said since the last look; None if another process is looking already.

    Returns counts of logs `seen`, `applied` (now final) and `orphaned`. Raises ChainUnavailable; ChainRewritten if the
    node contradicts what was final; and whatever applying a log raised: then that log and all behind it stay unapplied
    and the traceback is kept with the log. Idempotent because a log is known by block hash and index.
    """
    chain = chain_of(chain_id)
    with try_lock(FOLLOWING, chain.chain_id) as is_mine:
        if not is_mine:
            return None
        w3 = connect(chain.chain_id)
        counts = {"seen": 0, "applied": 0, "orphaned": 0}
        for cursor in _cursors(chain):
            _follow_vault(w3, chain, cursor, counts)
        return counts


def _cursors(chain: Chain) -> list[ChainCursor]:
    """Every vault we ever deployed here: a new one does not end the deals of the old."""
    deployment = deployments.current(chain.chain_id)
    ChainCursor.objects.get_or_create(
        chain_id=chain.chain_id, vault=deployment.vault, defaults={"next_block": deployment.block_number}
    )
    return list(ChainCursor.objects.filter(chain_id=chain.chain_id).order_by("id"))


def _follow_vault(w3: Web3, chain: Chain, cursor: ChainCursor, counts: dict[str, int]) -> None:
    _check_not_rewritten(w3, cursor)
    give_up_at = time.monotonic() + MAX_SECONDS
    head = w3.eth.block_number
    final_block = head - chain.confirmations + 1
    first, size = cursor.next_block, MAX_RANGE_BLOCKS
    while first <= head and time.monotonic() < give_up_at:
        last = min(first + size - 1, head)
        try:
            found = _logs(w3, cursor.vault, first, last)
        except Web3RPCError as error:
            if size == 1:
                raise
            # Nodes limit ranges and answers, each in its own words; a smaller question is the answer to all of them.
            log.info("reading blocks %s to %s: %s; asking for fewer", first, last, error)
            size = max(1, size // 4)
            continue
        _store(w3, chain, cursor, found, first, last, counts)
        until = min(last, final_block)
        if until >= first:
            _make_final(w3, cursor, first, until, counts)
        first = last + 1


def _check_not_rewritten(w3: Web3, cursor: ChainCursor) -> None:
    if not cursor.final_hash:
        return
    number = cursor.next_block - 1
    block = _block(w3, number)
    if block is not None and _hex(block["hash"]) == cursor.final_hash:
        if cursor.problem.startswith("rewritten"):
            _set_problem(cursor, "")
        return
    message = f"rewritten: block {number} of chain {cursor.chain_id} was final here with hash {cursor.final_hash}, " + (
        "and the node no longer has it" if block is None else f"and the node now says {_hex(block['hash'])}"
    )
    _set_problem(cursor, message)
    raise ChainRewritten(message)


def _logs(w3: Web3, vault: str, first: int, last: int) -> list[LogReceipt]:
    return list(w3.eth.get_logs({"address": to_checksum_address(vault), "fromBlock": first, "toBlock": last}))


def _store(
    w3: Web3,
    chain: Chain,
    cursor: ChainCursor,
    found: Sequence[LogReceipt],
    first: int,
    last: int,
    counts: dict[str, int],
) -> None:
    """Keep the raw logs of a range, and mark as orphaned what was there before and is not any more."""
    known = {
        (row.block_hash, row.log_index): row
        for row in ChainLog.objects.filter(
            chain_id=chain.chain_id, address=cursor.vault, block_number__gte=first, block_number__lte=last
        )
    }
    times: dict[int, int] = {}
    new: list[ChainLog] = []
    back: list[int] = []
    present: set[tuple[str, int]] = set()
    for entry in found:
        key = (_hex(entry["blockHash"]), entry["logIndex"])
        present.add(key)
        row = known.get(key)
        if row is None:
            new.append(_row(w3, chain, cursor, entry, times))
        elif row.state == State.ORPHANED:
            back.append(row.pk)
    gone = [row.pk for key, row in known.items() if key not in present and row.state == State.SEEN]
    if not new and not back and not gone:
        return
    with db_transaction.atomic():
        ChainLog.objects.bulk_create(new, ignore_conflicts=True)
        ChainLog.objects.filter(pk__in=back).update(state=State.SEEN)
        ChainLog.objects.filter(pk__in=gone).update(state=State.ORPHANED)
    counts["seen"] += len(new) + len(back)
    counts["orphaned"] += len(gone)
    if gone:
        log.warning("a reorganisation of chain %s took %s logs away", chain.chain_id, len(gone))
    _mark_seen({row.tx_hash for row in new})


def _row(w3: Web3, chain: Chain, cursor: ChainCursor, entry: LogReceipt, times: dict[int, int]) -> ChainLog:
    number = entry["blockNumber"]
    if number not in times:
        stated: Any = entry.get("blockTimestamp")  # newer nodes give it with the log
        if stated is None:
            times[number] = w3.eth.get_block(number)["timestamp"]
        else:
            times[number] = int(stated, 16) if isinstance(stated, str) else int(stated)
    return ChainLog(
        chain_id=chain.chain_id,
        block_number=number,
        block_hash=_hex(entry["blockHash"]),
        block_at=from_epoch(times[number]),
        log_index=entry["logIndex"],
        tx_hash=_hex(entry["transactionHash"]),
        address=cursor.vault,
        topics=[_hex(topic) for topic in entry["topics"]],
        data=_hex(entry["data"]),
    )


def _mark_seen(tx_hashes: set[str]) -> None:
    """The people who asked for what now stands in a block see it as pending there."""
    rows = ChainTransaction.objects.filter(tx_hash__in=tx_hashes, intent__isnull=False)
    for intent_id in rows.values_list("intent_id", flat=True):
        lifecycle.mark_intent_seen(intent_id=intent_id)


def _make_final(w3: Web3, cursor: ChainCursor, first: int, until: int, counts: dict[str, int]) -> None:
    """Apply the logs of final blocks in their order, then move the cursor behind them."""
    end = _block(w3, until)
    if end is None:
        return  # the head went back between two questions: look again later
    waiting = ChainLog.objects.filter(
        chain_id=cursor.chain_id,
        address=cursor.vault,
        block_number__gte=first,
        block_number__lte=until,
        state=State.SEEN,
    ).order_by("block_number", "log_index")
    confirmed: dict[int, str] = {}
    for row in waiting:
        if row.block_number not in confirmed:
            block = _block(w3, row.block_number)
            confirmed[row.block_number] = "" if block is None else _hex(block["hash"])
        if confirmed[row.block_number] != row.block_hash:
            return  # reorganised between two questions: the next look reads this range again
        _apply(cursor, row)
        counts["applied"] += 1
    cursor.next_block, cursor.final_hash, cursor.problem = until + 1, _hex(end["hash"]), ""
    cursor.save(update_fields=["next_block", "final_hash", "problem", "updated_at"])


def _apply(cursor: ChainCursor, row: ChainLog) -> None:
    try:
        with db_transaction.atomic():
            # The row lock makes a second application impossible even without the lock on the whole look.
            if not ChainLog.objects.select_for_update().filter(pk=row.pk, state=State.SEEN).exists():
                return
            facts.apply_log(row)
            ChainLog.objects.filter(pk=row.pk).update(state=State.FINAL, final_at=utc_now(), error="")
    except Exception as error:
        ChainLog.objects.filter(pk=row.pk).update(error=traceback.format_exc())
        _set_problem(cursor, f"{row} cannot be applied: {type(error).__name__}: {error}")
        log.error("%s cannot be applied; following %s stops before it", row, cursor.vault)
        raise


def _set_problem(cursor: ChainCursor, problem: str) -> None:
    cursor.problem = problem
    cursor.save(update_fields=["problem", "updated_at"])


def _block(w3: Web3, number: int) -> BlockData | None:
    try:
        return w3.eth.get_block(number)
    except BlockNotFound:
        return None


def _hex(value: Any) -> str:
    return "0x" + bytes(value).hex()
