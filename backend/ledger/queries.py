"""What the books say. Only posted transfers count."""

from collections import defaultdict
from collections.abc import Mapping

from django.db.models import Q, QuerySet, Sum

from ledger.models import LedgerTransfer


def balance(code: str, currency: str) -> int:
    """What an account received less what it gave, in base units of one currency; 0 for an account never used."""
    sums = _posted().filter(Q(debit__code=code) | Q(credit__code=code), currency=currency)
    totals = sums.aggregate(
        received=Sum("units", filter=Q(credit__code=code)), given=Sum("units", filter=Q(debit__code=code))
    )
    return int(totals["received"] or 0) - int(totals["given"] or 0)


def balances_of_transaction(escrow_transaction_id: int) -> Mapping[tuple[str, str], int]:
    """What one escrow transaction did to each account: {(account code, currency): base units}, summing to zero."""
    balances: dict[tuple[str, str], int] = defaultdict(int)
    rows = _posted().filter(escrow_transaction_id=escrow_transaction_id)
    for debit, credit, currency, units in rows.values_list("debit__code", "credit__code", "currency", "units"):
        balances[debit, currency] -= int(units)
        balances[credit, currency] += int(units)
    return dict(balances)


def _posted() -> QuerySet[LedgerTransfer]:
    return LedgerTransfer.objects.filter(status=LedgerTransfer.Status.POSTED)
