"""Where every setting comes from, and which server is meant.

Order: the process environment, `.env` next to the README, `backend/.env`, `var/run/services.json` while its
supervisor lives, the default. A mistake in any of them ends as one line and a non-zero exit.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ

from embedded import files
from embedded.errors import EmbeddedError
from embedded.processes import ProcessMark

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0", ""})
LINE = re.compile(r"^(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)$")
QUOTED = re.compile(r"""^(?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)")\s*(?:\#.*)?$""")


class Env(environ.Env):
    """django-environ, with our sources, and with one line for the person instead of a traceback."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__()
        self.ENVIRON = dict(values)

    def get_value(
        self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, parse_default: bool = False
    ) -> Any:
        # Not the library's own: it follows values that begin with `$`, and takes DEBUG=maybe for false.
        if var not in self.ENVIRON:
            if default is self.NOTSET:
                raise SystemExit(f"configuration: {var} is not set; .env.example explains it")
            return default
        text = self.ENVIRON[var]
        if cast is bool:
            word = text.strip().lower()
            if word not in TRUE | FALSE:
                raise SystemExit(f"configuration: {var}={text!r} is neither true nor false")
            return word in TRUE
        try:
            return self.parse_value(text, cast)
        except (ValueError, TypeError) as error:
            kind = "a whole number" if cast is int else "a number" if cast is float else "valid"
            raise SystemExit(f"configuration: {var}={text!r} is not {kind}") from error


def load(repository_dir: Path) -> Env:
    """All settings that are set anywhere, in the order above. A broken line of a `.env` file ends the program."""
    values = stated(repository_dir)
    services = running_services(var_dir(repository_dir))
    return Env({**services, **values})


def stated(repository_dir: Path) -> dict[str, str]:
    """What a person has set: the process environment over `.env` over `backend/.env`, without our own services."""
    values = read_env_file(repository_dir / "backend" / ".env")
    values |= read_env_file(repository_dir / ".env")
    return values | dict(os.environ)


def var_dir(repository_dir: Path) -> Path:
    """The folder of all run-time state: ESCROW_VAR, else `var` in the repository. Absolute; may not exist yet."""
    return Path(stated(repository_dir).get("ESCROW_VAR") or repository_dir / "var").expanduser().absolute()


def read_env_file(path: Path) -> dict[str, str]:
    """The settings of a `.env` file; none if it does not exist. A line that cannot be read ends the program."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"configuration: {path} cannot be read: {error}") from error
    values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        found = LINE.match(stripped)
        if found is None:
            # The line is not repeated: it may be half of a password.
            raise SystemExit(f"configuration: {path}, line {number}: expected NAME=value")
        values[found["name"]] = _unquoted(found["value"], where=f"{path}, line {number}")
    return values


def _unquoted(value: str, *, where: str) -> str:
    if value[:1] in ("'", '"'):
        quoted = QUOTED.match(value)
        if quoted is None:
            raise SystemExit(f"configuration: {where}: the quotation mark is not closed")
        if quoted["single"] is not None:
            return quoted["single"]
        return re.sub(r"\\(.)", lambda escape: "\n" if escape[1] == "n" else escape[1], quoted["double"])
    return re.split(r"\s+#", value, maxsplit=1)[0].strip()


def services_file(var: Path) -> Path:
    """What a running `./escrow up` offers."""
    return var / "run" / "services.json"


def running_services(var: Path) -> dict[str, str]:
    """The addresses that a running `./escrow up` has written down; none if its supervisor is dead."""
    data = files.read_json(services_file(var))
    supervisor = ProcessMark.from_json(data.get("supervisor"))
    if supervisor is None or not supervisor.lives():
        return {}
    environment = data.get("environment")
    return {str(name): str(value) for name, value in environment.items()} if isinstance(environment, dict) else {}


def secret_key(env: Env, *, var: Path, debug: bool) -> str:
    """SECRET_KEY, or in development one that is made once and kept in `var`."""
    if given := env.str("SECRET_KEY", default=""):
        return str(given)
    if not debug:
        raise SystemExit("configuration: SECRET_KEY is required when DEBUG is off")
    try:
        return files.secret(var / "secret-key")
    except (OSError, EmbeddedError) as error:
        raise SystemExit(f"configuration: {var / 'secret-key'} cannot be kept: {error}") from error


def database(env: Env, *, debug: bool) -> dict[str, Any]:
    """The entry of DATABASES: DATABASE_URL, or in development the embedded PostgreSQL."""
    url = env.str("DATABASE_URL", default="")
    if not url:
        if not debug:
            raise SystemExit("configuration: DATABASE_URL is required when DEBUG is off")
        return {"ENGINE": "embedded.postgresql", "NAME": "escrow", "USER": "escrow", "HOST": "127.0.0.1"}
    if urlsplit(url).scheme not in ("postgres", "postgresql", "psql", "pgsql"):
        raise SystemExit(
            "configuration: DATABASE_URL must begin with postgresql:// (amounts and locks need PostgreSQL)"
        )
    try:
        return dict(env.db_url_config(url))
    except (ValueError, environ.ImproperlyConfigured) as error:
        raise SystemExit(f"configuration: DATABASE_URL cannot be read: {type(error).__name__}") from error


def email(env: Env) -> dict[str, Any]:
    """The EMAIL_* settings: EMAIL_URL, else mails are printed to the console."""
    url = env.str("EMAIL_URL", default="") or "consolemail://"
    scheme = urlsplit(url).scheme
    if scheme not in env.EMAIL_SCHEMES:
        raise SystemExit(f"configuration: EMAIL_URL must begin with one of {', '.join(env.EMAIL_SCHEMES)}")
    try:
        settings = dict(env.email_url_config(url))
    except ValueError as error:
        raise SystemExit("configuration: EMAIL_URL cannot be read; expected smtp://user:password@host:port") from error
    return {name: value for name, value in settings.items() if name.startswith("EMAIL_")}
