"""The cast and the words of the contracts' tests: terms, signatures and calls as people would make them.

Signatures are made by eth-account from the type strings of SPEC.md, never by the vault's own `digest`.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import boa
from eth_abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak

MIN_WINDOW_SECONDS = 10
MAX_WINDOW_SECONDS = 365 * 86_400
DAY = 86_400
USDC = 10**6
ZERO_ADDRESS = "0x" + "00" * 20
FAR_AHEAD = 2**40

DOMAIN_FIELDS = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]


def fields_of(text: str) -> list[dict[str, str]]:
    """`"bytes32 escrow,uint256 epoch"` as the list that eth-account takes."""
    return [dict(zip(("type", "name"), part.split(" "), strict=True)) for part in text.split(",")]


TERMS_FIELDS = fields_of(
    "address buyer,address seller,address arbiter,address token,uint256[] amounts,uint256[] deliver_by,"
    "uint256 accept_by,uint256 review_seconds,uint256 revision_seconds,uint256 max_revisions,"
    "uint256 arbitration_seconds,uint256 timeout_seller_bps,address fee_recipient,uint256 fee_bps,"
    "bytes32 details,bytes32 salt"
)
# In the order of the vault's numbers for `digest`.
MESSAGES = {
    "Accept": "Terms terms,uint256 epoch,uint256 deadline",
    "Fund": "bytes32 escrow,uint256 milestones,uint256 epoch,uint256 deadline",
    "Submit": "bytes32 escrow,uint256 milestone,uint256 round,bytes32 deliverable,uint256 epoch,uint256 deadline",
    "Release": "bytes32 escrow,uint256 milestones,uint256 epoch,uint256 deadline",
    "RequestChanges": "bytes32 escrow,uint256 milestone,uint256 round,bytes32 reason,uint256 epoch,uint256 deadline",
    "Extend": "bytes32 escrow,uint256 milestone,uint256 round,uint256 until,uint256 epoch,uint256 deadline",
    "Reclaim": "bytes32 escrow,uint256 milestone,uint256 epoch,uint256 deadline",
    "Refund": "bytes32 escrow,uint256 milestones,uint256 epoch,uint256 deadline",
    "Settle": "bytes32 escrow,uint256 milestones,uint256[] seller_amounts,uint256 epoch,uint256 deadline",
    "Dispute": "bytes32 escrow,uint256 milestone,uint256 round,bytes32 reason,uint256 epoch,uint256 deadline",
    "Resolve": "bytes32 escrow,uint256 milestone,uint256 seller_amount,bytes32 reason,uint256 deadline",
    "Revoke": "bytes32 escrow,uint256 epoch,uint256 deadline",
    "Withdraw": "address account,address token,address to,uint256 nonce,uint256 deadline",
}
UNSUBMITTED, SUBMITTED, CHANGES, DISPUTED = range(4)
FUND_TAG = keccak(text="EscrowVault.fund")
WORK = keccak(text="the finished work")
REASON = keccak(text="the logo is upside down")


@dataclass(frozen=True)
class Person:
    """Somebody with a key."""

    name: str
    key: bytes
    address: str

    @classmethod
    def named(cls, name: str) -> "Person":
        key = keccak(text=f"key of {name}")
        return cls(name, key, Account.from_key(key).address)

    def sign(self, typed: Mapping[str, Any]) -> bytes:
        """65 bytes r, s, v over EIP-712 typed data."""
        return bytes(Account.sign_message(encode_typed_data(full_message=dict(typed)), self.key).signature)


BEA = Person.named("Bea the buyer")
SOL = Person.named("Sol the seller")
ARI = Person.named("Ari the arbiter")
MAX = Person.named("Max the stranger")
PLATFORM = Person.named("the platform, who gets the fee")
CAST = {"buyer": BEA, "seller": SOL, "arbiter": ARI, "stranger": MAX}


def now() -> int:
    """Block time of the next call, seconds since the epoch."""
    return boa.env.timestamp


def typed_data(contract: str, name: str, version: str, primary: str, kinds: Mapping[str, Any], message: Any) -> dict:
    """EIP-712 typed data in the domain of `contract`."""
    return {
        "types": {"EIP712Domain": DOMAIN_FIELDS, **kinds},
        "primaryType": primary,
        "domain": {
            "name": name,
            "version": version,
            "chainId": boa.env.evm.patch.chain_id,
            "verifyingContract": contract,
        },
        "message": message,
    }


@dataclass
class Deal:
    """One agreement over a vault: its terms, and each action as a call or as a signed message."""

    vault: Any
    token: Any
    terms: dict[str, Any]
    buyer: Person = BEA
    seller: Person = SOL
    arbiter: Person = ARI

    @property
    def call_terms(self) -> tuple[Any, ...]:
        return tuple(self.terms.values())

    @property
    def escrow(self) -> bytes:
        """hashStruct(Terms), computed here and not by the vault."""
        words = [keccak(text=f"Terms({','.join(f['type'] + ' ' + f['name'] for f in TERMS_FIELDS)})")]
        for kind in TERMS_FIELDS:
            value = self.terms[kind["name"]]
            if kind["type"] == "uint256[]":
                words.append(hash_array(value))
            else:
                words.append(encode([kind["type"]], [value]))
        return keccak(b"".join(words))

    @property
    def state(self) -> tuple[int, int, int, int, int, int]:
        """remaining, funded, settled, disputed, buyer's epoch, seller's epoch"""
        return tuple(self.vault.escrow_of(self.escrow))

    def milestone(self, milestone: int = 0) -> tuple[int, int, int]:
        """phase, deadline, round"""
        return tuple(self.vault.milestone_of(self.escrow, milestone))

    def epoch_of(self, person: Person) -> int:
        return self.state[4 if person.address == self.terms["buyer"] else 5]

    # -- signatures -------------------------------------------------

    def message(self, primary: str, **values: Any) -> dict:
        """Typed data of one of the vault's messages; `escrow` is filled in."""
        kinds: dict[str, Any] = {primary: fields_of(MESSAGES[primary])}
        names = [kind["name"] for kind in kinds[primary]]
        if "escrow" in names:
            values = {"escrow": self.escrow, **values}
        if "terms" in names:
            kinds["Terms"] = TERMS_FIELDS
            values = {"terms": self.terms, **values}
        assert sorted(names) == sorted(values), (names, list(values))
        return typed_data(self.vault.address, "EscrowVault", "1", primary, kinds, values)

    def sign(self, person: Person, primary: str, *, deadline: int = FAR_AHEAD, **values: Any) -> bytes:
        """What `person` signs; the epoch is his present one unless given."""
        if "epoch" in MESSAGES[primary] and "epoch" not in values:
            values["epoch"] = self.epoch_of(person)
        return person.sign(self.message(primary, deadline=deadline, **values))

    def accepted(self, *, deadline: int = FAR_AHEAD) -> tuple[int, bytes]:
        """The seller's acceptance, as the funding calls take it."""
        return deadline, self.sign(self.seller, "Accept", deadline=deadline)

    # -- money ------------------------------------------------------

    def amount(self, milestones: int) -> int:
        return sum(a for i, a in enumerate(self.terms["amounts"]) if milestones >> i & 1)

    @property
    def everything(self) -> int:
        """The set of all milestones."""
        return 2 ** len(self.terms["amounts"]) - 1

    def authorization(self, milestones: int, *, epoch: int = 0, valid_before: int = FAR_AHEAD, **changes: Any) -> dict:
        """The EIP-3009 message by which the buyer pays in."""
        nonce = keccak(encode(["bytes32", "bytes32", "uint256", "uint256"], [FUND_TAG, self.escrow, milestones, epoch]))
        message = {
            "from": self.terms["buyer"],
            "to": self.vault.address,
            "value": self.amount(milestones),
            "validAfter": 0,
            "validBefore": valid_before,
            "nonce": nonce,
        }
        kinds = {
            "ReceiveWithAuthorization": fields_of(
                "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
            )
        }
        return typed_data(
            self.token.address, self.token.name(), "2", "ReceiveWithAuthorization", kinds, {**message, **changes}
        )

    def permit(self, amount: int, *, deadline: int = FAR_AHEAD) -> tuple[int, bytes, bytes]:
        """v, r, s of the buyer's permit for the vault."""
        kinds = {"Permit": fields_of("address owner,address spender,uint256 value,uint256 nonce,uint256 deadline")}
        message = {
            "owner": self.terms["buyer"],
            "spender": self.vault.address,
            "value": amount,
            "nonce": self.token.nonces(self.terms["buyer"]),
            "deadline": deadline,
        }
        signature = self.buyer.sign(typed_data(self.token.address, self.token.name(), "2", "Permit", kinds, message))
        return signature[64], signature[:32], signature[32:64]

    # -- the usual steps, by direct call ----------------------------

    def fund(self, milestones: int | None = None) -> None:
        """The buyer has the money, approves and pays in; the seller has accepted."""
        milestones = self.everything if milestones is None else milestones
        amount = self.amount(milestones)
        self.token.mint(self.buyer.address, amount)
        self.token.approve(self.vault.address, amount, sender=self.buyer.address)
        self.vault.fund(self.call_terms, milestones, *self.accepted(), sender=self.buyer.address)

    def submit(self, milestone: int = 0, round: int = 1) -> None:
        self.vault.submit(self.call_terms, milestone, round, WORK, 0, b"", sender=self.seller.address)

    def request_changes(self, milestone: int = 0, round: int = 1) -> None:
        self.vault.request_changes(self.call_terms, milestone, round, REASON, 0, b"", sender=self.buyer.address)

    def dispute(self, milestone: int = 0, round: int = 1, party: Person | None = None) -> None:
        address = (party or self.buyer).address
        self.vault.dispute(self.call_terms, milestone, round, REASON, address, 0, b"", sender=address)

    def release(self, milestones: int) -> None:
        self.vault.release(self.call_terms, milestones, 0, b"", sender=self.buyer.address)


@contextmanager
def reverts_with(reason: str) -> Iterator[None]:
    """The block's call must revert with exactly this reason, the vault's or the token's."""
    found = "nothing was refused"
    try:
        yield
    except boa.BoaError as error:
        found = error.stack_trace.last_frame.pretty_vm_reason
    assert found == reason


def refused(sentence: str) -> AbstractContextManager[None]:
    """The block's call must be refused by the vault with exactly this sentence."""
    return reverts_with(f"escrow: {sentence}")


def events(contract: Any) -> list[Any]:
    """What the last call to `contract` logged, the vault's own events only."""
    return [entry for entry in contract.get_logs() if entry.address == contract.address]


def hash_array(values: Iterable[int]) -> bytes:
    """EIP-712's hash of a uint256[]."""
    return keccak(b"".join(value.to_bytes(32, "big") for value in values))


def advance(seconds: int) -> None:
    """Let time pass on the chain."""
    boa.env.time_travel(seconds=seconds)


def advance_to(moment: int) -> None:
    """Let the next call happen at exactly this moment."""
    advance(moment - now())
