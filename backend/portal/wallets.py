"""The wallet that signs for a person and is paid: a sandbox one in development, or one's own, proved by signature."""

import logging

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from chain import sandbox, signatures
from portal.balances import balance_units
from portal.prose import error_sentence
from portal.requests import SignedInRequest
from transactions.errors import DomainError
from transactions.models import Token
from users import wallets
from users.models import Wallet, address_validator

logger = logging.getLogger(__name__)


@login_required
def wallet(request: SignedInRequest) -> HttpResponse:
    """Which wallets this person has, and how to get one."""
    own = Wallet.objects.filter(user=request.user).order_by("-is_primary", "pk")
    tokens = list(Token.objects.filter(is_offered=True, chain_id=settings.CHAIN_ID).order_by("symbol"))
    holdings = [(w, [t.format(u) for t in tokens if (u := balance_units(t, w.address)) is not None]) for w in own]
    context = {
        "holdings": holdings,
        "may_have_sandbox": settings.SANDBOX_WALLETS,
        "has_sandbox": any(w.kind == Wallet.Kind.SANDBOX for w in own),
        "address_form": AddressForm(),
    }
    return render(request, "portal/wallets/wallet.html", context)


@login_required
@require_POST
def create_sandbox(request: SignedInRequest) -> HttpResponse:
    """A wallet whose key the platform holds: on a development chain only (`chain.sandbox` refuses elsewhere)."""
    try:
        sandbox.create_wallet(request.user)
        messages.success(request, "You have a sandbox wallet now. It is for the test chain only.")
    except DomainError as error:
        messages.error(request, error_sentence(error))
    return redirect("portal:wallet")


@login_required
@require_POST
def test_money(request: SignedInRequest) -> HttpResponse:
    """Test USDC for the sandbox wallet."""
    try:
        sandbox.fund(request.user)
        messages.success(request, "Test money is on its way to your wallet.")
    except DomainError as error:
        messages.error(request, error_sentence(error))
    return redirect("portal:wallet")


class AddressForm(forms.Form):
    address = forms.CharField(
        label="Address", max_length=42, validators=[address_validator], help_text="0x and 40 characters."
    )


class ProofForm(forms.Form):
    nonce = forms.CharField(max_length=32, widget=forms.HiddenInput)
    signature = forms.CharField(
        label="Signature", max_length=20_000, help_text="Of the text above, as your wallet gives it: 0x…"
    )


@login_required
@require_POST
def link(request: SignedInRequest) -> HttpResponse:
    """Link an own wallet: first the address, then its signature over a text that is good once (EIP-4361)."""
    proof = ProofForm(request.POST) if "signature" in request.POST else None
    if proof is None:
        form = AddressForm(request.POST)
        if not form.is_valid():
            messages.error(request, "That is not an address: 0x and 40 hexadecimal characters.")
            return redirect("portal:wallet")
        try:
            challenge = wallets.create_challenge(user=request.user, address=form.cleaned_data["address"])
        except DomainError as error:
            messages.error(request, error_sentence(error))
            return redirect("portal:wallet")
        proof = ProofForm(initial={"nonce": challenge.nonce})
        return render(request, "portal/wallets/link.html", {"challenge": challenge, "form": proof})
    try:
        challenge = wallets.get_challenge(user=request.user, nonce=request.POST.get("nonce", ""))
    except DomainError as error:
        messages.error(request, error_sentence(error))
        return redirect("portal:wallet")
    if proof.is_valid():
        try:
            signed = signatures.verify_text(challenge.message, proof.cleaned_data["signature"], challenge.address)
            wallets.link_wallet(user=request.user, nonce=challenge.nonce, proof=signed)
        except DomainError as error:
            proof.add_error(None, error_sentence(error))
        else:
            messages.success(request, "Your wallet is linked.")
            return redirect("portal:wallet")
    return render(request, "portal/wallets/link.html", {"challenge": challenge, "form": proof})
