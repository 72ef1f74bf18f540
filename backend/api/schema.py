"""What drf-spectacular cannot see: every operation may answer with a problem, and POSTs can be repeated safely."""

from typing import Any

from drf_spectacular.openapi import AutoSchema

from api.problems import CONTENT_TYPE
from transactions.models import EscrowTransaction, Milestone

# Named in SPECTACULAR_SETTINGS, which tells enumerations apart by values and words.
TRANSACTION_STATUSES = EscrowTransaction._meta.get_field("status").choices
MILESTONE_STATUSES = Milestone._meta.get_field("status").choices
PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details. Further members carry what the sentence was built from.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "a sentence for people"},
        "code": {"type": "string", "description": "stable, for programs"},
        "instance": {"type": "string"},
        "allowed": {
            "type": "array",
            "items": {"type": "string"},
            "description": "with `action_not_allowed`: what you may do instead",
        },
        "errors": {
            "type": "array",
            "description": "with `invalid`: what is wrong, field by field",
            "items": {
                "type": "object",
                "properties": {
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
    },
    "additionalProperties": True,
}
IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same key with the same request gets the first successful answer again, for 24 hours.",
}


def describe_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook: problem details as the answer to everything that goes wrong."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    answer = {
        "description": "Refused, with the reason.",
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for methods in result["paths"].values():
        for operation in methods.values():
            operation["responses"]["default"] = answer
    return result


class Schema(AutoSchema):
    """AutoSchema that names operations by path and method, and tells which POSTs take an Idempotency-Key."""

    def get_tags(self) -> list[str]:
        return [self.path.removeprefix("/api/v1/").split("/")[0]]

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        handler = getattr(self.view, self.method.lower(), None)
        if operation and getattr(handler, "is_idempotent", False):
            operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
        return operation
