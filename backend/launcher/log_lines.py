"""The logs of all parts as one stream with names, as they are written."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from launcher.supervision import log_of

COLOURS = (36, 32, 33, 35, 34, 96, 92)
WIDTH = 8


class LogStream:
    """Follows log files from where they end now; a file that is rotated away is followed into its successor."""

    def __init__(self, var: Path, names: Iterable[str]) -> None:
        self.files = {name: _Follower(log_of(var, name)) for name in names}
        coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.prefixes = {
            name: f"\x1b[{COLOURS[number % len(COLOURS)]}m{name:<{WIDTH}}|\x1b[0m "
            if coloured
            else f"{name:<{WIDTH}}| "
            for number, name in enumerate(self.files)
        }

    def print_new(self) -> None:
        """Print what was written since the last call."""
        for name, file in self.files.items():
            for line in file.new_lines():
                print(self.prefixes[name] + line)
        sys.stdout.flush()


class _Follower:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.rest = b""
        try:
            status = path.stat()
            self.inode, self.position = status.st_ino, status.st_size
        except OSError:
            self.inode, self.position = 0, 0

    def new_lines(self) -> list[str]:
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self.inode or status.st_size < self.position:
                    self.inode, self.position = status.st_ino, 0
                file.seek(self.position)
                data = file.read()
                self.position += len(data)
        except OSError:
            return []
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [line.decode(errors="replace").rstrip("\r") for line in lines]
