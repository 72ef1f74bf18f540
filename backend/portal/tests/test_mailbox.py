"""The development mailbox: readable there, absent elsewhere, harmless whatever a mail contains."""

import mailbox
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse


@pytest.fixture
def box(settings: Any, tmp_path: Path) -> mailbox.Maildir:
    settings.DEBUG = True
    settings.MAILBOX_DIR = tmp_path / "mailbox"
    return mailbox.Maildir(settings.MAILBOX_DIR)


def send(box: mailbox.Maildir, to: str, subject: str) -> str:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Escrow <no-reply@escrow.example>", to, subject
    message.set_content("Hello there, 1 450,50 € wait for you.")
    message.add_alternative("<p>Hello <script>alert(1)</script></p>", subtype="html")
    return box.add(message)


@pytest.mark.django_db
class TestMailbox:
    def test_lists_and_shows_what_was_sent(self, box: mailbox.Maildir, client: Client) -> None:
        key = send(box, "Sol <sol@example.com>", "Bea <asks> for changes")
        listed = client.get(reverse("portal:mailbox")).content.decode()
        assert "Bea &lt;asks&gt; for changes" in listed
        shown = client.get(reverse("portal:mailbox_message", args=[key])).content.decode()
        assert "1 450,50 € wait for you" in shown
        assert "alert(1)" not in shown

    def test_shows_html_in_a_frame_that_runs_and_loads_nothing(self, box: mailbox.Maildir, client: Client) -> None:
        key = send(box, "sol@example.com", "Hello")
        response = client.get(reverse("portal:mailbox_html", args=[key]))
        policy = response["Content-Security-Policy"]
        assert policy.startswith("sandbox")
        assert "allow-scripts" not in policy
        assert "default-src 'none'" in policy
        assert response["X-Frame-Options"] == "SAMEORIGIN"
        assert '<base target="_blank">' in response.content.decode()

    def test_gives_programs_a_list_for_one_address(self, box: mailbox.Maildir, client: Client) -> None:
        send(box, "sol@example.com", "For Sol")
        send(box, "bea@example.com", "For Bea")
        answer = client.get(reverse("portal:mailbox_json"), {"to": "BEA@example.com"}).json()
        assert [mail["subject"] for mail in answer["messages"]] == ["For Bea"]
        assert answer["count"] == 1
        assert answer["messages"][0]["to"] == ["bea@example.com"]

    def test_has_no_page_outside_development(self, box: mailbox.Maildir, client: Client, settings: Any) -> None:
        key = send(box, "sol@example.com", "Hello")
        settings.DEBUG = False
        for address in (
            reverse("portal:mailbox"),
            reverse("portal:mailbox_json"),
            reverse("portal:mailbox_message", args=[key]),
            reverse("portal:mailbox_html", args=[key]),
        ):
            assert client.get(address).status_code == 404
        assert "mailbox" not in client.get(reverse("portal:front_door")).content.decode()

    @pytest.mark.parametrize("key", ["..", "nothing", "%2e%2e%2f%2e%2e", "a:b"])
    def test_reads_nothing_but_its_own_messages(self, box: mailbox.Maildir, client: Client, key: str) -> None:
        assert client.get(f"/mailbox/{key}/").status_code == 404
