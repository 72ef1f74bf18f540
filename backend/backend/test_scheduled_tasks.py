"""The clock's tasks. Run by `python manage.py test backend.test_scheduled_tasks`, without Redis, and by pytest."""

import logging
from datetime import timedelta

from django.core import mail
from django.db import connection
from django.test import TestCase, override_settings
from django.test.utils import CaptureQueriesContext

from backend.scheduled_tasks import (
    check_overdue_milestones,
    cleanup_old_pending_transactions,
    send_daily_transaction_summary,
)
from common.clock import utc_now
from notifications import digests
from notifications.preferences import set_preference
from transactions.factories import EscrowTransactionFactory, UserFactory
from transactions.models import EscrowTransaction, Milestone


def setUpModule() -> None:
    logging.disable(logging.WARNING)  # Celery tells of every task, and the dots of the run would drown


def tearDownModule() -> None:
    logging.disable(logging.NOTSET)


def days_ago(days: float) -> dict[str, object]:
    """Fields of a deal that was created and proposed so long ago."""
    moment = utc_now() - timedelta(days=days)
    return {"created_at": moment, "proposed_at": moment}


def backdate(deal: EscrowTransaction, **fields: object) -> EscrowTransaction:
    EscrowTransaction.objects.filter(pk=deal.pk).update(**fields)
    deal.refresh_from_db()
    return deal


def told() -> list[tuple[str, str]]:
    return sorted((sent.to[0].partition("@")[0], str(sent.subject)) for sent in mail.outbox)


@override_settings(CELERY_TASK_ALWAYS_EAGER=True)
class SendDailyTransactionSummary(TestCase):
    def test_tells_both_parties_what_stands_and_whose_turn_it_is(self) -> None:
        EscrowTransactionFactory.create(funded=True)
        EscrowTransactionFactory.create(accepted=True, title="A logo", amounts=[75_500_000])
        result = send_daily_transaction_summary()
        self.assertIs(result["success"], True)
        self.assertEqual(result["summaries_sent"], 2)
        self.assertEqual(
            told(),
            [
                ("bea", "Your 2 active transactions: 1 waits for you"),
                ("sol", "Your 2 active transactions: 1 waits for you"),
            ],
        )
        bodies = {sent.to[0]: sent.body for sent in mail.outbox}
        self.assertIn("Your turn: pay into escrow by", bodies["bea@example.com"])
        self.assertIn("75.50 tUSDC", bodies["bea@example.com"])
        self.assertIn("Your turn: hand in “Wireframes” by", bodies["sol@example.com"])
        self.assertIn("1,250.00 tUSDC, 1,250.00 tUSDC of it in escrow", bodies["sol@example.com"])

    def test_goes_out_once_a_day(self) -> None:
        EscrowTransactionFactory.create(funded=True)
        send_daily_transaction_summary.delay()
        self.assertEqual(send_daily_transaction_summary()["summaries_sent"], 0)
        self.assertEqual(len(mail.outbox), 2)
        digests.send_daily_summaries(now=utc_now() + timedelta(days=1))
        self.assertEqual(len(mail.outbox), 4)

    def test_leaves_out_drafts_and_what_is_over(self) -> None:
        EscrowTransactionFactory.create()
        EscrowTransactionFactory.create(completed=True)
        self.assertEqual(send_daily_transaction_summary()["summaries_sent"], 0)
        self.assertEqual(mail.outbox, [])

    def test_asks_the_arbiter_only_while_there_is_a_dispute(self) -> None:
        deal = EscrowTransactionFactory.create(funded=True)
        deal.milestones.filter(position=0).update(status="DISPUTED", deadline_at=utc_now() + timedelta(days=9))
        backdate(deal, status="DISPUTED")
        self.assertEqual(send_daily_transaction_summary()["summaries_sent"], 3)
        to_ari = next(sent for sent in mail.outbox if sent.to == ["ari@example.com"])
        self.assertIn("Your turn: decide the dispute over “Wireframes” by", to_ari.body)

    def test_respects_who_does_not_want_it(self) -> None:
        deal = EscrowTransactionFactory.create(funded=True)
        set_preference(user_id=deal.buyer_id, kind="daily_summary", is_wanted=False)
        self.assertEqual(send_daily_transaction_summary()["summaries_sent"], 1)
        self.assertEqual([name for name, _ in told()], ["sol"])

    def test_reads_in_sets_however_many_people_there_are(self) -> None:
        def queries_for(deals: int) -> int:
            for number in range(deals):
                EscrowTransactionFactory.create(
                    funded=True, buyer=UserFactory.create(), seller=UserFactory.create(), title=f"Deal {number}"
                )
            with CaptureQueriesContext(connection) as captured:
                for people in digests._people_with_active_deals(utc_now()):
                    digests._summary_drafts(people, utc_now())
            return len(captured)

        self.assertEqual(queries_for(2), queries_for(20))


@override_settings(CELERY_TASK_ALWAYS_EAGER=True)
class CleanupOldPendingTransactions(TestCase):
    def test_reminds_the_buyer_of_a_payment_and_not_the_seller(self) -> None:
        backdate(
            EscrowTransactionFactory.create(accepted=True), **days_ago(8), accepted_at=utc_now() - timedelta(days=8)
        )
        result = cleanup_old_pending_transactions()
        self.assertIs(result["success"], True)
        self.assertEqual(result["reminders_sent"], 1)
        self.assertEqual(told(), [("bea", "Reminder: “A new website” waits for your payment of 1,250.00 tUSDC")])

    def test_reminds_the_seller_as_well_while_the_terms_wait_for_his_answer(self) -> None:
        backdate(EscrowTransactionFactory.create(proposed=True), **days_ago(8))
        self.assertEqual(cleanup_old_pending_transactions()["reminders_sent"], 2)
        self.assertEqual(
            told(),
            [
                ("bea", "Reminder: “A new website” still waits for Sol"),
                ("sol", "Reminder: “A new website” waits for your answer"),
            ],
        )

    def test_reminds_the_buyer_alone_if_the_seller_proposed(self) -> None:
        sol = UserFactory.create(name="Sol")
        backdate(EscrowTransactionFactory.create(proposed=True, seller=sol, author=sol), **days_ago(8))
        cleanup_old_pending_transactions()
        self.assertEqual(told(), [("bea", "Reminder: “A new website” waits for your answer")])

    def test_reminds_once_per_step(self) -> None:
        deal = EscrowTransactionFactory.create(accepted=True)
        deadline = utc_now() + timedelta(days=40)
        counts = []
        for days in (6, 7.5, 8, 13, 14.5, 15, 15, 22, 29):
            moment = utc_now() - timedelta(days=days)
            backdate(deal, **days_ago(days), accepted_at=moment, accept_by=deadline)
            counts.append(cleanup_old_pending_transactions.delay().get()["reminders_sent"])
        self.assertEqual(counts, [0, 1, 0, 0, 1, 0, 0, 1, 0])

    def test_a_first_late_run_sends_only_the_newest_step(self) -> None:
        moment = utc_now() - timedelta(days=15)
        backdate(EscrowTransactionFactory.create(accepted=True), **days_ago(15), accepted_at=moment)
        self.assertEqual(cleanup_old_pending_transactions()["reminders_sent"], 1)

    def test_leaves_recent_and_paid_ones_alone(self) -> None:
        EscrowTransactionFactory.create(accepted=True)
        backdate(EscrowTransactionFactory.create(funded=True), **days_ago(20))
        backdate(EscrowTransactionFactory.create(), created_at=utc_now() - timedelta(days=20))
        self.assertEqual(cleanup_old_pending_transactions()["reminders_sent"], 0)
        self.assertEqual(mail.outbox, [])

    def test_expires_what_can_no_longer_be_accepted_and_does_not_ask_for_its_payment(self) -> None:
        deal = backdate(
            EscrowTransactionFactory.create(accepted=True), **days_ago(22), accept_by=utc_now() - timedelta(hours=1)
        )
        result = cleanup_old_pending_transactions()
        self.assertEqual((result["transactions_expired"], result["reminders_sent"]), (1, 0))
        deal.refresh_from_db()
        self.assertEqual(deal.status, "EXPIRED")
        self.assertFalse([subject for _, subject in told() if "Reminder" in subject])


@override_settings(CELERY_TASK_ALWAYS_EAGER=True)
class CheckOverdueMilestones(TestCase):
    def late(self, days: float, **fields: object) -> Milestone:
        deal = EscrowTransactionFactory.create(funded=True, amounts=[400_000_000])
        deal.milestones.update(deliver_by=utc_now() - timedelta(days=days), **fields)
        return deal.milestones.get()

    def test_tells_the_seller(self) -> None:
        self.late(15)
        result = check_overdue_milestones()
        self.assertIs(result["success"], True)
        self.assertEqual(result["notifications_sent"], 1)
        [(who, subject)] = told()
        self.assertEqual(who, "sol")
        self.assertRegex(subject, "^Overdue: “Wireframes” was due on ")

    def test_tells_once_and_again_for_every_further_week(self) -> None:
        milestone = self.late(15)
        self.assertEqual(check_overdue_milestones.delay().get()["notifications_sent"], 1)
        self.assertEqual(check_overdue_milestones.delay().get()["notifications_sent"], 0)
        now = utc_now() + timedelta(days=7)
        self.assertEqual(len(digests.send_overdue_notices(now=now).sent), 1)
        self.assertEqual(milestone.notifications.count(), 2)

    def test_counts_from_the_date_that_the_vault_set(self) -> None:
        self.late(30, status="REVISION_REQUESTED", round=1, deadline_at=utc_now() - timedelta(days=3))
        self.assertEqual(check_overdue_milestones()["notifications_sent"], 0)

    def test_leaves_recent_unpaid_and_handed_in_ones_alone(self) -> None:
        self.late(13)
        self.late(20, status="AWAITING_REVIEW", round=1, deadline_at=utc_now() + timedelta(days=1))
        unpaid = EscrowTransactionFactory.create(accepted=True)
        unpaid.milestones.update(deliver_by=utc_now() - timedelta(days=20))
        self.assertEqual(check_overdue_milestones()["notifications_sent"], 0)
        self.assertEqual(mail.outbox, [])
