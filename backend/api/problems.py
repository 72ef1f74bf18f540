"""Refusals as HTTP: RFC 9457 `application/problem+json`, always with a stable `code`. Nothing else here knows HTTP.

A domain error's own data becomes members of the problem (`allowed`, `field`, ...), so that a program can act on it.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from chain import errors as chain_errors
from common.errors import DomainError, NotFound
from documents import errors as document_errors
from transactions import errors as transaction_errors
from users import errors as user_errors

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
# The nearest class counts; an anticipated refusal that is not named here is a conflict with how things stand.
STATUS_OF: dict[type[DomainError], int] = {
    DomainError: status.HTTP_409_CONFLICT,
    NotFound: status.HTTP_404_NOT_FOUND,
    transaction_errors.NotAParty: status.HTTP_403_FORBIDDEN,
    transaction_errors.InvalidTerms: status.HTTP_422_UNPROCESSABLE_ENTITY,
    transaction_errors.SignatureMismatch: status.HTTP_422_UNPROCESSABLE_ENTITY,
    transaction_errors.SignatureExpired: status.HTTP_422_UNPROCESSABLE_ENTITY,
    transaction_errors.ChainUnavailable: status.HTTP_503_SERVICE_UNAVAILABLE,
    chain_errors.SandboxRefused: status.HTTP_403_FORBIDDEN,
    user_errors.InvalidAccount: status.HTTP_422_UNPROCESSABLE_ENTITY,
    user_errors.InvalidToken: status.HTTP_422_UNPROCESSABLE_ENTITY,
    user_errors.InvalidProfile: status.HTTP_422_UNPROCESSABLE_ENTITY,
    user_errors.InvalidCredentials: status.HTTP_401_UNAUTHORIZED,
    user_errors.ProofMismatch: status.HTTP_422_UNPROCESSABLE_ENTITY,
    user_errors.NotAReviewer: status.HTTP_403_FORBIDDEN,
    document_errors.DocumentRefused: status.HTTP_422_UNPROCESSABLE_ENTITY,
    document_errors.DocumentTooLarge: status.HTTP_413_REQUEST_ENTITY_TOO_LARGE,
    document_errors.DocumentTypeRefused: status.HTTP_415_UNSUPPORTED_MEDIA_TYPE,
}
TITLES = {
    400: "The request cannot be read",
    401: "Say who you are",
    403: "Not yours to do",
    404: "There is no such thing here",
    405: "This cannot be done to it",
    406: "Not available in that form",
    409: "That is not possible now",
    413: "Too large",
    415: "Not a kind that is taken",
    422: "The request is not right",
    429: "Too many requests",
    500: "Something went wrong on our side",
    503: "Not available at the moment",
}
DRF_CODES: dict[type[exceptions.APIException], str] = {
    exceptions.ParseError: "malformed",
    exceptions.NotAuthenticated: "not_authenticated",
    exceptions.AuthenticationFailed: "authentication_failed",
    exceptions.PermissionDenied: "permission_denied",
    exceptions.NotFound: "not_found",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.Throttled: "throttled",
}


class IdempotencyKeyReused(DomainError):
    """The key was used for another request."""

    code = "idempotency_key_reused"


class IdempotencyInProgress(DomainError):
    """A request with this key is still being carried out."""

    code = "idempotency_in_progress"


class IdempotencyKeyInvalid(DomainError):
    """The key is empty, too long, or holds characters that do not print."""

    code = "idempotency_key_invalid"


class UnknownAccount(DomainError):
    """Nobody has an account with this e-mail address."""

    code = "unknown_account"


STATUS_OF |= {
    IdempotencyKeyReused: status.HTTP_422_UNPROCESSABLE_ENTITY,
    IdempotencyKeyInvalid: status.HTTP_422_UNPROCESSABLE_ENTITY,
    UnknownAccount: status.HTTP_422_UNPROCESSABLE_ENTITY,
}


def problem(
    request: HttpRequest | None,
    *,
    status: int,
    code: str,
    detail: str,
    headers: dict[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """A problem document. `members` that are None or would hide a standard one are left out."""
    body: dict[str, Any] = {
        "type": f"{settings.PUBLIC_URL}/api/docs/#{code}",
        "title": TITLES.get(status, "The request was refused"),
        "status": status,
        "detail": detail,
        "code": code,
    }
    if request is not None:
        body["instance"] = request.path
    body |= {name: value for name, value in (members or {}).items() if name not in body and value is not None}
    return Response(body, status=status, content_type=CONTENT_TYPE, headers=headers)


def status_of(error: DomainError) -> int:
    """The HTTP status of a refusal."""
    # Who has a part in the deal but never this one is told so as a matter of permission, not of time.
    if isinstance(error, transaction_errors.ActionNotAllowed) and error.data.get("rule") == "role_may_not":
        return status.HTTP_403_FORBIDDEN
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: every way in which a request can end badly, in one form."""
    request = context.get("request")
    set_rollback()
    if isinstance(error, DomainError):
        data: dict[str, Any] = {**error.data}
        return problem(request, status=status_of(error), code=error.code, detail=error.message, members=data)
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, exceptions.ValidationError):
        errors = list(_field_errors(error.detail))
        return problem(
            request,
            status=422,
            code="invalid",
            detail="; ".join(f"{item['field']}: {item['message']}" for item in errors) or "the request is not right",
            members={"errors": errors},
        )
    if isinstance(error, exceptions.APIException):
        return _of_api_exception(request, error)
    if isinstance(error, RequestDataTooBig):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return problem(request, status=413, code="body_too_large", detail=f"a body has at most {limit} bytes")
    if isinstance(error, OperationalError):
        logger.error("the database does not answer: %s", error)
        return problem(request, status=503, code="database_unavailable", detail="the database does not answer")
    logger.error("unexpected error in %s", getattr(request, "path", "?"), exc_info=error)
    return problem(request, status=500, code="internal_error", detail="this is a bug; it has been logged")


def _of_api_exception(request: HttpRequest | None, error: exceptions.APIException) -> Response:
    code = next((DRF_CODES[kind] for kind in type(error).__mro__ if kind in DRF_CODES), str(error.default_code))
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header  # type: ignore[attr-defined]
    wait = getattr(error, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(int(wait) + 1)
    return problem(request, status=error.status_code, code=code, detail=str(error.detail), headers=headers)


def _field_errors(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """A serializer's nested errors as a flat list; positions in lists count from 0: `milestones.1.amount`."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            name = "" if name == "non_field_errors" else str(name)
            yield from _field_errors(inner, ".".join(part for part in (path, name) if part))
    elif isinstance(detail, list) and any(isinstance(item, dict | list) for item in detail):
        for position, inner in enumerate(detail):
            yield from _field_errors(inner, ".".join(part for part in (path, str(position)) if part))
    else:
        for item in detail if isinstance(detail, list) else [detail]:
            yield {"field": path or "body", "message": str(item), "code": getattr(item, "code", "invalid")}
