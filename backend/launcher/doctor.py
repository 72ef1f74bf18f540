"""`./escrow doctor`: one line per part, working or what to do."""

import platform
import shutil
import sys
from collections.abc import Callable

from embedded import chain, chain_program, configuration, files, ports, redis
from embedded.errors import EmbeddedError
from embedded.postgresql import server as postgresql
from embedded.processes import ProcessMark
from launcher import given
from launcher.errors import LauncherError
from launcher.places import BACKEND, CONTRACTS, REPOSITORY, TOOLS, var
from launcher.stack import _answers

Finding = tuple[bool, str]


def run(arguments: list[str]) -> int:
    """Look at every part; 1 if something has to be done."""
    if arguments:
        raise LauncherError("`./escrow doctor` takes no arguments")
    healthy = True
    for name, look in LOOKS.items():
        try:
            well, text = look()
        except SystemExit as error:  # the settings: without them there is nothing more to look at
            print(f"todo  {name:<14}{error}")
            return 1
        except (EmbeddedError, LauncherError) as error:
            well, text = False, str(error)
        healthy = healthy and well
        print(f"{'ok  ' if well else 'todo'}  {name:<14}{text}")
    return 0 if healthy else 1


def _python() -> Finding:
    return True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _environment() -> Finding:
    return True, f"{sys.prefix}, as backend/requirements.txt says"  # ./escrow has just seen to it


def _tests() -> Finding:
    ready = (CONTRACTS / "venv" / "bin" / "python").exists() and (BACKEND / "venv" / "bin" / "pytest").exists()
    return True, "environments are ready" if ready else "environments are made by the first `./escrow test`"


def _settings() -> Finding:
    configuration.stated(REPOSITORY)
    files_read = [str(file) for file in (REPOSITORY / ".env", BACKEND / ".env") if file.exists()]
    return True, f"from {', '.join(files_read)} and the environment" if files_read else "defaults (no .env)"


def _room() -> Finding:
    folder = var()
    files.check_room(folder)
    return True, f"{folder}, {shutil.disk_usage(folder).free // 1_000_000_000} GB free"


def _database() -> Finding:
    if address := _stated("DATABASE_URL"):
        return _given("DATABASE_URL", address)
    postgresql.binaries()
    running = postgresql.find(var())
    return (
        True,
        f"embedded PostgreSQL, {f'on {running.host}:{running.port}' if running else 'starts when it is wanted'}",
    )


def _broker() -> Finding:
    if address := _stated("CELERY_BROKER_URL"):
        return _given("CELERY_BROKER_URL", address)
    redis.program()
    return _twin("embedded Redis", "CELERY_BROKER_URL")


def _chain() -> Finding:
    stated = configuration.stated(REPOSITORY)
    if "RPC_URL" in stated:
        if not stated["RPC_URL"]:
            return True, "off (RPC_URL is empty)"
        return _given("RPC_URL", stated["RPC_URL"])
    if running := configuration.running_services(var()).get("RPC_URL"):
        return True, f"embedded node on {running}, block {int(chain.call(running, 'eth_blockNumber'), 16)}"
    if chain_program.installed(TOOLS):
        return True, "embedded node, starts with `./escrow up`"
    return True, "embedded node, fetched through npm (19 MB) by the first `./escrow up`"


def _mail() -> Finding:
    if address := _stated("EMAIL_URL"):
        return _given("EMAIL_URL", address)
    return _twin("embedded mail server", "EMAIL_URL")


def _web() -> Finding:
    running = configuration.running_services(var())
    if "PUBLIC_URL" not in running:
        return True, "not running: `./escrow up`"
    well = _answers(f"{running['PUBLIC_URL']}/healthz")
    return well, f"{running['PUBLIC_URL']} {'answers' if well else 'does not answer: see var/log/web.log'}"


def _processes() -> Finding:
    up = ProcessMark.from_json(files.read_json(var() / "run" / "up.json"))
    if up is None:
        return True, "nothing of ours runs"
    if up.lives():
        return True, f"`./escrow` runs as process {up.pid}; logs in {var() / 'log'}"
    return False, "the last `./escrow` was killed: `./escrow down` clears up, and so does the next start"


def _ports() -> Finding:
    usual = {5432: "PostgreSQL", 6379: "Redis", 8000: "portal", 8545: "chain", 5555: "Flower", 1025: "mail"}
    taken = [f"{port} ({name})" for port, name in usual.items() if not ports.is_free(port)]
    return True, f"taken: {', '.join(taken)}; others are used instead" if taken else "all the usual ones are free"


def _stated(variable: str) -> str:
    return configuration.stated(REPOSITORY).get(variable, "")


def _given(variable: str, address: str) -> Finding:
    complaint = given.problem(variable, address)
    return not complaint, complaint or f"your own, by {variable}: it answers"


def _twin(name: str, variable: str) -> Finding:
    address = configuration.running_services(var()).get(variable)
    if address is None:
        return True, f"{name}, starts with `./escrow up`"
    complaint = given.problem(variable, address)
    return not complaint, complaint or f"{name}, it answers on port {address.rpartition(':')[2].partition('/')[0]}"


LOOKS: dict[str, Callable[[], Finding]] = {
    "python": _python,
    "environment": _environment,
    "test tools": _tests,
    "settings": _settings,
    "disk": _room,
    "database": _database,
    "broker": _broker,
    "chain": _chain,
    "mail": _mail,
    "web": _web,
    "processes": _processes,
    "ports": _ports,
}
