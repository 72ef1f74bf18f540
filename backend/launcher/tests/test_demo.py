"""The demo's own eyes: it must not call wrong figures right."""

from collections import Counter
from email.message import EmailMessage
from pathlib import Path

import pytest

from launcher import demo


class TestTheMailbox:
    @staticmethod
    def deliver(folder: Path, name: str, to: str, subject: str) -> None:
        mail = EmailMessage()
        mail["To"], mail["Subject"] = to, subject
        mail.set_content("Grüße")
        (folder / "new" / name).write_bytes(mail.as_bytes())

    def test_holds_what_came_since_the_start_for_one_address(self, tmp_path: Path) -> None:
        (tmp_path / "new").mkdir()
        self.deliver(tmp_path, "1", "bea@example.com", "from yesterday")
        mailbox = demo.Mailbox(tmp_path)
        self.deliver(tmp_path, "2", "Bea <Bea@example.com>", "“Website” is closed")
        self.deliver(tmp_path, "3", "sol@example.com", "for somebody else")
        for _ in range(2):
            assert [subject for subject, _ in mailbox.mails_to("bea@example.com")] == ["“Website” is closed"]

    def test_may_not_exist_yet(self, tmp_path: Path) -> None:
        assert demo.Mailbox(tmp_path / "mailbox").mails_to("bea@example.com") == []

    def test_a_date_may_stand_for_the_star_and_nothing_else(self) -> None:
        expected = Counter(["Please review “Pages” by *", "Welcome"])
        assert demo._as_expected("Please review “Pages” by Mon 30 Nov", expected) == "Please review “Pages” by *"
        assert demo._as_expected("Please review “Launch” by Mon 30 Nov", expected) not in expected
        assert demo._as_expected("Welcome back", expected) not in expected


class TestWaiting:
    def test_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(demo, "PATIENCE_SECONDS", 0.1)
        with pytest.raises(demo.DemoFailed, match="in vain: the moon"):
            demo.wait_until(lambda: False, "the moon")

    def test_people_at_once_raise_what_one_of_them_raised(self) -> None:
        def fail() -> None:
            raise demo.DemoFailed("no")

        with pytest.raises(demo.DemoFailed):
            demo.at_once(lambda: None, fail)
