"""The memory of everything asynchronous: one row per call of a task, from the caller's commit to its end state."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class OutboxMessage(models.Model):
    """One call of a task. Also the task's history, and what `AsyncResult(task_id)` answers from.

    ```
    PENDING ──relay──► PUBLISHED ──worker──► RUNNING ──► DONE
       ▲                   │ lease over         │    ├──► FAILED   it raised, and asked for no retry
       │                   └──(published again)─┘    ├──► DEAD     retries used up, or its worker died each time
       └──────── retry, or the worker died ──────────┘ ├► REVOKED  expired, revoked or discarded
    ```
    Every column has a default in the database, so that a set-based `INSERT ... SELECT` names only what it knows.
    """

    class State(models.TextChoices):
        PENDING = "PENDING", "waiting"
        PUBLISHED = "PUBLISHED", "in the queue"
        RUNNING = "RUNNING", "running"
        DONE = "DONE", "done"
        FAILED = "FAILED", "failed"
        DEAD = "DEAD", "given up"
        REVOKED = "REVOKED", "dropped"

    OPEN = (State.PENDING, State.PUBLISHED, State.RUNNING)
    SETTLED = (State.DONE, State.FAILED, State.DEAD, State.REVOKED)

    # Text rather than uuid: Celery lets a caller choose any string with apply_async(task_id=...).
    task_id = models.CharField(max_length=155, unique=True)
    key = models.CharField(
        max_length=255, unique=True, null=True, blank=True, help_text="A second call with the same key is no call."
    )
    task = models.CharField(max_length=255)
    args = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))
    kwargs = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    queue = models.CharField(max_length=100, default="default", db_default="default")
    options = models.JSONField(
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        help_text="Time limits, links, the rest of the chain, group, headers: Celery's execution options.",
    )

    state = models.CharField(max_length=9, choices=State, default=State.PENDING, db_default=State.PENDING)
    next_attempt_at = models.DateTimeField(
        db_default=Now(), help_text="Not before this moment (countdown, eta, retry)."
    )
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Not started after this moment.")
    locked_until = models.DateTimeField(
        null=True, blank=True, help_text="While in the queue: the relay publishes again after this moment."
    )

    publishes = models.PositiveIntegerField(default=0, db_default=0, help_text="How often the relay published it.")
    attempts = models.PositiveIntegerField(
        default=0, db_default=0, help_text="How often a worker began it; an end state is written only by the last one."
    )
    retries = models.PositiveIntegerField(default=0, db_default=0, help_text="Retries that the task itself asked for.")
    losses = models.PositiveIntegerField(default=0, db_default=0, help_text="How often its worker died under it.")

    created_at = models.DateTimeField(db_default=Now())
    published_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=200, default="", db_default="", blank=True)

    result = models.JSONField(null=True, blank=True, help_text="What the task returned, or the exception as JSON.")
    error = models.TextField(default="", db_default="", blank=True)
    traceback = models.TextField(default="", db_default="", blank=True)

    class Meta:
        db_table = "outbox_message"
        verbose_name = "task"
        verbose_name_plural = "task history"
        indexes = [
            models.Index("queue", "next_attempt_at", "id", condition=Q(state="PENDING"), name="outbox_due"),
            models.Index("queue", "locked_until", condition=Q(state="PUBLISHED"), name="outbox_lease"),
            models.Index("started_at", condition=Q(state="RUNNING"), name="outbox_running"),
            models.Index("finished_at", condition=Q(finished_at__isnull=False), name="outbox_settled"),
            models.Index(F("id").desc(), condition=Q(state__in=("FAILED", "DEAD")), name="outbox_trouble"),
            models.Index("task", F("id").desc(), name="outbox_by_task"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=("PENDING", "PUBLISHED", "RUNNING", "DONE", "FAILED", "DEAD", "REVOKED")),
                name="outbox_state_is_known",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("PENDING", "PUBLISHED", "RUNNING"), finished_at__isnull=True)
                | Q(state__in=("DONE", "FAILED", "DEAD", "REVOKED"), finished_at__isnull=False),
                name="outbox_settled_has_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(state="PUBLISHED") | Q(locked_until__isnull=False, published_at__isnull=False),
                name="outbox_published_has_a_lease",
            ),
            models.CheckConstraint(
                condition=~Q(state="RUNNING") | Q(started_at__isnull=False, attempts__gt=0),
                name="outbox_running_was_claimed",
            ),
            models.CheckConstraint(
                condition=~Q(task="") & ~Q(queue="") & ~Q(task_id=""), name="outbox_names_not_empty"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task}[{self.task_id}]"


class SeededSchedule(models.Model):
    """What was last written into the schedule from code under this name: tells an operator's edit from our own seed."""

    name = models.CharField(max_length=200, primary_key=True)
    definition = models.JSONField()

    class Meta:
        db_table = "outbox_seeded_schedule"

    def __str__(self) -> str:
        return self.name
