"""What can be wrong between us and the chain. Without a chain everything else on the platform goes on."""

from transactions.errors import ChainUnavailable, DomainError


class RelayerUnavailable(ChainUnavailable):
    """There is no key to send with, or its account cannot pay for gas."""

    code = "relayer_unavailable"


class CallReverted(DomainError):
    """The contract would refuse this call. The message is the contract's own reason."""

    code = "call_reverted"


class NothingToSend(DomainError):
    """The intent cannot be turned into a vault call: what it refers to is missing."""

    code = "nothing_to_send"


class SandboxRefused(DomainError):
    """Keys held by the platform exist on a development chain only."""

    code = "sandbox_refused"


class DeploymentRefused(DomainError):
    """A contract or token is not what it has to be."""

    code = "deployment_refused"


class ChainRewritten(Exception):
    """The node's chain contradicts what was already final here: deeper than any reorganisation we allow for.

    Not a DomainError: nobody's request is wrong. Following stops until an operator has looked.
    """
