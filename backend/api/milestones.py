"""One milestone: its money, its clock, what was handed in, and what this caller may do with it now."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.generics import RetrieveAPIView

from api.accounts import PersonSerializer
from api.callers import caller
from api.documents import DocumentSerializer
from api.fields import AmountOut, UnitsOut
from api.intents import IntentSerializer
from transactions import queries
from transactions.models import ActionIntent, ChangeRequest, Dispute, Milestone, Submission


class SubmissionSerializer(serializers.ModelSerializer[Submission]):
    documents = DocumentSerializer(many=True, read_only=True)

    class Meta:
        model = Submission
        fields = ["id", "round", "note", "documents", "deliverable_hash", "requested_at", "confirmed_at"]


class ChangeRequestSerializer(serializers.ModelSerializer[ChangeRequest]):
    class Meta:
        model = ChangeRequest
        fields = ["id", "round", "reason", "reason_hash", "requested_at", "confirmed_at"]


class DisputeSerializer(serializers.ModelSerializer[Dispute]):
    """`seller_amount` is the seller's part as decided."""

    milestone_id = serializers.IntegerField(read_only=True)
    transaction_id = serializers.IntegerField(source="milestone.transaction_id", read_only=True)
    opened_by = PersonSerializer(read_only=True, allow_null=True)
    amount = AmountOut(source="milestone.amount_units")
    amount_units = UnitsOut(source="milestone.amount_units")
    seller_amount = AmountOut(source="seller_units", allow_null=True)
    seller_units = UnitsOut(allow_null=True)
    actions = serializers.SerializerMethodField(help_text="what you may do with it now")

    class Meta:
        model = Dispute
        fields = [
            "id",
            "milestone_id",
            "transaction_id",
            "status",
            "opened_by",
            "reason",
            "reason_hash",
            "amount",
            "amount_units",
            "seller_amount",
            "seller_units",
            "decision",
            "decision_hash",
            "arbitration_ends_at",
            "requested_at",
            "opened_at",
            "decided_at",
            "actions",
        ]

    def get_actions(self, dispute: Dispute) -> list[str]:
        if dispute.status != Dispute.Status.OPEN:
            return []
        milestone = dispute.milestone
        return [
            str(action)
            for action in queries.available_actions(milestone.transaction, self.context["request"].user, milestone)
        ]


class MilestoneSerializer(serializers.ModelSerializer[Milestone]):
    """`actions` is what you may do with it now, `pending` what was asked for and waits for the chain."""

    transaction_id = serializers.IntegerField(read_only=True)
    amount = AmountOut(source="amount_units")
    amount_units = UnitsOut()
    seller_amount = AmountOut(source="seller_units")
    seller_units = UnitsOut()
    fee = AmountOut(source="fee_units")
    fee_units = UnitsOut()
    buyer_amount = AmountOut(source="buyer_units")
    buyer_units = UnitsOut()
    submissions = serializers.SerializerMethodField()
    changes_requested = serializers.SerializerMethodField()
    disputes = serializers.SerializerMethodField()
    actions = serializers.SerializerMethodField()
    pending = serializers.SerializerMethodField()

    class Meta:
        model = Milestone
        fields = [
            "id",
            "transaction_id",
            "position",
            "title",
            "description",
            "amount",
            "amount_units",
            "deliver_by",
            "status",
            "money",
            "deadline_at",
            "round",
            "seller_amount",
            "seller_units",
            "fee",
            "fee_units",
            "buyer_amount",
            "buyer_units",
            "funded_at",
            "settled_at",
            "submissions",
            "changes_requested",
            "disputes",
            "actions",
            "pending",
        ]

    @extend_schema_field(SubmissionSerializer(many=True))
    def get_submissions(self, milestone: Milestone) -> Any:
        found = milestone.submissions.filter(confirmed_at__isnull=False).prefetch_related("documents")
        return SubmissionSerializer(found, many=True).data

    @extend_schema_field(ChangeRequestSerializer(many=True))
    def get_changes_requested(self, milestone: Milestone) -> Any:
        found = milestone.change_request_rows.filter(confirmed_at__isnull=False)
        return ChangeRequestSerializer(found, many=True).data

    @extend_schema_field(DisputeSerializer(many=True))
    def get_disputes(self, milestone: Milestone) -> Any:
        found = milestone.disputes.exclude(status__in=["REQUESTED", "FAILED"]).select_related("opened_by")
        for dispute in found:
            dispute.milestone = milestone
        return DisputeSerializer(found, many=True, context=self.context).data

    def get_actions(self, milestone: Milestone) -> list[str]:
        user = self.context["request"].user
        return [str(action) for action in queries.available_actions(milestone.transaction, user, milestone)]

    @extend_schema_field(IntentSerializer(many=True))
    def get_pending(self, milestone: Milestone) -> Any:
        found = milestone.intents.filter(status__in=ActionIntent.OPEN).select_related("chain_transaction")
        return IntentSerializer(found, many=True).data


class MilestoneDetail(RetrieveAPIView[Milestone]):
    """One milestone of a transaction that you see."""

    serializer_class = MilestoneSerializer
    queryset = Milestone.objects.none()
    lookup_url_kwarg = "object_id"

    def get_queryset(self) -> Any:
        return queries.milestones_visible_to(caller(self.request))
