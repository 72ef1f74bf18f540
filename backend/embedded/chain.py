"""The embedded EVM node: anvil, with its state in `var/`, so that the chain is there again after any kind of end.

`python -m embedded.chain` runs in the foreground and adds to anvil what it lacks:

- **A copy of the state.** anvil rewrites its state file in place; killed while it writes, it would leave half a file
  and refuse to start. The last whole one is kept beside it.
- **A clock.** Blocks come at once with a transaction, and then a few empty ones, so that it is confirmed soon; an
  idle chain grows by one block a minute instead of one a second (the state file holds every block).
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from embedded import ports
from embedded.tether import end_with_parent

PREFERRED_PORT = 8545
CHAIN_ID = 31337
STATE_SECONDS = 1  # what a `kill -9` may cost
COPY_SECONDS = 5.0
IDLE_BLOCK_SECONDS = 60.0
BLOCKS_AFTER_TRANSACTION = 12  # more than any number of confirmations that one would ask of a development chain
BLOCK_SECONDS = 0.25
STOP_SECONDS = 20


def command(var: Path, *, port: int, program: Path, block_seconds: float = BLOCK_SECONDS) -> list[str]:
    """The command that runs the node in the foreground (from `backend/`)."""
    options = ["--port", str(port), "--folder", str(var / "chain"), "--block-seconds", str(block_seconds)]
    return [sys.executable, "-m", "embedded.chain", "--program", str(program), *options]


def url(*, port: int) -> str:
    """The value of RPC_URL."""
    return f"http://{ports.HOST}:{port}"


def call(address: str, method: str, *parameters: Any, seconds: float = 5) -> Any:
    """One JSON-RPC call. Raises OSError if nobody answers, ValueError if the answer is not one."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
        data = json.load(answer)
    if not isinstance(data, dict) or "result" not in data:
        raise ValueError(f"{method}: {data!r:.200}")
    return data["result"]


class Node:
    """anvil and its state file."""

    def __init__(self, program: Path, *, folder: Path, port: int, block_seconds: float) -> None:
        self.program, self.folder, self.port, self.block_seconds = program, folder, port, block_seconds
        self.state = folder / "state.json"
        self.copy = folder / "state.whole.json"
        self.process: subprocess.Popen[bytes] | None = None
        self.copied_at = 0.0
        self.copied_version = 0
        self.stopping = False

    def start(self) -> None:
        """Start anvil on the last whole state."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not _is_whole(self.state):
            if _is_whole(self.copy):
                print("the state file was cut off by a crash: going on from its last copy", flush=True)
                shutil.copyfile(self.copy, self.state)
            elif self.state.exists():
                print("the state file is damaged and there is no copy: a new chain begins", flush=True)
                self.state.replace(self.state.with_suffix(".damaged"))
        self.process = subprocess.Popen(
            [
                str(self.program),
                *("--host", ports.HOST, "--port", str(self.port), "--chain-id", str(CHAIN_ID), "--silent"),
                *("--state", str(self.state), "--state-interval", str(STATE_SECONDS)),
            ],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(self.folder)},  # where it keeps what it would put into ~/.foundry
            preexec_fn=end_with_parent,
        )

    def run(self) -> int:
        """Keep the clock and the copy until anvil ends or this process is asked to; returns the exit code."""
        assert self.process is not None
        address = url(port=self.port)
        known, empty, next_block = -1, 0, 0.0
        while self.process.poll() is None and not self.stopping:
            now = time.monotonic()
            with contextlib.suppress(OSError, ValueError):  # not up yet, or going down
                block = call(address, "eth_getBlockByNumber", "latest", False)
                number = int(block["number"], 16)
                if number != known:
                    empty = 0 if block["transactions"] or known < 0 else empty + 1
                    known = number
                    wait = self.block_seconds if empty < BLOCKS_AFTER_TRANSACTION else IDLE_BLOCK_SECONDS
                    next_block = now + wait
                if now >= next_block:
                    call(address, "evm_mine")
            if now - self.copied_at >= COPY_SECONDS:
                self.keep_copy()
            time.sleep(min(0.1, self.block_seconds / 2))
        return self.stop()

    def keep_copy(self) -> None:
        """Copy the state file if it has changed and was not being written meanwhile."""
        self.copied_at = time.monotonic()
        with contextlib.suppress(OSError):
            before = self.state.stat()
            if before.st_mtime_ns == self.copied_version:
                return
            draft = self.copy.with_suffix(".draft")
            shutil.copyfile(self.state, draft)
            after = self.state.stat()
            if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size) and _is_whole(draft):
                draft.replace(self.copy)
                self.copied_version = before.st_mtime_ns

    def stop(self) -> int:
        """Let anvil write its state and end."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        code = self.process.wait()
        self.keep_copy()
        return 0 if self.stopping else code or 1


def _is_whole(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            json.load(file)
    except (OSError, ValueError):
        return False
    return True


def main() -> int:
    """Run the node until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--block-seconds", type=float, default=BLOCK_SECONDS)
    options = parser.parse_args()
    node = Node(options.program, folder=options.folder, port=options.port, block_seconds=options.block_seconds)

    def ask_to_stop(*_: object) -> None:
        node.stopping = True

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    if not ports.is_free(options.port):
        print(f"port {options.port} is taken", flush=True)
        return 1
    node.start()
    return node.run()


if __name__ == "__main__":
    sys.exit(main())
