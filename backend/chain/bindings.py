"""The contracts as Python sees them: committed artifacts, calls encoded by name, logs decoded from what was stored."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from eth_abi.abi import decode as abi_decode
from eth_utils.abi import collapse_if_tuple, event_abi_to_log_topic
from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.contract import Contract

VAULT = "EscrowVault"
TEST_TOKEN = "TestUSDC"  # noqa: S105  a contract


@dataclass(frozen=True)
class Artifact:
    """A compiled contract as committed in contracts/abi. Code is 0x-hex."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: str
    runtime_bytecode: str


@dataclass(frozen=True)
class VaultEvent:
    """A decoded log: integers as int, addresses checksummed, bytes32 as 0x-hex text."""

    name: str
    args: Mapping[str, Any]


@lru_cache(maxsize=8)
def artifact(name: str) -> Artifact:
    """The committed artifact of a contract."""
    content = json.loads((Path(settings.CONTRACT_ARTIFACTS_DIR) / f"{name}.json").read_text())
    return Artifact(
        name=name,
        abi=content["abi"],
        bytecode=content["bytecode"],
        runtime_bytecode=content["runtime_bytecode"],
    )


def contract_at(w3: Web3, name: str, address: str) -> Contract:
    """A contract to read from."""
    return w3.eth.contract(address=to_checksum_address(address), abi=artifact(name).abi)


def encode_call(name: str, function: str, arguments: Sequence[Any]) -> str:
    """Call data (0x-hex) for a function of a contract, arguments in the ABI's order; a struct may be a mapping."""
    data: str = _encoder(name).encode_abi(function, args=list(arguments))
    return data


def encode_deployment(name: str, arguments: Sequence[Any] = ()) -> str:
    """Creation code with constructor arguments, 0x-hex."""
    data: str = _encoder(name).constructor(*arguments).data_in_transaction
    return data


def decode_vault_log(topics: Sequence[str], data: str) -> VaultEvent | None:
    """The vault's event in a stored log; None for an event this ABI does not know."""
    event = _events_by_topic(VAULT).get(topics[0].lower()) if topics else None
    if event is None:
        return None
    indexed = [field for field in event["inputs"] if field["indexed"]]
    others = [field for field in event["inputs"] if not field["indexed"]]
    args: dict[str, Any] = {}
    for field, topic in zip(indexed, topics[1:], strict=True):
        args[field["name"]] = _plain(field, abi_decode([field["type"]], bytes.fromhex(topic.removeprefix("0x")))[0])
    values = abi_decode([collapse_if_tuple(field) for field in others], bytes.fromhex(data.removeprefix("0x")))
    for field, value in zip(others, values, strict=True):
        args[field["name"]] = _plain(field, value)
    return VaultEvent(event["name"], args)


@lru_cache(maxsize=8)
def _encoder(name: str) -> Any:
    compiled = artifact(name)
    return Web3().eth.contract(abi=compiled.abi, bytecode=compiled.bytecode)


@lru_cache(maxsize=8)
def _events_by_topic(name: str) -> dict[str, dict[str, Any]]:
    events = [entry for entry in artifact(name).abi if entry["type"] == "event"]
    return {"0x" + event_abi_to_log_topic(event).hex(): event for event in events}  # type: ignore[arg-type]


def _plain(field: Mapping[str, Any], value: Any) -> Any:
    kind: str = field["type"]
    if kind.endswith("]"):
        inner = {**field, "type": kind[: kind.rindex("[")]}
        return [_plain(inner, item) for item in value]
    if kind == "tuple":
        parts = zip(field["components"], value, strict=True)
        return {part["name"]: _plain(part, item) for part, item in parts}
    if kind == "address":
        return to_checksum_address(value)
    return "0x" + value.hex() if isinstance(value, bytes) else value
