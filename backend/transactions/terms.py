"""What the parties sign: the vault's terms and actions as EIP-712 typed data, and the hashes that commit to words.

Type strings and field names are the vault's (contracts/SPEC.md); a test compares the hashes with the vault's own.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eth_abi.abi import encode
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_utils.crypto import keccak

from common.clock import to_epoch
from transactions.errors import InvalidTerms
from transactions.models import EscrowTransaction, Milestone, Token
from transactions.rules import Action

ZERO_ADDRESS = "0x" + "00" * 20
DOMAIN_FIELDS = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
TERMS_FIELDS = [
    {"name": name, "type": kind}
    for name, kind in (
        ("buyer", "address"),
        ("seller", "address"),
        ("arbiter", "address"),
        ("token", "address"),
        ("amounts", "uint256[]"),
        ("deliver_by", "uint256[]"),
        ("accept_by", "uint256"),
        ("review_seconds", "uint256"),
        ("revision_seconds", "uint256"),
        ("max_revisions", "uint256"),
        ("arbitration_seconds", "uint256"),
        ("timeout_seller_bps", "uint256"),
        ("fee_recipient", "address"),
        ("fee_bps", "uint256"),
        ("details", "bytes32"),
        ("salt", "bytes32"),
    )
]
_EPOCH = (("epoch", "uint256"), ("deadline", "uint256"))
MESSAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "Accept": (("terms", "Terms"), *_EPOCH),
    "Fund": (("escrow", "bytes32"), ("milestones", "uint256"), *_EPOCH),
    "Submit": (
        ("escrow", "bytes32"),
        ("milestone", "uint256"),
        ("round", "uint256"),
        ("deliverable", "bytes32"),
        *_EPOCH,
    ),
    "Release": (("escrow", "bytes32"), ("milestones", "uint256"), *_EPOCH),
    "RequestChanges": (
        ("escrow", "bytes32"),
        ("milestone", "uint256"),
        ("round", "uint256"),
        ("reason", "bytes32"),
        *_EPOCH,
    ),
    "Extend": (
        ("escrow", "bytes32"),
        ("milestone", "uint256"),
        ("round", "uint256"),
        ("until", "uint256"),
        *_EPOCH,
    ),
    "Reclaim": (("escrow", "bytes32"), ("milestone", "uint256"), *_EPOCH),
    "Refund": (("escrow", "bytes32"), ("milestones", "uint256"), *_EPOCH),
    "Dispute": (
        ("escrow", "bytes32"),
        ("milestone", "uint256"),
        ("round", "uint256"),
        ("reason", "bytes32"),
        *_EPOCH,
    ),
    "Resolve": (
        ("escrow", "bytes32"),
        ("milestone", "uint256"),
        ("seller_amount", "uint256"),
        ("reason", "bytes32"),
        ("deadline", "uint256"),
    ),
}
# Which message a party signs for an action. `fund` is signed in the token's own domain (EIP-3009), see fund_message.
MESSAGE_OF_ACTION: Mapping[Action, str] = {
    Action.SUBMIT: "Submit",
    Action.APPROVE: "Release",
    Action.REQUEST_CHANGES: "RequestChanges",
    Action.EXTEND: "Extend",
    Action.RECLAIM: "Reclaim",
    Action.REFUND: "Refund",
    Action.DISPUTE: "Dispute",
    Action.RESOLVE: "Resolve",
}
FUND_TAG = keccak(text="EscrowVault.fund")
TypedData = dict[str, Any]


@dataclass(frozen=True)
class VerifiedSignature:
    """A signature that was checked at the door (ecrecover, then ERC-1271 at `block_number`).

    `digest` and `signature` are 0x-prefixed hex, `signer` is a checksummed address. The lifecycle still checks that
    the digest is the one it computes itself and that the signer is the party's wallet.
    """

    digest: str
    signer: str
    signature: str
    block_number: int | None = None


def canonical_json(value: object) -> bytes:
    """One byte string for one value: sorted keys, no spaces, UTF-8 (RFC 8785 for the texts and integers used here)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def hash_words(value: object) -> str:
    """keccak-256 of the canonical JSON, 0x-prefixed: what the vault records of words and files."""
    return "0x" + keccak(canonical_json(value)).hex()


def deliverable_hash(*, note: str, documents: Iterable[tuple[str, str]]) -> str:
    """Hash of handed-in work: the note and (filename, SHA-256 hex) of every file, files in the order of their hash."""
    files = [{"filename": name, "sha256": digest} for name, digest in sorted(documents, key=lambda item: item[::-1])]
    return hash_words({"note": note, "files": files})


def reason_hash(text: str) -> str:
    """Hash of a reason: a change request's, a dispute's, a decision's."""
    return hash_words({"reason": text})


def agreement_document(deal: EscrowTransaction, milestones: Sequence[Milestone]) -> dict[str, Any]:
    """The agreement in words, as hashed into the terms' `details`. Amounts are base units as decimal text."""
    return {
        "title": deal.title,
        "description": deal.description,
        "token": {"symbol": deal.token.symbol, "decimals": deal.token.decimals},
        "milestones": [
            {"title": m.title, "description": m.description, "amount_units": str(m.amount_units)} for m in milestones
        ],
        "attachments": [
            {"filename": document.filename, "sha256": document.sha256}
            for document in deal.attachments.order_by("sha256", "id")
        ],
    }


def terms_struct(
    deal: EscrowTransaction,
    milestones: Sequence[Milestone],
    *,
    buyer_address: str,
    seller_address: str,
    arbiter_address: str,
    details: str,
) -> dict[str, Any]:
    """The vault's Terms for this deal: addresses, integers in base units or epoch seconds, 0x-hex of 32 bytes."""
    return {
        "buyer": buyer_address,
        "seller": seller_address,
        "arbiter": arbiter_address,
        "token": deal.token.address,
        "amounts": [m.amount_units for m in milestones],
        "deliver_by": [to_epoch(m.deliver_by) for m in milestones],
        "accept_by": to_epoch(deal.accept_by),
        "review_seconds": deal.review_seconds,
        "revision_seconds": deal.revision_seconds,
        "max_revisions": deal.max_revisions,
        "arbitration_seconds": deal.arbitration_seconds,
        "timeout_seller_bps": deal.timeout_seller_bps,
        "fee_recipient": deal.fee_recipient or ZERO_ADDRESS,
        "fee_bps": deal.fee_bps,
        "details": details,
        "salt": deal.salt,
    }


def struct_to_json(struct: Mapping[str, Any]) -> dict[str, Any]:
    """The struct with its integers as decimal text, for JSON readers whose numbers are floats."""

    def text(value: Any) -> Any:
        if isinstance(value, list):
            return [text(item) for item in value]
        return str(value) if isinstance(value, int) else value

    return {key: text(value) for key, value in struct.items()}


def struct_from_json(struct: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of struct_to_json."""
    kinds = {field["name"]: field["type"] for field in TERMS_FIELDS}

    def number(key: str, value: Any) -> Any:
        if kinds[key] == "uint256[]":
            return [int(item) for item in value]
        return int(value) if kinds[key] == "uint256" else value

    return {key: number(key, value) for key, value in struct.items()}


def escrow_id(struct: Mapping[str, Any]) -> str:
    """hashStruct(Terms) of EIP-712, 0x-prefixed: the escrow's id within its vault."""
    type_string = "Terms(" + ",".join(f"{field['type']} {field['name']}" for field in TERMS_FIELDS) + ")"
    words: list[bytes] = [keccak(text=type_string)]
    for field in TERMS_FIELDS:
        value = struct[field["name"]]
        if field["type"] == "uint256[]":
            words.append(keccak(b"".join(encode(["uint256"], [item]) for item in value)))
        elif field["type"] == "bytes32":
            words.append(bytes.fromhex(value.removeprefix("0x")))
        else:
            words.append(encode([field["type"]], [value]))
    return "0x" + keccak(b"".join(words)).hex()


def _vault_domain(deal: EscrowTransaction) -> dict[str, Any]:
    return {
        "name": "EscrowVault",
        "version": "1",
        "chainId": deal.chain_id,
        "verifyingContract": deal.vault_address,
    }


def accept_message(deal: EscrowTransaction, struct: Mapping[str, Any], *, epoch: int, deadline: int) -> TypedData:
    """The EIP-712 message by which a party accepts the terms (`deadline` in epoch seconds)."""
    return {
        "types": {
            "EIP712Domain": DOMAIN_FIELDS,
            "Accept": [{"name": n, "type": t} for n, t in MESSAGES["Accept"]],
            "Terms": TERMS_FIELDS,
        },
        "primaryType": "Accept",
        "domain": _vault_domain(deal),
        "message": {"terms": dict(struct), "epoch": epoch, "deadline": deadline},
    }


def action_message(deal: EscrowTransaction, action: Action, fields: Mapping[str, Any]) -> TypedData:
    """The EIP-712 message for an action on the vault. `fields` are the message's own but `escrow`."""
    primary = MESSAGE_OF_ACTION[action]
    return {
        "types": {
            "EIP712Domain": DOMAIN_FIELDS,
            primary: [{"name": n, "type": t} for n, t in MESSAGES[primary]],
        },
        "primaryType": primary,
        "domain": _vault_domain(deal),
        "message": {"escrow": deal.escrow_id, **fields},
    }


def fund_nonce(*, escrow: str, milestones: int, epoch: int) -> str:
    """EIP-3009 nonce that ties a token authorization to this escrow, this set of milestones and the buyer's epoch."""
    packed = encode(
        ["bytes32", "bytes32", "uint256", "uint256"],
        [FUND_TAG, bytes.fromhex(escrow.removeprefix("0x")), milestones, epoch],
    )
    return "0x" + keccak(packed).hex()


def fund_message(
    deal: EscrowTransaction, *, buyer_address: str, milestones: int, value_units: int, valid_before: int
) -> TypedData:
    """The EIP-3009 `ReceiveWithAuthorization` in the token's domain: one signature moves the money into the terms.

    `value_units` is the exact sum of the milestones in base units; `valid_before` in epoch seconds.
    """
    token: Token = deal.token
    return {
        "types": {
            "EIP712Domain": DOMAIN_FIELDS,
            "ReceiveWithAuthorization": [
                {"name": "from", "type": "address"},
                {"name": "to", "type": "address"},
                {"name": "value", "type": "uint256"},
                {"name": "validAfter", "type": "uint256"},
                {"name": "validBefore", "type": "uint256"},
                {"name": "nonce", "type": "bytes32"},
            ],
        },
        "primaryType": "ReceiveWithAuthorization",
        "domain": {
            "name": token.name,
            "version": token.version,
            "chainId": token.chain_id,
            "verifyingContract": token.address,
        },
        "message": {
            "from": buyer_address,
            "to": deal.vault_address,
            "value": value_units,
            "validAfter": 0,
            "validBefore": valid_before,
            "nonce": fund_nonce(escrow=deal.escrow_id, milestones=milestones, epoch=deal.buyer_epoch),
        },
    }


def for_wallet(message: TypedData) -> TypedData:
    """Typed data as a wallet takes it (`eth_signTypedData_v4`): integers of the message as decimal text.

    JSON's numbers are floats for many readers; the digest is the same.
    """

    def text(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: text(item) for key, item in value.items()}
        if isinstance(value, list):
            return [text(item) for item in value]
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    return {**message, "message": text(message["message"])}


def digest_of(message: TypedData) -> str:
    """The 32 bytes that are signed for this typed data (EIP-712), 0x-prefixed."""
    return "0x" + _hash_eip191_message(encode_typed_data(full_message=message)).hex()


def bitmap(positions: Iterable[int]) -> int:
    """The vault's set of milestones: bit i for milestone i."""
    result = 0
    for position in positions:
        result |= 1 << position
    return result


def positions_of(milestones: int) -> list[int]:
    """The milestone numbers in a bitmap, ascending."""
    return [position for position in range(milestones.bit_length()) if milestones >> position & 1]


def check_proposable(deal: EscrowTransaction, milestones: Sequence[Milestone], *, now: datetime) -> None:
    """Raise InvalidTerms where the vault would refuse these terms or nobody could live with them."""
    if not 1 <= len(milestones) <= 32:
        raise InvalidTerms("an agreement has between 1 and 32 milestones", field="milestones", count=len(milestones))
    if [m.position for m in milestones] != list(range(len(milestones))):
        raise InvalidTerms("milestones are numbered from 0 without gaps", field="milestones")
    if sum(m.amount_units for m in milestones) >= 2**128:
        raise InvalidTerms("the sum of the milestones is too large", field="milestones")
    if deal.accept_by <= now:
        raise InvalidTerms("the date until which the terms can be accepted has passed", field="accept_by")
    for milestone in milestones:
        if milestone.amount_units <= 0:
            raise InvalidTerms(
                "every milestone has an amount above zero", field="milestones", position=milestone.position
            )
        if milestone.deliver_by <= now:
            raise InvalidTerms(
                "every milestone's delivery date lies in the future", field="milestones", position=milestone.position
            )
    if not deal.token.is_offered or deal.token.chain_id != deal.chain_id:
        raise InvalidTerms(f"{deal.token.symbol} is not offered on this chain", field="token")
    if bool(deal.fee_bps) != bool(deal.fee_recipient):
        raise InvalidTerms("a fee needs a recipient, and a recipient a fee", field="fee_bps")
