"""The whole platform as processes: what to start, in which order, when it is ready, and how it ends.

`running_stack()` is the door for commands that need it for a while: it uses what runs, starts what does not, and
stops only what it started.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from embedded import chain, chain_program, configuration, files, mail, ports, redis
from embedded.errors import EmbeddedError
from embedded.postgresql import server as postgresql
from embedded.processes import ProcessMark
from launcher import given
from launcher.errors import LauncherError
from launcher.places import BACKEND, CONTRACTS, PYTHON, REPOSITORY, TOOLS, var
from launcher.supervision import TETHER, Part, Supervisor, clean_up, leftovers, log_of

SERVERS = ("redis", "chain", "mail")
PROGRAMS = ("web", "worker", "beat", "flower")
ALL_PARTS = SERVERS + PROGRAMS
READY_SECONDS = 90.0
POLL_SECONDS = 0.05
WEB_PORT, FLOWER_PORT = 8000, 5555
# The variable that names a server, and the part that stands in for it.
SERVER_OF_VARIABLE = {"CELERY_BROKER_URL": "redis", "RPC_URL": "chain", "EMAIL_URL": "mail"}
Say = Callable[[str], None]


def quiet(text: str) -> None:
    """For a command that has its own voice."""


@dataclass
class Stack:
    """A running platform. `environment`: what the embedded servers add to the configuration, passwords included."""

    var: Path
    parts: tuple[str, ...]
    environment: dict[str, str]
    started_here: bool
    supervisor: Supervisor | None = field(default=None, repr=False)
    web_port: int | None = None  # only known where the stack was started

    @property
    def public_url(self) -> str:
        return self.environment.get("PUBLIC_URL") or configuration.stated(REPOSITORY).get(
            "PUBLIC_URL", f"http://localhost:{WEB_PORT}"
        )

    def process_environment(self) -> dict[str, str]:
        """For a child process that is to use this stack."""
        return {**os.environ, **self.environment, "ESCROW_VAR": str(self.var)}


@contextlib.contextmanager
def running_stack(
    parts: Collection[str] | None = None, *, say: Say = quiet, throw_away: bool = False
) -> Iterator[Stack]:
    """Have these parts running (all of them without an argument); stops what it had to start.

    `throw_away`: a database without durability, for tests. Raises LauncherError or EmbeddedError with one line.
    """
    wanted = tuple(part for part in ALL_PARTS if parts is None or part in parts)
    if found := attach(wanted):
        yield found
        return
    launch = Launch(var(), wanted, say=say, throw_away=throw_away)
    with launch.running() as stack:
        yield stack


def attach(wanted: Collection[str]) -> Stack | None:
    """The stack that another command keeps running, or None. Raises LauncherError if it lacks a wanted part."""
    folder = var()
    up = ProcessMark.from_json(files.read_json(folder / "run" / "up.json"))
    deadline = time.monotonic() + READY_SECONDS
    while up and up.lives() and time.monotonic() < deadline:
        data = files.read_json(configuration.services_file(folder))
        if data.get("ready") and (environment := configuration.running_services(folder)):
            offered = tuple(data.get("parts", ()))
            lacking = [part for part in wanted if part not in (*offered, *_given_servers())]
            if lacking:
                raise LauncherError(
                    f"another ./escrow command is running here without {', '.join(lacking)}: "
                    "wait for its end, or `./escrow down`"
                )
            return Stack(folder, offered, environment, started_here=False)
        time.sleep(POLL_SECONDS)
    return None


def _given_servers() -> set[str]:
    """Parts that are not started because their variable is set."""
    stated = configuration.stated(REPOSITORY)
    return {part for variable, part in SERVER_OF_VARIABLE.items() if variable in stated}


class Launch:
    """One start of a stack, and its end."""

    def __init__(self, folder: Path, wanted: Collection[str], *, say: Say, throw_away: bool) -> None:
        self.var = folder
        self.stated = configuration.stated(REPOSITORY)
        self.env = configuration.Env(self.stated)
        self.parts = tuple(part for part in wanted if part not in _given_servers())
        self.say, self.throw_away = say, throw_away
        self.me = ProcessMark.of(os.getpid())
        self.ports: dict[str, int] = {}
        self.reservations: list[ports.Reservation] = []
        self.environment: dict[str, str] = {}
        self.supervisor: Supervisor | None = None
        self.database: postgresql.Server | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[Stack]:
        """Start, hand out, stop. The lock keeps a second `./escrow` out of the same folder, and dies with us."""
        files.check_room(self.var)
        given.check(self.stated)
        (self.var / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(files.lock_file(self.var / "run" / "up.lock", seconds=20))
            except EmbeddedError:
                raise LauncherError(f"another ./escrow command is using {self.var}: `./escrow down` stops it") from None
            self._recover()
            try:
                yield self._start()
            finally:
                self._stop()

    # --- start -------------------------------------------------------------------------------------------------------
    def _recover(self) -> None:
        """After a `kill -9`: end what is left of the last stack, and take over its database server."""
        configuration.services_file(self.var).unlink(missing_ok=True)
        if count := clean_up(self.var) if leftovers(self.var) else 0:
            self.say(f"stopped {count} processes that a crash had left")
        owner = postgresql.owner_of(self.var)
        if self.me and owner and not owner.lives() and postgresql.find(self.var):
            postgresql.change_owner(self.var, self.me)

    def _start(self) -> Stack:
        assert self.me is not None  # we live
        (self.var / "static").mkdir(exist_ok=True)  # whitenoise warns where it is missing
        files.write_whole(self.var / "run" / "up.json", json.dumps(self.me.as_json()))
        program = chain_program.install(TOOLS, say=self.say) if "chain" in self.parts else None
        self._choose_ports()
        environment = {
            **os.environ,
            **self.environment,
            "ESCROW_VAR": str(self.var),
            "DJANGO_SETTINGS_MODULE": "backend.settings",
            "PYTHONUNBUFFERED": "1",
        }
        self.supervisor = Supervisor(self.var, self._commands(program), environment=environment)
        servers = [part for part in self.parts if part in SERVERS]
        programs = [part for part in self.parts if part in PROGRAMS]
        embedded = [*([] if self.stated.get("DATABASE_URL") else ["postgresql"]), *servers]
        if embedded:
            self.say(f"starting {', '.join(embedded)}")
        with _Background(self._start_database) as database:
            self.supervisor.start()
            self.supervisor.start_parts(servers)
            for part in servers:
                self._wait_for(part, lambda part=part: ports.accepts(self.ports[part]))  # type: ignore[misc]
            database.result()
        self._write_services(ready=False)
        if programs:
            if not self._was_prepared():
                self._prepare(environment)
            offsets = {part: _size(log_of(self.var, part)) for part in programs}
            self.say(f"starting {', '.join(programs)}")
            self.supervisor.start_parts(programs)
            for part in programs:
                self._wait_for(part, lambda part=part: self._is_ready(part, offsets[part]))  # type: ignore[misc]
        self._write_services(ready=True)
        return Stack(
            self.var,
            self.parts,
            self.environment,
            started_here=True,
            supervisor=self.supervisor,
            web_port=self.ports.get("web"),
        )

    def _choose_ports(self) -> None:
        preferred = {
            "redis": redis.PREFERRED_PORT,
            "chain": chain.PREFERRED_PORT,
            "mail": mail.PREFERRED_PORT,
            "web": urlsplit(self.env.str("PUBLIC_URL", default="")).port or WEB_PORT,
            "flower": FLOWER_PORT,
        }
        for part in self.parts:
            if part in preferred:
                reservation = ports.reserve(preferred[part])
                self.reservations.append(reservation)
                self.ports[part] = reservation.port
        if "redis" in self.ports:
            address = redis.url(self.var, port=self.ports["redis"])
            self.environment["CELERY_BROKER_URL"] = address
            if "CELERY_RESULT_BACKEND" not in self.stated:
                self.environment["CELERY_RESULT_BACKEND"] = address
        if "chain" in self.ports:
            self.environment["RPC_URL"] = chain.url(port=self.ports["chain"])
        if "mail" in self.ports:
            self.environment["EMAIL_URL"] = mail.url(port=self.ports["mail"])
        if "web" in self.ports and "PUBLIC_URL" not in self.stated:
            self.environment["PUBLIC_URL"] = f"http://localhost:{self.ports['web']}"
        if "flower" in self.ports:
            self.environment["FLOWER_URL"] = f"http://localhost:{self.ports['flower']}"

    def _commands(self, program: Path | None) -> list[Part]:
        celery = (PYTHON, "-m", "celery", "-A", "backend")
        made: dict[str, Callable[[], Part]] = {
            "redis": lambda: Part("redis", redis.command(self.var, port=self.ports["redis"]), server=True),
            "chain": lambda: Part("chain", self._chain_command(program), server=True, stop_seconds=30),
            "mail": lambda: Part("mail", mail.command(self.var, port=self.ports["mail"]), server=True),
            "web": lambda: Part(
                "web",
                [
                    *(PYTHON, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1"),
                    *("--port", str(self.ports["web"]), "--workers", "1", "--blocking-threads", "16"),
                    *("--backpressure", "64", "--no-ws", "--access-log", "--workers-kill-timeout", "5"),
                    "backend.wsgi:application",
                ],
            ),
            # A warm shutdown lets the tasks that are under way end; one that does not end is delivered again.
            "worker": lambda: Part(
                "worker", [*celery, "worker", "--loglevel=info", "--without-mingle"], stop_seconds=45
            ),
            "beat": lambda: Part("beat", [*celery, "beat", "--loglevel=info"]),
            "flower": lambda: Part(
                "flower", [*celery, "flower", "--address=127.0.0.1", f"--port={self.ports['flower']}"]
            ),
        }
        return [made[part]() for part in self.parts]

    def _chain_command(self, program: Path | None) -> list[str]:
        if program is None:
            raise LauncherError("the EVM node's program is missing")
        seconds = self.env.float("CHAIN_BLOCK_SECONDS", default=chain.BLOCK_SECONDS)
        return chain.command(self.var, port=self.ports["chain"], program=program, block_seconds=seconds)

    def _start_database(self) -> None:
        if not self.stated.get("DATABASE_URL"):
            self.database = postgresql.ensure_running(self.var, throw_away=self.throw_away, owner=self.me)

    def _prepare(self, environment: dict[str, str]) -> None:
        """Migrate, deploy the vault, make the demo logins: each does nothing when it was done. Raises LauncherError."""
        self.say("preparing the database and the vault")
        log = log_of(self.var, "prepare")
        with log.open("wb") as sink:
            done = subprocess.run(
                [PYTHON, "-I", "-S", str(TETHER), PYTHON, "-m", "launcher.preparation"],
                cwd=BACKEND,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                check=False,
                start_new_session=True,  # a Ctrl-C is for us, who then end it
            )
        if done.returncode:
            raise LauncherError(f"the database or the vault could not be prepared: {last_line(log)} (see {log})")
        files.write_whole(self.var / "run" / "prepared", self._prepared_mark())

    def _was_prepared(self) -> bool:
        """Nothing has changed since the last preparation. Only told of our own servers: others change without us."""
        if self.database is None or ("chain" not in self.parts and self.stated.get("RPC_URL")):
            return False
        with contextlib.suppress(OSError, ValueError):
            if "chain" in self.parts and int(chain.call(self.environment["RPC_URL"], "eth_blockNumber"), 16) == 0:
                return False  # a new chain
            return (self.var / "run" / "prepared").read_text() == self._prepared_mark()
        return False

    def _prepared_mark(self) -> str:
        """What the preparation depends on: this database cluster, the migrations, the commands, the contracts."""
        digest = hashlib.sha256()
        cluster = (self.var / "postgresql" / "PG_VERSION").stat() if self.database else None
        digest.update(f"{cluster and (cluster.st_ino, cluster.st_ctime_ns)} {self.parts}".encode())
        sources = [
            *BACKEND.glob("[!v]*/migrations/*.py"),
            *BACKEND.glob("[!v]*/management/commands/*.py"),
            *CONTRACTS.glob("abi/*.json"),
            BACKEND / "requirements.txt",  # brings migrations too
            BACKEND / "backend" / "celery.py",  # the schedule
        ]
        for source in sorted(sources):
            digest.update(f"{source.relative_to(REPOSITORY)} {source.stat().st_size}\n".encode())
            digest.update(source.read_bytes())
        return digest.hexdigest()

    def _is_ready(self, part: str, offset: int) -> bool:
        if part == "web":
            return _answers(f"http://127.0.0.1:{self.ports['web']}/healthz")
        if part == "flower":
            return ports.accepts(self.ports["flower"])
        words = {"worker": b" ready.", "beat": b"beat: Starting"}[part]
        with contextlib.suppress(OSError), log_of(self.var, part).open("rb") as log:
            log.seek(offset)
            return words in log.read()
        return False

    def _wait_for(self, part: str, is_ready: Callable[[], bool]) -> None:
        assert self.supervisor is not None
        deadline = time.monotonic() + READY_SECONDS
        looked_at = time.monotonic()
        while not is_ready():
            now = time.monotonic()
            if now - looked_at > 0.5:
                looked_at = now
                if self.supervisor.states()[part] in ("FATAL", "EXITED", "UNKNOWN"):
                    self._give_up(part, "does not start")
            if now > deadline:
                self._give_up(part, f"was not ready after {READY_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def _give_up(self, part: str, what: str) -> None:
        log = log_of(self.var, part)
        raise LauncherError(f"{part} {what}: {last_line(log)} (see {log})")

    def _write_services(self, *, ready: bool) -> None:
        assert self.supervisor is not None
        data = {
            "supervisor": self.supervisor.mark.as_json(),
            "environment": self.environment,
            "parts": self.parts,
            "ready": ready,
        }
        files.write_whole(configuration.services_file(self.var), json.dumps(data, indent=1))

    # --- end ---------------------------------------------------------------------------------------------------------
    def _stop(self) -> None:
        try:
            if self.supervisor is not None:
                self.supervisor.stop()
        finally:
            configuration.services_file(self.var).unlink(missing_ok=True)
            if postgresql.owner_of(self.var) == self.me:
                postgresql.shut_down(self.var)
            (self.var / "run" / "up.json").unlink(missing_ok=True)
            for reservation in self.reservations:
                reservation.close()


class _Background:
    """A function in a thread beside us; `result()` waits for it and raises what it raised. Leaving waits too."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._function()
        except BaseException as error:
            self._error = error

    def __enter__(self) -> "_Background":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def result(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error


def _answers(address: str) -> bool:
    """Whatever the answer is: the application is there."""
    try:
        with urllib.request.urlopen(address, timeout=5):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def last_line(log: Path) -> str:
    """What a program said last, for a message about it."""
    with contextlib.suppress(OSError):
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        if lines:
            return lines[-1][:300]
    return "it said nothing"


def say_on_stderr(text: str) -> None:
    """One line of progress."""
    print(f"escrow: {text}", file=sys.stderr, flush=True)
