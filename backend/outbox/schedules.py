"""Seeding the database schedule from code, so that code proposes and an operator's edit in the admin decides."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from celery import schedules
from django.db import connection
from django.db import transaction as db_transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from outbox.models import SeededSchedule

logger = logging.getLogger(__name__)

_SEEDING = 0x0B0E  # advisory lock: two beats, or beat and migrate, may seed at the same moment


def seed(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Bring the database schedule in line with `entries` (Celery's beat_schedule), except where somebody edited it.

    An entry is created once; one that nobody has touched since follows the code, also when the code drops it; one that
    was edited, disabled or deleted by an operator stays as it is. Returns what was done, by name. Idempotent because
    what was last seeded is remembered (SeededSchedule).
    """
    done: dict[str, str] = {}
    with db_transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_SEEDING])
        seeded = {row.name: row.definition for row in SeededSchedule.objects.all()}
        stored = {
            task.name: task
            for task in PeriodicTask.objects.select_related("crontab", "interval").filter(name__in={*entries, *seeded})
        }
        for name, entry in entries.items():
            wanted = definition(entry)
            task, last = stored.get(name), seeded.get(name)
            if task is None:
                if last is None:
                    _save(PeriodicTask(name=name), wanted)
                    done[name] = "created"
                # else an operator deleted it
            elif last is None or _as_stored(task) != last:
                pass  # an operator's: made by hand, or edited since we seeded it
            elif wanted != last:
                _save(task, wanted)
                done[name] = "updated"
            if last != wanted:
                SeededSchedule.objects.update_or_create(name=name, defaults={"definition": wanted})
        for name in seeded.keys() - entries.keys():
            task = stored.get(name)
            if task is not None and _as_stored(task) == seeded[name]:
                task.delete()
                done[name] = "deleted"
            SeededSchedule.objects.filter(name=name).delete()
    for name, what in done.items():
        logger.info("schedule %s: %s", name, what)
    return done


def definition(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of beat_schedule as plain JSON, in the form in which a stored one can be compared with it."""
    options = entry.get("options") or {}
    return {
        "task": entry["task"],
        "when": _when(schedules.maybe_schedule(entry["schedule"])),
        "args": list(entry.get("args") or ()),
        "kwargs": dict(entry.get("kwargs") or {}),
        "queue": options.get("queue"),
        "priority": options.get("priority"),
        "expire_seconds": options.get("expire_seconds"),
        "enabled": entry.get("enabled", True),
    }


def _when(schedule: Any) -> dict[str, Any]:
    if isinstance(schedule, schedules.crontab):
        return {
            "minute": str(schedule._orig_minute),
            "hour": str(schedule._orig_hour),
            "day_of_week": str(schedule._orig_day_of_week),
            "day_of_month": str(schedule._orig_day_of_month),
            "month_of_year": str(schedule._orig_month_of_year),
            "timezone": str(schedule.tz),
        }
    if isinstance(schedule, schedules.schedule):
        seconds = schedule.run_every.total_seconds()
        if seconds == int(seconds):
            return {"every": int(seconds), "period": IntervalSchedule.SECONDS}
        return {"every": round(seconds * 1_000_000), "period": IntervalSchedule.MICROSECONDS}
    raise TypeError(f"a schedule of type {type(schedule).__name__} cannot be seeded")


def _as_stored(task: PeriodicTask) -> dict[str, Any]:
    if task.crontab is not None:
        when = {part: str(getattr(task.crontab, part)) for part in _CRONTAB_PARTS}
    elif task.interval is not None:
        when = {"every": task.interval.every, "period": task.interval.period}
    else:
        when = {"edited": "solar or clocked"}
    return {
        "task": task.task,
        "when": when,
        "args": json.loads(task.args or "[]"),
        "kwargs": json.loads(task.kwargs or "{}"),
        "queue": task.queue,
        "priority": task.priority,
        "expire_seconds": task.expire_seconds,
        "enabled": task.enabled and not task.one_off and task.expires is None and task.start_time is None,
    }


_CRONTAB_PARTS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year", "timezone")


def _save(task: PeriodicTask, wanted: dict[str, Any]) -> None:
    when = wanted["when"]
    if "every" in when:
        task.interval, task.crontab = IntervalSchedule.objects.get_or_create(**when)[0], None
    else:
        # Not get_or_create: operators may have made the same crontab twice.
        crontab = CrontabSchedule.objects.filter(**when).order_by("pk").first()
        task.crontab, task.interval = crontab or CrontabSchedule.objects.create(**when), None
    task.task = wanted["task"]
    task.args, task.kwargs = json.dumps(wanted["args"]), json.dumps(wanted["kwargs"])
    task.queue, task.priority, task.expire_seconds = wanted["queue"], wanted["priority"], wanted["expire_seconds"]
    task.enabled = wanted["enabled"]
    task.save()
