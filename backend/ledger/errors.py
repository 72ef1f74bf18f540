"""What can be wrong with an entry."""


class LedgerError(Exception):
    """An entry that cannot be made. `code` is stable."""

    code = "ledger_refused"


class TransferConflict(LedgerError):
    """The key is taken by a transfer with other contents: two facts were given one name."""

    code = "ledger_transfer_conflict"


class TransferNotPending(LedgerError):
    """Only a pending transfer can be posted or voided, and there is none under this key."""

    code = "ledger_transfer_not_pending"
