"""Small identifiers."""

import secrets


def new_salt() -> str:
    """A random 32-byte value as 0x-prefixed hex, so that two equal agreements have different escrow ids."""
    return "0x" + secrets.token_hex(32)
