"""`./escrow test` and `./escrow lint`: what a change must pass."""

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from embedded import configuration
from launcher.errors import LauncherError
from launcher.places import BACKEND, CONTRACTS, PYTHON, REPOSITORY
from launcher.stack import SERVERS, running_stack, say_on_stderr

CONTRACTS_PYTHON = CONTRACTS / "venv" / "bin" / "python"
CONFIGURATION = REPOSITORY / "pyproject.toml"
NOTHING_COLLECTED = 5  # pytest's exit code


@dataclass
class Count:
    """What a run of pytest came to."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    code: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
            self.code or other.code,
        )


# --- test ------------------------------------------------------------------------------------------------------------
def test(arguments: list[str]) -> int:
    """Run the tests against real servers in a throw-away folder; 0 if all passed.

    No argument: all. `backend` or `contracts`: that part, with what follows for pytest. Anything else goes to the
    pytest of the part that its paths lie in.
    """
    backend, contracts, rest = _choice(arguments)
    configuration.stated(REPOSITORY)  # a mistake in .env is told now, not after the first half
    started = time.monotonic()
    total = Count()
    with tempfile.TemporaryDirectory(prefix="escrow-test-") as folder:
        if contracts:
            total += _contracts(rest, Path(folder))
        if backend:
            os.environ["ESCROW_VAR"] = str(Path(folder) / "var")
            with running_stack(SERVERS, say=say_on_stderr, throw_away=True) as stack:
                total += _backend(rest, Path(folder), environment=stack.process_environment())
    skipped = f", {total.skipped} skipped" if total.skipped else ""
    print(f"escrow: tests ended after {time.monotonic() - started:.0f} s")
    print(f"{total.passed} passed, {total.failed} failed{skipped}")
    return 1 if total.failed or total.code else 0


def _choice(arguments: list[str]) -> tuple[bool, bool, list[str]]:
    """Which parts to run, and what to hand to pytest."""
    if arguments and arguments[0] == "backend":
        return True, False, arguments[1:]
    if arguments and arguments[0] == "contracts":
        return False, True, arguments[1:]
    paths = [Path(word.partition("::")[0]).absolute() for word in arguments if not word.startswith("-")]
    in_contracts = [CONTRACTS in (path, *path.parents) for path in paths if path.exists()]
    if any(in_contracts):
        if not all(in_contracts):
            raise LauncherError("tests of the backend and of the contracts run in two environments: name one at a time")
        return False, True, arguments
    return True, not arguments, arguments


def _backend(arguments: list[str], folder: Path, *, environment: Mapping[str, str]) -> Count:
    paths = [word for word in arguments if not word.startswith("-") and Path(word.partition("::")[0]).exists()]
    command = [
        *(PYTHON, "-m", "pytest", "-c", str(CONFIGURATION), "--rootdir", str(REPOSITORY), "-q"),
        *arguments,
        *([] if paths else [str(BACKEND)]),
    ]
    return _pytest(
        command,
        report=folder / "backend.xml",
        cwd=Path.cwd(),
        environment={**environment, "DJANGO_SETTINGS_MODULE": "backend.settings"},
    )


def _contracts(arguments: list[str], folder: Path) -> Count:
    if not CONTRACTS_PYTHON.exists():
        raise LauncherError("contracts/venv is missing: contracts/requirements.txt says what belongs there")
    words = [
        str(Path(word).absolute()) if not word.startswith("-") and Path(word.partition("::")[0]).exists() else word
        for word in arguments
    ]
    environment = {**os.environ, "VIRTUAL_ENV": str(CONTRACTS / "venv")}
    command = [str(CONTRACTS_PYTHON), "-m", "pytest", *words]
    return _pytest(command, report=folder / "contracts.xml", cwd=CONTRACTS, environment=environment)


def _pytest(command: list[str], *, report: Path, cwd: Path, environment: Mapping[str, str]) -> Count:
    done = subprocess.run([*command, f"--junitxml={report}"], cwd=cwd, env=environment, check=False)
    if not report.exists():
        return Count(code=done.returncode or 1)
    count = Count(code=done.returncode)
    for suite in ElementTree.parse(report).iter("testsuite"):  # noqa: S314  our own file
        number = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
        count.failed += number["failures"] + number["errors"]
        count.skipped += number["skipped"]
        count.passed += number["tests"] - number["failures"] - number["errors"] - number["skipped"]
    return count


# --- lint ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Check:
    """One tool."""

    name: str
    command: list[str]
    cwd: Path
    environment: Mapping[str, str]


def lint(arguments: list[str]) -> int:
    """Run every check, two at a time; prints one line each, and the output of those that fail."""
    if arguments:
        raise LauncherError("`./escrow lint` takes no arguments")
    configuration.stated(REPOSITORY)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="escrow-lint-") as folder, ThreadPoolExecutor(2) as pool:
        for check, seconds, done in pool.map(_run, _checks(Path(folder))):
            print(f"{'ok  ' if done.returncode == 0 else 'FAIL'}  {check.name} ({seconds:.1f} s)")
            if done.returncode:
                failed += 1
                print(done.stdout.rstrip())
            sys.stdout.flush()
    print("lint is clean" if not failed else f"{failed} checks failed")
    return 1 if failed else 0


def _checks(folder: Path) -> list[Check]:
    # The checks read code, never data: no server is started, and none of a person's own is asked.
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")},
        "ESCROW_VAR": str(folder),
        "DJANGO_SETTINGS_MODULE": "backend.settings",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "DEBUG": "true",
        "RPC_URL": "",
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }
    module = (PYTHON, "-m")
    checks = [
        Check("mypy", [*module, "mypy", "--config-file", str(CONFIGURATION), "."], BACKEND, environment),
        Check("ruff check", [*module, "ruff", "check", "--output-format=concise", "."], REPOSITORY, environment),
        Check("ruff format", [*module, "ruff", "format", "--check", "."], REPOSITORY, environment),
        Check(
            "import directions",
            [str(Path(PYTHON).with_name("lint-imports")), "--config", str(CONFIGURATION)],
            BACKEND,
            environment,
        ),
        Check(
            "migrations are complete",
            [PYTHON, "-W", "ignore", "manage.py", "makemigrations", "--check", "--dry-run"],
            BACKEND,
            environment,
        ),
        Check("django check", [PYTHON, "manage.py", "check"], BACKEND, environment),
    ]
    if (CONTRACTS / "build.py").exists():
        checks.append(
            Check("contract artifacts", [str(CONTRACTS_PYTHON), "build.py", "--check"], CONTRACTS, environment)
        )
    return checks


def _run(check: Check) -> tuple[Check, float, "subprocess.CompletedProcess[str]"]:
    started = time.monotonic()
    done = subprocess.run(
        check.command,
        cwd=check.cwd,
        env=check.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return check, time.monotonic() - started, done
