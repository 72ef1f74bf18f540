"""`manage.py relay_outbox`: the relay alone, without a worker."""

import ctypes
import logging
import os
import signal
import sys
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandParser

PR_SET_PDEATHSIG = 1


class Command(BaseCommand):
    """Publishes committed tasks until it is stopped. A worker starts one by itself; more of them stand by."""

    help = "Publish committed tasks to the broker until stopped (a Celery worker starts one by itself)."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--parent-pid", type=int, help="End when this process does (set by the worker).")
        parser.add_argument("--loglevel", default="INFO", help="Least level that is logged (default: INFO).")
        parser.add_argument("--logfile", help="Append the log to this file instead of writing it to stderr.")

    def handle(self, *args: Any, **options: Any) -> None:
        from outbox.relay import Relay

        parent_pid = options["parent_pid"]
        if parent_pid is not None:
            die_with_parent(parent_pid)
        log_to(options["logfile"], options["loglevel"])
        relay = Relay(current_app._get_current_object(), parent_pid=parent_pid)
        relay.run()


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to end this process with its parent (Linux); elsewhere the relay looks every second."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # it died before the call
        sys.exit(0)


def log_to(logfile: str | None, level: str) -> None:
    """Log as the worker does: one line each, in its file or on stderr."""
    handler = logging.FileHandler(logfile) if logfile else logging.StreamHandler()
    handler.setFormatter(logging.Formatter("[%(asctime)s: %(levelname)s/OutboxRelay] %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper() if level.upper() in logging.getLevelNamesMapping() else "INFO")
