"""Arguments and results as plain JSON, checked where the call is made."""

import json
from typing import Any

from kombu.utils import json as celery_json

from outbox.errors import ArgumentsNotSerializable


def plain(value: Any) -> Any:
    """The value as JSON types only, in the form that a Celery worker decodes (dates, decimals, UUIDs keep their type).

    Raises TypeError for what JSON has no form for, and ValueError for NaN, infinities and NUL characters, which
    PostgreSQL refuses.
    """
    text = celery_json.dumps(value)
    if "\\u0000" in text and _has_nul(json.loads(text)):
        raise ValueError("a NUL character cannot be stored")
    return json.loads(text, parse_constant=_refuse_constant)


def revive(value: Any) -> Any:
    """The opposite of `plain`: what a task is called with."""
    return celery_json.loads(json.dumps(value))


def plain_arguments(task: str, args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments of a call as plain JSON.

    Raises ArgumentsNotSerializable with the name of the task and of the argument at fault.
    """
    plain_args: list[Any] = []
    plain_kwargs: dict[str, Any] = {}
    for position, value in enumerate(args or ()):
        plain_args.append(_plain_argument(task, f"argument {position + 1}", value))
    for name, value in (kwargs or {}).items():
        plain_kwargs[str(name)] = _plain_argument(task, f"argument {name!r}", value)
    return plain_args, plain_kwargs


def _plain_argument(task: str, where: str, value: Any) -> Any:
    try:
        return plain(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentsNotSerializable(
            f"{task}: {where} is a {type(value).__name__} that a task message cannot carry ({error}); "
            "pass plain values, or an id and read the object in the task"
        ) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    if isinstance(value, list):
        return any(_has_nul(item) for item in value)
    return False
