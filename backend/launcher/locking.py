"""`./escrow lock`: compile what we ask for (*.in) into what is installed (*.txt, every package with its hashes)."""

import subprocess
from pathlib import Path

from launcher.errors import LauncherError
from launcher.places import BACKEND, CONTRACTS, PYTHON, REPOSITORY

SOURCES = (
    BACKEND / "requirements.in",
    BACKEND / "requirements-dev.in",  # after the first: it is constrained by what came out
    BACKEND / "requirements-uv.in",
    BACKEND / "requirements-node.in",
    CONTRACTS / "requirements.in",
)


def run(arguments: list[str]) -> int:
    """Compile every lock file anew; versions move only where the .in file asks, or with --upgrade."""
    if arguments not in ([], ["--upgrade"]):
        raise LauncherError("`./escrow lock` takes --upgrade or nothing")
    uv = Path(PYTHON).with_name("uv")
    if not uv.exists():
        raise LauncherError(f"{uv} is missing: `{PYTHON} -m pip install -r backend/requirements-uv.txt`")
    for source in SOURCES:
        target = source.with_suffix(".txt")
        command = [
            *(str(uv), "pip", "compile", "--quiet", "--python-version", "3.11", "--universal", "--generate-hashes"),
            *("--no-emit-index-url", "--no-header", source.name, "--output-file", target.name, *arguments),
        ]
        if subprocess.run(command, cwd=source.parent, check=False).returncode:
            raise LauncherError(f"{source.relative_to(REPOSITORY)} cannot be compiled; the reason is above")
        print(f"{target.relative_to(REPOSITORY)} is up to date")
    return 0
