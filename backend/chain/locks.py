"""One at a time per chain, by session locks of PostgreSQL: held across small database transactions, dead with us."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

FOLLOWING = 0x45534301  # first half of the lock's number; the second half is the chain
DEPLOYING = 0x45534302


@contextmanager
def try_lock(purpose: int, chain_id: int) -> Iterator[bool]:
    """Whether this process is the one that may; it stays so until the block ends."""
    with _held("SELECT pg_try_advisory_lock(%s, %s)", purpose, chain_id) as is_mine:
        yield is_mine


@contextmanager
def wait_lock(purpose: int, chain_id: int) -> Iterator[None]:
    """Wait until this process is the only one."""
    with _held("SELECT pg_advisory_lock(%s, %s) IS NOT NULL", purpose, chain_id):
        yield


@contextmanager
def _held(statement: str, purpose: int, chain_id: int) -> Iterator[bool]:
    numbers = (purpose, chain_id % 2**31)  # both halves are signed 32-bit numbers
    with connection.cursor() as cursor:
        cursor.execute(statement, numbers)
        (is_mine,) = cursor.fetchone()
    try:
        yield is_mine
    finally:
        if is_mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", numbers)
