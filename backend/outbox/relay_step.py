"""The relay comes with the worker: a process of its own, started by a step of the worker, ended with it.

A process, because a thread of the worker's parent would fork with live database connections; a step of the worker and
not of its consumer, because the consumer starts anew at every loss of the broker.
"""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from celery import bootsteps

logger = logging.getLogger(__name__)

BACKEND_DIR = Path(__file__).resolve().parent.parent


class RelayStep(bootsteps.StartStopStep):
    """Starts the command `relay_outbox`, starts it again if it dies, ends it with the worker."""

    requires = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self.enabled = os.environ.get("OUTBOX_RELAY", "true").lower() not in {"0", "false", "no", "off"}

    def include_if(self, worker: Any) -> bool:
        return self.enabled

    def start(self, worker: Any) -> None:
        """Start the relay, and a thread that does nothing but wait for its end."""
        self._stopping.clear()
        self._process = self._spawn(worker)
        threading.Thread(target=self._keep, args=(worker,), name="outbox-relay-keeper", daemon=True).start()

    def stop(self, worker: Any) -> None:
        """End the relay; what it had not published stays due."""
        self._stopping.set()
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    terminate = stop

    def _spawn(self, worker: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "django", "relay_outbox", f"--parent-pid={os.getpid()}"]
        level = getattr(worker, "loglevel", None)
        if level is not None:
            command.append(f"--loglevel={level if isinstance(level, str) else logging.getLevelName(level)}")
        logfile = getattr(worker, "logfile", None)
        if logfile:
            command.append(f"--logfile={logfile}")
        environment = {**os.environ, "CELERY_SKIP_CHECKS": "1"}
        # A session of its own, so that Ctrl-C reaches the worker alone, which then ends the relay in its own time.
        return subprocess.Popen(
            command, cwd=BACKEND_DIR, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def _keep(self, worker: Any) -> None:
        pause = 0.2
        while not self._stopping.is_set():
            process = self._process
            assert process is not None
            code = process.wait()
            if self._stopping.wait(pause):
                return
            logger.warning("the outbox relay ended (%s), starting it again", code)
            pause = min(pause * 2, 10)
            self._process = self._spawn(worker)
