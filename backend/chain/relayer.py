"""From an intent to a chain transaction: sent once, followed until it is final, whatever dies on the way.

Order is everything here. The node is asked (gas, fees) before anything is locked. Then, under the row lock of the
sender's account, the nonce is taken and the signed bytes are stored, and that is committed before the bytes leave.
A crash before the commit leaves nothing behind; a crash after it leaves bytes that are sent again as they are.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction as db_transaction
from django.db.models import F, Q
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.exceptions import TransactionNotFound, Web3Exception, Web3RPCError
from web3.types import TxParams, TxReceipt

from chain import calls
from chain.client import chain_of, connect, is_revert, revert_reason
from chain.errors import CallReverted, NothingToSend, RelayerUnavailable
from chain.keys import relayer_key
from chain.models import ChainTransaction, RelayerAccount
from common.clock import from_epoch, utc_now
from transactions import lifecycle
from transactions.errors import ChainUnavailable
from transactions.models import ActionIntent

log = logging.getLogger(__name__)

Status = ChainTransaction.Status
FOLLOWED = (Status.SUBMITTED, Status.MINED)
# The vault wants enough gas left before it pushes money; the estimate alone is what just suffices.
GAS_MARGIN_PERCENT = 30
RESEND_AFTER = timedelta(seconds=15)
SWEEP_AFTER = timedelta(seconds=5)
SWEEP_LIMIT = 100
DEFAULT_PRIORITY_WEI = 1_000_000_000


def send_intent(intent_id: int) -> ChainTransaction | None:
    """Send what this intent asks of the vault; None if there is nothing (more) to send.

    An intent that the vault would refuse is marked failed with the vault's reason. Raises ChainUnavailable.
    Idempotent: the intent's chain transaction is unique, and the same signed bytes are sent by every repetition.
    """
    intent = ActionIntent.objects.select_related("transaction__token", "chain_transaction").get(pk=intent_id)
    sent: ChainTransaction | None = getattr(intent, "chain_transaction", None)
    if sent is None or sent.status == Status.DROPPED:
        if intent.status not in ActionIntent.OPEN:
            return sent
        if intent.deadline_at is not None and intent.deadline_at <= utc_now():
            lifecycle.mark_intent_failed(intent_id=intent_id, reason="the signature's deadline has passed; sign again")
            return sent
        try:
            call = calls.vault_call(intent)
            sent = prepare(
                purpose=call.function,
                chain_id=intent.transaction.chain_id,
                to=intent.transaction.vault_address,
                call_data=call.data,
                intent=intent,
            )
        except (CallReverted, NothingToSend) as refusal:
            # Another worker may have sent it meanwhile: then the vault refuses the second because of the first.
            sent = ChainTransaction.objects.filter(intent_id=intent_id).exclude(status=Status.DROPPED).first()
            if sent is None:
                lifecycle.mark_intent_failed(intent_id=intent_id, reason=refusal.message)
                return None
    if sent.status == Status.PREPARED:
        broadcast(sent)
    return sent


def prepare(
    *, purpose: str, chain_id: int, to: str, call_data: str, intent: ActionIntent | None = None
) -> ChainTransaction:
    """Sign a transaction with the relayer's next nonce and store it; nothing is sent. `to` empty creates a contract.

    Raises CallReverted with the contract's reason (then no nonce is used), RelayerUnavailable, ChainUnavailable.
    For an intent that already has a transaction, that one is returned.
    """
    w3 = connect(chain_id)
    key = relayer_key(chain_id)
    request: TxParams = {"from": key.address, "data": call_data, "value": 0}  # type: ignore[typeddict-item]
    if to:
        request["to"] = to_checksum_address(to)
    gas_limit = _estimate(w3, request)
    fees = _fees(w3)
    node_nonce = w3.eth.get_transaction_count(key.address, "latest")
    # Durable: never inside a caller's database transaction, which could roll back what the wire already has.
    with db_transaction.atomic(durable=True):
        account = _locked_account(chain_id, key.address)
        row = ChainTransaction.objects.filter(intent=intent).first() if intent is not None else None
        if row is not None and row.status != Status.DROPPED:
            return row  # another worker was faster
        nonce = max(account.next_nonce, node_nonce)
        signed = _sign(key, request, chain_id=chain_id, nonce=nonce, gas_limit=gas_limit, fees=fees)
        if row is None:
            row = ChainTransaction(intent=intent, purpose=purpose, chain_id=chain_id)
        else:
            row.earlier_hashes = [*row.earlier_hashes, row.tx_hash]
        row.sender, row.nonce, row.to, row.call_data = key.address, nonce, to, call_data
        row.gas_limit, row.max_fee_per_gas, row.max_priority_fee_per_gas = gas_limit, *fees
        row.signed, row.tx_hash = signed
        row.status, row.error, row.submitted_at = Status.PREPARED, "", None
        row.save()
        account.next_nonce = nonce + 1
        account.save(update_fields=["next_nonce"])
    return row


def broadcast(row: ChainTransaction) -> None:
    """Give the stored bytes to the node. Harmless to repeat: the node knows a transaction by its hash."""
    w3 = connect(row.chain_id)
    try:
        w3.eth.send_raw_transaction(row.signed)  # type: ignore[arg-type]
    except Web3RPCError as error:
        if not _is_known_already(w3, row, error):
            _note_refusal(row, error)
            return
    now = utc_now()
    ChainTransaction.objects.filter(pk=row.pk, status__in=[Status.PREPARED, Status.SUBMITTED]).update(
        status=Status.SUBMITTED, submitted_at=now, error=""
    )
    if row.intent_id is not None:
        lifecycle.mark_intent_sent(intent_id=row.intent_id)
    row.refresh_from_db()


def send_pending(*, now: datetime | None = None) -> dict[str, int]:
    """Sweep up what a crash or an outage left behind: unsent intents, nearest deadline first, and unsent bytes.

    Returns counts of `sent`, `broadcast` and `failed`. One bad item does not stop the others. Raises ChainUnavailable.
    Idempotent because everything it does is.
    """
    moment = now or utc_now()
    counts = {"sent": 0, "broadcast": 0, "failed": 0}
    unsent = ActionIntent.objects.filter(
        Q(chain_transaction__isnull=True) | Q(chain_transaction__status=Status.DROPPED),
        status__in=ActionIntent.OPEN,
        requested_at__lte=moment - SWEEP_AFTER,
    ).order_by(F("deadline_at").asc(nulls_last=True), "id")
    for intent_id in unsent.values_list("pk", flat=True)[:SWEEP_LIMIT]:
        counts["sent" if _one("intent", intent_id, send_intent) else "failed"] += 1
    prepared = ChainTransaction.objects.filter(status=Status.PREPARED, prepared_at__lte=moment - SWEEP_AFTER)
    for row in prepared.order_by("chain_id", "sender", "nonce")[:SWEEP_LIMIT]:
        counts["broadcast" if _one("chain transaction", row, broadcast) else "failed"] += 1
    return counts


def track_transactions(chain_id: int) -> dict[str, int]:
    """Ask the node what became of the transactions that are not final: receipts, finality, ones it has lost.

    Returns counts by what happened. Raises ChainUnavailable. Idempotent: it writes down what the node says now, so a
    receipt that a reorganisation took away is taken away here too, and the bytes are sent again.
    """
    counts = {"mined": 0, "final": 0, "failed": 0, "resent": 0, "dropped": 0}
    rows = list(
        ChainTransaction.objects.filter(chain_id=chain_id, status__in=FOLLOWED).order_by("sender", "nonce")[
            : 5 * SWEEP_LIMIT
        ]
    )
    if not rows:
        return counts
    w3 = connect(chain_id)
    confirmations = chain_of(chain_id).confirmations
    head = w3.eth.block_number
    for row in rows:
        try:
            outcome = _track(w3, row, head=head, confirmations=confirmations)
        except Web3Exception as error:
            log.warning("chain transaction %s cannot be followed now: %s", row.tx_hash, error)
            continue
        if outcome:
            counts[outcome] += 1
    return counts


def wait_until_mined(row: ChainTransaction, *, seconds: float = 60) -> TxReceipt:
    """The receipt of a transaction that a command needs before it can go on. Raises CallReverted, ChainUnavailable."""
    w3 = connect(row.chain_id)
    try:
        receipt = w3.eth.wait_for_transaction_receipt(row.tx_hash, timeout=seconds, poll_latency=0.05)  # type: ignore[arg-type]
    except Web3Exception as error:
        raise ChainUnavailable(f"{row.purpose} was sent but not mined within {seconds:.0f} seconds") from error
    if receipt["status"] != 1:
        raise CallReverted(f"{row.purpose} failed on chain: {_reason_of_failure(w3, row, receipt)}")
    return receipt


def _estimate(w3: Web3, request: TxParams) -> int:
    try:
        # Against the pending block: what was sent a moment ago may be what this call builds on.
        estimate = w3.eth.estimate_gas(request, "pending")
    except Web3Exception as error:
        if is_revert(error):
            raise CallReverted(revert_reason(error)) from error
        raise RelayerUnavailable(f"the node does not estimate the call: {revert_reason(error)}") from error
    return estimate * (100 + GAS_MARGIN_PERCENT) // 100


def _fees(w3: Web3) -> tuple[int, int]:
    """(max fee, priority fee) in wei per gas: room for the base fee to double, unused room is not paid."""
    try:
        priority = int(w3.eth.max_priority_fee)
    except Web3Exception:
        priority = DEFAULT_PRIORITY_WEI
    base = int(w3.eth.get_block("latest").get("baseFeePerGas", 0))
    return 2 * base + priority, priority


def _locked_account(chain_id: int, address: str) -> RelayerAccount:
    RelayerAccount.objects.get_or_create(chain_id=chain_id, address=address)
    return RelayerAccount.objects.select_for_update().get(chain_id=chain_id, address=address)


def _sign(
    key: LocalAccount, request: TxParams, *, chain_id: int, nonce: int, gas_limit: int, fees: tuple[int, int]
) -> tuple[str, str]:
    fields: dict[str, Any] = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "gas": gas_limit,
        "maxFeePerGas": fees[0],
        "maxPriorityFeePerGas": fees[1],
        "value": 0,
        "data": request["data"],
    }
    if "to" in request:
        fields["to"] = request["to"]
    signed = key.sign_transaction(fields)
    return "0x" + bytes(signed.raw_transaction).hex(), "0x" + bytes(signed.hash).hex()


def _is_known_already(w3: Web3, row: ChainTransaction, error: Web3RPCError) -> bool:
    """Whether the node refuses the bytes only because it has them, or has mined them."""
    text = str(error).lower()
    if "already known" in text or "already imported" in text or "known transaction" in text:
        return True
    # "nonce too low" also comes when another transaction took the nonce; only the hash tells.
    return _on_chain(w3, row.tx_hash)


def _on_chain(w3: Web3, tx_hash: str) -> bool:
    try:
        w3.eth.get_transaction(tx_hash)  # type: ignore[arg-type]
    except TransactionNotFound:
        return False
    return True


def _note_refusal(row: ChainTransaction, error: Web3RPCError) -> None:
    """The node neither takes these bytes nor has them. They are tried again, unless their nonce turns out to be lost.

    Whether it is lost is not believed here: `track_transactions` decides that at the depth where it is final.
    """
    reason = revert_reason(error)
    lost = {"status": Status.SUBMITTED} if "nonce too low" in str(error).lower() else {}
    ChainTransaction.objects.filter(pk=row.pk, status__in=[Status.PREPARED, Status.SUBMITTED]).update(
        error=reason[:300], submitted_at=utc_now(), **lost
    )
    log.warning("the node refuses chain transaction %s (nonce %s): %s", row.tx_hash, row.nonce, reason)
    row.refresh_from_db()


def _one(what: str, item: Any, do: Callable[[Any], object]) -> bool:
    try:
        do(item)
    except ChainUnavailable as error:
        if isinstance(error, RelayerUnavailable):
            log.error("%s", error.message)
            return False
        raise
    except Exception:
        log.exception("%s %s could not be sent", what, item)
        return False
    return True


def _track(w3: Web3, row: ChainTransaction, *, head: int, confirmations: int) -> str:
    open_row = ChainTransaction.objects.filter(pk=row.pk, tx_hash=row.tx_hash, status__in=FOLLOWED)
    try:
        receipt = w3.eth.get_transaction_receipt(row.tx_hash)  # type: ignore[arg-type]
    except TransactionNotFound:
        return _track_unmined(w3, row, head=head, confirmations=confirmations)
    block_hash = "0x" + bytes(receipt["blockHash"]).hex()
    is_final = head - receipt["blockNumber"] + 1 >= confirmations
    if row.status == Status.MINED and row.block_hash == block_hash and not is_final:
        return ""
    succeeded = receipt["status"] == 1
    error = "" if succeeded else _reason_of_failure(w3, row, receipt)[:300]
    status = (Status.FINAL if succeeded else Status.FAILED) if is_final else Status.MINED
    open_row.update(
        status=status,
        block_number=receipt["blockNumber"],
        block_hash=block_hash,
        succeeded=succeeded,
        contract_address=receipt.get("contractAddress") or "",
        gas_used=receipt["gasUsed"],
        effective_gas_price=receipt.get("effectiveGasPrice"),
        error=error,
        mined_at=from_epoch(w3.eth.get_block(receipt["blockNumber"])["timestamp"]),
        settled_at=utc_now() if is_final else None,
    )
    if row.intent_id is not None:
        if not succeeded and is_final:
            lifecycle.mark_intent_failed(intent_id=row.intent_id, reason=error)
        elif succeeded:
            lifecycle.mark_intent_seen(intent_id=row.intent_id)
    return {Status.FINAL: "final", Status.FAILED: "failed", Status.MINED: "mined"}[status]


def _track_unmined(w3: Web3, row: ChainTransaction, *, head: int, confirmations: int) -> str:
    """No receipt: it waits, was lost on the way, was taken away by a reorganisation, or its nonce is gone."""
    if row.status == Status.MINED:
        ChainTransaction.objects.filter(pk=row.pk, status=Status.MINED).update(
            status=Status.SUBMITTED, block_number=None, block_hash="", succeeded=None, mined_at=None
        )
        row.refresh_from_db()
    final_block = max(0, head - confirmations + 1)
    if w3.eth.get_transaction_count(to_checksum_address(row.sender), final_block) > row.nonce:
        ChainTransaction.objects.filter(pk=row.pk, status=Status.SUBMITTED).update(
            status=Status.DROPPED, error="another transaction of the same sender used its nonce", settled_at=utc_now()
        )
        return "dropped"
    sent_long_ago = row.submitted_at is None or row.submitted_at <= utc_now() - RESEND_AFTER
    if sent_long_ago or not _on_chain(w3, row.tx_hash):
        broadcast(row)
        return "resent"
    return ""


def _reason_of_failure(w3: Web3, row: ChainTransaction, receipt: TxReceipt) -> str:
    """Why a mined transaction failed: the same call, asked again on the block before."""
    request: TxParams = {"from": to_checksum_address(row.sender), "data": row.call_data}  # type: ignore[typeddict-item]
    if row.to:
        request["to"] = to_checksum_address(row.to)
    if receipt["gasUsed"] >= row.gas_limit:
        return "the call ran out of gas"
    try:
        w3.eth.call(request, receipt["blockNumber"])
    except Web3Exception as error:
        return revert_reason(error)
    return "the contract refused the call; asked again it does not say why"
