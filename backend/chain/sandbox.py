"""Wallets for newcomers: keys that the platform holds, on a development chain and nowhere else.

A key is derived when it is needed, from the installation's secret and the account's number, and never stored.
"""

import hashlib
import hmac

from django.conf import settings
from eth_account import Account
from eth_account.hdaccount import key_from_seed
from eth_account.signers.local import LocalAccount
from eth_typing import Hash32

from chain import bindings, deployments, relayer, signatures
from chain.client import DEVELOPMENT_CHAIN_ID, connect
from chain.errors import SandboxRefused
from chain.models import ChainTransaction
from transactions.errors import SignatureMismatch
from transactions.terms import TypedData, VerifiedSignature, digest_of
from users.models import User, Wallet
from users.wallets import add_sandbox_wallet

DEFAULT_FUNDS_UNITS = 100_000 * 10**6  # 100,000 tUSDC
MAX_FUNDS_UNITS = 10_000_000 * 10**6


def create_wallet(user: User) -> Wallet:
    """The user's sandbox wallet, made if he has none. Raises SandboxRefused, ChainUnavailable. Harmless to repeat."""
    address = _key(user).address
    existing = Wallet.objects.filter(user=user, address__iexact=address).first()
    return existing or add_sandbox_wallet(user=user, address=address)


def sign(user: User, message: TypedData) -> str:
    """The signature (0x-hex, 65 bytes) of the user's sandbox wallet over typed data.

    Raises SandboxRefused, also if the user has no sandbox wallet; ChainUnavailable.
    """
    key = _key(user)
    if not Wallet.objects.filter(user=user, kind=Wallet.Kind.SANDBOX, address__iexact=key.address).exists():
        raise SandboxRefused("this account has no sandbox wallet")
    signed = key.unsafe_sign_hash(Hash32(bytes.fromhex(digest_of(message)[2:])))
    return "0x" + bytes(signed.signature).hex()


def holds(user: User, address: str) -> bool:
    """Whether the platform signs for this wallet of the user."""
    return Wallet.objects.filter(user=user, address__iexact=address, kind=Wallet.Kind.SANDBOX).exists()


def signed_or_given(user: User, *, message: TypedData, signer: str, signature: str = "") -> VerifiedSignature:
    """The verified signature of `signer` over `message`: the one given (0x-hex), else the sandbox wallet's own.

    Raises SignatureMismatch, also if none is given and the wallet is not a sandbox wallet of this user.
    """
    if not signature.strip():
        if not holds(user, signer):
            raise SignatureMismatch("the signature is missing; only a sandbox wallet's may be left out", signer=signer)
        signature = sign(user, message)
    return signatures.verify(message=message, signature=signature.strip(), signer=signer)


def fund(user: User, units: int = DEFAULT_FUNDS_UNITS) -> ChainTransaction:
    """Mint test USDC (base units) to the user's sandbox wallet; the relayer pays. Sent, not waited for.

    Raises SandboxRefused, ChainUnavailable. Not idempotent: each call mints.
    """
    address = create_wallet(user).address
    if not 0 < units <= MAX_FUNDS_UNITS:
        raise SandboxRefused("that is more test money than one gets at once", limit_units=str(MAX_FUNDS_UNITS))
    token = deployments.current(DEVELOPMENT_CHAIN_ID).token
    row = relayer.prepare(
        purpose="faucet",
        chain_id=DEVELOPMENT_CHAIN_ID,
        to=token,
        call_data=bindings.encode_call(bindings.TEST_TOKEN, "mint", [address, units]),
    )
    relayer.broadcast(row)
    return row


def _key(user: User) -> LocalAccount:
    """The key, after making sure that nothing on this chain is worth anything."""
    if not (settings.SANDBOX_WALLETS and settings.DEBUG and settings.CHAIN_ID == DEVELOPMENT_CHAIN_ID):
        raise SandboxRefused("sandbox wallets exist only in development, on chain 31337")
    connect(DEVELOPMENT_CHAIN_ID)  # asks the node itself which chain it is on
    if user.pk is None:
        raise SandboxRefused("an account that is not saved has no wallet")
    secret = str(settings.SECRET_KEY).encode()
    seed = hmac.digest(secret, b"escrow: development seed of sandbox wallets", hashlib.sha512)
    key: LocalAccount = Account.from_key(key_from_seed(seed, f"m/44'/60'/0'/0/{user.pk}"))
    return key
