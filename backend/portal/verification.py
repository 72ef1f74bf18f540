"""Who a seller is: the seller's own page, the reviewers' queue, a reviewer's decision."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from documents.models import Document
from portal.documents import FilesField, receive_files
from portal.prose import error_sentence
from portal.requests import SignedInRequest
from transactions.errors import DomainError, NotFound
from users import verification
from users.models import SellerProfile
from users.queries import verification_requests_visible_to

DECIDED_SHOWN = 20
View = Callable[..., HttpResponse]


class SellerForm(forms.Form):
    """Who the seller is, and the papers that prove it."""

    legal_name = forms.CharField(label="Name as in the document", max_length=120)
    kind = forms.ChoiceField(label="You are", choices=SellerProfile.Kind.choices, widget=forms.RadioSelect)
    headline = forms.CharField(
        label="What do you do?", required=False, max_length=160, help_text="One line that buyers see."
    )
    uploads = FilesField(
        label="Documents", help_text="A passport or identity card; for a company its register extract. PDF or image."
    )


@login_required
def seller(request: SignedInRequest) -> HttpResponse:
    """Status, and the form as long as there is something to send."""
    user = request.user
    profile = SellerProfile.objects.filter(user=user).first()
    requests = verification_requests_visible_to(user).filter(profile__user=user).order_by("-pk")
    may_send = profile is None or profile.verification_status in ("UNVERIFIED", "REJECTED")
    initial = {
        "legal_name": profile.legal_name if profile else user.display_name,
        "kind": profile.kind if profile else SellerProfile.Kind.INDIVIDUAL,
        "headline": profile.headline if profile else "",
    }
    form = SellerForm(request.POST or None, request.FILES or None, initial=initial)
    if request.method == "POST" and may_send and form.is_valid():
        try:
            documents = receive_files(user, form.cleaned_data["uploads"], Document.Purpose.VERIFICATION)
            verification.submit_for_verification(
                user=user,
                document_ids=[document.pk for document in documents],
                legal_name=form.cleaned_data["legal_name"],
                kind=form.cleaned_data["kind"],
                headline=form.cleaned_data["headline"],
            )
        except DomainError as error:
            form.add_error(None, error_sentence(error))
        else:
            messages.success(request, "Thank you. A reviewer looks at your documents; you will get an e-mail.")
            return redirect("portal:verification")
    context = {
        "profile": profile,
        "requests": requests,
        "form": form,
        "may_send": may_send,
    }
    return render(request, "portal/verification/seller.html", context)


def for_reviewers(view: View) -> View:
    """Only people whom an operator appointed as reviewers."""

    @login_required
    def guarded(request: SignedInRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_reviewer:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded


@for_reviewers
@require_safe
def queue(request: SignedInRequest) -> HttpResponse:
    """What waits for a reviewer, the oldest first."""
    requests = verification_requests_visible_to(request.user)
    context = {
        "waiting": requests.filter(decision="PENDING").order_by("submitted_at", "pk"),
        "decided": requests.exclude(decision="PENDING").order_by("-decided_at")[:DECIDED_SHOWN],
    }
    return render(request, "portal/verification/queue.html", context)


class DecisionForm(forms.Form):
    decision = forms.ChoiceField(
        label="Decision",
        choices=[("VERIFIED", "Verified: the documents show who this is"), ("REJECTED", "Rejected")],
        widget=forms.RadioSelect,
    )
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Needed for a rejection: the seller reads it and knows what to send instead.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("decision") == "REJECTED" and not cleaned.get("reason", "").strip():
            self.add_error("reason", ValidationError("Say what is missing, so that the seller can send it."))
        return cleaned


@for_reviewers
def decide(request: SignedInRequest, request_id: int) -> HttpResponse:
    """One seller's documents and the decision."""
    found = verification_requests_visible_to(request.user).filter(pk=request_id).first()
    if found is None:
        raise NotFound(f"there is no verification request {request_id}")
    form = DecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            verification.decide_verification(request_id=found.pk, reviewer=request.user, **form.cleaned_data)
        except DomainError as error:
            form.add_error(None, error_sentence(error))
        else:
            messages.success(request, f"Decided: {found.profile.legal_name}.")
            return redirect("portal:verification_queue")
    context = {"found": found, "form": form, "documents": found.documents.all()}
    return render(request, "portal/verification/decide.html", context)
