"""The vault call that an intent stands for: its own arguments, the agreed terms, and who signed what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eth_utils.address import is_address, to_checksum_address

from chain import bindings
from chain.errors import NothingToSend
from common.clock import to_epoch
from transactions import terms
from transactions.models import ActionIntent, Terms, TermsSignature
from transactions.rules import Action


@dataclass(frozen=True)
class VaultCall:
    """A function of the vault and its arguments in the ABI's order."""

    function: str
    arguments: tuple[Any, ...]

    @property
    def data(self) -> str:
        """The call data, 0x-hex."""
        return bindings.encode_call(bindings.VAULT, self.function, self.arguments)


def vault_call(intent: ActionIntent) -> VaultCall:
    """The call for an intent. Raises NothingToSend if the terms or the seller's signature are missing."""
    version = (
        Terms.objects.filter(transaction=intent.transaction_id, escrow_id=intent.transaction.escrow_id)
        .order_by("-version")
        .first()
    )
    if version is None:
        raise NothingToSend("the transaction has no agreed terms", intent_id=intent.pk)
    action = Action(intent.action)
    if action is Action.FUND:
        return _funding(intent, version)
    if action not in _CALLS:
        raise NothingToSend(f"{action} is not an action of the vault", intent_id=intent.pk)
    function, arguments = _CALLS[action]
    return VaultCall(function, (_struct(version), *arguments(_Values(intent.parameters)), *_authority(intent)))


class _Values:
    """An intent's parameters by name: integers are kept as decimal text, hashes and addresses as 0x-hex."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = parameters

    def number(self, name: str) -> int:
        return int(self._parameters[name])

    def text(self, name: str) -> str:
        return self._parameters[name]


def _one(values: _Values) -> tuple[Any, ...]:
    return (values.number("milestone"),)


def _set(values: _Values) -> tuple[Any, ...]:
    return (values.number("milestones"),)


_CALLS: Mapping[Action, tuple[str, Callable[[_Values], tuple[Any, ...]]]] = {
    Action.SUBMIT: ("submit", lambda v: (*_one(v), v.number("round"), v.text("deliverable"))),
    Action.APPROVE: ("release", _set),
    Action.REQUEST_CHANGES: ("request_changes", lambda v: (*_one(v), v.number("round"), v.text("reason"))),
    Action.CLAIM: ("claim", _one),
    Action.EXTEND: ("extend", lambda v: (*_one(v), v.number("round"), v.number("until"))),
    Action.RECLAIM: ("reclaim", _one),
    Action.REFUND: ("refund", _set),
    Action.DISPUTE: ("dispute", lambda v: (*_one(v), v.number("round"), v.text("reason"), v.text("party"))),
    Action.RESOLVE: ("resolve", lambda v: (*_one(v), v.number("seller_amount"), v.text("reason"))),
    Action.TIME_OUT: ("time_out", _one),
}
# Anyone may ask for these; the vault takes no signature with them.
_UNSIGNED = frozenset({Action.CLAIM, Action.TIME_OUT})


def _struct(version: Terms) -> dict[str, Any]:
    """The terms as agreed, addresses in the one spelling that the encoder takes."""
    struct = terms.struct_from_json(version.struct)
    return {name: to_checksum_address(value) if is_address(value) else value for name, value in struct.items()}


def _authority(intent: ActionIntent) -> tuple[Any, ...]:
    """`deadline` and `signature`. A reclaim that the clock asks for has none: then the sender is anyone."""
    if Action(intent.action) in _UNSIGNED:
        return ()
    if not intent.signature or intent.deadline_at is None:
        return (0, "0x")
    return (to_epoch(intent.deadline_at), intent.signature)


def _funding(intent: ActionIntent, version: Terms) -> VaultCall:
    """EIP-3009: the buyer's one signature moves the money; the seller's says that he agreed to these terms."""
    accepted = TermsSignature.objects.filter(terms=version, role="SELLER").first()
    if accepted is None:
        raise NothingToSend("the seller has not signed these terms", intent_id=intent.pk)
    values = _Values(intent.parameters)
    arguments = (
        _struct(version),
        values.number("milestones"),
        to_epoch(accepted.deadline_at),
        accepted.signature,
        0,
        values.number("valid_before"),
        intent.signature,
    )
    return VaultCall("fund_with_authorization", arguments)
