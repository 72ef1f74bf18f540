"""Session advisory locks: who runs a row, which relay leads. They end with their process, however it ends.

They need a connection of their own to PostgreSQL itself, not through a pooler in transaction mode.
"""

import os
import threading
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import InterfaceError, OperationalError

RUNNING_ROW = 0x0B0C  # first half of the lock's number; the second half is the row's id
RELAY_LEADER = 0x0B0D
DATABASE_GONE = (OperationalError, InterfaceError)

_here = threading.local()


def row_lock_number(row_id: int) -> int:
    """The second half of a row's lock: advisory locks with two halves are 32 bits each."""
    return row_id & 0x7FFFFFFF


def own_connection() -> BaseDatabaseWrapper:
    """This thread's connection for locks: apart from the one that tasks use, in autocommit, opened on first use.

    A forked child opens its own: a lock belongs to a session, and two processes on one session would share it.
    """
    wrapper = getattr(_here, "wrapper", None)
    if wrapper is None or _here.pid != os.getpid():
        wrapper = connections.create_connection(DEFAULT_DB_ALIAS)
        _here.wrapper, _here.pid = wrapper, os.getpid()
    if wrapper.connection is None:
        with wrapper.cursor() as cursor:
            # So that the server soon sees that a host is gone, and frees what its workers held.
            cursor.execute(
                "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
            )
    return wrapper


def drop_own_connection() -> None:
    """Close this thread's connection for locks; whatever it held is free."""
    wrapper = getattr(_here, "wrapper", None)
    if wrapper is not None and _here.pid == os.getpid():
        try:
            wrapper.close()
        except DATABASE_GONE:
            wrapper.connection = None
    _here.wrapper = None


def fetch(sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Run one statement on the connection for locks and return its rows; a connection that died is replaced once.

    Only for statements that may run twice. Raises OperationalError or InterfaceError if the database is away.
    """
    for last_chance in (False, True):
        try:
            with own_connection().cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        except DATABASE_GONE:
            drop_own_connection()
            if last_chance:
                raise
    raise AssertionError("not reached")


def try_lock_row(row_id: int) -> bool:
    """Take the lock of a row for as long as this process lives or until `unlock_row`; False if another run holds it."""
    return bool(fetch("SELECT pg_try_advisory_lock(%s, %s)", (RUNNING_ROW, row_lock_number(row_id)))[0][0])


def unlock_row(row_id: int) -> None:
    """Give the lock of a row back. If that cannot be said to the server, the connection goes, and the lock with it."""
    try:
        with own_connection().cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", (RUNNING_ROW, row_lock_number(row_id)))
    except DATABASE_GONE:
        drop_own_connection()
