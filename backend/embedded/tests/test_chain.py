"""The embedded EVM node, as a real process."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedded import chain, chain_program, ports
from embedded.processes import ProcessMark, stop

BACKEND = Path(__file__).resolve().parents[2]
TOOLS = BACKEND.parent / "var" / "tools"
RICH = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"  # the first account that the node hands out
POOR = "0x00000000000000000000000000000000000000aa"


@pytest.fixture(scope="module")
def program() -> Path:
    return chain_program.install(TOOLS, say=print)


class Running:
    """A node in a folder, started and ended at will."""

    def __init__(self, program: Path, var: Path) -> None:
        self.program, self.var, self.port = program, var, ports.choose()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = chain.command(self.var, port=self.port, program=self.program, block_seconds=0.05)
        self.process = subprocess.Popen(command, cwd=BACKEND)
        wait_until(lambda: self.block() >= 0)

    def call(self, method: str, *parameters: object) -> object:
        return chain.call(chain.url(port=self.port), method, *parameters)

    def block(self) -> int:
        with contextlib.suppress(OSError):
            return int(str(self.call("eth_blockNumber")), 16)
        return -1

    def pay(self, wei: int) -> None:
        self.call("eth_sendTransaction", {"from": RICH, "to": POOR, "value": hex(wei)})

    def paid(self) -> int:
        return int(str(self.call("eth_getBalance", POOR, "latest")), 16)

    def anvil(self) -> ProcessMark:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        mark = ProcessMark.of(int(children[0]))
        assert mark is not None
        return mark

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None


@pytest.fixture
def node(program: Path, tmp_path: Path) -> Iterator[Running]:
    running = Running(program, tmp_path)
    running.start()
    yield running
    running.end()


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


class TestState:
    def test_the_chain_is_there_again_after_sigterm(self, node):
        node.pay(7)
        block = node.block()
        node.end()
        node.start()
        assert node.paid() == 7
        assert node.block() >= block

    def test_the_chain_is_there_again_after_kill_9(self, node):
        node.pay(7)
        time.sleep(chain.STATE_SECONDS + 0.5)
        anvil = node.anvil()
        node.end(signal.SIGKILL)
        wait_until(lambda: not anvil.lives())  # it went with its parent
        node.start()
        assert node.paid() == 7

    def test_a_state_file_cut_off_in_the_middle_is_replaced_by_its_last_copy(self, node):
        node.pay(7)
        node.end()
        state = node.var / "chain" / "state.json"
        state.write_text(state.read_text()[: state.stat().st_size // 2])
        node.start()
        assert node.paid() == 7

    def test_a_damaged_state_without_a_copy_is_put_aside(self, program, tmp_path):
        (tmp_path / "chain").mkdir()
        (tmp_path / "chain" / "state.json").write_text('{"block":')
        running = Running(program, tmp_path)
        running.start()
        running.end()
        assert (tmp_path / "chain" / "state.damaged").read_text() == '{"block":'
        assert json.loads((tmp_path / "chain" / "state.json").read_text())


class TestClock:
    def test_blocks_follow_a_transaction_and_then_the_chain_rests(self, node):
        wait_until(lambda: node.block() >= chain.BLOCKS_AFTER_TRANSACTION)
        node.pay(1)
        mined = node.block()
        wait_until(lambda: node.block() >= mined + chain.BLOCKS_AFTER_TRANSACTION)
        resting = node.block()
        time.sleep(0.5)
        assert node.block() <= resting + 1

    def test_a_dead_node_ends_the_part_so_that_it_is_started_again(self, node):
        stop([node.anvil()], seconds=5)
        assert node.process.wait(10) != 0
        node.process = None


def test_a_package_with_another_sum_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(chain_program, "installed", lambda tools: None)
    monkeypatch.setitem(chain_program.INTEGRITY, "linux-amd64", "sha512-of something else")
    monkeypatch.setattr(chain_program, "_platform", lambda: "linux-amd64")
    monkeypatch.setattr(chain_program, "_pack", lambda *_, **__: write(tmp_path / "anvil.tgz"))
    with pytest.raises(Exception, match="not the package that was checked"):
        chain_program.install(tmp_path, say=print)
    assert not (tmp_path / f"anvil-{chain_program.VERSION}").exists()


def write(path: Path) -> Path:
    path.write_bytes(os.urandom(8))
    return path
