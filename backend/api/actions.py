"""Signed actions: `prepare` gives the message to sign, the action itself takes the signature and makes one call.

One pair of views serves every action of `transactions.rules` that is signed for the vault; what differs is what has
to be entered.
"""

from datetime import datetime, timedelta
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api import signing
from api.callers import caller
from api.fields import AmountField, units_of
from api.idempotency import idempotent
from api.intents import IntentSerializer
from chain import sandbox
from common.clock import utc_now
from common.errors import NotFound
from transactions import lifecycle, queries
from transactions.lifecycle import ActionInputs, PreparedAction
from transactions.models import EscrowTransaction, Milestone
from transactions.rules import Action

SIGNATURE_LIFETIME = timedelta(hours=1)
LONGEST_LIFETIME = timedelta(days=30)


class InputsSerializer(serializers.Serializer[Any]):
    """What has to be entered for an action; the base: nothing but how long the signature shall be good."""

    deadline = serializers.DateTimeField(
        required=False, help_text="the signature is void after it; an hour from now unless said, at most 30 days"
    )

    def validate_deadline(self, deadline: datetime) -> datetime:
        if not utc_now() < deadline <= utc_now() + LONGEST_LIFETIME:
            raise serializers.ValidationError("the deadline lies within the next 30 days")
        return deadline

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("signature") and "deadline" not in attrs:
            raise serializers.ValidationError({"deadline": ["send the deadline that was signed"]}, code="required")
        return attrs

    def inputs(self, deal: EscrowTransaction) -> ActionInputs:
        """What was entered, as the lifecycle takes it."""
        return ActionInputs()


class FundInputs(InputsSerializer):
    positions = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=31),
        required=False,
        help_text="milestone numbers from 0; all that can be funded unless said",
    )

    def inputs(self, deal: EscrowTransaction) -> ActionInputs:
        return ActionInputs(positions=tuple(self.validated_data.get("positions", ())))


class SubmitInputs(InputsSerializer):
    note = serializers.CharField(max_length=10_000, allow_blank=True, default="")
    document_ids = serializers.ListField(child=serializers.IntegerField(min_value=1), max_length=50, default=list)

    def inputs(self, deal: EscrowTransaction) -> ActionInputs:
        return ActionInputs(note=self.validated_data["note"], document_ids=tuple(self.validated_data["document_ids"]))


class ReasonInputs(InputsSerializer):
    reason = serializers.CharField(max_length=10_000, help_text="its hash is kept on the chain, its words here")

    def inputs(self, deal: EscrowTransaction) -> ActionInputs:
        return ActionInputs(reason=self.validated_data["reason"])


class ResolveInputs(ReasonInputs):
    seller_amount = AmountField(help_text="the seller's part; the rest goes back to the buyer")

    def inputs(self, deal: EscrowTransaction) -> ActionInputs:
        units = units_of(self.validated_data["seller_amount"], decimals=deal.token.decimals, field="seller_amount")
        return ActionInputs(reason=self.validated_data["reason"], seller_units=units)


class ExtendInputs(InputsSerializer):
    until = serializers.DateTimeField(help_text="the new date")

    def inputs(self, deal: EscrowTransaction) -> ActionInputs:
        return ActionInputs(until=self.validated_data["until"].replace(microsecond=0))


class SignedAction(APIView):
    """The base of both views of an action: finds what it acts on, reads what was entered, prepares the message."""

    verb: Action
    inputs_serializer: type[InputsSerializer] = InputsSerializer

    def find(self, request: Request, object_id: int) -> tuple[EscrowTransaction, Milestone | None]:
        """The deal, and the milestone if it acts on one; NotFound for what the caller may not see."""
        milestone = queries.milestones_visible_to(caller(request)).filter(pk=object_id).first()
        if milestone is None:
            raise NotFound(f"there is no milestone {object_id}", milestone_id=object_id)
        return queries.get_visible(caller(request), milestone.transaction_id), milestone

    def prepare(
        self, request: Request, object_id: int, serializer: type[serializers.Serializer[Any]]
    ) -> tuple[Any, EscrowTransaction, Milestone | None, ActionInputs, PreparedAction]:
        deal, milestone = self.find(request, object_id)
        entered: Any = serializer(data=request.data)
        entered.is_valid(raise_exception=True)
        inputs = entered.inputs(deal)
        prepared = lifecycle.prepare_action(
            action=self.verb,
            deal=deal,
            milestone=milestone,
            actor=caller(request),
            inputs=inputs,
            deadline=entered.validated_data.get("deadline") or utc_now() + SIGNATURE_LIFETIME,
        )
        return entered, deal, milestone, inputs, prepared


class OnTransaction(SignedAction):
    """An action on the deal itself."""

    def find(self, request: Request, object_id: int) -> tuple[EscrowTransaction, Milestone | None]:
        return queries.get_visible(caller(request), object_id), None


class OnDispute(SignedAction):
    """An action on the milestone of a dispute."""

    def find(self, request: Request, object_id: int) -> tuple[EscrowTransaction, Milestone | None]:
        dispute = queries.disputes_visible_to(caller(request)).filter(pk=object_id).first()
        if dispute is None:
            raise NotFound(f"there is no dispute {object_id}", dispute_id=object_id)
        return super().find(request, dispute.milestone_id)


def signed_action(
    action: Action, words: str, inputs: type[InputsSerializer] = InputsSerializer, on: type[SignedAction] = SignedAction
) -> tuple[Any, Any]:
    """The two views of an action: (prepare, request), ready for `urls.py`."""
    name = "".join(part.capitalize() for part in str(action).split("_"))
    signed_inputs: Any = type(f"Signed{name}", (inputs, signing.SignatureSerializer), {"__doc__": inputs.__doc__})

    class Prepare(on):  # type: ignore[valid-type,misc]
        @extend_schema(
            request=inputs,
            responses=signing.MessageToSignSerializer,
            description=f"The message to sign in order that {words}. Changes nothing.",
        )
        def post(self, request: Request, object_id: int) -> Response:
            *_, prepared = self.prepare(request, object_id, inputs)
            message = signing.message_to_sign(
                caller(request),
                action=str(action),
                message=prepared.message,
                signer=prepared.signer,
                deadline=prepared.deadline_at,
            )
            return Response(signing.MessageToSignSerializer(message).data)

    class Request_(on):  # type: ignore[valid-type,misc]
        @idempotent
        @extend_schema(
            request=signed_inputs,
            responses={202: IntentSerializer},
            description=f"By signature, {words}. Send what you sent to `prepare`, its deadline and the signature. "
            "The answer is what waits for the chain; the status moves when the chain has spoken.",
        )
        def post(self, request: Request, object_id: int) -> Response:
            entered, deal, milestone, inputs_, prepared = self.prepare(request, object_id, signed_inputs)
            signature = sandbox.signed_or_given(
                caller(request),
                message=prepared.message,
                signer=prepared.signer,
                signature=entered.validated_data.get("signature", ""),
            )
            intent = lifecycle.request_action(
                action=action,
                transaction_id=deal.pk,
                milestone_id=milestone.pk if milestone is not None else None,
                actor=caller(request),
                inputs=inputs_,
                deadline=prepared.deadline_at,
                signature=signature,
            )
            return Response(IntentSerializer(intent).data, status=status.HTTP_202_ACCEPTED)

    for view, suffix in ((Prepare, "Prepare"), (Request_, "")):
        view.verb, view.inputs_serializer = action, inputs
        view.__name__ = view.__qualname__ = f"{suffix}{name}"
    return Prepare.as_view(), Request_.as_view()


FUND = signed_action(
    Action.FUND, "the buyer's money for these milestones goes into the vault", FundInputs, OnTransaction
)
SUBMIT = signed_action(Action.SUBMIT, "the seller hands in work", SubmitInputs)
APPROVE = signed_action(Action.APPROVE, "the buyer releases the milestone to the seller")
REQUEST_CHANGES = signed_action(Action.REQUEST_CHANGES, "the buyer asks for changes", ReasonInputs)
DISPUTE = signed_action(Action.DISPUTE, "a party calls the arbiter", ReasonInputs)
EXTEND = signed_action(Action.EXTEND, "the buyer grants a later date", ExtendInputs)
REFUND = signed_action(Action.REFUND, "the seller gives the milestone's money back")
RECLAIM = signed_action(Action.RECLAIM, "the buyer takes back the money of a milestone whose date has passed")
RESOLVE = signed_action(Action.RESOLVE, "the arbiter splits the milestone", ResolveInputs, OnDispute)
