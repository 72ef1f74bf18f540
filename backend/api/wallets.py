"""Wallets: linking one's own by EIP-4361, and in development one whose key the platform holds."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.callers import caller
from api.fields import AddressField, AmountField, units_of
from api.idempotency import idempotent
from api.signing import TypedDataSerializer
from chain import deployments, sandbox, signatures
from chain.errors import SandboxRefused
from transactions import terms
from transactions.models import Token
from users import wallets
from users.models import Wallet, WalletChallenge


class WalletSerializer(serializers.ModelSerializer[Wallet]):
    class Meta:
        model = Wallet
        fields = ["id", "address", "kind", "is_primary", "verified_at"]


class ChallengeRequestSerializer(serializers.Serializer[Any]):
    address = AddressField()


class ChallengeSerializer(serializers.ModelSerializer[WalletChallenge]):
    """Sign `message` as a text (`personal_sign`) with the wallet."""

    class Meta:
        model = WalletChallenge
        fields = ["nonce", "address", "message", "expires_at"]


class LinkSerializer(serializers.Serializer[Any]):
    nonce = serializers.CharField(max_length=32)
    signature = serializers.CharField(max_length=2 + 2 * signatures.MAX_SIGNATURE_BYTES)


class SandboxRequestSerializer(serializers.Serializer[Any]):
    amount = AmountField(required=False, help_text="test money to be minted; a useful sum unless said otherwise")


class SandboxWalletSerializer(WalletSerializer):
    funding_tx_hash = serializers.CharField(help_text="the transaction that brings the test money")

    class Meta(WalletSerializer.Meta):
        fields = [*WalletSerializer.Meta.fields, "funding_tx_hash"]


class SandboxSignSerializer(serializers.Serializer[Any]):
    typed_data = TypedDataSerializer()


class SandboxSignatureSerializer(serializers.Serializer[Any]):
    signature = serializers.CharField()
    digest = serializers.CharField()


class Wallets(APIView):
    """One's own wallets."""

    @extend_schema(responses=WalletSerializer(many=True))
    def get(self, request: Request) -> Response:
        """My wallets; terms name the primary one."""
        return Response(WalletSerializer(caller(request).wallets.order_by("-is_primary", "id"), many=True).data)


class Challenges(APIView):
    @idempotent
    @extend_schema(request=ChallengeRequestSerializer, responses={201: ChallengeSerializer})
    def post(self, request: Request) -> Response:
        """Ask for a text (EIP-4361) that proves a wallet when it signs it."""
        entered = ChallengeRequestSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        challenge = wallets.create_challenge(user=caller(request), **entered.validated_data)
        return Response(ChallengeSerializer(challenge).data, status=status.HTTP_201_CREATED)


class Link(APIView):
    @idempotent
    @extend_schema(request=LinkSerializer, responses={201: WalletSerializer})
    def post(self, request: Request) -> Response:
        """Link the wallet that signed the text. It becomes the primary one unless an own wallet is already."""
        entered = LinkSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        nonce = entered.validated_data["nonce"]
        challenge = wallets.get_challenge(user=caller(request), nonce=nonce)
        proof = signatures.verify_text(challenge.message, entered.validated_data["signature"], challenge.address)
        wallet = wallets.link_wallet(user=caller(request), nonce=nonce, proof=proof)
        return Response(WalletSerializer(wallet).data, status=status.HTTP_201_CREATED)


class Primary(APIView):
    @idempotent
    @extend_schema(request=None, responses=WalletSerializer)
    def post(self, request: Request, wallet_id: int) -> Response:
        """Name this wallet in new terms. Terms that were signed before keep theirs."""
        wallet = wallets.make_primary(user=caller(request), wallet_id=wallet_id)
        if wallet is None:
            raise NotFound
        return Response(WalletSerializer(wallet).data)


class Sandbox(APIView):
    """Not repeatable by Idempotency-Key: what is minted is sent to the chain at once, outside of any database row."""

    @extend_schema(request=SandboxRequestSerializer, responses={201: SandboxWalletSerializer})
    def post(self, request: Request) -> Response:
        """Development only: a wallet whose key the platform holds, with test money. Again: more test money."""
        entered = SandboxRequestSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        wallet = sandbox.create_wallet(caller(request))
        amount = entered.validated_data.get("amount")
        more = {} if amount is None else {"units": units_of(amount, decimals=6, field="amount")}
        minted = sandbox.fund(caller(request), **more)
        wallet.funding_tx_hash = minted.tx_hash  # type: ignore[attr-defined]
        return Response(SandboxWalletSerializer(wallet).data, status=status.HTTP_201_CREATED)


class SandboxSign(APIView):
    @extend_schema(request=SandboxSignSerializer, responses=SandboxSignatureSerializer)
    def post(self, request: Request) -> Response:
        """Development only: your sandbox wallet's signature, over messages of our vault and tokens alone."""
        entered = SandboxSignSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        message = entered.validated_data["typed_data"]
        _refuse_foreign_domain(message["domain"])
        try:
            digest = terms.digest_of(message)
        except Exception as error:  # the encoder has no error of its own: whatever it raises, the message is at fault
            raise serializers.ValidationError({"typed_data": [f"it is no EIP-712 message: {error}"]}) from error
        return Response({"signature": sandbox.sign(caller(request), message), "digest": digest})


def _refuse_foreign_domain(domain: dict[str, Any]) -> None:
    """Only messages for the current vault, or for a token that is offered with it."""
    deployment = deployments.current()
    contract = str(domain.get("verifyingContract", "")).lower()
    tokens = Token.objects.filter(chain_id=deployment.chain_id, is_offered=True).values_list("address", flat=True)
    is_ours = contract in {deployment.vault.lower(), *(address.lower() for address in tokens)}
    if not is_ours or str(domain.get("chainId")) != str(deployment.chain_id):
        raise SandboxRefused("a sandbox wallet signs only for this platform's vault and tokens", contract=contract)
