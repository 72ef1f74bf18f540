"""Files of `var/`: written whole or not at all, secrets readable by their owner only, one writer at a time."""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedded.errors import EmbeddedError

NEEDED_BYTES = 250 * 1024 * 1024  # an empty database is 40 MB, its first write-ahead log segments 80 MB


def write_whole(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a file in one step, so that a reader never sees half of it. Raises OSError."""
    _make_folder(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with open(descriptor, "w") as file:
            file.write(text)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _make_folder(path: Path) -> None:
    """Make the folder of a file. `var` itself may be walked through (by `nobody`, for one), these two may not."""
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700 if path.parent.name in ("run", "secrets") else 0o755, exist_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none or it is damaged."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def secret(path: Path) -> str:
    """The secret kept in this file; made on first use. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if text := path.read_text().strip():
            return text
    with locked(path.with_name(f"{path.name}.lock")):
        with contextlib.suppress(FileNotFoundError):  # another process was quicker
            if text := path.read_text().strip():
                return text
        write_whole(path, secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()


@contextlib.contextmanager
def locked(path: Path, *, seconds: float = 60) -> Iterator[None]:
    """Hold a lock file; the lock dies with the process. Raises EmbeddedError if another holds it too long."""
    with lock_file(path, seconds=seconds):
        yield


@contextlib.contextmanager
def lock_file(path: Path, *, seconds: float) -> Iterator[int]:
    """Hold a lock file and give its descriptor. Raises EmbeddedError if another process holds it too long."""
    _make_folder(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise EmbeddedError(f"{path} is held by another process for {seconds:.0f} s") from None
                time.sleep(0.02)
        yield descriptor
    finally:
        os.close(descriptor)


def check_room(var: Path, *, needed_bytes: int = NEEDED_BYTES) -> None:
    """Raise EmbeddedError unless `var` can be written and has room; leaves nothing behind."""
    try:
        var.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(var).free
        if free >= needed_bytes:
            probe = var / f".room-{os.getpid()}"
            try:
                probe.write_bytes(b"x" * 4096)
            finally:
                probe.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise EmbeddedError(
                f"{var} cannot be written ({error.strerror}): change its owner, or set ESCROW_VAR to another folder"
            ) from error
        free = 0
    if free < needed_bytes:
        raise EmbeddedError(
            f"no room in {var}: {free // 1_000_000} MB free, {needed_bytes // 1_000_000} MB needed. "
            "Free some, or set ESCROW_VAR to a folder on another disk"
        )
