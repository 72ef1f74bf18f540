"""`Idempotency-Key` on a POST: the same key and request get the first answer, without being carried out again.

One database transaction holds the key's row, the request's effect and the answer. So a crash leaves all or nothing,
and a second call at the same time waits at the unique key until the first one has ended. Only answers that changed
something (2xx) are kept: a refusal changed nothing, so asking again is judged again. Keys live for 24 hours.
"""

import functools
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from django.core.files.uploadedfile import UploadedFile
from django.db import OperationalError, connection
from django.db import transaction as db_transaction
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from api.callers import caller
from api.models import IdempotentRequest
from api.problems import IdempotencyInProgress, IdempotencyKeyInvalid, IdempotencyKeyReused
from common.clock import utc_now

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
LIFETIME = timedelta(hours=24)
KEY_LENGTH = 255
WAIT_MILLISECONDS = 10_000

View = TypeVar("View", bound=Callable[..., Response])


def idempotent(handler: View) -> View:
    """Let this POST of an authenticated caller be repeated safely under an Idempotency-Key."""

    @functools.wraps(handler)
    def repeatable(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return handler(self, request, *args, **kwargs)
        if not 0 < len(key) <= KEY_LENGTH or not key.isprintable():
            raise IdempotencyKeyInvalid(f"an {HEADER} is 1 to {KEY_LENGTH} printable characters")
        fingerprint = _fingerprint(request)
        with db_transaction.atomic():
            row, is_first = _claim(request, key, fingerprint)
            if is_first:
                response = handler(self, request, *args, **kwargs)
                row.status = response.status_code
                row.body = json.loads(json.dumps(response.data, cls=JSONEncoder))
                row.save(update_fields=["status", "body"])
                return response
        if row.fingerprint != fingerprint:
            raise IdempotencyKeyReused("this key was used for another request; take a new one", key=key)
        return Response(row.body, status=row.status, headers={REPLAYED: "true"})

    repeatable.is_idempotent = True  # type: ignore[attr-defined]
    return repeatable  # type: ignore[return-value]


def _claim(request: Request, key: str, fingerprint: str) -> tuple[IdempotentRequest, bool]:
    """The key's row and whether this request is the first to use it; waits for one that is under way."""
    IdempotentRequest.objects.filter(user=caller(request), key=key, created_at__lt=utc_now() - LIFETIME).delete()
    try:
        with db_transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = %s", [WAIT_MILLISECONDS])
            found = IdempotentRequest.objects.get_or_create(
                user=caller(request), key=key, defaults={"fingerprint": fingerprint}
            )
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = DEFAULT")
            return found
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != "55P03":  # lock_not_available
            raise
        raise IdempotencyInProgress("a request with this key is still being carried out; ask again shortly") from error


def forget_old_keys() -> int:
    """Delete keys past their lifetime; returns how many."""
    return IdempotentRequest.objects.filter(created_at__lt=utc_now() - LIFETIME).delete()[0]


def _fingerprint(request: Request) -> str:
    """SHA-256 of what makes two requests the same: method, path, and the body's meaning (files by their content)."""
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    data = request.data
    if hasattr(data, "lists"):  # a form: values may repeat
        for name, values in sorted(data.lists()):
            for value in values:
                digest.update(f"{name}=".encode() + _value_digest(value))
    else:
        digest.update(json.dumps(data, sort_keys=True, cls=JSONEncoder).encode())
    return digest.hexdigest()


def _value_digest(value: Any) -> bytes:
    if not isinstance(value, UploadedFile):
        return hashlib.sha256(str(value).encode()).digest()
    digest = hashlib.sha256((value.name or "").encode() + b"\n")
    for chunk in value.chunks():
        digest.update(chunk)
    value.seek(0)
    return digest.digest()
