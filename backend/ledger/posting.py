"""Entering transfers. Every verb names its fact by `key`, so that entering the same fact again changes nothing."""

import re
from datetime import datetime

from django.db import transaction as db_transaction

from common.money import MAX_SUM_UNITS
from ledger.errors import TransferConflict, TransferNotPending
from ledger.models import Account, LedgerTransfer

ACCOUNT_CODE = re.compile(r"(?P<kind>[a-z][a-z_]{0,38}):\S{1,80}")


def post_transfer(
    *,
    key: str,
    kind: str,
    escrow_transaction_id: int,
    currency: str,
    debit: str,
    credit: str,
    units: int,
    occurred_at: datetime,
    pending: bool = False,
) -> LedgerTransfer:
    """Move `units` (token base units, above zero) from the account `debit` to the account `credit`.

    Account codes read `<kind>:<detail>` (`user:17`); an account exists from its first use. `occurred_at` is aware.
    With `pending` the transfer counts in no balance until `post_pending`. Returns the transfer; a repeat returns the
    one that exists, because the key is unique. Raises TransferConflict if that one has other contents, ValueError for
    an amount, account or time that makes no sense.
    """
    if isinstance(units, bool) or not isinstance(units, int) or not 0 < units <= MAX_SUM_UNITS:
        raise ValueError(f"a transfer moves a whole number of base units above zero, not {units!r}")
    if debit == credit:
        raise ValueError(f"a transfer needs two accounts, not {debit} twice")
    if occurred_at.tzinfo is None:
        raise ValueError("a moment without a time zone has no place in the books")
    # In the order of their codes, so that two transfers that create the same accounts cannot wait for each other.
    accounts = {code: _account(code) for code in sorted((debit, credit))}
    wanted = {
        "kind": kind,
        "debit_id": accounts[debit].pk,
        "credit_id": accounts[credit].pk,
        "units": units,
        "currency": currency,
        "escrow_transaction_id": escrow_transaction_id,
    }
    status = LedgerTransfer.Status.PENDING if pending else LedgerTransfer.Status.POSTED
    transfer, created = LedgerTransfer.objects.get_or_create(
        key=key, defaults={**wanted, "status": status, "occurred_at": occurred_at}
    )
    if not created:
        differing = [name for name, value in wanted.items() if getattr(transfer, name) != value]
        if differing:
            raise TransferConflict(f"transfer {key} exists with another {', '.join(differing)}")
    return transfer


def post_pending(*, key: str, settled_at: datetime) -> LedgerTransfer:
    """The promised transfer became final. Idempotent: a POSTED one stays as it is. Raises TransferNotPending."""
    return _settle(key, LedgerTransfer.Status.POSTED, settled_at)


def void_pending(*, key: str, settled_at: datetime) -> LedgerTransfer:
    """The promised transfer will not happen. Idempotent: a VOIDED one stays as it is. Raises TransferNotPending."""
    return _settle(key, LedgerTransfer.Status.VOIDED, settled_at)


def _settle(key: str, status: LedgerTransfer.Status, settled_at: datetime) -> LedgerTransfer:
    with db_transaction.atomic():
        transfer = LedgerTransfer.objects.select_for_update().filter(key=key).first()
        if transfer is None:
            raise TransferNotPending(f"there is no transfer {key}")
        if transfer.status == status:
            return transfer
        if transfer.status != LedgerTransfer.Status.PENDING:
            raise TransferNotPending(f"transfer {key} is {transfer.status} already")
        transfer.status = status
        transfer.settled_at = settled_at
        transfer.save(update_fields=["status", "settled_at"])
        return transfer


def _account(code: str) -> Account:
    match = ACCOUNT_CODE.fullmatch(code)
    if match is None:
        raise ValueError(f"{code!r} is no account code; it reads kind:detail, like user:17")
    account, _ = Account.objects.get_or_create(code=code, defaults={"kind": match["kind"]})
    return account
