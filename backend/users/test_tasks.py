"""The guide's e-mail tasks. Run by `python manage.py test users.test_tasks`, without Redis, and by pytest."""

import logging
from typing import Any

from django.core import mail
from django.test import TestCase, override_settings

from common.clock import utc_now
from notifications.models import Notification
from transactions.errors import UnknownTransaction
from transactions.factories import (
    EscrowTransactionFactory,
    SellerProfileFactory,
    UserFactory,
)
from transactions.models import EscrowTransaction
from users.tasks import (
    send_account_notification,
    send_email_notification,
    send_transaction_notification,
    send_verification_notification,
)


def setUpModule() -> None:
    logging.disable(logging.WARNING)  # Celery tells of every task, and the dots of the run would drown


def tearDownModule() -> None:
    logging.disable(logging.NOTSET)


@override_settings(CELERY_TASK_ALWAYS_EAGER=True)
class SendEmailNotification(TestCase):
    message = {"subject": "Welcome!", "message": "Thank you for registering.", "recipient_list": ["user@example.com"]}

    def test_a_direct_call_sends_at_once(self) -> None:
        result = send_email_notification(**self.message)
        self.assertIs(result["success"], True)
        self.assertEqual(result["recipients"], ["user@example.com"])
        [sent] = mail.outbox
        self.assertEqual((sent.subject, sent.body), ("Welcome!", "Thank you for registering."))
        self.assertIn("Thank you for registering.</p>", sent.message().as_string())

    def test_delay_sends_and_stores_a_result(self) -> None:
        result = send_email_notification.delay(**self.message)
        self.assertEqual(result.get(timeout=5)["notifications_sent"], 1)
        self.assertEqual(len(mail.outbox), 1)

    def test_two_calls_are_two_mails(self) -> None:
        send_email_notification(**self.message)
        send_email_notification.delay(**self.message)
        self.assertEqual(len(mail.outbox), 2)

    def test_one_execution_delivered_twice_is_one_mail(self) -> None:
        for _ in range(2):
            send_email_notification.apply(kwargs=self.message, task_id="3d0f8c4e-same")
        self.assertEqual(len(mail.outbox), 1)

    def test_recipients_do_not_see_each_other(self) -> None:
        send_email_notification("Hello", "Text", ["a@example.com", "b@example.com", "a@example.com"])
        self.assertEqual([sent.to for sent in mail.outbox], [["a@example.com"], ["b@example.com"]])

    def test_refuses_what_no_mail_can_carry_before_anything_is_sent(self) -> None:
        attempts: tuple[dict[str, Any], ...] = (
            {"subject": "Hello\nBcc: max@example.com"},
            {"subject": " "},
            {"recipient_list": []},
            {"recipient_list": "user@example.com"},
            {"recipient_list": ["user@example.com", "nobody"]},
            {"recipient_list": ["user@example.com\nBcc: max@example.com"]},
        )
        for wrong in attempts:
            with self.subTest(wrong), self.assertRaises(ValueError):
                send_email_notification(**{**self.message, **wrong})
        self.assertEqual(mail.outbox, [])
        self.assertFalse(Notification.objects.exists())


@override_settings(CELERY_TASK_ALWAYS_EAGER=True)
class SendTransactionNotification(TestCase):
    def recipients(self) -> list[str]:
        return sorted(address for sent in mail.outbox for address in sent.to)

    def test_the_creation_of_a_draft_is_told_to_its_author_only(self) -> None:
        deal = EscrowTransactionFactory.create()
        result = send_transaction_notification(transaction_id=deal.pk, notification_type="created")
        self.assertIs(result["success"], True)
        self.assertEqual(result["notification_type"], "created")
        self.assertEqual(self.recipients(), ["bea@example.com"])

    def test_once_it_is_proposed_the_other_party_is_told_and_the_author_not_again(self) -> None:
        deal = EscrowTransactionFactory.create()
        send_transaction_notification.delay(transaction_id=deal.pk, notification_type="created")
        EscrowTransaction.objects.filter(pk=deal.pk).update(
            status="PENDING_FUNDING", proposed_at=utc_now(), escrow_id="0x" + "e5" * 32
        )
        for name in ("created", "proposed", "created"):
            send_transaction_notification.delay(transaction_id=deal.pk, notification_type=name)
        self.assertEqual(self.recipients(), ["bea@example.com", "sol@example.com"])

    def test_each_party_gets_one_mail_in_words_of_its_own(self) -> None:
        deal = EscrowTransactionFactory.create(funded=True)
        for _ in range(2):
            result = send_transaction_notification(transaction_id=deal.pk, notification_type="funded")
        self.assertEqual(result["notifications_sent"], 0)
        self.assertEqual(sorted(result["recipients"]), ["bea@example.com", "sol@example.com"])
        subjects = {sent.to[0]: sent.subject for sent in mail.outbox}
        self.assertEqual(
            subjects,
            {
                "bea@example.com": "Your payment of 1,250.00 tUSDC for “A new website” is in escrow",
                "sol@example.com": "1,250.00 tUSDC for “A new website” is in escrow: you can start",
            },
        )
        for sent in mail.outbox:
            self.assertIn(f"http://localhost:8000/transactions/{deal.pk}", sent.body)
            self.assertIn("You receive this mail because you are the", sent.body)

    def test_tells_of_the_end(self) -> None:
        deal = EscrowTransactionFactory.create(completed=True)
        send_transaction_notification(transaction_id=deal.pk, notification_type="completed")
        self.assertEqual(self.recipients(), ["bea@example.com", "sol@example.com"])
        self.assertIn("“A new website” is completed", mail.outbox[0].subject)

    def test_an_unknown_transaction_is_an_error(self) -> None:
        with self.assertRaisesMessage(UnknownTransaction, "there is no transaction 99999"):
            send_transaction_notification(transaction_id=99999, notification_type="created")
        self.assertEqual(mail.outbox, [])

    def test_an_unknown_type_is_an_error_that_lists_the_known_ones(self) -> None:
        deal = EscrowTransactionFactory.create(funded=True)
        with self.assertRaisesRegex(ValueError, "no notification type 'foo'; there are: .*completed, created.*funded"):
            send_transaction_notification(transaction_id=deal.pk, notification_type="foo")
        self.assertEqual(mail.outbox, [])

    def test_refuses_to_tell_what_has_not_happened(self) -> None:
        deal = EscrowTransactionFactory.create(accepted=True)
        with self.assertRaisesRegex(ValueError, f"transaction {deal.pk} is AWAITING_PAYMENT"):
            send_transaction_notification(transaction_id=deal.pk, notification_type="funded")
        self.assertEqual(mail.outbox, [])


@override_settings(CELERY_TASK_ALWAYS_EAGER=True)
class SendVerificationNotification(TestCase):
    def test_each_status_has_its_words(self) -> None:
        for status, words in (("PENDING", "under review"), ("VERIFIED", "verified"), ("REJECTED", "not approved")):
            with self.subTest(status):
                user = UserFactory.create(name=f"Sol {status}")
                result = send_verification_notification(user_id=user.pk, verification_status=status)
                self.assertIs(result["success"], True)
                self.assertEqual(result["status"], status)
                self.assertEqual(mail.outbox[-1].to, [user.email])
                self.assertIn(words, mail.outbox[-1].subject)

    def test_tells_a_status_once(self) -> None:
        user = UserFactory.create(name="Sol")
        for _ in range(2):
            send_verification_notification.delay(user_id=user.pk, verification_status="PENDING")
        self.assertEqual(len(mail.outbox), 1)

    def test_refuses_what_the_sellers_record_contradicts(self) -> None:
        profile = SellerProfileFactory.create()
        with self.assertRaisesRegex(ValueError, "is UNVERIFIED, not VERIFIED"):
            send_verification_notification(user_id=profile.user_id, verification_status="VERIFIED")
        self.assertEqual(mail.outbox, [])

    def test_an_unknown_user_or_status_is_an_error(self) -> None:
        with self.assertRaisesRegex(ValueError, "there is no user 99999"):
            send_verification_notification(user_id=99999, verification_status="VERIFIED")
        with self.assertRaisesRegex(ValueError, "'DONE'; there are: PENDING, REJECTED, VERIFIED"):
            send_verification_notification(user_id=UserFactory.create().pk, verification_status="DONE")


@override_settings(CELERY_TASK_ALWAYS_EAGER=True)
class SendAccountNotification(TestCase):
    def test_welcomes_each_account_once(self) -> None:
        bea = UserFactory.create(name="Bea")
        for _ in range(2):
            send_account_notification.delay(user_id=bea.pk)
        [sent] = mail.outbox
        self.assertEqual(sent.to, ["bea@example.com"])
        self.assertIn("Welcome, Bea", sent.body)
