"""Task history for operators, with a way to send a task again or drop it; and links to it from the schedule."""

import json
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django_celery_beat.admin import PeriodicTaskAdmin
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import GroupResult, TaskResult

from outbox.models import OutboxMessage
from outbox.operations import discard_tasks, retry_tasks

_COLOURS = {"DONE": "#2e7d32", "FAILED": "#c62828", "DEAD": "#8e0000", "REVOKED": "#757575", "RUNNING": "#1565c0"}

_TASKS = """
WITH RECURSIVE known AS (
    (SELECT task FROM outbox_message ORDER BY task LIMIT 1)
    UNION ALL
    SELECT (SELECT task FROM outbox_message WHERE task > known.task ORDER BY task LIMIT 1)
    FROM known WHERE known.task IS NOT NULL
) SELECT task FROM known WHERE task IS NOT NULL
"""


class ByTask(admin.SimpleListFilter):
    """Filter by task, from the names in the index (a DISTINCT would read the whole table)."""

    title = "task"
    parameter_name = "task"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        with connection.cursor() as cursor:
            cursor.execute(_TASKS)
            return [(task, task) for (task,) in cursor.fetchall()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> QuerySet[OutboxMessage]:
        return queryset.filter(task=self.value()) if self.value() else queryset


@admin.register(OutboxMessage)
class TaskHistoryAdmin(admin.ModelAdmin[OutboxMessage]):
    """Every call of a task: where it stands, how often it was tried, how it ended. Nothing here can be edited."""

    list_display = ("short_task", "coloured_state", "what", "queue", "attempts", "created_at", "took", "short_error")
    list_filter = ("state", "queue", ByTask, "created_at")
    search_fields = ("task_id__exact", "key", "task", "kwargs", "error")
    search_help_text = "Task id, key, name, keyword arguments or error"
    ordering = ("-id",)
    list_per_page = 50
    show_full_result_count = False
    actions = ("retry", "discard")
    fieldsets = (
        (None, {"fields": ("task", "coloured_state", "task_id", "key", "queue", "pretty_arguments")}),
        ("Outcome", {"fields": ("pretty_result", "error", "pretty_traceback")}),
        ("Course", {"fields": ("attempts", "retries", "losses", "publishes", "worker", "next_attempt_at")}),
        ("Times (UTC)", {"fields": ("created_at", "published_at", "started_at", "finished_at", "took")}),
        ("Limits", {"fields": ("expires_at", "locked_until", "pretty_options")}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: OutboxMessage | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: OutboxMessage | None = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Who may change a task's fate: Django's change permission, although no field can be edited."""
        return request.user.has_perm("outbox.change_outboxmessage")

    @admin.action(description="Retry: run the selected tasks again", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> None:
        count = retry_tasks(ids=list(queryset.values_list("pk", flat=True)))
        self.message_user(request, f"{count} of the selected tasks will run again.", messages.SUCCESS)

    @admin.action(description="Discard: drop the selected tasks", permissions=["operate"])
    def discard(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> None:
        count = discard_tasks(ids=list(queryset.values_list("pk", flat=True)), by=request.user.get_username())
        self.message_user(request, f"{count} of the selected tasks were dropped.", messages.SUCCESS)

    @admin.display(description="task", ordering="task")
    def short_task(self, row: OutboxMessage) -> SafeString:
        module, _, name = row.task.rpartition(".")
        return format_html("<b>{}</b><br><small>{}</small>", name, module)

    @admin.display(description="state", ordering="state")
    def coloured_state(self, row: OutboxMessage) -> SafeString:
        colour = _COLOURS.get(row.state, "#b26a00")
        label = "retrying" if row.state == "PENDING" and row.retries else row.get_state_display()
        return format_html('<span style="color:{}">&#9679;</span> {}', colour, label)

    @admin.display(description="arguments")
    def what(self, row: OutboxMessage) -> str:
        parts = [*map(json.dumps, row.args), *(f"{name}={json.dumps(value)}" for name, value in row.kwargs.items())]
        return Truncator(", ".join(parts)).chars(90)

    @admin.display(description="took")
    def took(self, row: OutboxMessage) -> str:
        if row.started_at is None or row.finished_at is None:
            return "–"
        seconds = (row.finished_at - row.started_at).total_seconds()
        return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"

    @admin.display(description="error")
    def short_error(self, row: OutboxMessage) -> str:
        return Truncator(row.error).chars(80)

    @admin.display(description="arguments")
    def pretty_arguments(self, row: OutboxMessage) -> SafeString:
        return _pretty({"args": row.args, "kwargs": row.kwargs})

    @admin.display(description="result")
    def pretty_result(self, row: OutboxMessage) -> SafeString:
        return _pretty(row.result)

    @admin.display(description="options")
    def pretty_options(self, row: OutboxMessage) -> SafeString:
        return _pretty(row.options)

    @admin.display(description="traceback")
    def pretty_traceback(self, row: OutboxMessage) -> SafeString:
        return format_html("<pre style='white-space:pre-wrap'>{}</pre>", row.traceback or "–")


def _pretty(value: Any) -> SafeString:
    return format_html("<pre style='white-space:pre-wrap'>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))


class ScheduleAdmin(PeriodicTaskAdmin):
    """django-celery-beat's page of periodic tasks, with a way to the history of each one's task."""

    list_display = ("__str__", "enabled", "interval", "crontab", "last_run_at", "total_run_count", "history_link")

    @admin.display(description="history")
    def history_link(self, task: PeriodicTask) -> SafeString:
        url = reverse("admin:outbox_outboxmessage_changelist", query={"task": task.task})
        return format_html('<a href="{}">Task history</a>', url)


admin.site.unregister(PeriodicTask)
admin.site.register(PeriodicTask, ScheduleAdmin)

# The rows are the history: a second, empty list of results would only mislead.
if not str(settings.CELERY_RESULT_BACKEND).startswith("django-db"):
    for empty in (TaskResult, GroupResult):
        if admin.site.is_registered(empty):
            admin.site.unregister(empty)
