"""An address below the API that leads nowhere: a problem like any other, not a page for people."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


@extend_schema(exclude=True)
class UnknownAddress(APIView):
    authentication_classes: tuple[Any, ...] = ()
    permission_classes = (AllowAny,)
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound("there is nothing at this address; /api/docs/ lists what there is")

    def get(self, request: Request, **kwargs: Any) -> Response:
        raise NotFound  # never reached: initial refuses every method
