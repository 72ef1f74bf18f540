"""The stack as real processes: what is left of it after every kind of end, and what the next start finds."""

import contextlib
import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from embedded import chain, configuration, ports
from embedded.postgresql import server as postgresql
from embedded.processes import ProcessMark
from launcher.supervision import leftovers

BACKEND = Path(__file__).resolve().parents[2]
ENTRY = BACKEND / "launcher" / "__main__.py"
# What the tests' own stack, or the person running them, has set.
SET_ELSEWHERE = (
    *("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "RPC_URL", "EMAIL_URL", "PUBLIC_URL", "FLOWER_URL"),
    *("DATABASE_URL", "ESCROW_STACK", "CELERY_TASK_ALWAYS_EAGER"),
)
ONLY_SERVERS = """
import sys, time
from launcher.stack import SERVERS, running_stack, say_on_stderr
with running_stack(SERVERS, say=say_on_stderr, throw_away=True):
    print("ready", flush=True)
    time.sleep(600)
"""


class Started:
    """An `./escrow` in the background."""

    def __init__(self, var: Path, *command: str, **environment: str) -> None:
        self.var = var
        self.output = var.parent / f"output-{time.monotonic_ns()}.txt"
        inherited = {name: value for name, value in os.environ.items() if name not in SET_ELSEWHERE}
        with self.output.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=BACKEND,
                env={**inherited, "ESCROW_VAR": str(var), **environment},
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for(self, words: str, seconds: float = 120) -> None:
        wait_until(lambda: words in self.text() or self.process.poll() is not None, seconds, self.text)
        assert words in self.text(), self.text()[-3000:]

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(90)


def wait_until(condition: Callable[[], bool], seconds: float = 30, explain: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {seconds} s: {explain()[-3000:]}"
        time.sleep(0.05)


def services(var: Path) -> dict[str, str]:
    return configuration.running_services(var)


def ports_in_use(var: Path) -> set[int]:
    numbers = {int(address.rpartition(":")[2].partition("/")[0]) for address in services(var).values()}
    return numbers | {json.loads((var / "run" / "postgresql.json").read_text())["port"]}


def nothing_is_left(var: Path) -> bool:
    return not leftovers(var) and postgresql.find(var) is None


@pytest.fixture
def var(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "var"
    yield folder
    subprocess.run(
        [sys.executable, str(ENTRY), "down"],
        env={**os.environ, "ESCROW_VAR": str(folder)},
        capture_output=True,
        check=True,
    )
    assert nothing_is_left(folder)


def only_servers(var: Path) -> Started:
    started = Started(var, "-c", ONLY_SERVERS)
    started.wait_for("ready")
    return started


class TestUp:
    def test_it_serves_beside_strangers_on_its_ports_and_leaves_nothing_after_ctrl_c(self, var):
        with contextlib.ExitStack() as strangers:
            held = set()
            for port in (5432, 6379, 8000, 8545, 5555, 1025):
                with contextlib.suppress(OSError):  # somebody is there already, and may leave while we look
                    strangers.enter_context(socket.create_server(("127.0.0.1", port)))
                    held.add(port)
            up = Started(var, str(ENTRY), "up")
            up.wait_for("Ctrl-C stops everything")
            used = ports_in_use(var)
            assert not used & held
            addresses = services(var)
            for page in (f"{addresses['PUBLIC_URL']}/admin/login/", f"{addresses['FLOWER_URL']}/healthcheck"):
                with urllib.request.urlopen(page, timeout=30) as answer:
                    assert answer.status == 200
            assert addresses["PUBLIC_URL"] in up.text()
            assert addresses["CELERY_BROKER_URL"].split("@")[0] not in up.text(), "passwords are not printed"
            assert up.end(signal.SIGINT) == 0
        assert nothing_is_left(var)
        assert [port for port in used if not ports.is_free(port)] == []


class TestCrashes:
    def test_after_kill_9_the_next_start_finds_its_data(self, var):
        first = only_servers(var)
        addresses = services(var)
        redis.Redis.from_url(addresses["CELERY_BROKER_URL"]).set("kept", "yes")
        server = postgresql.find(var)
        assert server is not None
        with psycopg.connect(server.url) as connection:
            connection.execute("create table note (text text)")
        block = chain.call(addresses["RPC_URL"], "eth_blockNumber")
        with smtplib.SMTP(addresses["EMAIL_URL"].removeprefix("smtp://")) as mail:
            mail.sendmail("bea@example.org", ["sol@example.org"], "Subject: hello\r\n\r\nhello")
        time.sleep(1.5)  # Redis and the node write once a second
        first.end(signal.SIGKILL)
        wait_until(lambda: not services(var))  # what it had started goes with it

        second = only_servers(var)
        addresses = services(var)
        assert redis.Redis.from_url(addresses["CELERY_BROKER_URL"]).get("kept") == b"yes"
        server = postgresql.find(var)
        assert server is not None
        with psycopg.connect(server.url) as connection:
            assert connection.execute("select count(*) from note").fetchone() == (0,)
        assert int(str(chain.call(addresses["RPC_URL"], "eth_blockNumber")), 16) >= int(str(block), 16)
        assert len(list((var / "mailbox" / "new").iterdir())) == 1
        second.end(signal.SIGTERM)

    def test_the_database_of_a_killed_stack_ends_with_the_next_one(self, var):
        only_servers(var).end(signal.SIGKILL)
        assert postgresql.find(var) is not None
        only_servers(var).end(signal.SIGINT)
        assert nothing_is_left(var)

    def test_a_killed_supervisor_takes_its_parts_along(self, var):
        started = only_servers(var)
        supervisor = ProcessMark.from_json(json.loads((var / "run" / "services.json").read_text())["supervisor"])
        assert supervisor is not None
        supervisor.send(signal.SIGKILL)
        wait_until(lambda: not leftovers(var))
        assert services(var) == {}, "and nobody believes its addresses"
        started.end(signal.SIGINT)
        assert nothing_is_left(var)

    def test_a_killed_part_is_started_again(self, var):
        started = only_servers(var)
        address = services(var)["CELERY_BROKER_URL"]
        with contextlib.suppress(redis.ConnectionError):
            redis.Redis.from_url(address).execute_command("DEBUG", "SEGFAULT")

        def answers() -> bool:
            with contextlib.suppress(redis.RedisError):
                return bool(redis.Redis.from_url(address).ping())
            return False

        wait_until(answers)
        started.end(signal.SIGTERM)


class TestSharing:
    def test_a_command_uses_what_runs_and_leaves_it_running(self, var):
        started = only_servers(var)
        code = "from launcher.stack import running_stack\nwith running_stack(['redis']) as s: print(s.started_here)"
        second = Started(var, "-c", code)
        assert second.process.wait(30) == 0
        assert second.text().strip() == "False"
        assert services(var)
        started.end(signal.SIGTERM)

    def test_a_second_up_says_who_is_there(self, var):
        started = only_servers(var)
        second = Started(var, str(ENTRY), "up")
        assert second.process.wait(30) == 1
        assert f"already running here (process {started.process.pid})" in second.text()
        started.end(signal.SIGTERM)


class TestMistakes:
    @pytest.mark.parametrize(
        ("name", "value", "complaint"),
        [
            ("RPC_URL", "http://127.0.0.1:1", "RPC_URL: no node answers at http://127.0.0.1:1"),
            ("DATABASE_URL", "postgresql://bea:hunter2@127.0.0.1:1/x", "DATABASE_URL: nobody answers at"),
            ("CELERY_BROKER_URL", "redis://:hunter2@127.0.0.1:1/0", "CELERY_BROKER_URL: nobody answers at"),
        ],
    )
    def test_a_server_that_is_not_there_is_one_line_and_nothing_starts(self, var, name, value, complaint):
        up = Started(var, str(ENTRY), "up", **{name: value})
        assert up.process.wait(30) == 1
        assert complaint in up.text()
        assert len(up.text().splitlines()) == 1
        assert "hunter2" not in up.text()
        assert not (var / "postgresql").exists()

    @pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
    def test_a_full_disk_is_one_line_and_leaves_nothing(self, tmp_path):
        disk = tmp_path / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)], check=False).returncode:
            pytest.skip("this machine mounts nothing")
        try:
            up = Started(disk / "var", str(ENTRY), "up")
            assert up.process.wait(30) == 1
            assert "no room in" in up.text()
            assert len(up.text().splitlines()) == 1
            assert list((disk / "var").iterdir()) == []
        finally:
            subprocess.run(["umount", str(disk)], check=True)
