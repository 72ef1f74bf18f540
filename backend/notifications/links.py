"""Addresses of the pages that a message leads to."""

from contextlib import suppress

from django.conf import settings
from django.urls import NoReverseMatch, reverse


def transaction_page(transaction_id: int) -> str:
    """The page of one escrow transaction."""
    return _page("portal:transaction", f"/transactions/{transaction_id}/", transaction_id)


def dashboard() -> str:
    """The list of the reader's transactions."""
    return _page("portal:dashboard", "/overview/")


def verification_page() -> str:
    """Where a seller sees the state of the verification and sends documents."""
    return _page("portal:verification", "/verification/")


def _page(name: str, path: str, *args: object) -> str:
    # A worker without the portal's pages still writes mails that lead somewhere.
    with suppress(NoReverseMatch):
        path = reverse(name, args=args)
    return f"{settings.PUBLIC_URL}{path}"
