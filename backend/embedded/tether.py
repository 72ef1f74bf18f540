"""Run a command that ends when its parent does: `python -I -S tether.py COMMAND...`.

The kernel sends the command SIGTERM when its parent dies, by whatever death (Linux). Uses the standard library only,
and little of it: it runs before each part.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """Ask the kernel for `number` when the parent dies. Does nothing where there is no such call."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:  # it died just now
        os._exit(1)


def main(command: list[str]) -> None:
    """Become the command."""
    end_with_parent()
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
