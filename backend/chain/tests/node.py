"""A real node for tests: what `./escrow test` gives in RPC_URL, else an anvil of our own."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from eth_utils.address import to_checksum_address
from web3 import HTTPProvider, Web3

from embedded import chain_program

START_SECONDS = 15


def anvil_binary() -> str | None:
    """An anvil on this machine: ANVIL, the one that `./escrow` fetched, or one on the PATH."""
    fetched = chain_program.installed(settings.REPOSITORY_DIR / "var" / "tools")
    return os.environ.get("ANVIL") or (str(fetched) if fetched else shutil.which("anvil"))


@contextmanager
def own_anvil(binary: str, folder: Path) -> Iterator[str]:
    """An anvil that lives as long as the block, on a free port. Gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "anvil.log").open("wb") as output:
        process = subprocess.Popen(
            [binary, "--host", "127.0.0.1", "--port", str(port), "--chain-id", "31337", "--silent"],
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        give_up_at = time.monotonic() + START_SECONDS
        while not Web3(HTTPProvider(url)).is_connected():
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"anvil does not start: {(folder / 'anvil.log').read_text()}")
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


class Node:
    """What tests do to the node itself, past our own client."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.w3 = Web3(HTTPProvider(url, request_kwargs={"timeout": 30}))

    def rpc(self, method: str, *params: Any) -> Any:
        answer = self.w3.provider.make_request(method, list(params))  # type: ignore[arg-type]
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def mine(self, blocks: int = 1) -> None:
        self.rpc("anvil_mine", hex(blocks))

    def give_gas(self, address: str) -> None:
        self.rpc("anvil_setBalance", address, hex(10**20))

    def nonce_of(self, address: str) -> int:
        return self.w3.eth.get_transaction_count(to_checksum_address(address))

    def reorganise(self, depth: int) -> None:
        """Replace the last `depth` blocks by empty ones."""
        self.rpc("anvil_reorg", depth, [])

    def reorganise_from(self, block_number: int) -> None:
        """Replace this block and all after it (and one before: a node that mines by itself may do so meanwhile)."""
        self.reorganise(self.w3.eth.block_number - block_number + 2)

    def send(self, key: Any, to: str, data: str) -> str:
        """A transaction that someone sends with his own wallet. Returns its hash; raises what the node says."""
        self.give_gas(key.address)
        request: dict[str, Any] = {"from": key.address, "to": to, "data": data, "value": 0}
        request |= {
            "gas": self.w3.eth.estimate_gas(request) * 2,  # type: ignore[arg-type]
            "nonce": self.w3.eth.get_transaction_count(key.address),
            "chainId": self.w3.eth.chain_id,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
            "type": 2,
        }
        tx_hash = self.w3.eth.send_raw_transaction(key.sign_transaction(request).raw_transaction)
        self.w3.eth.wait_for_transaction_receipt(tx_hash, timeout=20, poll_latency=0.02)
        return "0x" + bytes(tx_hash).hex()
