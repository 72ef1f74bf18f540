"""What is signed, as JSON."""

from typing import Any

from rest_framework import serializers

from chain import sandbox, signatures
from transactions import terms
from users.models import User

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
        "typed_data": terms.for_wallet(message),
        "digest": terms.digest_of(message),
        "signer": signer,
        "deadline": deadline,
        "signed_by_platform": sandbox.holds(user, signer),
    }
