"""The key that pays for gas. It comes from a file (or, on a development chain, from a public phrase), never from the
database, and is never logged."""

import json
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from eth_account import Account
from eth_account.hdaccount import key_from_seed, seed_from_mnemonic
from eth_account.signers.local import LocalAccount

from chain.client import DEVELOPMENT_CHAIN_ID
from chain.errors import RelayerUnavailable

# The phrase that every development node prints at its start. Whatever it holds on a real chain is stolen at once.
PUBLIC_MNEMONIC = "test test test test test test test test test test test junk"
# Not among the accounts that the node hands out, so that no other tool uses up its nonces.
RELAYER_PATH = "m/44'/60'/0'/0/3133"


def relayer_key(chain_id: int) -> LocalAccount:
    """The account that sends the platform's transactions on this chain. Raises RelayerUnavailable."""
    if settings.RELAYER_KEYSTORE:
        return _from_keystore(settings.RELAYER_KEYSTORE, settings.RELAYER_PASSWORD_FILE)
    if chain_id != DEVELOPMENT_CHAIN_ID or not settings.DEBUG:
        raise RelayerUnavailable(
            f"no relayer key for chain {chain_id}: set RELAYER_KEYSTORE and RELAYER_PASSWORD_FILE", chain_id=chain_id
        )
    return _development_key()


@lru_cache(maxsize=1)
def _development_key() -> LocalAccount:
    key: LocalAccount = Account.from_key(key_from_seed(seed_from_mnemonic(PUBLIC_MNEMONIC, ""), RELAYER_PATH))
    return key


@lru_cache(maxsize=4)  # decrypting is slow on purpose
def _from_keystore(keystore: str, password_file: str) -> LocalAccount:
    try:
        encrypted = json.loads(Path(keystore).read_text())
        password = Path(password_file).read_text().strip() if password_file else ""
    except OSError as error:
        raise RelayerUnavailable(f"the relayer's key cannot be read: {error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise RelayerUnavailable(f"{keystore} is not a keystore file (version 3 JSON)") from error
    try:
        key: LocalAccount = Account.from_key(Account.decrypt(encrypted, password))
    except (ValueError, KeyError, TypeError):
        # The cause is dropped on purpose: it may carry what was in the files.
        raise RelayerUnavailable(f"{keystore} does not open with the password in RELAYER_PASSWORD_FILE") from None
    return key
