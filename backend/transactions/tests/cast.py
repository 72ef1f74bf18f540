"""Bea the buyer, Sol the seller, Ari the arbiter, Max the stranger: people with real keys, and how far a deal got."""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import Hash32

from common.clock import utc_now
from transactions import lifecycle, terms
from transactions.events import ChainLog
from transactions.lifecycle import ActionInputs, MilestoneDraft
from transactions.models import ActionIntent, EscrowTransaction, Token
from transactions.rules import Action
from users.models import User, Wallet

CHAIN_ID = 31337
VAULT = "0x" + "5E" * 20
_log_numbers = count(1)


@dataclass
class Person:
    """A user and the key of his wallet."""

    user: User
    key: LocalAccount

    def sign(self, message: terms.TypedData) -> terms.VerifiedSignature:
        digest = terms.digest_of(message)
        signed = self.key.unsafe_sign_hash(Hash32(bytes.fromhex(digest[2:])))
        return terms.VerifiedSignature(
            digest=digest, signer=self.key.address, signature="0x" + signed.signature.hex().removeprefix("0x")
        )


def person(name: str, **fields: object) -> Person:
    user = User.objects.create_user(f"{name.lower()}@example.com", "a long password", display_name=name, **fields)
    key = Account.create()
    Wallet.objects.create(user=user, address=key.address, kind="LINKED", is_primary=True, verified_at=utc_now())
    return Person(user, key)


def chain_log(**changes: object) -> ChainLog:
    """The next log of an imaginary chain."""
    number = next(_log_numbers)
    values = {
        "chain_id": CHAIN_ID,
        "tx_hash": f"0x{number:064x}",
        "log_index": 0,
        "block_number": number,
        "block_hash": f"0x{number + 10**9:064x}",
        "block_at": utc_now(),
    }
    return ChainLog(**{**values, **changes})  # type: ignore[arg-type]


@dataclass
class Stage:
    """The cast, and a deal that can be led to where a test begins."""

    bea: Person
    sol: Person
    ari: Person
    max: Person
    token: Token
    deal: EscrowTransaction = field(init=False)

    def draft(self, amounts: tuple[int, ...] = (100, 200, 300), **changes: object) -> EscrowTransaction:
        now = utc_now()
        values: dict[str, object] = {
            "author": self.bea.user,
            "author_role": "BUYER",
            "counterparty": self.sol.user,
            "arbiter": self.ari.user,
            "title": "A website",
            "token": self.token,
            "vault_address": VAULT,
            "milestones": [
                MilestoneDraft(title=f"Part {number}", amount_units=units, deliver_by=now + timedelta(days=10))
                for number, units in enumerate(amounts, start=1)
            ],
            "accept_by": now + timedelta(days=7),
            "review_seconds": 7 * 86_400,
            "revision_seconds": 3 * 86_400,
            "max_revisions": 1,
            "arbitration_seconds": 14 * 86_400,
        }
        self.deal = lifecycle.draft_transaction(**{**values, **changes})  # type: ignore[arg-type]
        return self.deal

    def propose(self) -> EscrowTransaction:
        message = lifecycle.acceptance_message(self.deal, actor=self.bea.user)
        self.deal = lifecycle.propose(
            transaction_id=self.deal.pk, actor=self.bea.user, signature=self.bea.sign(message)
        )
        return self.deal

    def accept(self) -> EscrowTransaction:
        message = lifecycle.acceptance_message(self.deal, actor=self.sol.user)
        self.deal = lifecycle.accept(transaction_id=self.deal.pk, actor=self.sol.user, signature=self.sol.sign(message))
        return self.deal

    def funded(self, **changes: object) -> EscrowTransaction:
        """A deal of which every milestone is funded."""
        self.draft(**changes)  # type: ignore[arg-type]
        self.propose()
        self.accept()
        positions = range(self.deal.milestones.count())
        lifecycle.record_funded(escrow=self.deal.escrow_id, positions=positions, log=chain_log())
        return self.fresh()

    def submitted(self, position: int = 0, round: int = 1) -> None:
        lifecycle.record_submitted(
            escrow=self.deal.escrow_id,
            position=position,
            round=round,
            deliverable="0x" + "ab" * 32,
            review_ends_at=utc_now() + timedelta(days=7),
            log=chain_log(),
        )

    def disputed(self, position: int = 0) -> None:
        lifecycle.record_disputed(
            escrow=self.deal.escrow_id,
            position=position,
            party=self.bea.key.address,
            reason="0x" + "cd" * 32,
            arbitration_ends_at=utc_now() + timedelta(days=14),
            log=chain_log(),
        )

    def request(self, who: Person, action: Action, position: int | None = None, **inputs: object) -> ActionIntent:
        """What a person does in the portal: prepare, sign, request."""
        milestone = None if position is None else self.deal.milestones.get(position=position)
        given = ActionInputs(**inputs)  # type: ignore[arg-type]
        deadline = utc_now() + timedelta(hours=1)
        prepared = lifecycle.prepare_action(
            action=action, deal=self.fresh(), actor=who.user, milestone=milestone, inputs=given, deadline=deadline
        )
        return lifecycle.request_action(
            action=action,
            transaction_id=self.deal.pk,
            milestone_id=milestone.pk if milestone else None,
            actor=who.user,
            inputs=given,
            deadline=prepared.deadline_at,
            signature=who.sign(prepared.message),
        )

    def fresh(self) -> EscrowTransaction:
        self.deal = EscrowTransaction.objects.get(pk=self.deal.pk)
        return self.deal

    def milestone_states(self) -> list[tuple[str, str]]:
        return list(self.deal.milestones.order_by("position").values_list("status", "money"))


def stage() -> Stage:
    token = Token.objects.create(
        chain_id=CHAIN_ID, address="0x" + "70" * 20, symbol="tUSDC", name="Test USD Coin", decimals=6
    )
    return Stage(
        bea=person("Bea"), sol=person("Sol"), ari=person("Ari", is_arbiter=True), max=person("Max"), token=token
    )
