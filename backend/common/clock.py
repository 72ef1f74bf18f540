"""The one place that reads the clock."""

from datetime import UTC, datetime, timedelta

from django.utils import timezone


def utc_now() -> datetime:
    """The current moment, aware, UTC."""
    return timezone.now()


def from_epoch(seconds: int) -> datetime:
    """An aware UTC datetime from seconds since the epoch (block timestamps, deadlines in terms)."""
    return datetime.fromtimestamp(seconds, tz=UTC)


def to_epoch(moment: datetime) -> int:
    """Whole seconds since the epoch of an aware datetime."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone has no place here")
    return int(moment.timestamp())


def words_for_seconds(seconds: int) -> str:
    """A duration in words a person reads: 604800 → "7 days", 90000 → "25 hours"."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return str(timedelta(seconds=seconds)) if seconds >= 60 else f"{seconds} seconds"
