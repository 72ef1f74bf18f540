"""What can go wrong on the way into the outbox. Each carries a stable `code`."""


class OutboxError(Exception):
    """Base of the errors that this room raises."""

    code = "outbox"


class ArgumentsNotSerializable(OutboxError, TypeError):
    """A task was called with something that JSON cannot carry. Raised where it was called, never in the worker."""

    code = "outbox_arguments_not_serializable"


class FactOutsideTransaction(OutboxError, RuntimeError):
    """A fact was published outside of a database transaction, so it could be told without having happened."""

    code = "outbox_fact_outside_transaction"


class CanvasNotDurable(OutboxError, NotImplementedError):
    """A shape of workflow whose bookkeeping would live in the broker (chords): refused rather than half kept."""

    code = "outbox_canvas_not_durable"


class UnknownTask(OutboxError, LookupError):
    """A route names a task that no module defines."""

    code = "outbox_unknown_task"


class ClaimLost(OutboxError):
    """The row went on without this run (its lock was lost and another attempt began). The run's effects roll back."""

    code = "outbox_claim_lost"
