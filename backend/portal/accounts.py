"""Coming in and going out."""

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters

from chain import sandbox
from portal.prose import error_sentence
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


def _welcome(request: HttpRequest, user: User) -> None:
    messages.success(request, f"Welcome, {user}.")
    if not settings.SANDBOX_WALLETS:
        return
    try:
        sandbox.create_wallet(user)
    except DomainError:  # without a chain everything but signing works; the wallet page offers it again
        messages.info(request, "The test chain cannot be reached yet, so you have no wallet. See “Wallet”.")
