"""Entry for `./escrow`, with the environment made: `python backend/launcher/__main__.py COMMAND [ARGUMENTS]`."""

import importlib
import os
import signal
import sys
from pathlib import Path
from types import FrameType

sys.path[0] = str(Path(__file__).resolve().parents[1])  # `backend/`, instead of this folder

from embedded.errors import EmbeddedError  # noqa: E402
from launcher.errors import LauncherError, Stopped  # noqa: E402

# Modules and functions, imported when wanted: most commands need little.
COMMANDS = {
    "up": ("launcher.up", "up"),
    "down": ("launcher.up", "down"),
    "reset": ("launcher.up", "reset"),
    "demo": ("launcher.demo", "run"),
    "guide": ("launcher.guide", "run"),
    "test": ("launcher.checks", "test"),
    "lint": ("launcher.checks", "lint"),
    "doctor": ("launcher.doctor", "run"),
    "lock": ("launcher.locking", "run"),
}


def main(arguments: list[str]) -> int:
    """Run a command; a person's mistake ends as one line and a non-zero code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    command, *rest = arguments
    try:
        module, function = COMMANDS[command]
        code: int = getattr(importlib.import_module(module), function)(rest)
    except (LauncherError, EmbeddedError) as error:
        print(f"escrow: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read our output has gone: `./escrow up | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Stopped as stopped:
        return 128 + int(stopped.args[0])
    return code


def _stop(number: int, frame: FrameType | None) -> None:
    # Once: what follows is the end, which a second Ctrl-C must not cut short.
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
