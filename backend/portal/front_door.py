"""The first page: what this is, and where the money is."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.views.decorators.http import require_safe

from chain import deployments
from transactions.errors import DomainError


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """The address that browsers ask for on pages which name no icon, such as the admin's."""
    return redirect(static("portal/mark.svg"))


@require_safe
def front_door(request: HttpRequest) -> HttpResponse:
    """Also for those who are logged in: they reach their overview from here."""
    try:
        deployment = deployments.current()
    except DomainError:  # no chain, or a damaged record of it: the page stands without
        deployment = None
    return render(request, "portal/front_door/index.html", {"deployment": deployment})
