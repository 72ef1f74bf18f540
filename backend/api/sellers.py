"""The seller's own profile, handing in documents, and the reviewers' desk."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.accounts import PersonSerializer
from api.callers import caller
from api.documents import DocumentSerializer
from api.idempotency import idempotent
from users import queries, verification
from users.models import SellerProfile, VerificationRequest


class SellerProfileSerializer(serializers.ModelSerializer[SellerProfile]):
    skills = serializers.ListField(
        child=serializers.CharField(max_length=verification.SKILL_LENGTH),
        max_length=verification.SKILLS_AT_MOST,
        required=False,
    )

    class Meta:
        model = SellerProfile
        fields = ["kind", "legal_name", "headline", "skills", "verification_status", "verified_at", "expires_at"]
        read_only_fields = ["verification_status", "verified_at", "expires_at"]


class VerificationRequestSerializer(serializers.ModelSerializer[VerificationRequest]):
    seller = PersonSerializer(source="profile.user", read_only=True)
    legal_name = serializers.CharField(source="profile.legal_name", read_only=True)
    kind = serializers.CharField(source="profile.kind", read_only=True)
    documents = DocumentSerializer(many=True, read_only=True)
    decided_by = PersonSerializer(read_only=True, allow_null=True)

    class Meta:
        model = VerificationRequest
        fields = [
            "id",
            "seller",
            "legal_name",
            "kind",
            "documents",
            "decision",
            "reason",
            "submitted_at",
            "decided_by",
            "decided_at",
        ]


class HandInSerializer(serializers.Serializer[Any]):
    document_ids = serializers.ListField(child=serializers.IntegerField(min_value=1), min_length=1, max_length=20)


class DecisionSerializer(serializers.Serializer[Any]):
    decision = serializers.ChoiceField(choices=["VERIFIED", "REJECTED"])
    reason = serializers.CharField(max_length=2_000, allow_blank=True, default="", help_text="needed to reject")


class IsReviewer(BasePermission):
    """People whom an operator appointed."""

    message = "only people whom an operator appointed review sellers"

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(getattr(request.user, "is_reviewer", False))


class Profile(APIView):
    """What one shows as a seller."""

    @extend_schema(responses=SellerProfileSerializer)
    def get(self, request: Request) -> Response:
        profile = SellerProfile.objects.filter(user=caller(request)).first()
        if profile is None:
            raise NotFound("you have no seller profile yet; PUT makes one")
        return Response(SellerProfileSerializer(profile).data)

    @extend_schema(request=SellerProfileSerializer, responses=SellerProfileSerializer)
    def put(self, request: Request) -> Response:
        """Create or change it. Name and kind stand still while they are in review or verified."""
        entered = SellerProfileSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        profile = verification.save_profile(user=caller(request), **entered.validated_data)
        return Response(SellerProfileSerializer(profile).data)


class HandIn(APIView):
    @idempotent
    @extend_schema(request=HandInSerializer, responses={201: VerificationRequestSerializer})
    def post(self, request: Request) -> Response:
        """Hand in documents that prove who you are: PENDING until a reviewer decides."""
        entered = HandInSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        found = verification.submit_for_verification(user=caller(request), **entered.validated_data)
        return Response(VerificationRequestSerializer(found).data, status=status.HTTP_201_CREATED)


class Verifications(ListAPIView[VerificationRequest]):
    """A reviewer sees all requests, a seller his own."""

    serializer_class = VerificationRequestSerializer
    queryset = VerificationRequest.objects.none()
    filterset_fields = ["decision"]

    def get_queryset(self) -> Any:
        return queries.verification_requests_visible_to(caller(self.request))


class Verification(RetrieveAPIView[VerificationRequest]):
    """One request with its documents."""

    serializer_class = VerificationRequestSerializer
    queryset = VerificationRequest.objects.none()
    lookup_url_kwarg = "request_id"

    def get_queryset(self) -> Any:
        return queries.verification_requests_visible_to(caller(self.request))


class Decision(APIView):
    permission_classes = (*APIView.permission_classes, IsReviewer)

    @idempotent
    @extend_schema(request=DecisionSerializer, responses=VerificationRequestSerializer)
    def post(self, request: Request, request_id: int) -> Response:
        """A reviewer's decision, once per request; the seller is told by mail."""
        entered = DecisionSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        found = verification.decide_verification(
            request_id=request_id, reviewer=caller(request), **entered.validated_data
        )
        return Response(VerificationRequestSerializer(found).data)
