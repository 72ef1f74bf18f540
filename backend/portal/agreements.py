"""From an idea to terms that both have signed, and what is said at the end."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.forms import BaseFormSet, formset_factory
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from chain import deployments, limits
from common.clock import utc_now
from common.money import to_decimal, to_units
from portal import signing
from portal.actions import end_of_day, signing_context
from portal.prose import ACTION_WORDS, consequences, error_sentence
from portal.requests import SignedInRequest
from portal.transactions import offered_actions
from transactions import lifecycle, queries, terms
from transactions.errors import ActionNotAllowed, DomainError, InvalidTerms, WalletMissing
from transactions.lifecycle import MilestoneDraft
from transactions.models import EscrowTransaction, Token
from transactions.rules import Action, Role
from users.models import User
from users.queries import find_by_email, list_arbiters

DAY = 86_400
FIRST_MILESTONES = 3
MILESTONES_AT_MOST = 32
DAYS_TO_ANSWER = [(DAY * n, f"{n} day{'' if n == 1 else 's'}") for n in (1, 2, 3, 5, 7, 10, 14, 21, 30)]


def _date_input() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class AgreementForm(forms.Form):
    """What is agreed, in words; the milestones are a formset of their own."""

    title = forms.CharField(
        label="What is it about?", max_length=140, help_text="A few words, such as “Website for the bakery”."
    )
    description = forms.CharField(
        label="What exactly is agreed?",
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text="Both sign a fingerprint of these words: write what you would want an arbiter to read.",
    )
    author_role = forms.ChoiceField(
        label="You are",
        choices=[("BUYER", "the buyer: I pay"), ("SELLER", "the seller: I do the work")],
        initial="BUYER",
        widget=forms.RadioSelect,
    )
    counterparty_email = forms.EmailField(
        label="The other party's e-mail address", help_text="The address of their account here."
    )
    arbiter = forms.ModelChoiceField(
        label="Who decides if you disagree?",
        queryset=User.objects.none(),
        empty_label="Choose an arbiter",
        help_text="The arbiter can only split a disputed milestone between you two, and never receives anything.",
    )
    token = forms.ModelChoiceField(label="Currency", queryset=Token.objects.none(), empty_label=None)
    accept_by = forms.DateField(
        label="Accept and pay by",
        widget=_date_input(),
        help_text="If the terms are not accepted and paid by the end of this day, the agreement expires.",
    )
    review_seconds = forms.TypedChoiceField(
        label="Time for the buyer to look at work",
        coerce=int,
        choices=DAYS_TO_ANSWER,
        initial=7 * DAY,
        help_text="If the buyer does not answer in this time, the seller is paid.",
    )
    revision_seconds = forms.TypedChoiceField(
        label="Time for the seller to make changes",
        coerce=int,
        choices=DAYS_TO_ANSWER,
        initial=7 * DAY,
        help_text="If the seller does not hand in again in this time, the buyer may take the money back.",
    )
    max_revisions = forms.IntegerField(
        label="Rounds of changes per milestone",
        min_value=0,
        max_value=10,
        initial=2,
        help_text="After these the buyer approves or calls the arbiter.",
    )
    arbitration_seconds = forms.TypedChoiceField(
        label="Time for the arbiter to decide", coerce=int, choices=DAYS_TO_ANSWER, initial=14 * DAY
    )
    timeout_seller_percent = forms.IntegerField(
        label="If the arbiter does not decide in time, the seller gets (%)",
        min_value=0,
        max_value=100,
        initial=50,
        help_text="The rest goes back to the buyer.",
    )

    def __init__(self, *args: Any, author: User, deal: EscrowTransaction | None = None, **kwargs: Any) -> None:
        self.author = author
        self.deal = deal
        super().__init__(*args, **kwargs)
        self.fields["accept_by"].initial = (timezone.localtime() + timedelta(days=14)).date()
        self.fields["arbiter"].queryset = list_arbiters().exclude(pk=author.pk)  # type: ignore[attr-defined]
        offered = Token.objects.filter(is_offered=True, chain_id=settings.CHAIN_ID).order_by("symbol")
        self.fields["token"].queryset = offered  # type: ignore[attr-defined]
        if deal is not None:
            for name in ("author_role", "counterparty_email", "arbiter", "token"):
                del self.fields[name]
        elif offered.count() == 1:
            self.fields["token"].initial = offered.first()
            self.fields["token"].widget = forms.HiddenInput()

    def clean_counterparty_email(self) -> User:
        email = self.cleaned_data["counterparty_email"]
        other = find_by_email(email)
        if other is None:
            raise ValidationError("There is no account with this address yet. Ask them to register here first.")
        if other == self.author:
            raise ValidationError("This is your own address.")
        return other

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("arbiter") and cleaned.get("arbiter") == cleaned.get("counterparty_email"):
            self.add_error("arbiter", "The arbiter has to be somebody else than the other party.")
        if cleaned.get("accept_by") and end_of_day(cleaned["accept_by"]) <= utc_now():
            self.add_error("accept_by", "Choose a day in the future.")
        return cleaned

    @property
    def decimals(self) -> int:
        """Decimal places of the currency that was chosen."""
        if self.deal is not None:
            return self.deal.token.decimals
        token = self.cleaned_data.get("token") if self.is_bound and hasattr(self, "cleaned_data") else None
        return token.decimals if token else 6

    def terms_fields(self) -> dict[str, Any]:
        """The fields of a deal that may be changed while it is a draft, by the lifecycle's names."""
        data = self.cleaned_data
        return {
            "title": data["title"],
            "description": data["description"],
            "accept_by": end_of_day(data["accept_by"]),
            "review_seconds": data["review_seconds"],
            "revision_seconds": data["revision_seconds"],
            "max_revisions": data["max_revisions"],
            "arbitration_seconds": data["arbitration_seconds"],
            "timeout_seller_bps": data["timeout_seller_percent"] * 100,
        }


class MilestoneForm(forms.Form):
    """One part of the work. An empty row is no milestone."""

    title = forms.CharField(label="What is delivered?", max_length=140)
    amount = forms.DecimalField(
        label="Amount", min_value=Decimal(0), max_digits=60, widget=forms.TextInput(attrs={"inputmode": "decimal"})
    )
    deliver_by = forms.DateField(label="By", widget=_date_input())
    description = forms.CharField(
        label="How will you know that it is done?",
        required=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def clean_deliver_by(self) -> Any:
        day = self.cleaned_data["deliver_by"]
        if end_of_day(day) <= utc_now():
            raise ValidationError("Choose a day in the future.")
        return day

    def clean_amount(self) -> Decimal:
        amount: Decimal = self.cleaned_data["amount"]
        if amount <= 0:
            raise ValidationError("The amount is above zero.")
        return amount


class MilestoneRows(BaseFormSet):
    """The milestones in their order; rows left empty are dropped."""

    def clean(self) -> None:
        if not any(self.errors) and not self._filled():
            raise ValidationError("An agreement has at least one milestone.")

    def _filled(self) -> list[MilestoneForm]:
        return [form for form in self.forms if form.has_changed() and form.cleaned_data]

    def drafts(self, *, decimals: int) -> list[MilestoneDraft]:
        """The milestones for the lifecycle; raises ValueError for an amount finer than the currency."""
        return [
            MilestoneDraft(
                title=form.cleaned_data["title"],
                description=form.cleaned_data["description"],
                amount_units=to_units(form.cleaned_data["amount"], decimals=decimals),
                deliver_by=end_of_day(form.cleaned_data["deliver_by"]),
            )
            for form in self._filled()
        ]


def _rows_class(extra: int) -> type[MilestoneRows]:
    rows = formset_factory(
        MilestoneForm, formset=MilestoneRows, extra=extra, max_num=MILESTONES_AT_MOST, validate_max=True
    )
    return cast(type[MilestoneRows], rows)


@login_required
def new(request: SignedInRequest) -> HttpResponse:
    """Draft an agreement: saved for its author alone until it is signed and sent."""
    form = AgreementForm(request.POST or None, author=request.user)
    rows = _rows_class(FIRST_MILESTONES)(_with_more_rows(request), prefix="milestones")

    def save() -> EscrowTransaction:
        data = form.cleaned_data
        return lifecycle.draft_transaction(
            author=request.user,
            author_role=data["author_role"],
            counterparty=data["counterparty_email"],
            arbiter=data["arbiter"],
            token=data["token"],
            vault_address=deployments.current().vault,
            milestones=rows.drafts(decimals=form.decimals),
            fee_bps=settings.ESCROW_FEE_BPS,
            fee_recipient=settings.ESCROW_FEE_RECIPIENT,
            **form.terms_fields(),
        )

    return _draft_page(request, form, rows, save, None)


@login_required
def edit(request: SignedInRequest, transaction_id: int) -> HttpResponse:
    """Change a draft that has not been sent yet."""
    deal = queries.get_visible(request.user, transaction_id)
    if Action.EDIT not in queries.available_actions(deal, request.user):
        raise ActionNotAllowed("only its author may change a draft, and only before it is sent")
    decimals = deal.token.decimals
    initial = {
        "title": deal.title,
        "description": deal.description,
        "accept_by": timezone.localtime(deal.accept_by).date(),
        "review_seconds": deal.review_seconds,
        "revision_seconds": deal.revision_seconds,
        "max_revisions": deal.max_revisions,
        "arbitration_seconds": deal.arbitration_seconds,
        "timeout_seller_percent": deal.timeout_seller_bps // 100,
    }
    milestones = [
        {
            "title": m.title,
            "description": m.description,
            "amount": f"{to_decimal(m.amount_units, decimals=decimals).normalize():f}",
            "deliver_by": timezone.localtime(m.deliver_by).date(),
        }
        for m in deal.milestones.all()
    ]
    form = AgreementForm(request.POST or None, author=request.user, deal=deal, initial=initial)
    _offer_current_windows(form, deal)
    data = _with_more_rows(request)
    # Bound rows are compared with nothing, so that an unchanged row still counts as filled.
    rows = _rows_class(0)(data, prefix="milestones", initial=None if data else milestones)

    def save() -> EscrowTransaction:
        return lifecycle.edit_draft(
            transaction_id=deal.pk,
            actor=request.user,
            changes=form.terms_fields(),
            milestones=rows.drafts(decimals=decimals),
        )

    return _draft_page(request, form, rows, save, deal)


def _draft_page(
    request: SignedInRequest,
    form: AgreementForm,
    rows: MilestoneRows,
    save: Callable[[], EscrowTransaction],
    deal: EscrowTransaction | None,
) -> HttpResponse:
    wants_row = "add_milestone" in request.POST
    if request.method == "POST" and not wants_row:
        if form.is_valid() & rows.is_valid():
            try:
                saved = save()
            except ValueError as error:
                form.add_error(None, str(error))
            except DomainError as error:
                field = str(error.data.get("field", ""))
                form.add_error(field if field in form.fields else None, error_sentence(error))
            else:
                messages.success(request, "The draft is saved. Only you see it until you sign and send it.")
                return redirect("portal:transaction", saved.pk)
        messages.error(request, "Not saved yet: please see the marked fields.")
    context = {"form": form, "rows": rows, "deal": deal, "wants_row": wants_row}
    return render(request, "portal/agreements/form.html", context)


def _with_more_rows(request: SignedInRequest) -> Any:
    """The posted data; with one more milestone row if that was asked for (the button works without JavaScript)."""
    if request.method != "POST":
        return None
    data = request.POST.copy()
    if "add_milestone" in data:
        count = min(int(data.get("milestones-TOTAL_FORMS") or 0) + 1, MILESTONES_AT_MOST)
        data["milestones-TOTAL_FORMS"] = str(count)
    return data


def _offer_current_windows(form: AgreementForm, deal: EscrowTransaction) -> None:
    """A draft made through the API may have windows that the portal does not list: keep them choosable."""
    for name in ("review_seconds", "revision_seconds", "arbitration_seconds"):
        seconds = getattr(deal, name)
        field = form.fields[name]
        if seconds not in dict(DAYS_TO_ANSWER):
            field.choices = [(seconds, f"{seconds} seconds"), *DAYS_TO_ANSWER]  # type: ignore[attr-defined]


@login_required
def sign_terms(request: SignedInRequest, transaction_id: int, action: str) -> HttpResponse:
    """The terms as both will sign them; proposing and accepting are the same signature by different people."""
    verb = Action(action)
    deal = queries.get_visible(request.user, transaction_id)
    _refuse_unless_available(request.user, deal, verb)
    role = deal.roles_of(request.user)[0]
    try:
        if verb is Action.PROPOSE:
            terms.check_proposable(deal, list(deal.milestones.all()), now=utc_now())
            limits.check_deal(deal)
        message = lifecycle.acceptance_message(deal, actor=request.user)
    except WalletMissing as error:
        is_mine = error.data.get("who") == role.lower()
        messages.warning(request, "You need a wallet first: it signs for you." if is_mine else error_sentence(error))
        return redirect("portal:wallet" if is_mine else deal_page(deal))
    except InvalidTerms as error:
        messages.error(request, f"{error_sentence(error)} Please change the draft.")
        return redirect(deal_page(deal))
    signer = message["message"]["terms"]["buyer" if role is Role.BUYER else "seller"]
    problem = ""
    if request.method == "POST":
        try:
            signature = signing.sign(
                user=request.user,
                message=message,
                signer=signer,
                shown_digest=request.POST.get("digest", ""),
                signature=request.POST.get("signature", ""),
            )
            make = lifecycle.propose if verb is Action.PROPOSE else lifecycle.accept
            make(transaction_id=deal.pk, actor=request.user, signature=signature)
        except ActionNotAllowed:
            raise
        except DomainError as error:
            problem = error_sentence(error)
        else:
            messages.success(request, ACTION_WORDS[verb].done)
            return redirect("portal:transaction", deal.pk)
    context = {
        "deal": deal,
        "role": role,
        "action": action,
        "words": ACTION_WORDS[verb],
        "consequences": consequences(verb, deal, None),
        "problem": problem,
        "deadline": deal.accept_by,
        **signing_context(request.user, message, signer, terms.digest_of(message)),
    }
    return render(request, "portal/agreements/sign.html", context)


def deal_page(deal: EscrowTransaction) -> str:
    """The address of a deal's page."""
    return reverse("portal:transaction", args=[deal.pk])


class EndForm(forms.Form):
    """Why it ends before it began; nobody has to say."""

    reason = forms.CharField(
        label="A word to the other party",
        required=False,
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )


@login_required
def end(request: SignedInRequest, transaction_id: int, action: str) -> HttpResponse:
    """Decline or call off, before any money came. Nothing is signed: nothing is on the chain yet."""
    verb = Action(action)
    deal = queries.get_visible(request.user, transaction_id)
    _refuse_unless_available(request.user, deal, verb)
    form = EndForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        make = lifecycle.decline if verb is Action.DECLINE else lifecycle.cancel
        make(transaction_id=deal.pk, actor=request.user, reason=form.cleaned_data["reason"])
        messages.success(request, ACTION_WORDS[verb].done)
        return redirect("portal:transaction", deal.pk)
    context = {"deal": deal, "form": form, "words": ACTION_WORDS[verb], "consequences": consequences(verb, deal, None)}
    return render(request, "portal/agreements/end.html", context)


class ReviewForm(forms.Form):
    """What one party says of the other."""

    rating = forms.TypedChoiceField(
        label="How was it to work with them?",
        coerce=int,
        choices=[(5, "5, very good"), (4, "4, good"), (3, "3, all right"), (2, "2, poor"), (1, "1, bad")],
        widget=forms.RadioSelect,
    )
    text = forms.CharField(
        label="In your own words", required=False, max_length=5_000, widget=forms.Textarea(attrs={"rows": 4})
    )


@login_required
def review(request: SignedInRequest, transaction_id: int) -> HttpResponse:
    """Each party reviews the other, once, after the end."""
    deal = queries.get_visible(request.user, transaction_id)
    _refuse_unless_available(request.user, deal, Action.REVIEW)
    form = ReviewForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            lifecycle.leave_review(transaction_id=deal.pk, author=request.user, **form.cleaned_data)
        except ActionNotAllowed:
            raise
        except DomainError as error:
            form.add_error(None, error_sentence(error))
        else:
            messages.success(request, ACTION_WORDS[Action.REVIEW].done)
            return redirect("portal:transaction", deal.pk)
    subject = deal.seller if request.user == deal.buyer else deal.buyer
    return render(request, "portal/agreements/review.html", {"deal": deal, "form": form, "subject": subject})


def _refuse_unless_available(user: User, deal: EscrowTransaction, verb: Action) -> None:
    if verb not in offered_actions(deal, user):
        situation = str(deal.get_status_display())
        raise ActionNotAllowed(f"the agreement is {situation}, or it is not your turn: this is not possible now")
