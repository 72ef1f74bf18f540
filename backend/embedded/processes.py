"""Processes told apart by number and start, because the number alone is given to someone else later."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

# A plain bool: the type checker would otherwise judge the other platforms' branches unreachable.
LINUX = bool(sys.platform.startswith("linux"))


@dataclass(frozen=True)
class ProcessMark:
    """One process for good: `started` is the kernel's start time (ticks since boot), so a reused number differs."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The mark of a living process, or None. A zombie does not live."""
        started = _start_of(pid)
        return None if started is None else cls(pid, started)

    @classmethod
    def from_json(cls, data: Any) -> Self | None:
        """Read `{"pid": .., "started": ..}`; None for anything else, as after a half-written file."""
        try:
            return cls(int(data["pid"]), int(data["started"]))
        except (TypeError, KeyError, ValueError):
            return None

    def as_json(self) -> dict[str, int]:
        return {"pid": self.pid, "started": self.started}

    def lives(self) -> bool:
        return _start_of(self.pid) == self.started

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal, to the whole process group if asked; a process that is gone is no error."""
        if self.lives():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if group and os.getpgid(self.pid) == self.pid:
                    os.killpg(self.pid, number)
                else:
                    os.kill(self.pid, number)


def _start_of(pid: int) -> int | None:
    if LINUX:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            return None
        return None if fields[0] in "ZX" else int(fields[19])
    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, began = answer.stdout.strip().partition(" ")
    if not state or state.startswith("Z"):
        return None
    return int(time.mktime(time.strptime(" ".join(began.split()), "%a %b %d %H:%M:%S %Y")))


def wait_until_gone(marks: Iterable[ProcessMark], *, seconds: float) -> list[ProcessMark]:
    """Wait for processes to end; returns those that did not."""
    deadline = time.monotonic() + seconds
    alive = [mark for mark in marks if mark.lives()]
    while alive and time.monotonic() < deadline:
        time.sleep(0.02)
        alive = [mark for mark in alive if mark.lives()]
    return alive


def stop(marks: Iterable[ProcessMark], *, seconds: float) -> None:
    """Ask processes to end (SIGTERM); whatever is left after `seconds` is killed with its process group."""
    marks = list(marks)
    for mark in marks:
        mark.send(signal.SIGTERM)
    for mark in wait_until_gone(marks, seconds=seconds):
        mark.send(signal.SIGKILL, group=True)
    wait_until_gone(marks, seconds=5)
