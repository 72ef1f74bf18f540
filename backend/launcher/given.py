"""Servers of one's own: whether the ones that the configuration names can be reached, asked before anything starts."""

import socket
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from embedded import chain
from launcher.errors import LauncherError

DEFAULT_PORTS = {
    "postgres": 5432,
    "postgresql": 5432,
    "psql": 5432,
    "pgsql": 5432,
    "redis": 6379,
    "rediss": 6379,
    "amqp": 5672,
    "smtp": 25,
    "smtps": 465,
    "smtp+tls": 587,
    "smtp+ssl": 465,
}
SECONDS = 5


def check(stated: Mapping[str, str]) -> None:
    """Raise LauncherError for the first server that is named but not there."""
    for variable in ("DATABASE_URL", "CELERY_BROKER_URL", "RPC_URL", "EMAIL_URL"):
        if address := stated.get(variable):
            complaint = problem(variable, address)
            if complaint:
                raise LauncherError(complaint)


def problem(variable: str, address: str) -> str:
    """What is wrong with a server, in one line without its password; empty if it answers."""
    try:
        parts = urlsplit(address)
        shown = _shown(parts)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return f"{variable} is not an address"
    if variable == "RPC_URL":
        return _problem_of_chain(address, parts, shown)
    if not parts.hostname or port is None:
        return ""  # a socket in the file system, a console: nothing to knock at
    try:
        socket.create_connection((parts.hostname, port), timeout=SECONDS).close()
    except OSError as error:
        return (
            f"{variable}: nobody answers at {shown} ({error.strerror or error}): start that server, or unset {variable}"
        )
    return ""


def _problem_of_chain(address: str, parts: SplitResult, shown: str) -> str:
    if parts.scheme not in ("http", "https"):
        return f"RPC_URL must begin with http:// or https://, not {parts.scheme or 'nothing'}"
    try:
        chain.call(address, "eth_chainId", seconds=SECONDS)
    except OSError as error:
        cause = getattr(error, "reason", error)
        reason = getattr(cause, "strerror", None) or cause
        return f"RPC_URL: no node answers at {shown} ({reason}): start it, or unset RPC_URL"
    except ValueError:
        return f"RPC_URL: what answers at {shown} is not an EVM node"
    return ""


def _shown(parts: SplitResult) -> str:
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"
