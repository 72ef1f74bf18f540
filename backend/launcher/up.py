"""`./escrow up`, `down` and `reset`."""

import shutil
import signal
import sys
import time
from urllib.parse import urlsplit

from embedded import configuration, files
from embedded.postgresql import server as postgresql
from embedded.processes import ProcessMark, stop, wait_until_gone
from launcher.errors import LauncherError, Stopped
from launcher.log_lines import LogStream
from launcher.places import REPOSITORY, var
from launcher.stack import ALL_PARTS, WEB_PORT, Launch, Stack, last_line, say_on_stderr
from launcher.supervision import clean_up, leftovers, log_of

WATCH_SECONDS = 2.0
LOG_SECONDS = 0.1


def up(arguments: list[str]) -> int:
    """Run everything until Ctrl-C or SIGTERM; returns 0 for an end that was asked for."""
    if arguments:
        raise LauncherError("`./escrow up` takes no arguments; settings come from the environment or .env")
    running = ProcessMark.from_json(files.read_json(var() / "run" / "up.json"))
    if running and running.lives():
        raise LauncherError(f"already running here (process {running.pid}): `./escrow down` stops it")
    started = time.monotonic()
    logs = LogStream(var(), [*ALL_PARTS, "prepare"])
    launch = Launch(var(), ALL_PARTS, say=say_on_stderr, throw_away=False)
    try:
        with launch.running() as stack:
            logs.print_new()
            print_addresses(stack, seconds=time.monotonic() - started)
            watch(stack, logs)
    except Stopped:
        logs.print_new()
        say_on_stderr("stopped")
    return 0


def watch(stack: Stack, logs: LogStream) -> None:
    """Print the logs; say when a part does not stay up. Raises LauncherError if the supervisor dies."""
    assert stack.supervisor is not None
    complained: set[str] = set()
    looked_at = 0.0
    while True:
        logs.print_new()
        if time.monotonic() - looked_at > WATCH_SECONDS:
            looked_at = time.monotonic()
            for name, state in stack.supervisor.states().items():
                if state == "FATAL" and name not in complained:
                    complained.add(name)
                    say_on_stderr(f"{name} does not stay up: {last_line(log_of(stack.var, name))}")
        time.sleep(LOG_SECONDS)


def print_addresses(stack: Stack, *, seconds: float) -> None:
    """Where everything is, and who can log in. No passwords of servers."""
    address = stack.public_url
    lines = [
        ("portal", f"{address}/"),
        ("API", f"{address}/api/v1/"),
        ("API docs", f"{address}/api/docs/"),
        ("admin", f"{address}/admin/"),
        ("Flower", stack.environment.get("FLOWER_URL", "")),
        ("mailbox", f"{address}/mailbox/" if "mail" in stack.parts else "(mails go to EMAIL_URL)"),
        (
            "chain",
            stack.environment.get("RPC_URL")
            or configuration.stated(REPOSITORY).get("RPC_URL")
            or "off (RPC_URL is empty)",
        ),
    ]
    if stack.web_port and (urlsplit(address).port or WEB_PORT) != stack.web_port:
        lines.insert(0, ("listens on", f"http://localhost:{stack.web_port}/ (PUBLIC_URL names another address)"))
    print()
    for name, value in lines:
        print(f"  {name:<12}{value}")
    logins = files.read_json(stack.var / "logins.json").get("logins", [])
    if logins:
        print("\n  demo logins (development only)")
        for login in logins:
            print(f"  {login.get('role', ''):<12}{login.get('email', '')}  {login.get('password', '')}")
    print(f"\n  ready after {seconds:.1f} s; data and logs in {stack.var}; Ctrl-C stops everything\n", flush=True)


def down(arguments: list[str]) -> int:
    """Stop a running `up` (or demo, or test in this folder), whatever a crash left, and the database server."""
    if arguments:
        raise LauncherError("`./escrow down` takes no arguments")
    folder = var()
    stopped = []
    running = ProcessMark.from_json(files.read_json(folder / "run" / "up.json"))
    if running and running.lives():
        running.send(signal.SIGTERM)
        if wait_until_gone([running], seconds=90):
            stop([running], seconds=1)
        stopped.append("the platform")
    if leftovers(folder):
        stopped.append(f"{clean_up(folder)} processes that a crash had left")
    if postgresql.shut_down(folder):
        stopped.append("the embedded PostgreSQL")
    for name in ("up.json", "services.json"):
        (folder / "run" / name).unlink(missing_ok=True)
    say_on_stderr(f"stopped {' and '.join(stopped)}" if stopped else "nothing was running")
    return 0


def reset(arguments: list[str]) -> int:
    """Stop everything and delete the data; keeps the programs that were fetched."""
    if arguments not in ([], ["--yes"]):
        raise LauncherError("`./escrow reset` takes --yes or nothing")
    folder = var()
    if not arguments:
        if not sys.stdin.isatty():
            raise LauncherError(f"this deletes all data in {folder}: say `./escrow reset --yes`")
        if input(f"Delete all data in {folder} (database, chain, files, mails)? [y/N] ").strip().lower() not in (
            "y",
            "yes",
        ):
            say_on_stderr("nothing was deleted")
            return 1
    down([])
    for entry in OUR_ENTRIES:
        path = folder / entry
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
    say_on_stderr(f"{folder} is empty; the next start begins anew")
    return 0


# By name and not "everything": ESCROW_VAR may be a folder that holds other things too.
OUR_ENTRIES = (
    *("postgresql", "postgresql.new", "redis", "chain", "mailbox", "media", "static", "deployments", "run", "log"),
    *("secrets", "secret-key", "secret-key.lock", "logins.json"),
)
