"""Signed requests on their way to the chain: what was asked, how far it is, which transaction carries it."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.generics import RetrieveAPIView

from api.callers import caller
from chain.models import ChainTransaction
from transactions import queries
from transactions.models import ActionIntent


class ChainTransactionSerializer(serializers.ModelSerializer[ChainTransaction]):
    class Meta:
        model = ChainTransaction
        fields = ["tx_hash", "status", "block_number", "gas_used"]


class IntentSerializer(serializers.ModelSerializer[ActionIntent]):
    """`status`: REQUESTED, SENT, SEEN (in a block), DONE (final), FAILED (see `failure`) or VOIDED (overtaken)."""

    transaction_id = serializers.IntegerField(read_only=True)
    milestone_id = serializers.IntegerField(read_only=True, allow_null=True)
    chain_transaction = serializers.SerializerMethodField()

    class Meta:
        model = ActionIntent
        fields = [
            "id",
            "action",
            "role",
            "transaction_id",
            "milestone_id",
            "status",
            "failure",
            "requested_at",
            "settled_at",
            "chain_transaction",
        ]

    @extend_schema_field(ChainTransactionSerializer(allow_null=True))
    def get_chain_transaction(self, intent: ActionIntent) -> Any:
        found = getattr(intent, "chain_transaction", None)
        return ChainTransactionSerializer(found).data if found is not None else None


def intents_visible_to(user: Any) -> Any:
    """The signed requests of the transactions this user may see."""
    return ActionIntent.objects.filter(transaction__in=queries.visible_to(user)).select_related("chain_transaction")


class Intent(RetrieveAPIView[ActionIntent]):
    """How far a signed request is."""

    serializer_class = IntentSerializer
    queryset = ActionIntent.objects.none()
    lookup_url_kwarg = "intent_id"

    def get_queryset(self) -> Any:
        return intents_visible_to(caller(self.request))
