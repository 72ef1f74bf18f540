"""supervisord, run by us: it starts the parts, starts them again when they die, and rotates their logs.

It runs in a session of its own, so that a Ctrl-C at the terminal reaches `./escrow` alone, which then stops the
parts in the right order. It ends when `./escrow` does (SIGTERM by the kernel), and each part ends when it does.
"""

import contextlib
import http.client
import os
import secrets
import subprocess
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded import files, ports
from embedded.processes import ProcessMark, stop, wait_until_gone
from launcher.errors import LauncherError
from launcher.places import BACKEND, PYTHON

TETHER = BACKEND / "embedded" / "tether.py"
START_SECONDS = 15
STACK = "ESCROW_STACK"  # in the environment of every process of a stack: its `var` folder


@dataclass(frozen=True)
class Part:
    """A program under supervision. `server`: started first, stopped last."""

    name: str
    command: Sequence[str]
    server: bool = False
    stop_seconds: int = 10


class Supervisor:
    """One supervisord with its parts, all of them stopped until `start_parts`."""

    def __init__(self, var: Path, parts: Sequence[Part], *, environment: Mapping[str, str]) -> None:
        self.var, self.parts, self.environment = var, list(parts), {**environment, STACK: str(var)}
        self.password = secrets.token_urlsafe(24)
        self.reservation = ports.reserve()
        self.port = self.reservation.port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def mark(self) -> ProcessMark:
        """Which process it is. Raises LauncherError if it has died."""
        mark = ProcessMark.of(self.process.pid) if self.process and self.process.poll() is None else None
        if mark is None:
            raise LauncherError(f"the supervisor has died (see {log_of(self.var, 'supervisord')})")
        return mark

    def start(self) -> None:
        """Start supervisord itself. Raises LauncherError."""
        for folder in ("run", "log"):
            (self.var / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self.var / "run" / "supervisord.conf"
        files.write_whole(file, self._configuration())
        with log_of(self.var, "supervisord").open("ab") as sink:
            self.process = subprocess.Popen(
                [
                    *(PYTHON, "-I", "-S", str(TETHER)),
                    *(PYTHON, "-m", "supervisor.supervisord", "-n", "-s", "-c", str(file)),
                ],
                cwd=self.var,  # which relative paths in its configuration begin from
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    def start_parts(self, names: Sequence[str]) -> None:
        """Start parts and return at once. Raises LauncherError."""
        for name in names:
            self._call("startProcess", name, False)

    def states(self) -> dict[str, str]:
        """What each part does: RUNNING, STARTING, BACKOFF, FATAL, STOPPED, EXITED, ... Raises LauncherError."""
        return {info["name"]: info["statename"] for info in self._call("getAllProcessInfo")}

    def stop(self) -> None:
        """Stop the parts, then the servers, then supervisord; kill what is left. Safe to call twice."""
        if self.process is None:
            return
        with contextlib.suppress(LauncherError):
            for servers in (False, True):
                self._stop_parts([part for part in self.parts if part.server == servers])
        with contextlib.suppress(LauncherError):
            self._call("shutdown")
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(sum(part.stop_seconds for part in self.parts))
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process = None
        self.reservation.close()
        clean_up(self.var)

    def _stop_parts(self, parts: Sequence[Part]) -> None:
        running = {name for name, state in self.states().items() if state in ("RUNNING", "STARTING", "BACKOFF")}
        waiting = {part.name for part in parts} & running
        for name in waiting:
            with contextlib.suppress(xmlrpc.client.Fault):  # it has ended meanwhile
                self._call("stopProcess", name, False)
        pause = 0.02
        while waiting:
            states = self.states()
            waiting = {name for name in waiting if states[name] in ("RUNNING", "STARTING", "STOPPING", "BACKOFF")}
            if waiting:
                time.sleep(pause)
                pause = min(pause * 1.5, 0.2)

    def _call(self, method: str, *arguments: Any) -> Any:
        """Ask supervisord; while it is still starting, ask again. Raises LauncherError if it is gone."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            proxy = xmlrpc.client.ServerProxy(f"http://escrow:{self.password}@127.0.0.1:{self.port}/RPC2")
            try:
                return getattr(proxy.supervisor, method)(*arguments)
            except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
                if self.process is None or self.process.poll() is not None:
                    raise LauncherError(
                        "the supervisor has died, and its parts ended with it: start again "
                        f"(see {log_of(self.var, 'supervisord')})"
                    ) from error
                if time.monotonic() > deadline:
                    raise LauncherError(
                        f"the supervisor does not answer (see {log_of(self.var, 'supervisord')})"
                    ) from error
                time.sleep(0.02)

    def _configuration(self) -> str:
        sections = [
            _section(
                "supervisord",
                nodaemon="true",
                pidfile=str(self.var / "run" / "supervisord.pid"),
                logfile=f"log/{log_of(self.var, 'supervisord').name}",
                logfile_maxbytes="1MB",
                logfile_backups="1",
                strip_ansi="false",
                minfds="256",
                minprocs="50",
            ),
            _section("inet_http_server", port=f"127.0.0.1:{self.port}", username="escrow", password=self.password),
            _section(
                "rpcinterface:supervisor",
                **{"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
            ),
        ]
        for part in self.parts:
            command = [PYTHON, "-I", "-S", str(TETHER), *part.command]
            sections.append(
                _section(
                    f"program:{part.name}",
                    command=" ".join(_shell_word(word) for word in command),
                    directory=str(BACKEND),
                    priority="1" if part.server else "2",  # the order of starting; stopping goes the other way
                    autostart="false",
                    autorestart="true",
                    startsecs="2",
                    startretries="5",
                    stopsignal="TERM",
                    stopwaitsecs=str(part.stop_seconds),
                    # To the process alone, not its group: a Celery worker that ends lets its children finish.
                    stopasgroup="false",
                    killasgroup="true",
                    redirect_stderr="true",
                    # Relative: supervisord expands this value twice, so a `%` in a folder's name would break it.
                    stdout_logfile=f"log/{log_of(self.var, part.name).name}",
                    stdout_logfile_maxbytes="10MB",
                    stdout_logfile_backups="2",
                )
            )
        return "\n".join(sections)


def log_of(var: Path, name: str) -> Path:
    """Where a part's output goes."""
    return var / "log" / f"{name}.log"


def leftovers(var: Path) -> list[ProcessMark]:
    """Living processes of a stack in this `var` folder, children of the parts included (Linux; elsewhere none)."""
    mark_of_stack = f"{STACK}={var}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            # Redis writes its title over its environment, but it works in its data folder.
            if (
                mark_of_stack in (folder / "environ").read_bytes().split(b"\0")
                or (folder / "cwd").readlink() == var / "redis"
            ) and (mark := ProcessMark.of(pid)):
                found.append(mark)
    return [mark for mark in found if mark.pid != os.getpid()]


def clean_up(var: Path) -> int:
    """End what is left of a stack, first by asking; returns how many processes that were."""
    wait_until_gone(leftovers(var), seconds=10)  # the kernel has told them; a worker may be ending its task
    left = leftovers(var)
    stop(left, seconds=15)
    stop(leftovers(var), seconds=5)  # what the first ones had started
    return len(left)


def _section(name: str, **options: str) -> str:
    # supervisord expands %(...)s in every value, and takes what follows " ;" for a comment.
    lines = [f"{key} = {value.replace('%', '%%')}" for key, value in options.items()]
    return f"[{name}]\n" + "\n".join(lines) + "\n"


def _shell_word(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' if not word.isalnum() else word
