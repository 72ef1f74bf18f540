"""The deal: drafting, signing the terms, calling it off, what happened, and what is said at the end."""

from datetime import timedelta
from typing import Any

import django_filters
from django.conf import settings
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api import signing
from api.accounts import PersonSerializer
from api.callers import caller
from api.documents import DocumentSerializer
from api.fields import AddressField, AmountField, AmountOut, UnitsOut, units_of
from api.idempotency import idempotent
from api.intents import IntentSerializer
from api.milestones import MilestoneSerializer
from api.problems import UnknownAccount
from chain import deployments, limits, sandbox
from common.clock import utc_now
from documents import queries as document_queries
from documents.models import Document
from transactions import lifecycle, queries, rules, terms
from transactions.errors import InvalidTerms
from transactions.lifecycle import MilestoneDraft
from transactions.lifecycle.guard import check_allowed
from transactions.models import ActionIntent, EscrowTransaction, Event, Review, Token
from users import queries as user_queries
from users.models import User

DAY = 86_400


class CurrencySerializer(serializers.ModelSerializer[Token]):
    """A token that agreements may be made in."""

    class Meta:
        model = Token
        fields = ["chain_id", "address", "symbol", "name", "version", "decimals"]


class TransactionSummarySerializer(serializers.ModelSerializer[EscrowTransaction]):
    """`actions` is what you may do with it now; `my_role` is BUYER, SELLER or ARBITER, or null."""

    buyer = PersonSerializer(read_only=True)
    seller = PersonSerializer(read_only=True)
    arbiter = PersonSerializer(read_only=True)
    my_role = serializers.SerializerMethodField()
    token = CurrencySerializer(read_only=True)
    total = AmountOut(source="total_units")
    total_units = UnitsOut()
    actions = serializers.SerializerMethodField()

    class Meta:
        model = EscrowTransaction
        fields = [
            "id",
            "title",
            "status",
            "buyer",
            "seller",
            "arbiter",
            "my_role",
            "token",
            "total",
            "total_units",
            "accept_by",
            "created_at",
            "updated_at",
            "actions",
        ]

    def get_my_role(self, deal: EscrowTransaction) -> str | None:
        roles = deal.roles_of(self.context["request"].user)
        return str(roles[0]) if roles else None

    def get_actions(self, deal: EscrowTransaction) -> list[str]:
        return [str(action) for action in queries.available_actions(deal, self.context["request"].user)]


class TransactionSerializer(TransactionSummarySerializer):
    """A deal in full; `pending` is what was asked of the chain for the deal as a whole and is not final yet."""

    author_id = serializers.IntegerField(read_only=True)
    milestones = MilestoneSerializer(many=True, read_only=True)
    attachments = DocumentSerializer(many=True, read_only=True)
    pending = serializers.SerializerMethodField()

    class Meta(TransactionSummarySerializer.Meta):
        fields = [
            *TransactionSummarySerializer.Meta.fields,
            "description",
            "author_id",
            "chain_id",
            "vault_address",
            "escrow_id",
            "review_seconds",
            "revision_seconds",
            "max_revisions",
            "arbitration_seconds",
            "timeout_seller_bps",
            "fee_bps",
            "fee_recipient",
            "attachments",
            "milestones",
            "pending",
            "proposed_at",
            "accepted_at",
            "funded_at",
            "completed_at",
            "closed_at",
        ]

    @extend_schema_field(IntentSerializer(many=True))
    def get_pending(self, deal: EscrowTransaction) -> Any:
        found = deal.intents.filter(milestone=None, status__in=ActionIntent.OPEN).select_related("chain_transaction")
        return IntentSerializer(found, many=True).data


class MilestoneDraftSerializer(serializers.Serializer[Any]):
    title = serializers.CharField(max_length=140)
    description = serializers.CharField(max_length=10_000, allow_blank=True, default="")
    amount = AmountField(help_text="in whole tokens, as text")
    deliver_by = serializers.DateTimeField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        # Milestones are replaced as a whole, so one of a PATCH is as complete as any: DRF would let it be partial.
        missing = [name for name in ("title", "amount", "deliver_by") if name not in attrs]
        if missing:
            raise serializers.ValidationError({name: ["This field is required."] for name in missing}, code="required")
        return attrs


class _DraftFields(serializers.Serializer[Any]):
    """What may be changed as long as it is a draft."""

    title = serializers.CharField(max_length=140)
    description = serializers.CharField(max_length=20_000, allow_blank=True, default="")
    milestones = serializers.ListField(child=MilestoneDraftSerializer(), min_length=1, max_length=32)
    accept_by = serializers.DateTimeField(required=False, help_text="14 days from now unless said")
    review_seconds = serializers.IntegerField(min_value=1, default=7 * DAY)
    revision_seconds = serializers.IntegerField(min_value=1, default=7 * DAY)
    max_revisions = serializers.IntegerField(min_value=0, max_value=10, default=2)
    arbitration_seconds = serializers.IntegerField(min_value=1, default=14 * DAY)
    timeout_seller_bps = serializers.IntegerField(
        min_value=0, max_value=10_000, default=5_000, help_text="the seller's part if the arbiter stays silent"
    )
    document_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1), max_length=50, default=list, help_text="attachments"
    )


class DraftSerializer(_DraftFields):
    """A new agreement, as its author writes it."""

    author_role = serializers.ChoiceField(choices=["BUYER", "SELLER"])
    counterparty_email = serializers.EmailField()
    arbiter_id = serializers.IntegerField(min_value=1)
    token = AddressField(required=False, help_text="the token's address; the only one that is offered unless said")


class DraftChangesSerializer(_DraftFields):
    """What is not given stays as it is."""


class ReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=2_000, allow_blank=True, default="")


class EventSerializer(serializers.ModelSerializer[Event]):
    """What happened, when, by whom, and which log of the chain proves it."""

    milestone_id = serializers.IntegerField(read_only=True, allow_null=True)
    actor = PersonSerializer(read_only=True, allow_null=True)

    class Meta:
        model = Event
        fields = [
            "id",
            "name",
            "milestone_id",
            "actor",
            "data",
            "occurred_at",
            "chain_tx_hash",
            "chain_log_index",
            "chain_block_number",
        ]


class ReviewSerializer(serializers.ModelSerializer[Review]):
    author = PersonSerializer(read_only=True)
    subject = PersonSerializer(read_only=True)

    class Meta:
        model = Review
        fields = ["id", "author", "subject", "rating", "text", "created_at"]
        read_only_fields = ["id", "created_at"]


class TransactionFilter(django_filters.FilterSet):
    status = django_filters.MultipleChoiceFilter(choices=[(str(s), str(s)) for s in rules.TransactionStatus])
    role = django_filters.ChoiceFilter(
        choices=[("BUYER", "buyer"), ("SELLER", "seller"), ("ARBITER", "arbiter")], method="by_role", label="my role"
    )
    title = django_filters.CharFilter(lookup_expr="icontains", label="part of the title")

    class Meta:
        model = EscrowTransaction
        fields = ["status", "role", "title"]

    def by_role(self, found: Any, name: str, value: str) -> Any:
        return found.filter(**{value.lower(): caller(self.request)})


class Transactions(ListAPIView[EscrowTransaction]):
    """The transactions you have a part in."""

    serializer_class = TransactionSummarySerializer
    queryset = EscrowTransaction.objects.none()
    filterset_class = TransactionFilter

    def get_queryset(self) -> Any:
        return queries.visible_to(caller(self.request)).prefetch_related("milestones")

    @idempotent
    @extend_schema(request=DraftSerializer, responses={201: TransactionSerializer})
    def post(self, request: Request) -> Response:
        """Draft an agreement that only you see until you propose it."""
        entered = DraftSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        given = entered.validated_data
        token = _token(given.get("token"))
        milestones = _milestones(given["milestones"], token)
        _check_limits(token.chain_id, given, milestones)
        deal = lifecycle.draft_transaction(
            author=caller(request),
            author_role=given["author_role"],
            counterparty=_counterparty(given["counterparty_email"]),
            arbiter=_arbiter(given["arbiter_id"]),
            title=given["title"],
            description=given["description"],
            token=token,
            vault_address=deployments.current(token.chain_id).vault,
            milestones=milestones,
            accept_by=(given.get("accept_by") or utc_now() + timedelta(days=14)).replace(microsecond=0),
            review_seconds=given["review_seconds"],
            revision_seconds=given["revision_seconds"],
            max_revisions=given["max_revisions"],
            arbitration_seconds=given["arbitration_seconds"],
            timeout_seller_bps=given["timeout_seller_bps"],
            fee_bps=settings.ESCROW_FEE_BPS,
            fee_recipient=settings.ESCROW_FEE_RECIPIENT,
            attachments=_attachments(caller(request), given["document_ids"]),
        )
        return _shown(request, deal.pk, status.HTTP_201_CREATED)


class TransactionDetail(RetrieveAPIView[EscrowTransaction]):
    """One transaction with its milestones."""

    serializer_class = TransactionSerializer
    queryset = EscrowTransaction.objects.none()
    lookup_url_kwarg = "object_id"

    def get_queryset(self) -> Any:
        return queries.visible_to(caller(self.request)).prefetch_related(
            "milestones__transaction__token", "attachments"
        )

    @extend_schema(request=DraftChangesSerializer, responses=TransactionSerializer)
    def patch(self, request: Request, object_id: int) -> Response:
        """Change your draft; what is not given stays as it is, `milestones` are replaced as a whole."""
        deal = queries.get_visible(caller(request), object_id)
        entered = DraftChangesSerializer(data=request.data, partial=True)
        entered.is_valid(raise_exception=True)
        changes = dict(entered.validated_data)
        milestones = changes.pop("milestones", None)
        document_ids = changes.pop("document_ids", None)
        if "accept_by" in changes:
            changes["accept_by"] = changes["accept_by"].replace(microsecond=0)
        drafts = None if milestones is None else _milestones(milestones, deal.token)
        _check_limits(deal.chain_id, changes, drafts or [])
        lifecycle.edit_draft(
            transaction_id=deal.pk,
            actor=caller(request),
            changes=changes,
            milestones=drafts,
            attachments=None if document_ids is None else _attachments(caller(request), document_ids),
        )
        return _shown(request, deal.pk)


class PrepareTerms(APIView):
    """The message by which a party accepts the terms: the author when proposing, the other one when accepting."""

    verb = ""

    @extend_schema(request=None, responses=signing.MessageToSignSerializer)
    def post(self, request: Request, object_id: int) -> Response:
        """The terms to sign, as EIP-712 typed data. Changes nothing."""
        deal = queries.get_visible(caller(request), object_id)
        message = _terms_to_sign(deal, caller(request), self.verb)
        prepared = signing.message_to_sign(
            caller(request),
            action=self.verb,
            message=message,
            signer=_terms_signer(deal, caller(request), message),
            deadline=deal.accept_by,
        )
        return Response(signing.MessageToSignSerializer(prepared).data)


class SignTerms(APIView):
    verb = ""

    @idempotent
    @extend_schema(request=signing.SignatureSerializer, responses=TransactionSerializer)
    def post(self, request: Request, object_id: int) -> Response:
        """Sign the terms: the author proposes them, the other party accepts them."""
        entered = signing.SignatureSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        deal = queries.get_visible(caller(request), object_id)
        message = _terms_to_sign(deal, caller(request), self.verb)
        signature = sandbox.signed_or_given(
            caller(request),
            message=message,
            signer=_terms_signer(deal, caller(request), message),
            signature=entered.validated_data.get("signature", ""),
        )
        verb = lifecycle.propose if self.verb == rules.Action.PROPOSE else lifecycle.accept
        verb(transaction_id=deal.pk, actor=caller(request), signature=signature)
        return _shown(request, deal.pk)


class EndBeforeMoney(APIView):
    verb = ""

    @idempotent
    @extend_schema(request=ReasonSerializer, responses=TransactionSerializer)
    def post(self, request: Request, object_id: int) -> Response:
        """Say no, or call it off, before any money came. Nothing is signed: nothing is on the chain yet."""
        entered = ReasonSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        deal = queries.get_visible(caller(request), object_id)
        verb = lifecycle.decline if self.verb == rules.Action.DECLINE else lifecycle.cancel
        verb(transaction_id=deal.pk, actor=caller(request), reason=entered.validated_data["reason"])
        return _shown(request, deal.pk)


class Timeline(ListAPIView[Event]):
    """What happened to a transaction."""

    serializer_class = EventSerializer
    queryset = Event.objects.none()
    filterset_fields: tuple[str, ...] = ()

    def get_queryset(self) -> Any:
        deal = queries.get_visible(caller(self.request), self.kwargs["object_id"])
        return Event.objects.filter(transaction=deal).select_related("actor").order_by()


class Reviews(ListAPIView[Review]):
    """What the parties said of each other."""

    serializer_class = ReviewSerializer
    queryset = Review.objects.none()
    filterset_fields: tuple[str, ...] = ()

    def get_queryset(self) -> Any:
        deal = queries.get_visible(caller(self.request), self.kwargs["object_id"])
        return Review.objects.filter(transaction=deal).select_related("author", "subject")

    @idempotent
    @extend_schema(request=ReviewSerializer, responses={201: ReviewSerializer})
    def post(self, request: Request, object_id: int) -> Response:
        """Review the other party, once, after the end. With both reviews in, the transaction is CLOSED."""
        deal = queries.get_visible(caller(request), object_id)
        entered = ReviewSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        review = lifecycle.leave_review(transaction_id=deal.pk, author=caller(request), **entered.validated_data)
        return Response(ReviewSerializer(review).data, status=status.HTTP_201_CREATED)


def _shown(request: Request, transaction_id: int, status_code: int = status.HTTP_200_OK) -> Response:
    deal = queries.get_visible(caller(request), transaction_id)
    return Response(TransactionSerializer(deal, context={"request": request}).data, status=status_code)


def _terms_to_sign(deal: EscrowTransaction, user: User, verb: str) -> terms.TypedData:
    """The message by which this party proposes or accepts; refused as the lifecycle and the vault would refuse it."""
    check_allowed(rules.Action(verb), deal, user)
    if verb == rules.Action.PROPOSE:
        terms.check_proposable(deal, list(deal.milestones.all()), now=utc_now())
        limits.check_deal(deal)
    return lifecycle.acceptance_message(deal, actor=user)


def _terms_signer(deal: EscrowTransaction, user: Any, message: Any) -> str:
    """The wallet that the terms name for this party."""
    role = str(deal.roles_of(user)[0]).lower()
    return str(message["message"]["terms"][role])


def _token(address: str | None) -> Token:
    offered = Token.objects.filter(is_offered=True, chain_id=settings.CHAIN_ID)
    found = list(offered.filter(address__iexact=address) if address else offered[:2])
    if len(found) != 1:
        deployments.current()  # without a vault there are no tokens either: say that rather than this
        raise InvalidTerms("say which of the offered tokens the agreement is in", field="token")
    return found[0]


def _counterparty(email: str) -> User:
    user = user_queries.find_by_email(email)
    if user is None:
        raise UnknownAccount("nobody has an account with this e-mail address yet", field="counterparty_email")
    return user


def _arbiter(user_id: int) -> User:
    user = user_queries.list_arbiters().filter(pk=user_id).first()
    if user is None:
        raise InvalidTerms("this person is not an arbiter; `arbiters` lists who is", field="arbiter_id")
    return user


def _milestones(entered: list[dict[str, Any]], token: Token) -> list[MilestoneDraft]:
    return [
        MilestoneDraft(
            title=item["title"],
            description=item.get("description", ""),
            amount_units=units_of(item["amount"], decimals=token.decimals, field=f"milestones.{position}.amount"),
            deliver_by=item["deliver_by"].replace(microsecond=0),
        )
        for position, item in enumerate(entered)
    ]


def _check_limits(chain_id: int, given: dict[str, Any], milestones: list[MilestoneDraft]) -> None:
    """Refuse early what the vault would refuse when it is to be funded."""
    windows = {name: given[name] for name in limits.WINDOWS if name in given}
    limits.check(chain_id=chain_id, windows=windows, deliver_by=[draft.deliver_by for draft in milestones])


def _attachments(user: Any, document_ids: list[int]) -> list[Document]:
    own = document_queries.visible_to(user).filter(pk__in=document_ids, purpose=Document.Purpose.AGREEMENT)
    found = list(own.filter(state=Document.State.CLEAN))
    if len(found) != len(set(document_ids)):
        raise InvalidTerms("attach only clean files of yours, uploaded for an agreement", field="document_ids")
    return found
