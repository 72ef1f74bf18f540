"""Writing a call of a task as a row, in the caller's database transaction. Nothing here talks to the broker."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from celery import Celery
from celery._state import get_current_worker_task
from celery.canvas import maybe_signature
from celery.result import AsyncResult
from celery.utils import uuid
from celery.utils.functional import arity_greater
from celery.utils.time import maybe_make_aware

from common.clock import utc_now
from outbox.errors import CanvasNotDurable, UnknownTask
from outbox.models import OutboxMessage
from outbox.serialization import plain, plain_arguments

OUTBOX_ID = "outbox_id"  # the header by which a message names its row

# What a caller may pass that says how to talk to the broker; the row outlives every connection, so it has no meaning.
_BROKER_OPTIONS = frozenset(
    {"connection", "producer", "publisher", "retry", "retry_policy", "serializer", "compression", "router",
     "route_name", "result_cls", "task_type", "reply_to", "origin", "declare", "delivery_mode", "immediate",
     "mandatory", "add_to_parent", "now", "timezone", "timeout", "confirm_timeout"}
)  # fmt: skip


def find_task(app: Celery, name: str) -> Any:
    """The task of this name; its module is imported if nothing did so yet. Raises UnknownTask."""
    if name not in app.tasks:
        module = name.rpartition(".")[0]
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
                raise  # the module is there, something that it needs is not
        if name not in app.tasks:
            raise UnknownTask(f"no module defines the task {name}")
    return app.tasks[name]


def prepare(
    app: Celery,
    name: str,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    *,
    task_id: str | None = None,
    key: str | None = None,
    task: Any = None,
    **options: Any,
) -> OutboxMessage:
    """An unsaved row for this call. `options` are Celery's execution options.

    Raises ArgumentsNotSerializable, and CanvasNotDurable for a chord anywhere in what follows.
    """
    plain_args, plain_kwargs = plain_arguments(name, args, kwargs)
    options = {option: value for option, value in options.items() if option not in _BROKER_OPTIONS}
    if options.pop("chord", None) or _holds_chord([options.get(part) for part in ("chain", "link", "link_error")]):
        raise CanvasNotDurable(
            f"{name}: a group followed by a task is a chord, which this platform does not keep safe yet; "
            "let the last task of the group start the next one"
        )
    if OUTBOX_ID in (options.get("headers") or {}):  # a retry hands on the headers of the message that it came by
        options["headers"] = {name: value for name, value in options["headers"].items() if name != OUTBOX_ID}
    now = utc_now()
    due_at = _moment(options.pop("eta", None), now) or _moment(options.pop("countdown", None), now)
    options.pop("countdown", None)
    expires_at = _moment(options.pop("expires", None), now)
    queue, options = _route(app, name, plain_args, plain_kwargs, options, task)
    parent = get_current_worker_task()
    if parent is not None and not parent.request.called_directly:
        options["root_id"] = options.get("root_id") or parent.request.root_id or parent.request.id
        options["parent_id"] = options.get("parent_id") or parent.request.id
    for part in ("link", "link_error"):
        if options.get(part) is not None and not isinstance(options[part], (list, tuple)):
            options[part] = [options[part]]
    message = OutboxMessage(
        task_id=task_id or uuid(),
        key=key,
        task=name,
        args=plain_args,
        kwargs=plain_kwargs,
        queue=queue,
        retries=options.pop("retries", 0) or 0,
        expires_at=expires_at,
        options=plain({option: value for option, value in options.items() if value is not None}),
    )
    if due_at is not None:
        message.next_attempt_at = due_at
    return message


def write(app: Celery, message: OutboxMessage) -> tuple[AsyncResult, bool]:
    """Save the row in the caller's database transaction, or in its own if there is none.

    Returns the promise of its result and whether this call is new: a key that was used before is no second call, and
    the promise is that of the first one.
    """
    # A conflict is no error: the same key, or the frozen id of a link of a chain that an earlier attempt wrote.
    OutboxMessage.objects.bulk_create([message], ignore_conflicts=True)
    task_id = message.task_id
    if message.key is not None:
        task_id = OutboxMessage.objects.values_list("task_id", flat=True).get(key=message.key)
    result = app.AsyncResult(task_id)
    parent = get_current_worker_task()
    if parent is not None:
        parent.add_trail(result)
    return result, task_id == message.task_id


def write_errbacks(app: Celery, task_id: str, root_id: str | None, errbacks: Iterable[Any] | None) -> list[Any]:
    """Rows for the `link_error` tasks of a failed one, in the current database transaction; they get its id.

    Returns those that take (request, exception, traceback): Celery calls them in the process where it failed.
    """
    in_process = []
    for item in errbacks or ():
        errback = maybe_signature(item, app=app)
        try:
            header = getattr(errback.type, "__header__", None)
        except KeyError:  # another process knows it
            header = None
        if header is not None and not isinstance(header, partial) and arity_greater(header, 1):
            in_process.append(item)
        else:
            errback.apply_async((task_id,), parent_id=task_id, root_id=root_id or task_id, durable=True)
    return in_process


def _route(
    app: Celery, name: str, args: Any, kwargs: Any, options: dict[str, Any], task: Any
) -> tuple[str, dict[str, Any]]:
    routed = app.amqp.router.route(dict(options), name, args, kwargs, task)
    queue = routed.pop("queue", None)
    queue_name = getattr(queue, "name", queue) or app.conf.task_default_queue
    for exchange_part in ("exchange", "exchange_type", "routing_key"):
        routed.pop(exchange_part, None)  # the relay publishes to the queue by its name
    return str(queue_name), routed


def _moment(value: Any, now: datetime) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return maybe_make_aware(value)
    if isinstance(value, str):
        return maybe_make_aware(datetime.fromisoformat(value))
    return now + timedelta(seconds=value)


def _holds_chord(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.get("task") == "celery.chord" or _holds_chord(list(value.values()))
    if isinstance(value, (list, tuple)):
        return any(_holds_chord(item) for item in value)
    return False
