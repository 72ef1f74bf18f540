"""What a party does with a funded (or to be funded) agreement: enter, look at what is signed, sign, one verb."""

from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from chain import sandbox
from common.clock import utc_now
from common.money import to_decimal, to_units
from documents.models import Document
from portal import signing
from portal.balances import balance_units
from portal.documents import FilesField, receive_files
from portal.prose import ACTION_WORDS, consequences, error_sentence
from portal.requests import SignedInRequest
from transactions import lifecycle, queries, terms
from transactions.errors import ActionNotAllowed, ActionPending, DomainError, InvalidTerms, NotFound
from transactions.lifecycle import ActionInputs, PreparedAction
from transactions.models import EscrowTransaction, Milestone
from transactions.rules import Action, Money

SIGNED_ACTIONS = frozenset(
    {
        Action.FUND,
        Action.SUBMIT,
        Action.APPROVE,
        Action.REQUEST_CHANGES,
        Action.EXTEND,
        Action.RECLAIM,
        Action.REFUND,
        Action.DISPUTE,
        Action.RESOLVE,
    }
)


class ActionForm(forms.Form):
    """What has to be entered for an action. The base: nothing."""

    def __init__(self, *args: Any, deal: EscrowTransaction, milestone: Milestone | None, **kwargs: Any) -> None:
        self.deal = deal
        self.milestone = milestone
        super().__init__(*args, **kwargs)

    def inputs(self, request: SignedInRequest) -> ActionInputs:
        """The verb's inputs from what was entered. May receive files, so only for a valid form."""
        return ActionInputs()


class FundForm(ActionForm):
    positions = forms.TypedMultipleChoiceField(
        label="Which milestones do you pay for now?", coerce=int, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        now = utc_now()
        fundable = [m for m in self.deal.milestones.all() if m.money == Money.UNFUNDED and m.deliver_by > now]
        choices = [(m.position, f"{m.title}: {self.deal.token.format(m.amount_units)}") for m in fundable]
        self.fields["positions"].choices = choices  # type: ignore[attr-defined]
        self.fields["positions"].initial = [position for position, _ in choices]

    def inputs(self, request: SignedInRequest) -> ActionInputs:
        return ActionInputs(positions=tuple(self.cleaned_data["positions"]))


class SubmitForm(ActionForm):
    note = forms.CharField(
        label="What are you handing in?",
        required=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text="Tell the buyer what to look at, and how to check that it is done.",
    )
    uploads = FilesField(label="Files", required=False, help_text="They are checked before they can be handed in.")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not cleaned.get("note", "").strip() and not cleaned.get("uploads"):
            raise ValidationError("Write a note or choose a file: there has to be something to look at.")
        return cleaned

    def inputs(self, request: SignedInRequest) -> ActionInputs:
        documents = receive_files(request.user, self.cleaned_data["uploads"], Document.Purpose.DELIVERABLE)
        return ActionInputs(note=self.cleaned_data["note"], document_ids=tuple(d.pk for d in documents))


class ReasonForm(ActionForm):
    reason = forms.CharField(max_length=10_000, widget=forms.Textarea(attrs={"rows": 6}))
    label = "Why?"
    help_text = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].label = self.label
        self.fields["reason"].help_text = self.help_text

    def inputs(self, request: SignedInRequest) -> ActionInputs:
        return ActionInputs(reason=self.cleaned_data["reason"])


class RequestChangesForm(ReasonForm):
    label = "What should be different?"
    help_text = "Say it so that the seller knows when it is done."


class DisputeForm(ReasonForm):
    label = "What went wrong?"
    help_text = "The arbiter and the other party read this. Say what was agreed and what happened instead."


class ResolveForm(ReasonForm):
    label = "Reason for the decision"
    help_text = "Both parties read this."
    field_order = ("seller_amount", "reason")
    seller_amount = forms.DecimalField(label="The seller gets", min_value=Decimal(0), max_digits=60)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert self.milestone is not None
        token = self.deal.token
        whole = token.format(self.milestone.amount_units)
        self.fields["seller_amount"].label = f"The seller gets ({token.symbol})"
        self.fields["seller_amount"].help_text = f"From 0 to {whole}; the rest goes back to the buyer."
        self.fields["seller_amount"].widget.attrs.update(inputmode="decimal", step="any")

    def clean_seller_amount(self) -> int:
        assert self.milestone is not None
        try:
            units = to_units(self.cleaned_data["seller_amount"], decimals=self.deal.token.decimals)
        except ValueError as error:
            raise ValidationError(str(error)) from error
        if units > self.milestone.amount_units:
            raise ValidationError("That is more than the milestone holds.")
        return units

    def inputs(self, request: SignedInRequest) -> ActionInputs:
        return ActionInputs(reason=self.cleaned_data["reason"], seller_units=self.cleaned_data["seller_amount"])


class ExtendForm(ActionForm):
    until = forms.DateField(label="New date", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert self.milestone is not None
        deadline = queries.vault_deadline(self.milestone) or utc_now()
        self.fields["until"].initial = (max(deadline, utc_now()) + timedelta(days=7)).date()
        self.fields["until"].help_text = "The seller may hand in the work until the end of this day."

    def clean_until(self) -> datetime:
        until = end_of_day(self.cleaned_data["until"])
        if until <= utc_now():
            raise ValidationError("Choose a day in the future.")
        return until

    def inputs(self, request: SignedInRequest) -> ActionInputs:
        return ActionInputs(until=self.cleaned_data["until"])


FORMS: dict[Action, type[ActionForm]] = {
    Action.FUND: FundForm,
    Action.SUBMIT: SubmitForm,
    Action.REQUEST_CHANGES: RequestChangesForm,
    Action.DISPUTE: DisputeForm,
    Action.RESOLVE: ResolveForm,
    Action.EXTEND: ExtendForm,
}


def end_of_day(day: Any) -> datetime:
    """The last second of a day in the reader's time zone."""
    return datetime.combine(day, time(23, 59, 59), tzinfo=timezone.get_current_timezone())


@login_required
def enter(request: SignedInRequest, transaction_id: int, action: str, number: int | None = None) -> HttpResponse:
    """What has to be entered first. Nothing to enter: straight on to the page that is signed."""
    deal, milestone, verb = _found(request, transaction_id, action, number)
    to_sign = _url("sign", deal, milestone, verb)
    if verb not in FORMS:
        signing.keep(request, verb, deal, milestone, ActionInputs())
        return redirect(to_sign)
    form = FORMS[verb](request.POST or None, request.FILES or None, deal=deal, milestone=milestone)
    if request.method == "POST" and form.is_valid():
        try:
            signing.keep(request, verb, deal, milestone, form.inputs(request))
            return redirect(to_sign)
        except DomainError as error:
            form.add_error(None, error_sentence(error))
    context = _context(deal, milestone, verb) | {"form": form}
    return render(request, "portal/actions/enter.html", context)


@login_required
def sign(request: SignedInRequest, transaction_id: int, action: str, number: int | None = None) -> HttpResponse:
    """Says in words what will happen, shows the message behind it, takes the signature, makes the one call."""
    deal, milestone, verb = _found(request, transaction_id, action, number)
    entered = signing.kept(request, verb, deal, milestone)
    if entered is None:
        return redirect(_url("", deal, milestone, verb))
    files = list(Document.objects.filter(pk__in=entered.inputs.document_ids, owner=request.user))
    if any(document.state != Document.State.CLEAN for document in files):
        rejected = [document for document in files if document.state == Document.State.REJECTED]
        context = _context(deal, milestone, verb) | {"files": files, "rejected": rejected}
        return render(request, "portal/actions/waiting_for_files.html", context)
    try:
        prepared = lifecycle.prepare_action(
            action=verb,
            deal=deal,
            actor=request.user,
            inputs=entered.inputs,
            milestone=milestone,
            deadline=entered.deadline,
        )
    except InvalidTerms as error:  # what was entered does not hold any more
        signing.forget(request, verb, deal, milestone)
        messages.error(request, error_sentence(error))
        return redirect(_url("", deal, milestone, verb))
    problem = ""
    if request.method == "POST":
        try:
            signature = signing.sign(
                user=request.user,
                message=prepared.message,
                signer=prepared.signer,
                shown_digest=request.POST.get("digest", ""),
                signature=request.POST.get("signature", ""),
            )
            lifecycle.request_action(
                action=verb,
                transaction_id=deal.pk,
                milestone_id=milestone.pk if milestone else None,
                actor=request.user,
                inputs=entered.inputs,
                deadline=prepared.deadline_at,
                signature=signature,
            )
        except (ActionPending, ActionNotAllowed):
            raise
        except DomainError as error:
            problem = error_sentence(error)
        else:
            signing.forget(request, verb, deal, milestone)
            messages.success(request, ACTION_WORDS[verb].done)
            return redirect("portal:transaction", deal.pk)
    context = _context(deal, milestone, verb) | {
        "inputs": entered.inputs,
        "files": files,
        "amounts": _amounts(deal, milestone, verb, entered.inputs),
        "problem": problem,
        "enter_url": _url("", deal, milestone, verb) if verb in FORMS else "",
        **signing_context(request.user, prepared.message, prepared.signer, prepared.digest),
        **(_means(deal, prepared) if verb is Action.FUND else {}),
        "deadline": prepared.deadline_at,
    }
    return render(request, "portal/actions/sign.html", context)


def signing_context(user: Any, message: Any, signer: str, digest: str) -> dict[str, Any]:
    """What the signing part of a page needs: the message in full, and which wallet has to sign it."""
    return {
        "message_text": signing.as_text(message),
        "typed_data": terms.for_wallet(message),
        "signer": signer,
        "digest": digest,
        "is_held_by_platform": sandbox.holds(user, signer),
    }


def _means(deal: EscrowTransaction, prepared: PreparedAction) -> dict[str, Any]:
    """What the buyer's wallet holds, and whether that is enough; nothing if the chain cannot say."""
    held = balance_units(deal.token, prepared.signer)
    if held is None:
        return {}
    return {"held": deal.token.format(held), "is_short": held < int(prepared.parameters["value_units"])}


def _found(
    request: SignedInRequest, transaction_id: int, action: str, number: int | None
) -> tuple[EscrowTransaction, Milestone | None, Action]:
    """The deal, the milestone and the action that an address names, if this reader may take it now."""
    deal = queries.get_visible(request.user, transaction_id)
    name = action.replace("-", "_")
    verb = Action(name) if name in list(Action) else None
    if verb not in SIGNED_ACTIONS or (verb is Action.FUND) != (number is None):
        raise NotFound("there is no such action")
    milestone = None
    if number is not None:
        milestone = queries.milestones_visible_to(request.user).filter(transaction=deal, position=number - 1).first()
        if milestone is None:
            raise NotFound(f"transaction {transaction_id} has no milestone {number}")
    if verb not in queries.available_actions(deal, request.user, milestone):
        _explain_refusal(request, deal, milestone, verb)
    return deal, milestone, verb


def _explain_refusal(
    request: SignedInRequest, deal: EscrowTransaction, milestone: Milestone | None, verb: Action
) -> None:
    """Raise what says why this is not possible now."""
    waiting = deal.intents.filter(milestone=milestone, status__in=["REQUESTED", "SENT", "SEEN"])
    if waiting.exists():
        raise ActionPending("this has been asked for and waits for the chain")
    lifecycle.prepare_action(action=verb, deal=deal, actor=request.user, milestone=milestone, deadline=utc_now())
    raise ActionNotAllowed(f"{verb} is not possible now", action=str(verb))


def _url(step: str, deal: EscrowTransaction, milestone: Milestone | None, verb: Action) -> str:
    if milestone is None:
        return reverse("portal:sign_fund" if step else "portal:fund", args=[deal.pk])
    name = "portal:sign_action" if step else "portal:action"
    return reverse(name, args=[deal.pk, milestone.position + 1, str(verb).replace("_", "-")])


def _context(deal: EscrowTransaction, milestone: Milestone | None, verb: Action) -> dict[str, Any]:
    return {
        "deal": deal,
        "milestone": milestone,
        "action": str(verb),
        "words": ACTION_WORDS[verb],
        "consequences": consequences(verb, deal, milestone),
    }


def _amounts(
    deal: EscrowTransaction, milestone: Milestone | None, verb: Action, inputs: ActionInputs
) -> list[tuple[str, str]]:
    """The figures of this request, for the eye: who gets what."""
    token = deal.token
    if verb is Action.FUND:
        chosen = [m for m in deal.milestones.all() if m.position in inputs.positions]
        lines = [(m.title, token.format(m.amount_units)) for m in chosen]
        return [*lines, ("Together", token.format(sum(m.amount_units for m in chosen)))]
    assert milestone is not None
    if verb is Action.RESOLVE and inputs.seller_units is not None:
        to_buyer = milestone.amount_units - inputs.seller_units
        share = to_decimal(inputs.seller_units, decimals=0) * 100 / milestone.amount_units
        return [
            (f"{deal.seller} (seller) gets", f"{token.format(inputs.seller_units)}, {share:.1f} %"),
            (f"{deal.buyer} (buyer) gets back", token.format(to_buyer)),
        ]
    return [("Milestone", milestone.title), ("Amount", token.format(milestone.amount_units))]
