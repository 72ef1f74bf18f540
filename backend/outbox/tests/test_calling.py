"""Calling a task: what the caller's database transaction, settings and arguments decide. No server but PostgreSQL."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from celery import chain, chord, current_app, group
from celery.result import AsyncResult
from django.db import transaction as db_transaction
from django.test import override_settings

from common.clock import utc_now
from outbox.errors import ArgumentsNotSerializable, CanvasNotDurable, FactOutsideTransaction
from outbox.models import OutboxMessage
from outbox.publish import Route, publish_fact
from outbox.serialization import revive
from outbox.tests.conftest import point_at
from outbox.tests.processes import BACKEND_DIR, RedisServer, celery_environment, free_port
from outbox.tests.sample_tasks import add, note, poke, refuse

State = OutboxMessage.State


@pytest.fixture
def nowhere() -> Iterator[str]:
    """No broker and no result backend answers."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    with point_at(url):
        yield url


@pytest.mark.django_db(transaction=True)
class TestDelay:
    def test_leaves_nothing_if_the_callers_transaction_rolls_back(self) -> None:
        with db_transaction.atomic():
            note.delay("rolled back")
            assert OutboxMessage.objects.count() == 1
            db_transaction.set_rollback(True)
        assert OutboxMessage.objects.count() == 0

    def test_makes_no_broker_round_trip(self, nowhere: str) -> None:
        add.delay(1, 2)  # imports and connections are not what is measured
        before = time.monotonic()
        result = add.delay(1, 2)
        (add.s(1, 2) | add.s(3)).delay()
        group(add.s(1, 2), add.s(3, 4)).delay()
        current_app.send_task("somewhere.else", ["by name"])
        assert time.monotonic() - before < 0.25
        assert AsyncResult(result.id).status == "PENDING"
        assert OutboxMessage.objects.count() == 6

    def test_returns_at_once_when_only_a_poke_finds_no_broker(self, nowhere: str) -> None:
        before = time.monotonic()
        poke.delay("lost")
        assert time.monotonic() - before < 2
        assert OutboxMessage.objects.count() == 0

    def test_keeps_what_the_caller_asked_for(self) -> None:
        now = utc_now()
        add.apply_async((1, 2), queue="bulk", countdown=60, expires=600, time_limit=30, task_id="mine", priority=3)
        row = OutboxMessage.objects.get()
        assert (row.task_id, row.queue, row.args, row.state) == ("mine", "bulk", [1, 2], State.PENDING)
        assert timedelta(seconds=59) < row.next_attempt_at - now < timedelta(seconds=61)
        assert row.expires_at is not None and row.expires_at - now > timedelta(seconds=590)
        assert (row.options["time_limit"], row.options["priority"]) == (30, 3)

    def test_is_no_second_call_with_the_same_key(self) -> None:
        first = add.apply_async((1, 2), key="sum")
        assert add.apply_async((3, 4), key="sum").id == first.id
        assert OutboxMessage.objects.get().args == [1, 2]

    @pytest.mark.parametrize("value", [object(), {1, 2}.__iter__(), float("nan"), "nul \x00 character"])
    def test_refuses_arguments_that_a_message_cannot_carry(self, value: Any) -> None:
        with pytest.raises(ArgumentsNotSerializable, match=r"sample_tasks\.add: argument 2 is a"):
            add.delay(1, value)
        with pytest.raises(ArgumentsNotSerializable, match=r"argument 'name'"):
            note.apply_async(kwargs={"name": value})
        assert OutboxMessage.objects.count() == 0

    def test_keeps_the_types_that_celery_keeps(self) -> None:
        note.delay(name=[now := utc_now(), Decimal("1.10")])
        assert revive(OutboxMessage.objects.get().kwargs) == {"name": [now, Decimal("1.10")]}

    def test_refuses_arguments_that_do_not_fit_the_task(self) -> None:
        with pytest.raises(TypeError):
            add.delay(1)

    def test_refuses_a_chord_anywhere_rather_than_lose_it(self) -> None:
        with pytest.raises(CanvasNotDurable):
            chord([add.s(1, 2), add.s(3, 4)])(add.s(1))
        with pytest.raises(CanvasNotDurable):
            chain(add.s(1, 2), group(add.s(1), add.s(2)), add.s(1)).delay()
        assert OutboxMessage.objects.count() == 0


@pytest.mark.django_db
class TestEager:
    def test_runs_at_once_by_override_settings_without_any_server(self, nowhere: str) -> None:
        with override_settings(CELERY_TASK_ALWAYS_EAGER=True):
            assert add.delay(1, 2).get() == 3
            assert (add.s(1, 2) | add.s(3)).delay().get() == 6
            assert group(add.s(1, 2), add.s(3, 4)).delay().get() == [3, 7]
            failed = refuse.delay("thing")
            assert failed.failed() and isinstance(failed.result, LookupError)
            with pytest.raises(ArgumentsNotSerializable):
                add.delay(1, object())
        assert OutboxMessage.objects.count() == 0
        add.delay(1, 2)
        assert OutboxMessage.objects.count() == 1

    def test_runs_at_once_by_an_assigned_setting(self, settings: Any) -> None:
        settings.CELERY_TASK_ALWAYS_EAGER = True
        assert add.delay(1, 2).get() == 3

    def test_runs_at_once_by_the_environment(self, redis_server: RedisServer) -> None:
        code = "import django; django.setup()\nfrom outbox.tests.sample_tasks import add\nprint(add.delay(1, 2).get())"
        environment = celery_environment(redis_server, CELERY_TASK_ALWAYS_EAGER="True")
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=BACKEND_DIR,
            env={**os.environ, **environment, "PYTHONPATH": f"{BACKEND_DIR}:{os.environ.get('PYTHONPATH', '')}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout.strip() == "3", done.stderr


ROUTES = {
    "sum.asked": (
        Route(task="outbox.tests.sample_tasks.add", arguments=lambda data: {"left": data["a"], "right": data["b"]}),
        Route(task="outbox.tests.sample_tasks.note", arguments=lambda data: {"name": str(data["a"])}),
    )
}


class TestPublishFact:
    @pytest.fixture(autouse=True)
    def _routes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("outbox.publish.routes", lambda: ROUTES)

    @pytest.mark.django_db(transaction=True)
    def test_refuses_outside_of_a_database_transaction(self) -> None:
        with pytest.raises(FactOutsideTransaction):
            publish_fact("sum.asked", key="1", data={"a": 1, "b": 2})

    @pytest.mark.django_db(transaction=True)
    def test_writes_a_row_for_each_route_once(self) -> None:
        for _ in range(2):
            with db_transaction.atomic():
                publish_fact("sum.asked", key="sum:1", data={"a": 1, "b": 2})
        rows = OutboxMessage.objects.order_by("id")
        assert [row.key for row in rows] == [
            "sum:1:outbox.tests.sample_tasks.add",
            "sum:1:outbox.tests.sample_tasks.note",
        ]
        assert rows[0].kwargs == {"left": 1, "right": 2}

    @pytest.mark.django_db
    def test_lets_a_fact_without_a_route_be_only_a_fact(self) -> None:
        publish_fact("nobody.cares", key="1", data={})
        assert OutboxMessage.objects.count() == 0

    @pytest.mark.django_db(transaction=True)
    def test_runs_the_tasks_after_the_commit_when_eager(self, effects: Any) -> None:
        with override_settings(CELERY_TASK_ALWAYS_EAGER=True), db_transaction.atomic():
            publish_fact("sum.asked", key="sum:1", data={"a": 1, "b": 2})
            assert effects("1") == 0
        assert effects("1") == 1
        assert set(OutboxMessage.objects.values_list("state", flat=True)) == {State.DONE}


def test_a_task_called_as_a_function_is_a_function() -> None:
    assert add(1, 2) == 3
    with pytest.raises(LookupError):
        refuse("thing")
