"""The application deploys contracts/abi: that code is the one that the tests ran. (build.py --check compares all.)"""

import json

import pytest
from conftest import ROOM


@pytest.mark.parametrize("name", ["EscrowVault", "TestUSDC"])
def test_the_artifacts_bytecode_is_what_was_deployed_here(name, vault, token):
    artifact = json.loads((ROOM / "abi" / f"{name}.json").read_text())
    deployed = {"EscrowVault": vault, "TestUSDC": token}[name]
    assert deployed.compiler_data.bytecode_runtime.hex() == artifact["runtime_bytecode"].removeprefix("0x")
    assert len(deployed.bytecode) <= 23_500
