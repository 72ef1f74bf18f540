"""Real servers and workers for tests: a Redis that can be killed, Celery workers as processes of their own.

Reusable by other rooms: `RedisServer`, `CeleryProcess`, `database_url()`.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import connection

BACKEND_DIR = Path(__file__).resolve().parents[2]


def wait_until(condition: Callable[[], Any], *, seconds: float = 15, what: str = "") -> Any:
    """Return the condition's first truthy value; fail if there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(0.02)


def free_port() -> int:
    """A TCP port that nobody holds right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database_url() -> str:
    """The address of the database that this test runs on, for processes of its own."""
    connection.ensure_connection()
    assert connection.connection is not None
    info = connection.connection.info
    login = quote(info.user, safe="") + (f":{quote(info.password, safe='')}" if info.password else "")
    return f"postgres://{login}@{quote(info.host, safe='')}:{info.port}/{info.dbname}"


class RedisServer:
    """A Redis without persistence: killing it loses everything, as the worst broker would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty, on its port."""
        binary = shutil.which("redis-server", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
        assert binary, "no redis-server: install the requirements, or Redis"
        command = [binary, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, what="redis-server answers")

    def answers(self) -> bool:
        """True if somebody listens on its port."""
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """kill -9: everything it knew is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class CeleryProcess:
    """`celery -A backend <arguments>` on this test's database and Redis, with a log."""

    def __init__(self, *arguments: str, log: Path, environment: dict[str, str]) -> None:
        self.log = log
        self._handle = log.open("ab")
        # The tests' own environment must not name other servers.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CELERY_", "OUTBOX_", "FLOWER_", "RPC_"))
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "backend", *arguments],
            cwd=BACKEND_DIR,
            env={**inherited, **environment},
            stdout=self._handle,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def text(self) -> str:
        """What it has logged so far."""
        return self.log.read_text(errors="replace")

    def wait_ready(self) -> None:
        """Until a worker takes tasks and its relay leads or stands by."""
        wait_until(lambda: " ready." in self.text(), seconds=40, what=f"worker ready; log:\n{self.text()[-3000:]}")

    def children(self) -> list[int]:
        """Process ids of its children, the pool's and the relay."""
        # Each thread has its own list: the relay is started again by the thread that keeps it.
        lists = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for children in lists for pid in children.read_text().split()]

    def relay(self) -> int | None:
        """Process id of its relay."""
        for pid in self.children():
            if b"relay_outbox" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def kill(self) -> None:
        """kill -9 the worker and every child of its pool at once; the relay is left to notice."""
        victims = [self.process.pid, *(pid for pid in self.children() if pid != self.relay())]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Warm shutdown. Returns the exit code; kills what does not end."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.kill()
        self._handle.close()
        return int(self.process.returncode)


def celery_environment(redis: RedisServer, **more: str) -> dict[str, str]:
    """What a process needs in order to work on this test's servers."""
    return {
        "DJANGO_SETTINGS_MODULE": "backend.settings",
        "DATABASE_URL": database_url(),
        "CELERY_BROKER_URL": redis.url,
        "CELERY_RESULT_BACKEND": redis.url,
        "SECRET_KEY": settings.SECRET_KEY,
        "OUTBOX_MAX_LOSSES": "3",
        "OUTBOX_LEASE_SECONDS": "2",
        "CELERY_SKIP_CHECKS": "1",
        "PYTHONUNBUFFERED": "1",
        **more,
    }
