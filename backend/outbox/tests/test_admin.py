"""What operators see and do: task history, and the schedule with its way to it."""

from typing import Any

import pytest
from django.test import Client
from django_celery_beat.models import PeriodicTask

from outbox.models import OutboxMessage
from outbox.schedules import seed
from outbox.tests.sample_tasks import add

State = OutboxMessage.State


@pytest.fixture
def rei(admin_client: Client, settings: Any) -> Client:
    settings.SECURE_SSL_REDIRECT = False
    return admin_client


@pytest.mark.django_db
class TestTaskHistory:
    def test_lists_finds_and_shows_a_call(self, rei: Client) -> None:
        add.apply_async((1, 2), task_id="wanted")
        add.apply_async((3, 4), task_id="other")
        page = rei.get("/admin/outbox/outboxmessage/", {"q": "wanted", "task": add.name, "state__exact": "PENDING"})
        assert page.status_code == 200
        assert [row.task_id for row in page.context["cl"].result_list] == ["wanted"]
        row = OutboxMessage.objects.get(task_id="wanted")
        assert b"wanted" in rei.get(f"/admin/outbox/outboxmessage/{row.pk}/change/").content
        assert rei.post(f"/admin/outbox/outboxmessage/{row.pk}/delete/").status_code == 403

    def test_offers_to_discard_what_waits(self, rei: Client) -> None:
        row = OutboxMessage.objects.get(task_id=add.delay(1, 2).id)
        rei.post("/admin/outbox/outboxmessage/", {"action": "discard", "_selected_action": [row.pk]})
        row.refresh_from_db()
        assert row.state == State.REVOKED and row.error.startswith("discarded by ")
        rei.post("/admin/outbox/outboxmessage/", {"action": "retry", "_selected_action": [row.pk]})
        row.refresh_from_db()
        assert row.state == State.PENDING and row.finished_at is None


@pytest.mark.django_db
class TestSchedulePages:
    def test_lead_from_a_periodic_task_to_its_history_and_can_run_it_now(self, rei: Client) -> None:
        PeriodicTask.objects.all().delete()
        seed({"sum": {"task": add.name, "schedule": 60.0, "args": [1, 2]}})
        page = rei.get("/admin/django_celery_beat/periodictask/")
        assert f"/admin/outbox/outboxmessage/?task={add.name}" in page.content.decode()
        task = PeriodicTask.objects.get(name="sum")
        assert rei.get(f"/admin/django_celery_beat/periodictask/{task.pk}/change/").status_code == 200
        rei.post("/admin/django_celery_beat/periodictask/", {"action": "run_tasks", "_selected_action": [task.pk]})
        assert OutboxMessage.objects.get().args == [1, 2]
