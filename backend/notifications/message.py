"""A message before it has a channel: what a person shall read, in parts that each channel lays out in its own way."""

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

SUBJECT_LENGTH = 200
QUOTE_LENGTH = 600


@dataclass(frozen=True)
class Message:
    """Everything is plain text. `facts` are label and value, `quote` is who says it and his words."""

    subject: str
    heading: str
    lines: tuple[str, ...]
    reason: str
    facts: tuple[tuple[str, str], ...] = ()
    quote: tuple[str, str] | None = None
    items: tuple["Item", ...] = ()
    action_label: str = ""
    action_url: str = ""


@dataclass(frozen=True)
class Item:
    """One entry of a list, such as a transaction in a summary."""

    title: str
    url: str
    details: tuple[str, ...]
    todo: tuple[str, ...] = ()


def one_line(text: str, *, length: int = SUBJECT_LENGTH) -> str:
    """Text that is safe in a header and readable in a list: no line breaks or control characters, not too long."""
    visible = "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"} else c for c in text)
    return shorten(" ".join(visible.split()), length)


def quoted(title: str) -> str:
    """A title inside a sentence."""
    return f"“{one_line(title, length=80)}”"


def shorten(text: str, length: int) -> str:
    """At most `length` characters, cut with an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def zone_of(name: str) -> tzinfo:
    """The time zone of this IANA name, UTC if there is none."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # a malformed name, a folder's name, an unknown name
        return UTC


def words_for_moment(moment: datetime, zone: tzinfo) -> str:
    """A moment as a person reads it, with its time zone: "Mon 30 Nov 2026, 14:05 CET"."""
    local = moment.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M %Z}"
