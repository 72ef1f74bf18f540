"""The schedule: code proposes, the operator decides, and a tick happens once."""

from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from celery.schedules import crontab
from django.core.management import call_command
from django.db import OperationalError
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from common.clock import utc_now
from outbox.beat import SeededScheduler
from outbox.models import OutboxMessage, SeededSchedule
from outbox.schedules import seed

NIGHTLY = {"nightly": {"task": "outbox.tests.sample_tasks.add", "schedule": crontab(hour=3, minute=0), "args": [1, 2]}}
LATER = {"nightly": {"task": "outbox.tests.sample_tasks.add", "schedule": crontab(hour=5, minute=0), "args": [1, 2]}}


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("transactional_db" if request.cls is TestTick else "db")
    PeriodicTask.objects.all().delete()
    seed({})


def stored() -> PeriodicTask:
    return PeriodicTask.objects.get(name="nightly")


class TestSeed:
    def test_creates_an_entry_once_and_follows_the_code_while_nobody_edits_it(self) -> None:
        assert seed(NIGHTLY) == {"nightly": "created"}
        assert seed(NIGHTLY) == {}
        assert (stored().crontab.hour, stored().args) == ("3", "[1, 2]")
        assert seed(LATER) == {"nightly": "updated"}
        assert stored().crontab.hour == "5"
        assert seed({}) == {"nightly": "deleted"}

    def test_leaves_an_edited_entry_alone(self) -> None:
        seed(NIGHTLY)
        task = stored()
        task.crontab = CrontabSchedule.objects.create(hour="7", minute="15", timezone="Europe/Berlin")
        task.save()
        assert seed(NIGHTLY) == seed(LATER) == {}
        assert (stored().crontab.hour, str(stored().crontab.timezone)) == ("7", "Europe/Berlin")
        assert seed({}) == {}
        assert stored().enabled

    @pytest.mark.parametrize("change", [{"enabled": False}, {"queue": "bulk"}, {"kwargs": '{"a": 1}'}])
    def test_leaves_any_other_edit_alone(self, change: dict[str, Any]) -> None:
        seed(NIGHTLY)
        PeriodicTask.objects.filter(name="nightly").update(**change)
        assert seed(LATER) == {}
        assert stored().crontab.hour == "3"

    def test_does_not_bring_a_deleted_entry_back(self) -> None:
        seed(NIGHTLY)
        stored().delete()
        assert seed(NIGHTLY) == seed(LATER) == {}
        assert not PeriodicTask.objects.exists()

    def test_takes_an_entry_of_the_operators_own_for_his(self) -> None:
        mine = CrontabSchedule.objects.create(hour="9", minute="0")
        PeriodicTask.objects.create(name="nightly", task="something.else", crontab=mine)
        assert seed(NIGHTLY) == {}
        assert stored().task == "something.else"


class TestGuideSchedule:
    def test_is_what_the_guide_says_after_migrate(self) -> None:
        SeededSchedule.objects.all().delete()
        call_command("migrate", verbosity=0)
        when = {
            task.task: (task.crontab.minute, task.crontab.hour, task.crontab.day_of_week, str(task.crontab.timezone))
            for task in PeriodicTask.objects.filter(crontab__isnull=False)
        }
        assert when["backend.scheduled_tasks.send_daily_transaction_summary"] == ("0", "8", "*", "UTC")
        assert when["backend.scheduled_tasks.cleanup_old_pending_transactions"] == ("0", "2", "*", "UTC")
        assert when["backend.scheduled_tasks.check_overdue_milestones"] == ("0", "10", "monday", "UTC")

    def test_names_only_tasks_that_a_worker_knows(self) -> None:
        app = current_app._get_current_object()
        app.loader.import_default_modules()
        assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)


@pytest.mark.django_db(transaction=True)
class TestTick:
    @staticmethod
    def scheduler() -> SeededScheduler:
        return SeededScheduler(app=current_app._get_current_object(), lazy=True)

    def test_writes_one_row_although_two_beats_see_it_due(self) -> None:
        seed({"often": {"task": "outbox.tests.sample_tasks.add", "schedule": 1.0, "args": [1, 2]}})
        PeriodicTask.objects.update(last_run_at=utc_now() - timedelta(minutes=5))
        first, second = self.scheduler(), self.scheduler()
        for scheduler in (first, second):
            assert set(scheduler.schedule) == {"often"}
        for scheduler in (first, second, first, second):
            scheduler.tick()
        assert OutboxMessage.objects.count() == 1
        assert PeriodicTask.objects.get().total_run_count == 1

    def test_is_not_lost_when_the_row_cannot_be_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seed({"often": {"task": "outbox.tests.sample_tasks.add", "schedule": 60.0, "args": [1, 2]}})
        PeriodicTask.objects.update(last_run_at=utc_now() - timedelta(minutes=5))
        scheduler = self.scheduler()

        def away(*args: Any, **kwargs: Any) -> None:
            raise OperationalError("the connection is gone")

        with monkeypatch.context() as patched:
            patched.setattr(scheduler.app, "send_task", away)
            scheduler.tick()
        assert OutboxMessage.objects.count() == 0
        scheduler.tick()
        assert OutboxMessage.objects.count() == 1
