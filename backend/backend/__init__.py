"""Wiring. The Celery app is imported here so that `shared_task` and `AsyncResult` find it in every process."""

from backend.celery import app as celery_app

__all__ = ["celery_app"]
