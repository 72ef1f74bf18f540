"""Error pages in the portal's own dress. They work without a database: the 500 page takes nothing from it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from portal.prose import error_sentence
from transactions.errors import DomainError, NotAParty, NotFound


def _page(request: HttpRequest, *, status: int, title: str, sentence: str) -> HttpResponse:
    response = render(request, "portal/errors/page.html", {"title": title, "sentence": sentence}, status=status)
    response.is_portal_page = True  # type: ignore[attr-defined]
    return response


def domain_error_page(request: HttpRequest, error: DomainError) -> HttpResponse:
    """A refusal of the domain as a page: 404 for what is not there (for this reader), 403, else 409."""
    if isinstance(error, NotFound):
        return _page(request, status=404, title="Nothing here", sentence=error_sentence(error))
    status = 403 if isinstance(error, NotAParty) else 409
    return _page(request, status=status, title="That is not possible now", sentence=error_sentence(error))


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(
        request, status=400, title="That did not arrive whole", sentence="Please go back and send the form once more."
    )


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, status=403, title="Not yours to open", sentence="Your account may not see this page.")


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _page(
        request,
        status=403,
        title="Please send that once more",
        sentence="The form was open for too long, or you have logged in or out in another tab. Go back, reload, retry.",
    )


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(
        request, status=404, title="Nothing here", sentence="There is no such page, or it is not yours to see."
    )


def server_error(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(render_to_string("portal/errors/server_error.html"), status=500)
    response.is_portal_page = True  # type: ignore[attr-defined]
    return response
