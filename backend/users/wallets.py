"""Wallets: proving that an address is one's own (EIP-4361), and which of them terms name.

The signature is verified at the door, which can ask the chain; here the proof is compared with the text given out.
"""

import secrets
import string
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError
from django.db import transaction as db_transaction
from eth_account.messages import _hash_eip191_message, encode_defunct
from eth_utils.address import is_address, to_checksum_address

from common.clock import utc_now
from users.errors import ChallengeNotUsable, InvalidAccount, ProofMismatch, WalletTaken
from users.models import User, Wallet, WalletChallenge

CHALLENGE_LIFETIME = timedelta(minutes=15)
STATEMENT = "I control this wallet and link it to my account. This moves no money and costs nothing."
NONCE_ALPHABET = string.ascii_letters + string.digits  # EIP-4361 allows no others
NONCE_LENGTH = 24


class Proof(Protocol):
    """A verified signature: `digest` is what was signed (0x-hex), `signer` the address whose signature it is."""

    @property
    def digest(self) -> str: ...

    @property
    def signer(self) -> str: ...


def create_challenge(*, user: User, address: str) -> WalletChallenge:
    """A text for this wallet to sign, good once and for a quarter of an hour. Raises InvalidAccount, WalletTaken."""
    if not is_address(address):
        raise InvalidAccount("an address is 0x and 40 hexadecimal digits", field="address")
    address = to_checksum_address(address)
    _refuse_if_taken(address)
    now = utc_now().replace(microsecond=0)
    nonce = "".join(secrets.choice(NONCE_ALPHABET) for _ in range(NONCE_LENGTH))
    expires_at = now + CHALLENGE_LIFETIME
    return WalletChallenge.objects.create(
        user=user,
        address=address,
        nonce=nonce,
        message=sign_in_text(address=address, nonce=nonce, issued_at=now, expires_at=expires_at),
        expires_at=expires_at,
    )


def sign_in_text(*, address: str, nonce: str, issued_at: datetime, expires_at: datetime) -> str:
    """The EIP-4361 message, as wallets recognise and show it. Times in UTC; the address checksummed."""
    return "\n".join(
        [
            f"{urlsplit(settings.PUBLIC_URL).netloc} wants you to sign in with your Ethereum account:",
            address,
            "",
            STATEMENT,
            "",
            f"URI: {settings.PUBLIC_URL}",
            "Version: 1",
            f"Chain ID: {settings.CHAIN_ID}",
            f"Nonce: {nonce}",
            f"Issued At: {_rfc3339(issued_at)}",
            f"Expiration Time: {_rfc3339(expires_at)}",
        ]
    )


def get_challenge(*, user: User, nonce: str) -> WalletChallenge:
    """The user's challenge that can still be answered. Raises ChallengeNotUsable."""
    found = WalletChallenge.objects.filter(user=user, nonce=nonce, used_at__isnull=True, expires_at__gt=utc_now())
    challenge = found.first()
    if challenge is None:
        raise ChallengeNotUsable("this text is not known, was used before or is too old; ask for a new one")
    return challenge


def link_wallet(*, user: User, nonce: str, proof: Proof) -> Wallet:
    """Link the wallet that signed the challenge's text. It becomes the primary one unless an own wallet is already.

    Raises ChallengeNotUsable, ProofMismatch, WalletTaken. A challenge is used up once, however many ask at once.
    """
    with db_transaction.atomic():
        challenge = get_challenge(user=user, nonce=nonce)
        if proof.digest != text_digest(challenge.message) or proof.signer.lower() != challenge.address.lower():
            raise ProofMismatch("the signature is not this wallet's over this text")
        used = WalletChallenge.objects.filter(pk=challenge.pk, used_at__isnull=True).update(used_at=utc_now())
        if not used:
            raise ChallengeNotUsable("this text was used before; ask for a new one")
        return _add(user, challenge.address, Wallet.Kind.LINKED)


def add_sandbox_wallet(*, user: User, address: str) -> Wallet:
    """Note a wallet whose key the platform holds (`chain.sandbox` decides whether it may). Harmless to repeat."""
    existing = Wallet.objects.filter(user=user, address__iexact=address).first()
    return existing or _add(user, to_checksum_address(address), Wallet.Kind.SANDBOX)


def primary_wallet(user: User) -> Wallet | None:
    """The wallet that new terms name for this person, None without any."""
    return Wallet.objects.filter(user=user, is_primary=True).first()


def make_primary(*, user: User, wallet_id: int) -> Wallet | None:
    """Name this wallet in new terms; terms that were signed before keep theirs. None if it is not the user's."""
    with db_transaction.atomic():
        _lock(user)
        wallet = Wallet.objects.filter(user=user, pk=wallet_id).first()
        if wallet is not None:
            _set_primary(wallet)
    return wallet


def text_digest(text: str) -> str:
    """What a wallet signs for a text (EIP-191 personal_sign), 0x-hex."""
    return "0x" + _hash_eip191_message(encode_defunct(text=text)).hex()


def _add(user: User, address: str, kind: str) -> Wallet:
    with db_transaction.atomic():
        _lock(user)
        _refuse_if_taken(address)
        primary = primary_wallet(user)
        wallet = Wallet(user=user, address=address, kind=kind, verified_at=utc_now())
        try:
            with db_transaction.atomic():
                wallet.save()
        except IntegrityError as error:
            raise WalletTaken("this wallet belongs to an account already", address=address) from error
        # Who proves an own wallet means to use it: it comes before one that the platform holds.
        if primary is None or (kind == Wallet.Kind.LINKED and primary.kind == Wallet.Kind.SANDBOX):
            _set_primary(wallet)
    return wallet


def _lock(user: User) -> None:
    """One change of a person's wallets at a time: the account's row is the lock."""
    User.objects.select_for_update().only("pk").get(pk=user.pk)


def _set_primary(wallet: Wallet) -> None:
    Wallet.objects.filter(user=wallet.user_id, is_primary=True).exclude(pk=wallet.pk).update(is_primary=False)
    wallet.is_primary = True
    wallet.save(update_fields=["is_primary"])


def _refuse_if_taken(address: str) -> None:
    if Wallet.objects.filter(address__iexact=address).exists():
        raise WalletTaken("this wallet belongs to an account already", address=address)


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
