"""The embedded PostgreSQL, as real processes in throw-away folders."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from embedded import files, ports
from embedded.errors import EmbeddedError
from embedded.postgresql import server
from embedded.processes import wait_until_gone

BACKEND = Path(__file__).resolve().parents[2]


@pytest.fixture
def var(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "var"
    server.shut_down(tmp_path / "var")


def run_python(code: str, var: Path) -> str:
    """A program of its own, as each command of the guide is one."""
    environment = {"PATH": os.defpath, "ESCROW_VAR": str(var), "DJANGO_SETTINGS_MODULE": "backend.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=BACKEND, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip() + done.stderr.strip()


def kill(running: server.Server) -> None:
    running.mark.send(signal.SIGKILL)
    assert wait_until_gone([running.mark], seconds=5) == []


class TestFindingOrStarting:
    def test_many_at_once_start_one(self, var):
        code = (
            f"from embedded.postgresql.server import ensure_running; from pathlib import Path;"
            f"print(ensure_running(Path({str(var)!r}), throw_away=True).mark.pid)"
        )
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: run_python(code, var), range(4)))
        said = [answer for answer in answers if "started the embedded PostgreSQL" in answer]
        assert len({re.findall(r"^\d+", answer)[0] for answer in answers}) == 1, answers
        assert len(said) == 1, "the one that started it says so, in one line"

    def test_committed_data_survive_kill_9(self, var):
        first = server.ensure_running(var)
        with psycopg.connect(first.url) as connection:
            connection.execute("create table note (text text)")
            connection.execute("insert into note values ('still here')")
        kill(first)
        second = server.ensure_running(var)
        with psycopg.connect(second.url) as connection:
            assert connection.execute("select text from note").fetchall() == [("still here",)]

    def test_a_stranger_on_its_port_is_left_alone(self, var, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as stranger:
            monkeypatch.setattr(server, "PREFERRED_PORT", stranger.getsockname()[1])
            running = server.ensure_running(var, throw_away=True)
            assert running.port != stranger.getsockname()[1]
            assert ports.accepts(running.port)

    def test_the_password_is_asked_for(self, var):
        running = server.ensure_running(var, throw_away=True)
        wrong = running.url.replace(running.password, "wrong")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)

    def test_a_pid_file_that_names_a_stranger_does_not_keep_it_from_starting(self, var):
        running = server.ensure_running(var, throw_away=True)
        kill(running)
        stale = (var / "postgresql" / "postmaster.pid").read_text().splitlines()
        (var / "postgresql" / "postmaster.pid").write_text("\n".join([str(os.getppid()), *stale[1:]]) + "\n")
        assert server.ensure_running(var).mark != running.mark


class TestStartingNothing:
    def test_help_needs_no_database(self, var):
        run_python(
            "from django.core.management import call_command as c; import django; django.setup(); c('check')", var
        )
        assert not (var / "postgresql").exists()


class TestRoom:
    def test_a_full_disk_is_one_line_and_leaves_nothing(self, var, monkeypatch):
        monkeypatch.setattr(files, "NEEDED_BYTES", 1)
        with pytest.raises(EmbeddedError, match="no room in .* ESCROW_VAR") as complaint:
            files.check_room(var, needed_bytes=10**18)
        assert "\n" not in str(complaint.value)
        assert list(var.iterdir()) == []
