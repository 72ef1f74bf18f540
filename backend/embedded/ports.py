"""Ports of this machine: the usual one if it is free, else another."""

import contextlib
import errno
import socket

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


def accepts(port: int, *, host: str = HOST, seconds: float = 0.5) -> bool:
    """Somebody answers there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=seconds):
        return True
    return False
