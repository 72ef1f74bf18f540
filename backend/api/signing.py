"""What is signed, as JSON, and from a signature in a request to a verified one."""

from typing import Any

from rest_framework import serializers

from chain import sandbox, signatures
from transactions import terms
from transactions.errors import SignatureMismatch
from users.models import User, Wallet

SIGNATURE_LENGTH = 2 + 2 * signatures.MAX_SIGNATURE_BYTES


class TypedDataSerializer(serializers.Serializer[Any]):
    """EIP-712 typed data as a wallet takes it (`eth_signTypedData_v4`); integers in the message are decimal text."""

    types = serializers.DictField(
        child=serializers.ListField(child=serializers.DictField(child=serializers.CharField()))
    )
    primaryType = serializers.CharField()
    domain = serializers.DictField()
    message = serializers.DictField()


class MessageToSignSerializer(serializers.Serializer[Any]):
    """What to sign, by whom, and until when the signature is good."""

    action = serializers.CharField()
    typed_data = TypedDataSerializer()
    digest = serializers.CharField(help_text="the 32 bytes that are signed, 0x-hex")
    signer = serializers.CharField(help_text="the wallet that the terms name for you")
    deadline = serializers.DateTimeField(help_text="send it back with the signature, which is void after it")
    signed_by_platform = serializers.BooleanField(
        help_text="a sandbox wallet: leave `signature` out and the platform signs (development only)"
    )


class SignatureSerializer(serializers.Serializer[Any]):
    """A signature over the message that `prepare` gave."""

    signature = serializers.CharField(
        required=False,
        max_length=SIGNATURE_LENGTH,
        help_text="0x-hex; may be left out for a sandbox wallet, for which the platform signs",
    )


def message_to_sign(user: User, *, action: str, message: terms.TypedData, signer: str, deadline: Any) -> dict[str, Any]:
    """The data of a MessageToSignSerializer."""
    return {
        "action": action,
        "typed_data": as_json(message),
        "digest": terms.digest_of(message),
        "signer": signer,
        "deadline": deadline,
        "signed_by_platform": is_held_by_platform(user, signer),
    }


def as_json(message: terms.TypedData) -> dict[str, Any]:
    """Typed data whose message holds integers as decimal text, since JSON's numbers are floats for many readers."""

    def text(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: text(item) for key, item in value.items()}
        if isinstance(value, list):
            return [text(item) for item in value]
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    return {**message, "message": text(message["message"])}


def is_held_by_platform(user: User, signer: str) -> bool:
    """Whether the platform signs for this wallet of the user (development chain only)."""
    return Wallet.objects.filter(user=user, address__iexact=signer, kind=Wallet.Kind.SANDBOX).exists()


def verified(user: User, *, message: terms.TypedData, signer: str, signature: str | None) -> terms.VerifiedSignature:
    """The signature of `signer` over `message`; without one, a sandbox wallet's is made. Raises SignatureMismatch."""
    if not signature:
        if not is_held_by_platform(user, signer):
            raise SignatureMismatch("the signature is missing; only a sandbox wallet's may be left out", signer=signer)
        signature = sandbox.sign(user, message)
    return signatures.verify(message=message, signature=signature.strip(), signer=signer)
