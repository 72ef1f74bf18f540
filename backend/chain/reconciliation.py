"""Does the mirror say what the vault says? Compared at the last block that is final here, to the last unit."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db.models import Q
from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.contract import Contract

from chain import bindings
from chain.client import connect
from chain.models import ChainCursor
from common.clock import to_epoch
from ledger.queries import balance
from transactions.models import EscrowTransaction, Milestone
from transactions.rules import SETTLED_MONEY, MilestoneStatus, Money
from transactions.terms import bitmap

PHASES = {
    MilestoneStatus.AWAITING_REVIEW: 1,
    MilestoneStatus.REVISION_REQUESTED: 2,
    MilestoneStatus.DISPUTED: 3,
}


@dataclass(frozen=True)
class Difference:
    """One figure on which the vault and the database do not agree."""

    transaction_id: int | None  # None: of the vault as a whole
    what: str
    vault: object
    mirror: object

    def __str__(self) -> str:
        whose = "all transactions" if self.transaction_id is None else f"transaction {self.transaction_id}"
        return f"{whose}: {self.what}: vault {self.vault}, database {self.mirror}"


def reconcile(transaction_ids: Iterable[int] | None = None) -> tuple[int, list[Difference]]:
    """Compare the given transactions, or all that ever had an escrow id. Changes nothing.

    Returns how many were compared and every difference found. Raises ChainUnavailable. What the vault did after the
    last final block does not count yet, so a healthy platform shows no difference at any moment.
    """
    deals = EscrowTransaction.objects.exclude(escrow_id="").select_related("token").prefetch_related("milestones")
    if transaction_ids is not None:
        deals = deals.filter(pk__in=list(transaction_ids))
    compared = 0
    differences: list[Difference] = []
    for cursor in ChainCursor.objects.exclude(final_hash="").order_by("id"):
        w3 = connect(cursor.chain_id)
        vault = bindings.contract_at(w3, bindings.VAULT, cursor.vault)
        own = deals.filter(Q(chain_id=cursor.chain_id, vault_address__iexact=cursor.vault)).order_by("pk")
        held: dict[str, int] = {}
        for deal in own.iterator(chunk_size=200):
            compared += 1
            differences += _compare(vault, deal, cursor.next_block - 1)
            held[deal.token.address] = held.get(deal.token.address, 0) + _remaining(deal.milestones.all())
        if transaction_ids is None:
            differences += _compare_balances(w3, cursor, held)
    return compared, differences


def _compare(vault: Contract, deal: EscrowTransaction, block: int) -> Iterator[Difference]:
    escrow = bytes.fromhex(deal.escrow_id.removeprefix("0x"))
    read = vault.functions.escrow_of(escrow).call(block_identifier=block)
    remaining, funded, settled, disputed, buyer_epoch, seller_epoch = read
    milestones = sorted(deal.milestones.all(), key=lambda m: m.position)
    pairs = [
        ("units held", remaining, _remaining(milestones)),
        ("units held, by the ledger", remaining, balance(f"escrow:{deal.pk}", f"{deal.chain_id}:{deal.token.address}")),
        ("funded milestones", funded, bitmap(m.position for m in milestones if m.money != Money.UNFUNDED)),
        ("settled milestones", settled, bitmap(m.position for m in milestones if m.money in SETTLED_MONEY)),
        (
            "disputed milestones",
            disputed,
            bitmap(m.position for m in milestones if m.status == MilestoneStatus.DISPUTED),
        ),
        ("buyer's epoch", buyer_epoch, deal.buyer_epoch),
        ("seller's epoch", seller_epoch, deal.seller_epoch),
    ]
    for m in milestones:
        if m.money != Money.FUNDED:
            continue
        phase, deadline, round = vault.functions.milestone_of(escrow, m.position).call(block_identifier=block)
        who = f"milestone {m.position + 1}"
        pairs += [
            (f"{who}, phase", phase, PHASES.get(MilestoneStatus(m.status), 0)),
            (f"{who}, deadline", deadline, to_epoch(m.deadline_at) if m.deadline_at else 0),
            (f"{who}, round", round, m.round),
        ]
    for what, on_chain, here in pairs:
        if on_chain != here:
            yield Difference(deal.pk, what, on_chain, here)


def _compare_balances(w3: Web3, cursor: ChainCursor, held: dict[str, int]) -> Iterator[Difference]:
    """The vault holds at least what our deals have in it (others may use the vault as well)."""
    for address, units in held.items():
        token = bindings.contract_at(w3, bindings.TEST_TOKEN, address)
        owner = to_checksum_address(cursor.vault)
        in_vault = token.functions.balanceOf(owner).call(block_identifier=cursor.next_block - 1)
        if in_vault < units:
            yield Difference(None, f"token {address} in vault {cursor.vault}", in_vault, units)


def _remaining(milestones: Iterable[Milestone]) -> int:
    return sum(m.amount_units for m in milestones if m.money == Money.FUNDED)
