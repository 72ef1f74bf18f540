"""Names under which installed applications appear to operators."""

from django_celery_beat.apps import BeatConfig


class DjangoCeleryBeatConfig(BeatConfig):
    """The schedules, under the heading where the Celery guide sends its reader."""

    verbose_name = "Django Celery Beat"
