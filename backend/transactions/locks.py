"""Row locks, always in this order: the escrow transaction, then its milestones by position."""

from transactions.errors import UnknownTransaction
from transactions.models import EscrowTransaction, Milestone


def lock_transaction(transaction_id: int) -> EscrowTransaction:
    """The deal under a row lock until the database transaction ends. Raises UnknownTransaction."""
    deal = EscrowTransaction.objects.select_for_update(of=("self",)).filter(pk=transaction_id).first()
    if deal is None:
        raise UnknownTransaction(f"there is no transaction {transaction_id}", transaction_id=transaction_id)
    return deal


def lock_milestones(deal: EscrowTransaction) -> list[Milestone]:
    """All milestones of a locked deal under row locks, by position."""
    milestones = list(Milestone.objects.select_for_update(of=("self",)).filter(transaction=deal).order_by("position"))
    for milestone in milestones:
        milestone.transaction = deal
    return milestones
