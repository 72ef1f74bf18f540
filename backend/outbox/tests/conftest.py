"""Fixtures with real processes: `redis_server`, `worker`, `start_celery`, and the table that counts effects."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from celery import current_app
from django.db import connection
from django.test import override_settings

from outbox.tests.processes import CeleryProcess, RedisServer, celery_environment

SAMPLE_TASKS = "outbox.tests.sample_tasks"


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of our own, which this process uses as broker and result backend as well."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    with point_at(server.url):
        yield server
    server.kill()


@contextmanager
def point_at(url: str) -> Iterator[None]:
    """Let the app of this process use another broker and result backend."""
    names = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
    # Celery itself prefers the environment to its configuration.
    with override_settings(**dict.fromkeys(names, url)), patch.dict(os.environ, dict.fromkeys(names, url)):
        _forget_connections()
        yield
    _forget_connections()


def _forget_connections() -> None:
    app = current_app._get_current_object()
    app._backend_cache = app._pool = app.amqp._producer_pool = None
    app._local.__dict__.pop("backend", None)


@pytest.fixture
def effects(transactional_db: None) -> Callable[[str], int]:
    """A function that counts the effects of a name: rows without a unique key, so a second run shows."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS outbox_test_effect (name text NOT NULL)")
        cursor.execute("TRUNCATE outbox_test_effect")

    def count(name: str) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM outbox_test_effect WHERE name = %s", [name])
            return int(cursor.fetchone()[0])

    return count


@pytest.fixture(scope="session")
def shared_worker(
    redis_server: RedisServer,
    django_db_setup: None,
    django_db_blocker: object,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CeleryProcess]:
    """One worker for the whole session; a test that kills a worker starts its own with `start_celery`."""
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        environment = celery_environment(redis_server)
    process = CeleryProcess(
        "worker",
        "--loglevel=info",
        "--concurrency=2",
        "--without-mingle",
        f"--include={SAMPLE_TASKS}",
        log=tmp_path_factory.mktemp("worker") / "worker.log",
        environment=environment,
    )
    try:
        process.wait_ready()
        yield process
    finally:
        process.stop()


@pytest.fixture
def worker(shared_worker: CeleryProcess, effects: object) -> CeleryProcess:
    """The session's worker, with clean tables."""
    return shared_worker


@pytest.fixture
def start_celery(redis_server: RedisServer, effects: object, tmp_path: Path) -> Iterator[Callable[..., CeleryProcess]]:
    """Start `celery -A backend <arguments>`; ended after the test whatever happens."""
    started: list[CeleryProcess] = []

    def start(*arguments: str, **environment: str) -> CeleryProcess:
        process = CeleryProcess(
            *arguments,
            log=tmp_path / f"celery-{len(started)}.log",
            environment=celery_environment(redis_server, **environment),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()
