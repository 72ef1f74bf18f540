"""How often strangers may knock. Counted per process; generous in development, where one machine is everybody."""

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle


class _ByAddress(SimpleRateThrottle):
    rates = ("", "")  # in production, in development

    def get_rate(self) -> str:
        return self.rates[1 if settings.DEBUG else 0]

    def get_cache_key(self, request: Request, view: Any) -> str:
        return f"throttle:{type(self).__name__}:{self.get_ident(request)}"


class Registrations(_ByAddress):
    rates = ("20/hour", "2000/hour")


class LogIns(_ByAddress):
    rates = ("60/hour", "6000/hour")


class LogInsOfOneAccount(_ByAddress):
    """Guesses at one password, from wherever they come. It slows down; it locks nobody out for long."""

    rates = ("10/minute", "600/minute")

    def get_cache_key(self, request: Request, view: Any) -> str:
        email = request.data.get("email", "") if isinstance(request.data, dict) else ""
        return f"throttle:{type(self).__name__}:{str(email).strip().lower()[:254]}"
