"""Ports of this machine: the usual one if it is free, else another."""

import contextlib
import errno
import socket
from dataclasses import dataclass

from embedded.processes import LINUX

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Nobody listens here, neither on IPv4 nor (where `localhost` may lead) on IPv6."""
    for family, address in ((socket.AF_INET, HOST), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            if family == socket.AF_INET or error.errno == errno.EADDRINUSE:
                return False
    return True


def choose(preferred: int = 0, *, avoid: frozenset[int] | set[int] = frozenset()) -> int:
    """`preferred` if it is free, else one that the system gives."""
    if preferred and preferred not in avoid and is_free(preferred):
        return preferred
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port: int = probe.getsockname()[1]
        if port not in avoid and is_free(port):
            return port


@dataclass
class Reservation:
    """A port that no other `./escrow` on this machine chooses until `close`, or until this process ends.

    Between the choice and the moment when a server listens there are seconds. Most servers would then fail; two
    granians would not: they share a port (SO_REUSEPORT), and each would get half of the other's requests.
    """

    port: int
    _socket: socket.socket | None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


def reserve(preferred: int = 0, *, avoid: frozenset[int] | set[int] = frozenset()) -> Reservation:
    """Choose a port as `choose` does, and keep it from others of our kind (Linux; elsewhere it is only chosen)."""
    refused = set(avoid)
    while True:
        port = choose(preferred, avoid=refused)
        if not LINUX:
            return Reservation(port, None)
        # A name in the kernel, which lives in the same network namespace as the ports do and dies with its owner.
        sign = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sign.bind(f"\0escrow-port-{port}")
        except OSError:
            sign.close()
            refused.add(port)
            continue
        if is_free(port):  # it was reserved, used and given back since we looked
            return Reservation(port, sign)
        sign.close()
        refused.add(port)


def accepts(port: int, *, host: str = HOST, seconds: float = 0.5) -> bool:
    """Somebody answers there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=seconds):
        return True
    return False
