"""What can be wrong with a request, each with a stable code and named data. Only `api.problems` knows HTTP."""

from common.errors import DomainError as DomainError  # the base of this page's errors, importable from here too
from common.errors import NotFound as NotFound


class UnknownTransaction(NotFound):
    code = "unknown_transaction"


class ActionNotAllowed(DomainError):
    """The rules do not let this actor do this now. `data` carries `rule` (the refusal's code) and `allowed`."""

    code = "action_not_allowed"


class NotAParty(DomainError):
    """The actor has no role in this transaction."""

    code = "not_a_party"


class InvalidTerms(DomainError):
    """The agreement cannot be proposed as it is. `data["field"]` names what to change."""

    code = "invalid_terms"


class WalletMissing(DomainError):
    """A party has no wallet yet, so the terms cannot name where money goes."""

    code = "wallet_missing"


class SignatureMismatch(DomainError):
    """The signature is not the expected signer's, or not over the message that the terms give."""

    code = "signature_mismatch"


class SignatureExpired(DomainError):
    code = "signature_expired"


class ActionPending(DomainError):
    """The same action was requested before and waits for the chain."""

    code = "action_pending"


class ChainUnavailable(DomainError):
    """No chain is configured or it cannot be reached."""

    code = "chain_unavailable"
