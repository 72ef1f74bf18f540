"""Beat's scheduler: the database schedule, seeded from code, that loses no tick when the database or broker is away."""

import logging
import time
from datetime import datetime
from typing import Any

from celery import schedules
from celery.beat import _evaluate_entry_args, _evaluate_entry_kwargs
from django.db import close_old_connections, connection
from django.db import transaction as db_transaction
from django.db.models import Q
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from outbox import messages
from outbox.broker import Broker
from outbox.locks import DATABASE_GONE
from outbox.outages import Outages
from outbox.schedules import seed

logger = logging.getLogger(__name__)

POKE_BACKLOG = 100  # messages in its queue; with more than that, one poke more tells nobody anything
REST_SECONDS = 1.0


class SeededScheduler(DatabaseScheduler):
    """django-celery-beat's scheduler with four differences.

    - Code seeds the schedule and never overwrites what an operator has edited (`outbox.schedules`).
    - A due durable task is written to the outbox together with its `last_run_at`, in one database transaction, and only
      if no other beat has done so: a crash neither loses nor doubles the tick.
    - A due poke (`durable=False`) goes to the broker without a retry, with its result ignored, and is left out while
      its queue is full of its like.
    - An outage of the database or the broker is one line when it begins and one when it ends.
    """

    _last_timestamp: datetime | None
    producer = None  # nothing here waits for the broker

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._outages = Outages(logger, "due tasks wait")
        self._broker: Broker | None = None
        self._broker_rests_until = 0.0
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Seed the schedule; wait for the database if it is away."""
        entries = dict(self.app.conf.beat_schedule)
        if self.app.conf.result_expires and not self.app.backend.supports_autoexpire:
            entries["celery.backend_cleanup"] = {
                "task": "celery.backend_cleanup",
                "schedule": schedules.crontab("0", "4", "*"),
                "options": {"expire_seconds": 12 * 3600},
            }
        while True:
            try:
                seed(entries)
                self._outages.back("database")
                return
            except DATABASE_GONE as error:
                self._outages.gone("database", error)
                connection.close()
                time.sleep(REST_SECONDS)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Celery's: start one due task. Returns the seconds until the next call."""
        try:
            pause: float = super().tick(*args, **kwargs)
        except DATABASE_GONE as error:
            self._outages.gone("database", error)
            connection.close()
            # What was due stays due: its last run is read again from the database when that is back.
            self._read_again()
            return REST_SECONDS
        self._outages.back("database")
        return pause

    def schedule_changed(self) -> bool:
        """django-celery-beat's, without a traceback for a database that is away (`tick` says it)."""
        close_old_connections()
        last, changed = self._last_timestamp, self.Changes.last_change()
        self._last_timestamp = changed
        return bool(changed and changed > (last or changed))

    def sync(self) -> None:
        """Save when pokes last ran (a durable task's run is saved with its row). Now or, if that fails, next time."""
        for name in list(self._dirty):
            entry = (self._schedule or {}).get(name)
            try:
                if entry is not None:
                    PeriodicTask.objects.filter(pk=entry.model.pk).update(
                        last_run_at=entry.model.last_run_at, total_run_count=entry.model.total_run_count
                    )
            except DATABASE_GONE:
                connection.close()
                return
            self._dirty.discard(name)

    def apply_entry(self, entry: ModelEntry, producer: Any = None) -> None:
        """Start a due task. An entry that cannot be started (bad arguments) is an error line, not the end of beat."""
        task = self.app.tasks.get(entry.task)
        try:
            if task is not None and not getattr(task, "durable", True):
                self._poke(entry, task)
            else:
                self._write(entry)
        except DATABASE_GONE:
            self._dirty.discard(entry.name)
            raise
        except Exception as error:
            logger.error("scheduled task %s (%s) could not be started: %s", entry.name, entry.task, error)

    def _write(self, entry: ModelEntry) -> None:
        model = entry.model  # `reserve` has put this run's time and count on it
        with db_transaction.atomic():
            mine = (
                PeriodicTask.objects.filter(pk=model.pk, enabled=True)
                .filter(Q(last_run_at=entry.last_run_at) | Q(last_run_at__isnull=True))
                .update(last_run_at=model.last_run_at, total_run_count=model.total_run_count)
            )
            if mine:
                options = {"durable": True, **entry.options}
                self.app.send_task(
                    entry.task, _evaluate_entry_args(entry.args), _evaluate_entry_kwargs(entry.kwargs), **options
                )
        self._dirty.discard(entry.name)
        if mine:
            logger.info("Scheduler: Sending due task %s (%s)", entry.name, entry.task)
        else:
            logger.info("schedule %s: another beat was first, or it was edited just now", entry.name)
            self._read_again()

    def _poke(self, entry: ModelEntry, task: Any) -> None:
        if time.monotonic() < self._broker_rests_until:
            return
        self._broker = broker = self._broker or Broker(self.app)
        message = messages.prepare(
            self.app,
            entry.task,
            _evaluate_entry_args(entry.args),
            _evaluate_entry_kwargs(entry.kwargs),
            task=task,
            **{**task._get_exec_options(), **entry.options, "ignore_result": True},
        )
        try:
            if broker.length(message.queue) < POKE_BACKLOG:
                broker.publish(message)
            self._outages.back("broker")
        except broker.gone as error:
            self._outages.gone("broker", error)
            broker.close()
            self._broker_rests_until = time.monotonic() + REST_SECONDS

    def _read_again(self) -> None:
        """Forget the schedule in memory."""
        self._initial_read = True
        self._heap = None
