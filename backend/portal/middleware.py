"""What every page of the portal has in common: its security headers, the reader's time zone, errors in words."""

from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from portal.errors import domain_error_page
from transactions.errors import DomainError

# No 'unsafe-inline' anywhere: pages carry neither script nor style of their own. `data:` is for Pico's icons.
DIRECTIVES = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'self'",
    "frame-src 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
)
POLICY = "; ".join(DIRECTIVES)
# Pages of others, which bring inline script and style of their own.
EXEMPT_PREFIXES = ("/admin/", "/api/")


class PortalMiddleware:
    """Content-Security-Policy, time zone, and a friendly page for a DomainError that a view let through."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        zone = getattr(request.user, "time_zone", None)
        with timezone.override(_zone(zone) if zone else None):
            response = self.get_response(request)
        is_technical = settings.DEBUG and response.status_code >= 400 and not hasattr(response, "is_portal_page")
        if not request.path.startswith(EXEMPT_PREFIXES) and not is_technical:
            response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The portal owns the prose of refusals; what is no refusal goes on to Django."""
        if isinstance(exception, DomainError) and not request.path.startswith(EXEMPT_PREFIXES):
            return domain_error_page(request, exception)
        return None


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return None
