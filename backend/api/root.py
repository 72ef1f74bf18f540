"""The API's own address: where to go from here."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView


@extend_schema(exclude=True)
class Root(APIView):
    authentication_classes: tuple[Any, ...] = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        """The documentation, the schema, and the lists that an integrator begins with."""
        names = {
            "documentation": "docs",
            "schema": "schema",
            "accounts": "api:accounts",
            "tokens": "api:tokens",
            "deployment": "api:deployment",
            "arbiters": "api:arbiters",
            "wallets": "api:wallets",
            "documents": "api:documents",
            "transactions": "api:transactions",
            "disputes": "api:disputes",
            "notifications": "api:notifications",
        }
        return Response({label: reverse(name, request=request) for label, name in names.items()})
