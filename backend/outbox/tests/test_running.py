"""Running a task in a real worker over a real Redis: once, whatever happens to the processes."""

import os
import signal
import time
from collections.abc import Callable

import pytest
from celery import chain, current_app, group
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult
from django.db import transaction as db_transaction

from common.clock import utc_now
from outbox.broker import Broker
from outbox.models import OutboxMessage
from outbox.operations import discard_tasks, retry_tasks
from outbox.tests.conftest import SAMPLE_TASKS
from outbox.tests.processes import CeleryProcess, RedisServer, wait_until
from outbox.tests.sample_tasks import (
    add,
    die_always,
    die_once,
    fail_always,
    fail_twice,
    lose_database_once,
    never_end,
    note,
    note_slowly,
    refuse,
    refuse_after_effect,
    say_failed,
)

State = OutboxMessage.State
Effects = Callable[[str], int]


def row(result: AsyncResult) -> OutboxMessage:
    return OutboxMessage.objects.get(task_id=result.id)


def settled(result: AsyncResult, *, seconds: float = 15) -> OutboxMessage:
    wait_until(lambda: row(result).finished_at, seconds=seconds, what=f"{result.id} settled, is {row(result).state}")
    return row(result)


class TestCommittedCall:
    def test_runs_after_the_commit_and_not_before(self, worker: CeleryProcess, effects: Effects) -> None:
        with db_transaction.atomic():
            inside = note.delay("inside")
            # A later call that is committed at once overtakes it, so the worker was there and did not see it.
            other = _outside_of_this_transaction()
            wait_until(lambda: effects("outside") == 1)
            assert effects("inside") == 0
        assert inside.get(timeout=10) == "noted inside"
        assert other and effects("inside") == 1

    def test_answers_with_its_result_and_keeps_its_course(self, worker: CeleryProcess) -> None:
        result = add.delay(1, right=2)
        assert result.get(timeout=10) == 3
        assert AsyncResult(result.id).status == "SUCCESS"
        done = row(result)
        assert (done.state, done.result, done.attempts, done.losses) == (State.DONE, 3, 1, 0)
        times = [done.created_at, done.published_at, done.started_at, done.finished_at]
        assert None not in times and times == sorted(filter(None, times))
        assert done.worker.startswith("celery@")

    def test_answers_from_its_row_when_redis_has_forgotten(
        self, worker: CeleryProcess, redis_server: RedisServer
    ) -> None:
        good, bad = add.delay(1, 2), refuse.delay("thing")
        good.get(timeout=10)
        settled(bad)
        backend = current_app.backend
        wait_until(lambda: backend.get(backend.get_key_for_task(good.id)), what="the result is in Redis too")
        backend.client.flushall()
        assert (AsyncResult(good.id).status, AsyncResult(good.id).result) == ("SUCCESS", 3)
        assert AsyncResult(bad.id).status == "FAILURE"
        assert isinstance(AsyncResult(bad.id).result, LookupError)
        assert AsyncResult("never heard of").status == "PENDING"

    def test_runs_chains_and_groups_with_rows_for_each_task(self, worker: CeleryProcess) -> None:
        assert chain(add.s(1, 2), add.s(3), add.s(4)).delay().get(timeout=10) == 10
        assert group(add.s(1, number) for number in range(5)).delay().get(timeout=10) == [1, 2, 3, 4, 5]
        assert set(OutboxMessage.objects.values_list("state", flat=True)) == {State.DONE}
        assert OutboxMessage.objects.count() == 8

    def test_starts_what_is_linked_to_its_success_or_its_failure(self, worker: CeleryProcess, effects: Effects) -> None:
        add.apply_async((1, 2), link=note.si("linked"))
        failed = refuse.apply_async(("thing",), link=note.si("never"), link_error=say_failed.s())
        wait_until(lambda: effects("linked") == 1 and effects(f"failed {failed.id}") == 1)
        assert effects("never") == 0

    def test_is_dropped_when_it_expired_before_a_worker_could_start_it(self, worker: CeleryProcess) -> None:
        late = note.apply_async(("late",), expires=utc_now())
        assert settled(late).state == State.REVOKED
        with pytest.raises(TaskRevokedError):
            AsyncResult(late.id).get(timeout=1)


class TestFailingTask:
    def test_fails_with_its_error_and_traceback_for_operators(self, worker: CeleryProcess) -> None:
        failed = settled(refuse.delay("thing"))
        assert failed.state == State.FAILED
        assert failed.error == "LookupError: there is no thing"
        assert "sample_tasks.py" in failed.traceback

    def test_takes_its_effects_back_when_it_is_atomic(self, worker: CeleryProcess, effects: Effects) -> None:
        assert settled(refuse_after_effect.delay("undone")).state == State.FAILED
        assert effects("undone") == 0

    def test_waits_for_its_retry_in_its_row_and_not_in_the_broker(
        self, worker: CeleryProcess, effects: Effects
    ) -> None:
        result = fail_twice.delay("retried")
        waiting = wait_until(lambda: OutboxMessage.objects.filter(task_id=result.id, retries=1).first())
        assert waiting.state == State.PENDING and waiting.error == "ValueError: not yet"
        assert waiting.next_attempt_at > waiting.started_at
        assert result.status == "RETRY"
        assert Broker(current_app._get_current_object()).length("default") == 0
        assert result.get(timeout=10) == 2
        assert (row(result).attempts, row(result).retries, effects("retried")) == (3, 2, 3)

    def test_is_given_up_when_its_retries_are_used_up_and_runs_again_if_an_operator_says_so(
        self, worker: CeleryProcess
    ) -> None:
        result = fail_always.delay("given up")
        dead = settled(result)
        assert (dead.state, dead.error, dead.attempts) == (State.DEAD, "ValueError: never", 2)
        assert retry_tasks(ids=[dead.pk]) == 1
        wait_until(lambda: row(result).attempts == 4)
        assert settled(result).state == State.DEAD
        assert discard_tasks(ids=[dead.pk], by="rei") == 1
        assert (row(result).state, row(result).error) == (State.REVOKED, "discarded by rei")

    def test_is_stopped_at_its_time_limit_and_not_run_again(self, worker: CeleryProcess, effects: Effects) -> None:
        stopped = settled(never_end.apply_async(("long",), link_error=say_failed.s()))
        assert stopped.state == State.FAILED and stopped.error.startswith("TimeLimitExceeded")
        wait_until(lambda: effects(f"failed {stopped.task_id}") == 1)
        assert effects("long") == 1


class TestLostDatabase:
    def test_session_that_ends_under_a_task_is_no_failure_of_the_task(
        self, worker: CeleryProcess, effects: Effects
    ) -> None:
        done = settled(lose_database_once.delay("session"))
        assert (done.state, done.losses, done.attempts, effects("session")) == (State.DONE, 1, 2, 1)


class TestSecondDelivery:
    def test_does_nothing_after_the_end(self, worker: CeleryProcess, effects: Effects) -> None:
        result = note.delay("once")
        result.get(timeout=10)
        _deliver_again(row(result), times=3)
        assert effects("once") == 1 and row(result).attempts == 1

    def test_does_nothing_while_it_runs(self, worker: CeleryProcess, effects: Effects) -> None:
        result = note_slowly.delay("slow", 1.0)
        wait_until(lambda: row(result).state == State.RUNNING)
        _deliver_again(row(result), times=2)
        assert result.get(timeout=10) == "slow"
        assert effects("slow") == 1 and row(result).attempts == 1


class TestKilledProcess:
    def test_child_that_is_killed_runs_again_with_one_effect(self, worker: CeleryProcess, effects: Effects) -> None:
        result = die_once.delay(name="child")
        assert settled(result).state == State.DONE
        assert effects("child") == 1
        assert (row(result).attempts, row(result).losses) == (2, 1)

    def test_task_that_always_kills_its_worker_is_given_up(self, worker: CeleryProcess) -> None:
        dead = settled(die_always.apply_async(("poison",), link_error=say_failed.s()), seconds=30)
        assert (dead.state, dead.losses) == (State.DEAD, 3)
        assert "its worker died 3 times" in dead.error

    def test_worker_that_is_killed_loses_nothing_and_its_relay_ends_with_it(
        self, start_celery: Callable[..., CeleryProcess], effects: Effects
    ) -> None:
        arguments = ("worker", "-l", "info", "-c", "1", "--without-mingle", "-Q", "crash", f"--include={SAMPLE_TASKS}")
        first = start_celery(*arguments)
        running = note_slowly.apply_async(("running", 60), queue="crash")
        waiting = [note.apply_async((f"waiting {number}",), queue="crash") for number in range(3)]
        wait_until(lambda: row(running).state == State.RUNNING, seconds=40)
        relay = first.relay()
        assert relay is not None
        OutboxMessage.objects.filter(task_id=running.id).update(args=["running", 0.1])
        first.kill()
        wait_until(lambda: not _alive(relay), what="the relay ends with its worker")
        start_celery(*arguments)
        for result in [running, *waiting]:
            assert settled(result, seconds=40).state == State.DONE
        assert effects("running") == 1
        assert [effects(f"waiting {number}") for number in range(3)] == [1, 1, 1]

    def test_relay_that_is_killed_is_started_again_by_its_worker(self, worker: CeleryProcess) -> None:
        killed = wait_until(worker.relay)
        os.kill(killed, signal.SIGKILL)
        assert add.delay(1, 2).get(timeout=20) == 3
        assert worker.relay() not in (killed, None)


class TestLostBroker:
    def test_message_that_is_lost_is_published_again_after_its_lease_and_one_that_waits_is_not(
        self, worker: CeleryProcess
    ) -> None:
        result = add.apply_async((1, 2), queue="nobody-serves-this")
        wait_until(lambda: row(result).state == State.PUBLISHED)
        broker = Broker(current_app._get_current_object())
        time.sleep(2.5)  # longer than the lease
        assert row(result).publishes == 1
        assert broker.length("nobody-serves-this") == 1
        broker._channel()._purge("nobody-serves-this")
        wait_until(lambda: broker.length("nobody-serves-this") == 1)
        assert row(result).publishes == 2

    def test_redis_that_forgets_everything_mid_work_loses_and_doubles_nothing(
        self, worker: CeleryProcess, redis_server: RedisServer, effects: Effects
    ) -> None:
        names = [f"task {number}" for number in range(30)]
        results = [note_slowly.delay(name, 0.05) for name in names]
        wait_until(lambda: OutboxMessage.objects.filter(state=State.DONE).count() >= 5)
        redis_server.kill()
        results.append(note_slowly.delay("while away", 0))
        redis_server.start()
        for result in results:
            settled(result, seconds=30)
        assert [effects(name) for name in [*names, "while away"]] == [1] * 31
        log = worker.text()
        assert log.count("tasks wait in the outbox, reconnecting") == 1
        assert worker.process.poll() is None


def _outside_of_this_transaction() -> bool:
    """Call `note` from another thread, so from another database connection, and commit."""
    import threading

    from django.db import connection

    def call() -> None:
        note.delay("outside")
        connection.close()

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return True


def _deliver_again(message: OutboxMessage, *, times: int) -> None:
    """Publish copies of the row's message, and wait until a worker has taken them all."""
    broker = Broker(current_app._get_current_object())
    for _ in range(times):
        broker.publish(message)
    wait_until(lambda: broker.length(message.queue) == 0)
    add.delay(1, 1).get(timeout=10)
    broker.close()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"
