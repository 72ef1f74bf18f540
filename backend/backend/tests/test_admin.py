"""The admin, where the Celery guide sends its reader."""

import pytest
from django.test import Client
from django.urls import reverse

from users.models import User

SCHEDULES = ("send_daily_transaction_summary", "cleanup_old_pending_transactions", "check_overdue_milestones")


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("olga@example.com", "a long password", display_name="Olga"))
    return client


def test_periodic_tasks_stand_under_django_celery_beat(operator: Client) -> None:
    page = operator.get(reverse("admin:index")).content.decode()
    heading = page.index("Django Celery Beat")
    assert "Periodic tasks" in page[heading:]


def test_the_three_schedules_are_there_to_be_edited_with_their_history(operator: Client) -> None:
    page = operator.get(reverse("admin:django_celery_beat_periodictask_changelist")).content.decode()
    assert all(name in page for name in SCHEDULES)
    history = operator.get(reverse("admin:outbox_outboxmessage_changelist"))
    assert history.status_code == 200
