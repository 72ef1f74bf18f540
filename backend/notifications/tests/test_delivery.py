"""Mails over real SMTP: once, one by one, to everybody, outside of database transactions."""

import threading
from datetime import timedelta

import psycopg
import pytest
from django.core import mail
from django.db import connection, connections

from common.clock import utc_now
from notifications import delivery
from notifications.channels.email.rendering import render_verbatim
from notifications.errors import DeliveryDeferred
from notifications.models import Notification
from notifications.tests.conftest import MailSink, free_port
from transactions.factories import EscrowTransactionFactory
from users.tasks import send_email_notification, send_transaction_notification

State = Notification.State


def states() -> dict[str, str]:
    return dict(Notification.objects.values_list("address", "state"))


@pytest.mark.django_db
class TestOverSmtp:
    def test_a_mail_arrives_whole(self, smtp: MailSink) -> None:
        deal = EscrowTransactionFactory.create(funded=True, title="Ein größeres Büro <b>")
        delivery.notify_transaction(transaction_id=deal.pk, notification_type="funded")
        assert smtp.recipients == ["bea@example.com", "sol@example.com"]
        received = dict(smtp.taken)["sol@example.com"]
        assert received["To"] == "sol@example.com"
        assert received["Subject"] == "1,250.00 tUSDC for “Ein größeres Büro <b>” is in escrow: you can start"
        assert received["Auto-Submitted"] == "auto-generated"
        row = Notification.objects.get(address="sol@example.com")
        assert received["Message-ID"] == row.message_id
        text, html = received.get_body(("plain",)), received.get_body(("html",))
        assert text is not None and "you can start" in text.get_content()
        assert html is not None and "Ein größeres Büro &lt;b&gt;" in html.get_content()
        assert "<b>" not in html.get_content()
        assert (row.state, row.attempts) == (State.SENT, 1)

    def test_one_refused_recipient_does_not_stop_the_others(self, smtp: MailSink) -> None:
        smtp.answers["nobody@example.com"] = "550 no such mailbox"
        result = send_email_notification("Hello", "Text", ["a@example.com", "nobody@example.com", "z@example.com"])
        assert smtp.recipients == ["a@example.com", "z@example.com"]
        assert result["success"] is False
        assert result["refused"] == {"nobody@example.com": "550 no such mailbox"}
        assert states()["nobody@example.com"] == State.REFUSED
        assert delivery.deliver_due().sent == []

    def test_what_a_server_cannot_take_now_is_kept_and_follows(self, smtp: MailSink) -> None:
        deal = EscrowTransactionFactory.create(funded=True)
        smtp.answers["bea@example.com"] = "450 mailbox is busy"
        with pytest.raises(DeliveryDeferred, match="1 of the mails will be tried again"):
            send_transaction_notification(transaction_id=deal.pk, notification_type="funded")
        assert smtp.recipients == ["sol@example.com"]
        assert delivery.deliver_due().sent == []  # it is not due before a minute has passed
        smtp.answers.clear()
        Notification.objects.update(due_at=utc_now())
        assert delivery.deliver_due().sent == ["bea@example.com"]
        assert smtp.recipients == ["bea@example.com", "sol@example.com"]

    def test_nothing_is_lost_while_the_server_is_away(self, smtp: MailSink, settings: object) -> None:
        deal = EscrowTransactionFactory.create(funded=True)
        settings.EMAIL_PORT = free_port()  # type: ignore[attr-defined]
        with pytest.raises(DeliveryDeferred):
            delivery.notify_transaction(transaction_id=deal.pk, notification_type="funded").raise_if_deferred()
        assert set(states().values()) == {State.PENDING}
        settings.EMAIL_PORT = smtp.port  # type: ignore[attr-defined]
        report = delivery.notify_transaction(transaction_id=deal.pk, notification_type="funded")
        assert report.sent == ["bea@example.com", "sol@example.com"]

    def test_a_mail_whose_worker_died_is_sent_again_under_the_same_id(self, smtp: MailSink) -> None:
        send_email_notification("Hello", "Text", ["a@example.com"])
        # As if the process had died between the server's answer and our mark, and the lease had run out.
        Notification.objects.update(state=State.SENDING, sent_at=None, due_at=utc_now() - timedelta(seconds=1))
        delivery.deliver_due()
        assert [message["Message-ID"] for _, message in smtp.taken] == [smtp.taken[0][1]["Message-ID"]] * 2

    def test_a_mail_in_another_workers_hands_is_left_to_it(self, smtp: MailSink) -> None:
        row = delivery.plan([_draft("a@example.com")])
        Notification.objects.update(state=State.SENDING, attempts=1, due_at=utc_now() + timedelta(minutes=1))
        assert delivery.deliver(row).sent == []
        assert smtp.taken == []

    def test_is_given_up_after_three_days(self, smtp: MailSink) -> None:
        smtp.answers["a@example.com"] = "450 mailbox is busy"
        delivery.plan([_draft("a@example.com")])
        Notification.objects.update(created_at=utc_now() - timedelta(days=3, minutes=1))
        delivery.deliver_due()
        assert states() == {"a@example.com": State.FAILED}


@pytest.mark.django_db(transaction=True)
class TestWithSeveralWorkers:
    def test_no_database_transaction_is_open_while_the_mail_server_is_talked_to(self, smtp: MailSink) -> None:
        deal = EscrowTransactionFactory.create(funded=True)
        parameters = connection.get_connection_params()
        login = {
            name: parameters[name] for name in ("host", "port", "user", "password", "dbname") if name in parameters
        }
        seen: list[int] = []

        def count_open() -> None:
            with psycopg.connect(**login, autocommit=True) as observer:
                row = observer.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'"
                ).fetchone()
                seen.append(row[0] if row else -1)

        smtp.on_data = count_open
        delivery.notify_transaction(transaction_id=deal.pk, notification_type="funded")
        assert seen == [0, 0]

    def test_workers_that_tell_the_same_at_the_same_moment_make_one_mail_each(self, smtp: MailSink) -> None:
        deal = EscrowTransactionFactory.create(funded=True)
        start = threading.Barrier(4)
        errors: list[Exception] = []

        def work() -> None:
            try:
                start.wait(timeout=10)
                delivery.notify_transaction(transaction_id=deal.pk, notification_type="funded")
            except Exception as error:
                errors.append(error)
            finally:
                connections.close_all()

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(timeout=30)
        assert errors == []
        assert smtp.recipients == ["bea@example.com", "sol@example.com"]


@pytest.mark.django_db
class TestHeaders:
    def test_a_title_cannot_smuggle_a_header(self) -> None:
        deal = EscrowTransactionFactory.create(funded=True, title="Site\r\nBcc: max@example.com\u2028\x1bx")
        deal.seller.display_name = "Sol\nReply-To: max@example.com"
        deal.seller.save()
        delivery.notify_transaction(transaction_id=deal.pk, notification_type="funded")
        for sent in mail.outbox:
            parsed = sent.message()
            assert "Bcc" not in parsed and "Reply-To" not in parsed
            assert "\n" not in sent.subject and "Site Bcc: max@example.com" in sent.subject


def _draft(address: str) -> delivery.Draft:
    mail_of = render_verbatim(subject="Hello", text="Text")
    return delivery.Draft(key="message:test", kind="message", address=address, mail=mail_of)
