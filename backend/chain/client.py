"""The way to the node: one configured chain, short time-outs, one clear sentence when it is not there."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import requests
from django.conf import settings
from web3 import HTTPProvider, Web3
from web3.exceptions import ContractLogicError, Web3RPCError
from web3.middleware import AttributeDictMiddleware
from web3.types import RPCEndpoint, RPCResponse

from transactions.errors import ChainUnavailable

CONNECT_SECONDS = 2
ANSWER_SECONDS = 15
DEVELOPMENT_CHAIN_ID = 31337


@dataclass(frozen=True)
class Chain:
    """A chain as configured. A log is final when `confirmations` blocks, its own included, hold it."""

    chain_id: int
    rpc_url: str
    confirmations: int


def configured_chains() -> list[Chain]:
    """The chains to follow: none without RPC_URL."""
    if not settings.RPC_URL:
        return []
    return [Chain(settings.CHAIN_ID, settings.RPC_URL, max(1, settings.CHAIN_CONFIRMATIONS))]


def chain_of(chain_id: int | None = None) -> Chain:
    """The configuration of one chain, or of the platform's own. Raises ChainUnavailable if there is none."""
    wanted = settings.CHAIN_ID if chain_id is None else chain_id
    for chain in configured_chains():
        if chain.chain_id == wanted:
            return chain
    if not settings.RPC_URL:
        raise ChainUnavailable("the chain is off: RPC_URL is not set", chain_id=wanted)
    raise ChainUnavailable(f"no node is configured for chain {wanted}", chain_id=wanted)


def connect(chain_id: int | None = None) -> Web3:
    """A client for the chain, after asking the node which chain it is on.

    Every call through it raises ChainUnavailable when the node does not answer; what the node answers with an error
    stays web3's own exception. Raises ChainUnavailable at once if no node is configured or it serves another chain.
    """
    chain = chain_of(chain_id)
    w3 = _client(chain.rpc_url)
    found = w3.eth.chain_id
    if found != chain.chain_id:
        raise ChainUnavailable(
            f"the node at {_without_secrets(chain.rpc_url)} is on chain {found}, not on {chain.chain_id}",
            chain_id=chain.chain_id,
            found=found,
        )
    return w3


def revert_reason(error: Exception) -> str:
    """The contract's own words from web3's exception: "escrow: caller is not the buyer"."""
    response = getattr(error, "rpc_response", None)
    stated = (response or {}).get("error")
    text = str(stated.get("message") if isinstance(stated, dict) else getattr(error, "message", None) or error).strip()
    for prefix in ("execution reverted:", "execution reverted", "revert:"):
        text = text.removeprefix(prefix).strip(" ,:")
    return text or "the contract refused the call without saying why"


def is_revert(error: Exception) -> bool:
    """Whether the node says that the contract refuses (for good), rather than that it cannot serve the request."""
    if isinstance(error, ContractLogicError):
        return True
    return isinstance(error, Web3RPCError) and "revert" in str(error).lower()


class _Provider(HTTPProvider):
    """Turns everything that can happen on the way to the node into ChainUnavailable."""

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        try:
            return super().make_request(method, params)
        except (requests.RequestException, ValueError) as error:  # ValueError: the answer is no JSON
            address = _without_secrets(str(self.endpoint_uri))
            # Not chained: the cause names the whole address, and tracebacks are logged.
            raise ChainUnavailable(f"no node answers at {address} ({_cause(error)})") from None


@lru_cache(maxsize=8)
def _client(rpc_url: str) -> Web3:
    # No retries: the callers are tasks that come again, and people who wait. No ENS, no proof-of-authority checks.
    kwargs: Mapping[str, Any] = {"timeout": (CONNECT_SECONDS, ANSWER_SECONDS)}
    provider = _Provider(rpc_url, request_kwargs=kwargs, exception_retry_configuration=None)
    return Web3(provider, middleware=[AttributeDictMiddleware])


# A child of a fork must not share the parent's open connections.
os.register_at_fork(after_in_child=_client.cache_clear)


def _without_secrets(rpc_url: str) -> str:
    """Scheme, host and port: paths, queries and user names of node services hold keys."""
    scheme, _, rest = rpc_url.partition("://")
    host = rest.split("/", 1)[0].split("?", 1)[0].rpartition("@")[2]
    return f"{scheme}://{host}"


def _cause(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "time-out"
    if isinstance(error, requests.ConnectionError):
        return "connection refused"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    return "not an answer a node gives"
