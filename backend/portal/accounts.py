"""Coming in and going out."""

import zoneinfo
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters

from chain import sandbox
from portal.prose import error_sentence
from portal.requests import SignedInRequest
from transactions.errors import DomainError
from users import accounts
from users.models import User


class LogInForm(AuthenticationForm):
    """E-mail address and password."""

    error_messages: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        **AuthenticationForm.error_messages,
        "invalid_login": "E-mail address and password do not belong together. Please try again.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "E-mail address"
        self.fields["username"].widget.input_type = "email"


class LogIn(LoginView):
    template_name = "portal/accounts/log_in.html"
    authentication_form = LogInForm
    redirect_authenticated_user = True


class LogOut(LogoutView):
    http_method_names: ClassVar[list[str]] = ["post", "options"]  # type: ignore[misc]


class RegisterForm(forms.Form):
    """A new account: a name to be called by, an address to be reached at, a password."""

    display_name = forms.CharField(
        label="Your name", max_length=80, help_text="As the other party shall read it: your own or your company's."
    )
    email = forms.EmailField(label="E-mail address", widget=forms.EmailInput(attrs={"autocomplete": "email"}))
    password = forms.CharField(
        label="Password",
        help_text="At least ten characters.",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    time_zone = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    def clean_time_zone(self) -> str:
        """What the browser says, if that is a zone we know: nobody should fail to register over it."""
        zone: str = self.cleaned_data["time_zone"]
        return zone if zone in zoneinfo.available_timezones() else "UTC"


@sensitive_post_parameters("password")
def register(request: HttpRequest) -> HttpResponse:
    """Open an account and come in. On a development chain the newcomer gets a sandbox wallet at once."""
    if request.user.is_authenticated:
        return redirect("portal:dashboard")
    form = RegisterForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = accounts.register_account(**form.cleaned_data)
        except DomainError as error:
            field = str(error.data.get("field", ""))
            form.add_error(field if field in form.fields else None, error_sentence(error))
        else:
            login(request, user, backend="django.contrib.auth.backends.ModelBackend")
            _welcome(request, user)
            following = request.POST.get("next", "")
            is_ours = url_has_allowed_host_and_scheme(following, {request.get_host()}, request.is_secure())
            return redirect(following if is_ours else "portal:dashboard")
    return render(request, "portal/accounts/register.html", {"form": form, "next": request.GET.get("next", "")})


class AccountForm(forms.Form):
    """How one is called, and by which clock one reads dates."""

    display_name = forms.CharField(label="Your name", max_length=80)
    time_zone = forms.ChoiceField(label="Time zone", help_text="All dates and times are shown in it.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones = sorted(zoneinfo.available_timezones())
        self.fields["time_zone"].choices = [(zone, zone.replace("_", " ")) for zone in zones]  # type: ignore[attr-defined]


@login_required
def account(request: SignedInRequest) -> HttpResponse:
    """What one may change about oneself."""
    user = request.user
    form = AccountForm(request.POST or None, initial={"display_name": user.display_name, "time_zone": user.time_zone})
    if request.method == "POST" and form.is_valid():
        try:
            accounts.edit_account(user=user, **form.cleaned_data)
        except DomainError as error:
            form.add_error(None, error_sentence(error))
        else:
            messages.success(request, "Saved.")
            return redirect("portal:account")
    return render(request, "portal/accounts/account.html", {"form": form})


def _welcome(request: HttpRequest, user: User) -> None:
    messages.success(request, f"Welcome, {user}.")
    if not settings.SANDBOX_WALLETS:
        return
    try:
        sandbox.create_wallet(user)
    except DomainError:  # without a chain everything but signing works; the wallet page offers it again
        messages.info(request, "The test chain cannot be reached yet, so you have no wallet. See “Wallet”.")
