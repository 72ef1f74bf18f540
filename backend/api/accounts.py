"""Accounts, the tokens by which machines come in, and the arbiters that terms may name."""

from datetime import timedelta
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.callers import caller
from api.throttles import LogIns, LogInsOfOneAccount, Registrations
from users import accounts, queries
from users.models import ApiToken, User


class PersonSerializer(serializers.ModelSerializer[User]):
    """A person as others see him."""

    class Meta:
        model = User
        fields = ["id", "display_name"]


class AccountSerializer(serializers.ModelSerializer[User]):
    """One's own account."""

    is_operator = serializers.BooleanField(read_only=True)

    class Meta:
        model = User
        fields = [
            "id",
            "email",
            "display_name",
            "time_zone",
            "is_arbiter",
            "is_reviewer",
            "is_operator",
            "created_at",
        ]
        read_only_fields = ["id", "email", "is_arbiter", "is_reviewer", "created_at"]


class RegistrationSerializer(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=1_000, trim_whitespace=False, write_only=True)
    display_name = serializers.CharField(max_length=80)
    time_zone = serializers.CharField(max_length=64, default="UTC", help_text="IANA name")


class TokenRequestSerializer(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=1_000, trim_whitespace=False, write_only=True)
    name = serializers.CharField(max_length=80, default="API", help_text="so that you know it again in the list")
    lifetime_seconds = serializers.IntegerField(
        min_value=60,
        max_value=int(accounts.LONGEST_LIFETIME.total_seconds()),
        default=int(accounts.DEFAULT_LIFETIME.total_seconds()),
    )


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    class Meta:
        model = ApiToken
        fields = ["id", "name", "created_at", "expires_at", "last_used_at"]


class NewTokenSerializer(TokenSerializer):
    token = serializers.CharField(help_text="shown only this once; send it as `Authorization: Bearer <token>`")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]


class Accounts(APIView):
    """Opening an account."""

    authentication_classes: tuple[Any, ...] = ()
    permission_classes = (AllowAny,)
    throttle_classes = (Registrations,)

    @extend_schema(request=RegistrationSerializer, responses={201: AccountSerializer})
    def post(self, request: Request) -> Response:
        """Register. The new account is welcomed by mail."""
        entered = RegistrationSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        user = accounts.register_account(**entered.validated_data)
        return Response(AccountSerializer(user).data, status=status.HTTP_201_CREATED)


class Account(APIView):
    """One's own account."""

    @extend_schema(responses=AccountSerializer)
    def get(self, request: Request) -> Response:
        return Response(AccountSerializer(caller(request)).data)

    @extend_schema(request=AccountSerializer, responses=AccountSerializer)
    def patch(self, request: Request) -> Response:
        """Change name or time zone."""
        entered = AccountSerializer(caller(request), data=request.data, partial=True)
        entered.is_valid(raise_exception=True)
        user = accounts.edit_account(user=caller(request), **entered.validated_data)
        return Response(AccountSerializer(user).data)


class Tokens(APIView):
    """The tokens of one's own account."""

    def get_permissions(self) -> Any:
        return [AllowAny()] if self.request.method == "POST" else super().get_permissions()

    def get_authenticators(self) -> list[Any]:
        # Logging in needs no session, so it must not ask for a session's CSRF token either.
        return [] if self.request is not None and self.request.method == "POST" else super().get_authenticators()

    def get_throttles(self) -> list[Any]:
        return [LogIns(), LogInsOfOneAccount()] if self.request.method == "POST" else []

    @extend_schema(responses=TokenSerializer(many=True))
    def get(self, request: Request) -> Response:
        """My tokens that are still good, without their text."""
        return Response(TokenSerializer(caller(request).api_tokens.order_by("-id"), many=True).data)

    @extend_schema(request=TokenRequestSerializer, responses={201: NewTokenSerializer}, auth=[])
    def post(self, request: Request) -> Response:
        """Log in: e-mail address and password for a token."""
        entered = TokenRequestSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        given = entered.validated_data
        user = accounts.authenticate_account(email=given["email"], password=given["password"])
        token, plain = accounts.issue_token(
            user=user, name=given["name"], lifetime=timedelta(seconds=given["lifetime_seconds"])
        )
        token.token = plain  # type: ignore[attr-defined]
        return Response(NewTokenSerializer(token).data, status=status.HTTP_201_CREATED)


class Token(APIView):
    """One of one's own tokens."""

    @extend_schema(responses={204: None})
    def delete(self, request: Request, token_id: int) -> Response:
        """Log out: the token is good for nothing any more."""
        if not accounts.revoke_token(user=caller(request), token_id=token_id):
            raise NotFound
        return Response(status=status.HTTP_204_NO_CONTENT)


class Arbiters(ListAPIView[User]):
    """The people whom agreements may name as arbiter."""

    serializer_class = PersonSerializer
    queryset = queries.list_arbiters().order_by()
