"""What agreements are made on: the chain, the vault, the tokens that are offered."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.transactions import CurrencySerializer
from chain import deployments
from transactions.models import Token


class DeploymentSerializer(serializers.Serializer[Any]):
    chain_id = serializers.IntegerField()
    vault = serializers.CharField()
    min_window_seconds = serializers.IntegerField(help_text="the vault's lower limit of every window")
    max_window_seconds = serializers.IntegerField(help_text="the vault's upper limit of every window")
    confirmations = serializers.IntegerField(help_text="blocks, its own included, after which a fact is final here")
    fee_bps = serializers.IntegerField(help_text="fee of new agreements, basis points of the seller's part")
    fee_recipient = serializers.CharField(allow_blank=True)
    sandbox_wallets = serializers.BooleanField(help_text="whether the platform can hold a wallet for you")
    tokens = CurrencySerializer(many=True)


class Deployment(APIView):
    @extend_schema(responses=DeploymentSerializer)
    def get(self, request: Request) -> Response:
        """The chain that new agreements are made on, its vault and tokens."""
        deployment = deployments.current()
        tokens = Token.objects.filter(chain_id=deployment.chain_id, is_offered=True).order_by("symbol")
        return Response(
            {
                "chain_id": deployment.chain_id,
                "vault": deployment.vault,
                "min_window_seconds": deployment.min_window_seconds,
                "max_window_seconds": deployment.max_window_seconds,
                "confirmations": settings.CHAIN_CONFIRMATIONS,
                "fee_bps": settings.ESCROW_FEE_BPS,
                "fee_recipient": settings.ESCROW_FEE_RECIPIENT,
                "sandbox_wallets": settings.SANDBOX_WALLETS,
                "tokens": CurrencySerializer(tokens, many=True).data,
            }
        )
