"""Tasks that the outbox's own tests run in a real worker. Effects are rows without a unique key: a second run shows."""

import os
import signal
import time
from typing import Any

from celery import shared_task
from django.db import connection


def leave_effect(name: str) -> None:
    """Insert a row that counts one run."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO outbox_test_effect (name) VALUES (%s)", [name])


@shared_task
def note(name: str) -> str:
    leave_effect(name)
    return f"noted {name}"


@shared_task(atomic=True)
def note_slowly(name: str, seconds: float) -> str:
    leave_effect(name)
    time.sleep(seconds)
    return name


@shared_task(atomic=True)
def die_once(name: str) -> None:
    """Kill the process that runs it, the first time."""
    leave_effect(name)
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(attempts) FROM outbox_message WHERE kwargs->>'name' = %s", [name])
        (attempts,) = cursor.fetchone()
    if attempts == 1:
        os.kill(os.getpid(), signal.SIGKILL)


@shared_task(bind=True, atomic=True)
def lose_database_once(self: Any, name: str) -> None:
    """End its own database session, the first time."""
    leave_effect(name)
    with connection.cursor() as cursor:
        cursor.execute("SELECT losses FROM outbox_message WHERE task_id = %s", [self.request.id])
        if cursor.fetchone() == (0,):
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@shared_task
def die_always(name: str) -> None:
    leave_effect(name)
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(bind=True, max_retries=3)
def fail_twice(self: Any, name: str) -> int:
    leave_effect(name)
    if self.request.retries < 2:
        raise self.retry(exc=ValueError("not yet"), countdown=0.3 * 2**self.request.retries)
    return int(self.request.retries)


@shared_task(bind=True, max_retries=1, default_retry_delay=0.1)
def fail_always(self: Any, name: str) -> None:
    try:
        raise ValueError("never")
    except ValueError as error:
        raise self.retry(exc=error) from error


@shared_task
def refuse(name: str) -> None:
    raise LookupError(f"there is no {name}")


@shared_task(atomic=True)
def refuse_after_effect(name: str) -> None:
    leave_effect(name)
    raise LookupError(f"there is no {name}")


@shared_task
def add(left: int, right: int) -> int:
    return left + right


@shared_task
def say_failed(task_id: str) -> None:
    leave_effect(f"failed {task_id}")


@shared_task(time_limit=1)
def never_end(name: str) -> None:
    leave_effect(name)
    time.sleep(60)


@shared_task(durable=False)
def poke(name: str) -> None:
    leave_effect(name)
