"""Publishing facts: one durable row per routed task, in the database transaction of the fact itself."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import transaction as db_transaction
from django.db.models.functions import Now

from outbox import messages
from outbox.claims import describe
from outbox.errors import FactOutsideTransaction
from outbox.models import OutboxMessage
from outbox.serialization import plain, revive


@dataclass(frozen=True)
class Route:
    """One task that follows a fact. `arguments` makes the task's keyword arguments of the fact's data."""

    task: str
    arguments: Callable[[dict[str, Any]], dict[str, Any]]


def routes() -> Mapping[str, tuple[Route, ...]]:
    """The page of routes that `settings.EVENT_ROUTES` names (attribute ROUTES)."""
    page: Mapping[str, tuple[Route, ...]] = importlib.import_module(settings.EVENT_ROUTES).ROUTES
    return page


def publish_fact(name: str, *, key: str, data: dict[str, Any]) -> None:
    """Write a row for each task that follows the fact `name`; a fact without a route is only a fact.

    Publishing the same `key` again is a no-op, so a fact that is recorded twice is told once. Must be called inside
    `atomic()`, with the change of state that makes the fact true: raises FactOutsideTransaction otherwise.
    With CELERY_TASK_ALWAYS_EAGER the tasks run in this process, right after the commit.
    """
    if not db_transaction.get_connection().in_atomic_block:
        raise FactOutsideTransaction(f"publish {name} in the database transaction that makes it true")
    app = current_app._get_current_object()
    for route in routes().get(name, ()):
        task = messages.find_task(app, route.task)
        message = messages.prepare(
            app,
            task.name,
            (),
            route.arguments(data),
            key=f"{key}:{route.task}",
            task=task,
            **{"ignore_result": task.ignore_result, **task._get_exec_options()},
        )
        _, is_new = messages.write(app, message)
        if is_new and app.conf.task_always_eager:
            _run_after_commit(task, message)


def _run_after_commit(task: Any, message: OutboxMessage) -> None:
    def run() -> None:
        result = task.apply(revive(message.args), revive(message.kwargs), task_id=message.task_id)
        row = OutboxMessage.objects.filter(task_id=message.task_id)
        if result.successful():
            row.update(state=OutboxMessage.State.DONE, finished_at=Now(), result=plain(result.result), attempts=1)
        else:
            row.update(state=OutboxMessage.State.FAILED, finished_at=Now(), error=describe(result.result), attempts=1)

    db_transaction.on_commit(run, robust=True)
