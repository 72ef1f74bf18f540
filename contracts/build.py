"""Compiles contracts/src deterministically into contracts/abi.

    python build.py            writes abi/<Name>.json
    python build.py --check    exits 1 with one line if a committed artifact is not what its source compiles to, or if
                               the vault's runtime code is too large

An artifact holds the ABI, the deployment and runtime bytecode (0x-hex; runtime without the immutables that the
constructor appends), the compiler's version and the SHA-256 of the source. A comment changes that hash and no code.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import vyper
from vyper.compiler import compile_code
from vyper.exceptions import VyperException

ROOM = Path(__file__).resolve().parent
CONTRACTS = ("EscrowVault", "TestUSDC")
# EIP-170 allows 24,576 bytes, immutables included (the vault has two words of them); some room is kept for mending.
MAX_RUNTIME_BYTES = 23_500
IMMUTABLES_BYTES = {"EscrowVault": 64, "TestUSDC": 0}


def artifact(name: str) -> dict[str, object]:
    """Compile src/<name>.vy. The compiler's version, target and optimizer are pinned by the source's pragmas."""
    path = ROOM / "src" / f"{name}.vy"
    source = path.read_text(encoding="utf-8")
    output = compile_code(source, output_formats=["abi", "bytecode", "bytecode_runtime"])
    return {
        "contract": name,
        "compiler": f"vyper {vyper.__long_version__}",
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "abi": output["abi"],
        "bytecode": output["bytecode"],
        "runtime_bytecode": output["bytecode_runtime"],
    }


def rendered(built: dict[str, object]) -> str:
    """The artifact's file, byte for byte the same for the same source."""
    return json.dumps(built, indent=1, ensure_ascii=False) + "\n"


def runtime_bytes(built: dict[str, object]) -> int:
    """Size of the deployed code, immutables included."""
    return len(str(built["runtime_bytecode"]).removeprefix("0x")) // 2 + IMMUTABLES_BYTES[str(built["contract"])]


def main() -> int:
    """Build or check; the exit status for the shell."""
    parser = argparse.ArgumentParser(description="Build the contracts' artifacts.")
    parser.add_argument("--check", action="store_true", help="compare with the committed artifacts, write nothing")
    arguments = parser.parse_args()
    for name in CONTRACTS:
        try:
            built = artifact(name)
        except VyperException as error:
            print(f"src/{name}.vy does not compile: {str(error).strip()}", file=sys.stderr)
            return 1
        target = ROOM / "abi" / f"{name}.json"
        size = runtime_bytes(built)
        if name == "EscrowVault" and size > MAX_RUNTIME_BYTES:
            print(f"{name}: runtime code is {size:,} bytes, {MAX_RUNTIME_BYTES:,} are allowed", file=sys.stderr)
            return 1
        if not arguments.check:
            target.parent.mkdir(exist_ok=True)
            target.write_text(rendered(built), encoding="utf-8")
            print(f"{name}: {size:,} bytes of runtime code")
        elif not target.exists() or target.read_text(encoding="utf-8") != rendered(built):
            print(f"abi/{name}.json is not what src/{name}.vy compiles to: run contracts/build.py", file=sys.stderr)
            return 1
    if arguments.check:
        print("contract artifacts match their sources")
    return 0


if __name__ == "__main__":
    sys.exit(main())
