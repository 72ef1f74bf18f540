from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class OutboxConfig(AppConfig):
    name = "outbox"
    verbose_name = "Background tasks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(seed_schedule, sender=self)


def seed_schedule(**_: Any) -> None:
    """After `migrate`, so that the admin shows the schedule before a beat has ever run."""
    from celery import current_app
    from django.db import connection

    from outbox.schedules import seed

    tables = connection.introspection.table_names()
    if {"django_celery_beat_periodictask", "outbox_seeded_schedule"} <= set(tables):
        seed(current_app.conf.beat_schedule)
