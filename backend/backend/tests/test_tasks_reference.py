"""Every task and every schedule is on the reference page, and the page names no other."""

import re
from pathlib import Path

from django.conf import settings

from backend.celery import app, schedule

ROOMS = ("api", "backend", "chain", "documents", "ledger", "notifications", "outbox", "transactions", "users")


def listed() -> dict[str, str]:
    """Task name → its line on the page."""
    page = Path(settings.REPOSITORY_DIR, "docs", "reference", "tasks.md").read_text()
    return {name: line for line in page.splitlines() for name in re.findall(r"^\| `([\w.]+\.\w+)` \|", line)}


def test_the_page_lists_exactly_the_tasks_there_are() -> None:
    app.loader.import_default_modules()
    known = {
        name for name in app.tasks if name.startswith(tuple(f"{room}." for room in ROOMS)) and ".tests." not in name
    }
    assert set(listed()) == known


def test_every_scheduled_task_is_one_and_is_listed() -> None:
    app.loader.import_default_modules()
    for entry in schedule().values():
        assert entry["task"] in app.tasks
        assert entry["task"] in listed()


def test_the_guides_schedules_are_the_guides() -> None:
    times = {entry["task"].rpartition(".")[2]: entry["schedule"] for entry in schedule().values()}
    daily, cleanup, weekly = (
        times[name]
        for name in ("send_daily_transaction_summary", "cleanup_old_pending_transactions", "check_overdue_milestones")
    )
    assert (daily.hour, daily.minute, len(daily.day_of_week)) == ({8}, {0}, 7)
    assert (cleanup.hour, cleanup.minute, len(cleanup.day_of_week)) == ({2}, {0}, 7)
    assert (weekly.hour, weekly.minute, weekly.day_of_week) == ({10}, {0}, {1})
