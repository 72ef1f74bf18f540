"""Opening an account, coming in with a password, and tokens for machines (hashed at rest, shown once)."""

import hashlib
import secrets
import zoneinfo
from datetime import timedelta

from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db import transaction as db_transaction

from common.clock import utc_now
from outbox.publish import publish_fact
from users.errors import EmailTaken, InvalidAccount, InvalidCredentials, InvalidToken
from users.models import ApiToken, User

TOKEN_PREFIX = "escrow_"  # noqa: S105 - not a secret: lets scanners recognise a leaked token
DEFAULT_LIFETIME = timedelta(days=30)
LONGEST_LIFETIME = timedelta(days=365)
USE_NOTED_EVERY = timedelta(minutes=1)  # a row is not written for every request


def register_account(*, email: str, password: str, display_name: str, time_zone: str = "UTC") -> User:
    """A new account, which is welcomed by mail. Raises InvalidAccount naming the field, and EmailTaken."""
    email = email.strip().lower()
    user = User(email=email, display_name=display_name.strip(), time_zone=_known_zone(time_zone))
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidAccount(" ".join(error.messages), field="password") from error
    user.set_password(password)
    _validate(user)
    if User.objects.filter(email__iexact=email).exists():
        raise EmailTaken("there is an account with this e-mail address", field="email")
    with db_transaction.atomic():
        try:
            with db_transaction.atomic():
                user.save()
        except IntegrityError as error:
            raise EmailTaken("there is an account with this e-mail address", field="email") from error
        publish_fact("account.registered", key=f"account.registered:{user.pk}", data={"user_id": user.pk})
    return user


def edit_account(*, user: User, display_name: str | None = None, time_zone: str | None = None) -> User:
    """Change how one is called and which clock one reads. Raises InvalidAccount naming the field."""
    if display_name is not None:
        user.display_name = display_name.strip()
    if time_zone is not None:
        user.time_zone = _known_zone(time_zone)
    _validate(user)
    user.save(update_fields=["display_name", "time_zone"])
    return user


def authenticate_account(*, email: str, password: str) -> User:
    """The account that e-mail address and password belong to. Raises InvalidCredentials, alike for both mistakes."""
    user = authenticate(username=email.strip(), password=password)
    if not isinstance(user, User):
        raise InvalidCredentials("e-mail address and password do not belong together")
    return user


def issue_token(*, user: User, name: str, lifetime: timedelta = DEFAULT_LIFETIME) -> tuple[ApiToken, str]:
    """A new token and its text, which is not kept: only its SHA-256 is. Raises InvalidToken."""
    if not timedelta() < lifetime <= LONGEST_LIFETIME:
        raise InvalidToken(f"a token lives between a second and {LONGEST_LIFETIME.days} days", field="lifetime_seconds")
    plain = TOKEN_PREFIX + secrets.token_urlsafe(32)
    token = ApiToken(user=user, name=name.strip(), token_hash=_hash(plain), expires_at=utc_now() + lifetime)
    try:
        token.full_clean(validate_unique=False)
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidToken(f"{field}: {messages[0]}", field=field) from error
    token.save()
    return token, plain


def find_token(plain: str) -> ApiToken | None:
    """The token of this text if it is still good and its account active, else None. Notes its use once a minute."""
    if not plain.startswith(TOKEN_PREFIX) or len(plain) > 200:
        return None
    now = utc_now()
    token = ApiToken.objects.select_related("user").filter(token_hash=_hash(plain), expires_at__gt=now).first()
    if token is None or not token.user.is_active:
        return None
    if token.last_used_at is None or token.last_used_at <= now - USE_NOTED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def user_for_token(plain: str) -> User | None:
    """The account that this token speaks for, None if it is not good (any more)."""
    token = find_token(plain)
    return token.user if token is not None else None


def revoke_token(*, user: User, token_id: int) -> bool:
    """End one of the user's tokens at once. Whether there was one; harmless to repeat."""
    deleted, _ = ApiToken.objects.filter(user=user, pk=token_id).delete()
    return deleted > 0


def _hash(plain: str) -> str:
    # Fast on purpose: the token has 256 random bits, so there is nothing to guess that a slow hash would protect.
    return hashlib.sha256(plain.encode()).hexdigest()


def _known_zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise InvalidAccount(f"{name!r} is no time zone; write it like Europe/Vienna", field="time_zone") from error
    return name


def _validate(user: User) -> None:
    if not user.display_name:
        raise InvalidAccount("say by which name the other party shall know you", field="display_name")
    try:
        user.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidAccount(f"{field}: {messages[0]}", field=field) from error
