"""`./escrow guide`: run every command of the Celery guide as it is written, one after the other, one line each.

Works against whatever servers the configuration names: those of a running `./escrow up`, servers of your own, or,
when nothing runs, a stack that it starts and stops again.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from launcher.errors import LauncherError
from launcher.places import BACKEND
from launcher.stack import running_stack, say_on_stderr

BIN = BACKEND / "venv" / "bin"
PATIENCE = 60  # seconds that a command may take to do what it says


class Failed(Exception):
    """A command did not do what the guide says; the text says what it did instead."""


@dataclass
class Process:
    """A running command of the guide and what it printed so far."""

    process: subprocess.Popen[bytes]
    output: Path

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while words not in self.text():
            if self.process.poll() is not None:
                raise Failed(f"exited with {self.process.returncode}: {last_line(self.text())}")
            if time.monotonic() > deadline:
                raise Failed(f"did not print {words!r} in {PATIENCE} s; last: {last_line(self.text())}")
            time.sleep(0.1)


@dataclass
class Guide:
    """Runs the guide's commands from `backend/` with the environment active, as its reader would."""

    environment: dict[str, str]
    folder: Path
    failures: list[str] = field(default_factory=list)

    def step(self, title: str, action: Callable[[], str]) -> None:
        started = time.monotonic()
        try:
            answer, mark = action(), "ok  "
        except (Failed, subprocess.TimeoutExpired, OSError) as error:
            answer, mark = str(error), "FAIL"
            self.failures.append(title)
        print(f"{mark} {time.monotonic() - started:6.1f} s  {title}: {answer}", flush=True)

    def run(self, *command: str, environment: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            command,
            cwd=BACKEND,
            env={**self.environment, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=5 * PATIENCE,
        )
        text = done.stdout.decode(errors="replace")
        if done.returncode:
            raise Failed(f"exit {done.returncode}: {last_line(text)}")
        return text

    @contextlib.contextmanager
    def running(self, *command: str, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
        output = self.folder / f"{time.monotonic_ns()}.log"
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command,
                cwd=BACKEND,
                env={**self.environment, **(environment or {})},
                stdout=sink,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            yield Process(process, output)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def shell(self, code: str, environment: Mapping[str, str] | None = None) -> str:
        """What a reader types into `python manage.py shell`; returns the last line printed."""
        return last_line(self.run("python", "manage.py", "shell", "-v", "0", "-c", code, environment=environment))


def last_line(text: str) -> str:
    """The last line that is not blank, or a word saying that there was none."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "(nothing printed)"


SEND = """
from users.tasks import send_email_notification
result = send_email_notification.delay(
    subject='Welcome!', message='Thank you for registering.', recipient_list=['user@example.com'])
from celery.result import AsyncResult
import time
result = AsyncResult(result.id)
deadline = time.monotonic() + 45
while result.status not in ('SUCCESS', 'FAILURE') and time.monotonic() < deadline:
    time.sleep(0.1)
print(f'Status: {result.status}, Result: {result.result}')
"""

EAGER = """
from users.tasks import send_email_notification
result = send_email_notification.delay(
    subject='Welcome!', message='Thank you for registering.', recipient_list=['user@example.com'])
print(f'Status: {result.status}, Result: {result.result}')
"""

DIRECT = """
from users.tasks import send_email_notification
print(send_email_notification(
    subject='Welcome!', message='Thank you for registering.', recipient_list=['user@example.com']))
"""

UNKNOWN = """
from users.tasks import send_transaction_notification, send_verification_notification
for call in (lambda: send_transaction_notification(transaction_id=999999999, notification_type='funded'),
             lambda: send_transaction_notification(transaction_id=999999999, notification_type='no such type'),
             lambda: send_verification_notification(user_id=999999999, verification_status='VERIFIED')):
    try:
        call()
    except Exception as error:
        print(type(error).__name__, '-', error)
    else:
        raise SystemExit('a silent success')
"""

SCHEDULES = """
from django_celery_beat.models import PeriodicTask
for name in ('send_daily_transaction_summary', 'cleanup_old_pending_transactions', 'check_overdue_milestones'):
    task = PeriodicTask.objects.get(task=f'backend.scheduled_tasks.{name}')
    print(name, task.crontab.hour, task.crontab.minute, task.crontab.day_of_week, end='; ')
"""


def worker(guide: Guide, *options: str, ready: str = "ready.") -> str:
    """Start the guide's worker, let it carry out one task, stop it."""
    with guide.running("celery", "-A", "backend", "worker", "--loglevel=info", *options) as process:
        process.wait_for(ready)
        answer = guide.shell(SEND)
        if "SUCCESS" not in answer:
            raise Failed(f"the task did not succeed: {answer}")
        return answer


def detached_worker(guide: Guide) -> str:
    """The worker with --detach and --logfile: it goes to the background and writes its log there."""
    log, pid = guide.folder / "worker.log", guide.folder / "worker.pid"
    guide.run(
        "celery", "-A", "backend", "worker", "--loglevel=info", "--detach", f"--logfile={log}", f"--pidfile={pid}"
    )
    deadline = time.monotonic() + PATIENCE
    while not (log.exists() and "ready." in log.read_text(errors="replace")):
        if time.monotonic() > deadline:
            raise Failed("the detached worker did not say that it is ready")
        time.sleep(0.1)
    try:
        answer = guide.shell(SEND)
    finally:
        number = int(pid.read_text())
        os.kill(number, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while Path(f"/proc/{number}").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
    if "SUCCESS" not in answer:
        raise Failed(f"the task did not succeed: {answer}")
    return f"log written to a file; {answer}"


def beat(guide: Guide) -> str:
    """Beat without a flag uses the database schedule, with the guide's three entries in it."""
    with guide.running("celery", "-A", "backend", "beat", "--loglevel=info") as process:
        process.wait_for("beat: Starting")
        time.sleep(3)
        if process.process.poll() is not None:
            raise Failed(f"beat exited: {last_line(process.text())}")
        return guide.shell(SCHEDULES)


def flower(guide: Guide, port: int) -> str:
    """Flower answers in a browser."""
    command = ["celery", "-A", "backend", "flower", *([] if port == 5555 else [f"--port={port}"])]
    with guide.running(*command) as process:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"http://localhost:{port}/healthcheck", timeout=5) as answer:
                    return f"http://localhost:{port} answers {answer.status}"
            except OSError as error:
                if process.process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"{error}; last: {last_line(process.text())}") from error
                time.sleep(0.2)


def redis_ping(guide: Guide) -> str:
    """`redis-cli ping`, with the address that the platform uses."""
    url = urlsplit(guide.shell("from django.conf import settings; print(settings.CELERY_BROKER_URL)"))
    answer = last_line(
        guide.run(
            *("redis-cli", "-h", url.hostname or "localhost", "-p", str(url.port or 6379), "ping"),
            environment={"REDISCLI_AUTH": unquote(url.password)} if url.password else None,
        )
    )
    if answer != "PONG":
        raise Failed(answer)
    return answer


def run(arguments: list[str]) -> int:
    """Run the guide; 0 if every command did what it says. `--port N` for Flower where 5555 is taken."""
    port = int(arguments[arguments.index("--port") + 1]) if "--port" in arguments else free_flower_port()
    with running_stack(("redis", "mail"), say=say_on_stderr) as stack, tempfile.TemporaryDirectory() as folder:
        environment = {
            **stack.process_environment(),
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
            "VIRTUAL_ENV": str(BACKEND / "venv"),
        }
        guide = Guide(environment, Path(folder))
        no_redis = {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0", "CELERY_RESULT_BACKEND": "redis://127.0.0.1:1/0"}
        guide.step(
            "pip install -r requirements.txt", lambda: last_line(guide.run("pip", "install", "-r", "requirements.txt"))
        )
        guide.step("python manage.py migrate", lambda: last_line(guide.run("python", "manage.py", "migrate")))
        guide.step("redis-cli ping", lambda: redis_ping(guide))
        guide.step("send_email_notification(...), called directly", lambda: guide.shell(DIRECT))
        guide.step("celery -A backend worker --loglevel=info", lambda: worker(guide))
        guide.step("celery -A backend worker --loglevel=info --pool=solo", lambda: worker(guide, "--pool=solo"))
        guide.step("celery -A backend worker --beat --loglevel=info", lambda: worker(guide, "--beat"))
        guide.step("celery -A backend worker --detach --logfile=...", lambda: detached_worker(guide))
        guide.step("celery -A backend beat --loglevel=info", lambda: beat(guide))
        guide.step("celery -A backend flower", lambda: flower(guide, port))
        guide.step("unknown id or type", lambda: guide.shell(UNKNOWN))
        guide.step(
            "python manage.py test users.test_tasks backend.test_scheduled_tasks, without Redis",
            lambda: last_line(
                guide.run(
                    "python",
                    "manage.py",
                    "test",
                    "users.test_tasks",
                    "backend.test_scheduled_tasks",
                    environment=no_redis,
                )
            ),
        )
        guide.step(
            "CELERY_TASK_ALWAYS_EAGER=True, without Redis",
            lambda: guide.shell(EAGER, {**no_redis, "CELERY_TASK_ALWAYS_EAGER": "True"}),
        )
        guide.step(
            "CELERY_TASK_TIME_LIMIT = 60 * 60",
            lambda: guide.shell(
                "from backend.celery import app; c = app.conf;"
                "print('limit', c.task_time_limit, 's, visibility timeout',"
                " c.broker_transport_options['visibility_timeout'], 's')",
                {"CELERY_TASK_TIME_LIMIT": "3600"},
            ),
        )
    total = "every command of the guide works" if not guide.failures else f"{len(guide.failures)} did not work"
    print(total, file=sys.stderr if guide.failures else sys.stdout)
    return 1 if guide.failures else 0


def free_flower_port() -> int:
    """5555, the guide's, or the next port that nobody holds."""
    for port in range(5555, 5655):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise LauncherError("no free port between 5555 and 5654 for Flower: name one with --port N")
