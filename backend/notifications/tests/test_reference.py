"""What can be told is on the reference page, and nothing else is."""

import re
from pathlib import Path

from django.conf import settings

from notifications import catalogue

PAGE = Path(settings.REPOSITORY_DIR, "docs", "reference", "notifications.md")


def test_the_page_lists_exactly_the_types_there_are() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), flags=re.MULTILINE)
    verification = [f"verification_{status.lower()}" for status in catalogue.VERIFICATION_STATUSES]
    known = [
        *catalogue.known_types(),
        *catalogue.ACCOUNT_NOTIFICATIONS,
        *verification,
        *catalogue.SCHEDULED_NOTIFICATIONS,
    ]
    assert sorted(listed) == sorted(known)


def test_the_page_names_what_can_be_switched_off() -> None:
    sentence = next(part for part in PAGE.read_text().split("\n\n") if "switched off" in part)
    assert set(re.findall(r"`(\w+)`", sentence)) == catalogue.OPTIONAL_KINDS
