"""Folders and files that the launcher knows."""

import sys
from pathlib import Path

from embedded import configuration

BACKEND = Path(__file__).resolve().parents[1]
REPOSITORY = BACKEND.parent
CONTRACTS = REPOSITORY / "contracts"
TOOLS = REPOSITORY / "var" / "tools"  # fetched programs; shared by every ESCROW_VAR, kept by `reset`
PYTHON = sys.executable


def var() -> Path:
    """The folder of all run-time state, as ESCROW_VAR says now."""
    return configuration.var_dir(REPOSITORY)
