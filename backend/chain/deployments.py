"""Which vault and which tokens we use on a chain, and how they got there.

`settings.DEPLOYMENTS_DIR/<chain_id>.json` is the one record of it: written once the code was found on the chain.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from eth_abi.abi import encode as abi_encode
from eth_utils.address import is_address, to_checksum_address
from eth_utils.crypto import keccak
from web3 import Web3
from web3.exceptions import BadFunctionCallOutput, BlockNotFound, ContractLogicError, TransactionNotFound, Web3RPCError

from chain import bindings, relayer
from chain.client import DEVELOPMENT_CHAIN_ID, connect
from chain.errors import DeploymentRefused
from chain.keys import relayer_key
from chain.locks import DEPLOYING, wait_lock
from chain.models import ChainCursor, ChainLog, ChainTransaction, RelayerAccount
from transactions import lifecycle
from transactions.errors import ChainUnavailable
from transactions.models import ActionIntent, EscrowTransaction, Token

MINIMUM_WINDOW_SECONDS = 24 * 3_600
DEVELOPMENT_MINIMUM_WINDOW_SECONDS = 60
MAXIMUM_WINDOW_SECONDS = 365 * 86_400
DEVELOPMENT_BALANCE_WEI = 1_000 * 10**18
Say = Callable[[str], None]


@dataclass(frozen=True)
class Deployment:
    """A vault on a chain. `token` is the test token, on the development chain only. Hashes and addresses are 0x-hex."""

    chain_id: int
    vault: str
    block_number: int
    block_hash: str
    code_hash: str
    tx_hash: str
    min_window_seconds: int
    max_window_seconds: int
    token: str = ""
    token_code_hash: str = ""


def current(chain_id: int | None = None) -> Deployment:
    """The deployment new agreements are made for. Reads the record alone; raises ChainUnavailable if there is none."""
    wanted = settings.CHAIN_ID if chain_id is None else chain_id
    deployment = read(wanted)
    if deployment is None:
        raise ChainUnavailable(
            f"no vault is deployed on chain {wanted}: run `python manage.py deploy_vault`", chain_id=wanted
        )
    return deployment


def read(chain_id: int) -> Deployment | None:
    """The record of a chain, None if there is none. Raises ChainUnavailable if it cannot be understood."""
    try:
        return Deployment(**json.loads(_record_of(chain_id).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise ChainUnavailable(f"{_record_of(chain_id)} is damaged; move it away and deploy anew") from error


def deploy(*, say: Say = print) -> Deployment:
    """Put the vault (and on the development chain the test token) on the configured chain, unless it is there.

    Raises ChainUnavailable, RelayerUnavailable, CallReverted, DeploymentRefused. Idempotent: what the record names and
    the chain holds is kept. A development chain that was reset gets a new vault; any other chain does not.
    """
    chain_id: int = settings.CHAIN_ID
    w3 = connect(chain_id)
    with wait_lock(DEPLOYING, chain_id):
        return _deploy_unless_in_place(w3, chain_id, say)


def register_token(address: str) -> Token:
    """Offer a token of the configured chain in new agreements, after reading from the chain what it is.

    Refused (DeploymentRefused) if it is no ERC-20 or its EIP-712 domain cannot be rebuilt from its name and version:
    buyers could not sign for it. Idempotent: a known token is read again and offered.
    """
    chain_id: int = settings.CHAIN_ID
    if not is_address(address):
        raise DeploymentRefused(f"{address} is not an address")
    return _register(connect(chain_id), chain_id, to_checksum_address(address))


def fund_relayer(w3: Web3) -> None:
    """Give the relayer of a development chain money for gas; nothing if it has enough."""
    address = relayer_key(DEVELOPMENT_CHAIN_ID).address
    if w3.eth.get_balance(address) < DEVELOPMENT_BALANCE_WEI // 10:
        w3.provider.make_request("anvil_setBalance", [address, hex(DEVELOPMENT_BALANCE_WEI)])  # type: ignore[arg-type]


def forget_lost_blocks(w3: Web3, chain_id: int, *, say: Say = print) -> None:
    """After a development node lost its last blocks, or all: bring what we keep of them in line with what it has.

    What still exists is kept and read again from the start; that is harmless, facts are known by their log. If the
    node still has transactions of ours, it was only cut off: those it lost are sent again, the same bytes with the
    same nonces, which restores what stood there. Otherwise it is a new chain, and they are forgotten; deals in a vault
    that is gone keep their last state, and what they waited for fails with a reason.
    """
    if chain_id != DEVELOPMENT_CHAIN_ID:
        raise DeploymentRefused("only a development chain may be forgotten")
    sent = ChainTransaction.objects.filter(chain_id=chain_id)
    lost = [row.pk for row in sent.order_by("nonce") if not _still_has(w3, row)]
    was_cut_off = len(lost) < len(sent)
    if was_cut_off:
        sent.filter(pk__in=lost).update(
            status=ChainTransaction.Status.SUBMITTED,
            submitted_at=None,
            block_number=None,
            block_hash="",
            succeeded=None,
            mined_at=None,
            settled_at=None,
        )
        say(f"chain {chain_id} lost its last blocks: {len(lost)} transactions are sent again")
    else:
        sent.delete()
        RelayerAccount.objects.filter(chain_id=chain_id).delete()
        say(f"chain {chain_id} was reset: what was sent to it is forgotten")
    logs = ChainLog.objects.filter(chain_id=chain_id).exclude(state=ChainLog.State.ORPHANED)
    for number, block_hash in set(logs.values_list("block_number", "block_hash")):
        if _hash_of(w3, number) != block_hash:
            logs.filter(block_hash=block_hash).update(state=ChainLog.State.ORPHANED)
    ChainCursor.objects.filter(chain_id=chain_id).update(next_block=0, final_hash="", problem="")
    if was_cut_off:
        relayer.track_transactions(chain_id)  # sends them
    for cursor in ChainCursor.objects.filter(chain_id=chain_id):
        if not w3.eth.get_code(to_checksum_address(cursor.vault)):
            cursor.delete()
            _fail_open_intents(chain_id, cursor.vault)


def _deploy_unless_in_place(w3: Web3, chain_id: int, say: Say) -> Deployment:
    is_development = chain_id == DEVELOPMENT_CHAIN_ID
    known = read(chain_id)
    if is_development:
        fund_relayer(w3)
        if _was_reset(w3, chain_id, known):
            forget_lost_blocks(w3, chain_id, say=say)
    if known is not None:
        if _is_in_place(w3, known):
            say(f"already deployed: vault {known.vault} on chain {chain_id}")
            _register_test_token(w3, known)
            return known
        if not is_development:
            raise DeploymentRefused(
                f"chain {chain_id} does not hold the vault that {_record_of(chain_id)} names; "
                "move the file away to deploy another one"
            )
    deployment = _deploy(w3, chain_id, is_development=is_development, known=known, say=say)
    _write(deployment)
    _register_test_token(w3, deployment)
    return deployment


def _fail_open_intents(chain_id: int, vault: str) -> None:
    deals = EscrowTransaction.objects.filter(chain_id=chain_id, vault_address__iexact=vault)
    intents = ActionIntent.objects.filter(transaction__in=deals, status__in=ActionIntent.OPEN)
    for intent_id in intents.values_list("pk", flat=True):
        lifecycle.mark_intent_failed(intent_id=intent_id, reason="the development chain was reset; its vault is gone")


def _still_has(w3: Web3, row: ChainTransaction) -> bool:
    try:
        found = w3.eth.get_transaction(row.tx_hash)  # type: ignore[arg-type]
    except TransactionNotFound:
        return False
    return not row.block_hash or _hex(found.get("blockHash") or b"") == row.block_hash


def _was_reset(w3: Web3, chain_id: int, known: Deployment | None) -> bool:
    """Whether the node lacks a block that was final here: its data is another chain's, or was cut off."""
    final: list[tuple[int, str]] = [(known.block_number, known.block_hash)] if known else []
    final += [
        (cursor.next_block - 1, cursor.final_hash)
        for cursor in ChainCursor.objects.filter(chain_id=chain_id).exclude(final_hash="")
    ]
    settled = ChainTransaction.objects.filter(chain_id=chain_id, status__in=["FINAL", "FAILED"]).order_by("-nonce")
    final += [(row.block_number or 0, row.block_hash) for row in settled[:1]]
    return any(_hash_of(w3, number) != block_hash for number, block_hash in final)


def _is_in_place(w3: Web3, known: Deployment) -> bool:
    """The recorded code stands at the recorded address and, in development, is today's contract."""
    code = bytes(w3.eth.get_code(to_checksum_address(known.vault)))
    if not code or "0x" + keccak(code).hex() != known.code_hash or _hash_of(w3, known.block_number) != known.block_hash:
        return False
    if known.chain_id != DEVELOPMENT_CHAIN_ID:
        return True
    return _is_code_of(bindings.VAULT, code) and bool(known.token) and _has_token(w3, known)


def _has_token(w3: Web3, known: Deployment) -> bool:
    code = bytes(w3.eth.get_code(to_checksum_address(known.token)))
    return bool(code) and "0x" + keccak(code).hex() == known.token_code_hash and _is_code_of(bindings.TEST_TOKEN, code)


def _is_code_of(name: str, code: bytes) -> bool:
    """Vyper appends immutables to the runtime code, so the artifact's is the beginning of what stands on chain."""
    return code.startswith(bytes.fromhex(bindings.artifact(name).runtime_bytecode.removeprefix("0x")))


def _deploy(w3: Web3, chain_id: int, *, is_development: bool, known: Deployment | None, say: Say) -> Deployment:
    windows = (
        DEVELOPMENT_MINIMUM_WINDOW_SECONDS if is_development else MINIMUM_WINDOW_SECONDS,
        MAXIMUM_WINDOW_SECONDS,
    )
    receipt, code = _create(w3, chain_id, bindings.VAULT, windows)
    vault = receipt["contractAddress"]
    say(f"vault {vault} deployed on chain {chain_id} in block {receipt['blockNumber']}, gas {receipt['gasUsed']:,}")
    token, token_code_hash = "", ""
    if is_development:
        if known is not None and known.token and _has_token(w3, known):
            token, token_code_hash = known.token, known.token_code_hash
        else:
            created, token_code = _create(w3, chain_id, bindings.TEST_TOKEN, ())
            token, token_code_hash = created["contractAddress"], "0x" + keccak(token_code).hex()
            say(f"test token {token} deployed, gas {created['gasUsed']:,}")
    return Deployment(
        chain_id=chain_id,
        vault=vault,
        block_number=receipt["blockNumber"],
        block_hash=_hex(receipt["blockHash"]),
        code_hash="0x" + keccak(code).hex(),
        tx_hash=_hex(receipt["transactionHash"]),
        min_window_seconds=windows[0],
        max_window_seconds=windows[1],
        token=token,
        token_code_hash=token_code_hash,
    )


def _create(w3: Web3, chain_id: int, name: str, arguments: tuple[int, ...]) -> tuple[Any, bytes]:
    """Deploy a contract and return its receipt and the code that stands there, which must be the artifact's."""
    row = relayer.prepare(
        purpose=f"deploy {name}", chain_id=chain_id, to="", call_data=bindings.encode_deployment(name, arguments)
    )
    relayer.broadcast(row)
    receipt = relayer.wait_until_mined(row)
    address = receipt["contractAddress"]
    code = bytes(w3.eth.get_code(address)) if address else b""
    if not code or not _is_code_of(name, code):
        raise DeploymentRefused(f"the code at {address} is not {name}'s")
    return receipt, code


def _register_test_token(w3: Web3, deployment: Deployment) -> None:
    if deployment.token:
        _register(w3, deployment.chain_id, deployment.token)
        # Test tokens of an earlier run stay for the deals made in them, and are offered no more.
        Token.objects.filter(chain_id=deployment.chain_id, symbol="tUSDC").exclude(
            address__iexact=deployment.token
        ).update(is_offered=False)


def _register(w3: Web3, chain_id: int, address: str) -> Token:
    token = bindings.contract_at(w3, bindings.TEST_TOKEN, address).functions
    try:
        name, symbol, decimals = token.name().call(), token.symbol().call(), token.decimals().call()
        version = token.version().call()
        separator = token.DOMAIN_SEPARATOR().call()
    except (BadFunctionCallOutput, ContractLogicError, Web3RPCError, OverflowError) as error:
        raise DeploymentRefused(
            f"{address} does not answer as a token with EIP-712 signatures (name, symbol, decimals, version, "
            "DOMAIN_SEPARATOR)"
        ) from error
    if bytes(separator) != _domain_separator(name=name, version=version, chain_id=chain_id, address=address):
        raise DeploymentRefused(f"{symbol} at {address} signs in a domain other than its name and version give")
    row, _ = Token.objects.update_or_create(
        chain_id=chain_id,
        address=address,
        defaults={"name": name, "symbol": symbol, "decimals": decimals, "version": version, "is_offered": True},
    )
    return row


def _domain_separator(*, name: str, version: str, chain_id: int, address: str) -> bytes:
    kind = keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    values = [kind, keccak(text=name), keccak(text=version), chain_id, address]
    return keccak(abi_encode(["bytes32", "bytes32", "bytes32", "uint256", "address"], values))


def _hash_of(w3: Web3, block_number: int) -> str:
    try:
        return _hex(w3.eth.get_block(block_number)["hash"])
    except BlockNotFound:
        return ""


def _hex(value: Any) -> str:
    return "0x" + bytes(value).hex()


def _record_of(chain_id: int) -> Path:
    return Path(settings.DEPLOYMENTS_DIR) / f"{chain_id}.json"


def _write(deployment: Deployment) -> None:
    record = _record_of(deployment.chain_id)
    record.parent.mkdir(parents=True, exist_ok=True)
    half_written = record.with_suffix(f".{os.getpid()}.tmp")
    half_written.write_text(json.dumps(asdict(deployment), indent=2) + "\n")
    half_written.replace(record)
