"""The life of a deal, told by requests and by the chain."""

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection
from django.db import transaction as db_transaction

from common.clock import utc_now
from ledger.queries import balance
from transactions import lifecycle, queries, terms
from transactions.errors import (
    ActionNotAllowed,
    ActionPending,
    InvalidTerms,
    NotAParty,
    SignatureExpired,
    SignatureMismatch,
    WalletMissing,
)
from transactions.lifecycle import ActionInputs
from transactions.models import ActionIntent, Event, Milestone
from transactions.rules import Action
from transactions.tests import cast
from transactions.tests.cast import Stage, chain_log
from users.models import Wallet


class TestAgreeing:
    def test_both_sign_the_same_terms(self, stage: Stage) -> None:
        stage.draft()
        stage.propose()
        assert stage.deal.status == "PENDING_FUNDING"
        stage.accept()
        assert stage.deal.status == "AWAITING_PAYMENT"
        version = queries.latest_terms(stage.deal)
        assert version is not None
        assert {s.role: s.signer for s in version.signatures.all()} == {
            "BUYER": stage.bea.key.address,
            "SELLER": stage.sol.key.address,
        }
        assert terms.escrow_id(terms.struct_from_json(version.struct)) == stage.deal.escrow_id

    def test_the_author_cannot_accept_for_the_other(self, stage: Stage) -> None:
        stage.draft()
        stage.propose()
        message = lifecycle.acceptance_message(stage.deal, actor=stage.bea.user)
        with pytest.raises(ActionNotAllowed) as refusal:
            lifecycle.accept(transaction_id=stage.deal.pk, actor=stage.bea.user, signature=stage.bea.sign(message))
        assert refusal.value.data["rule"] == "own_proposal"

    def test_a_signature_over_other_terms_is_refused(self, stage: Stage) -> None:
        stage.draft()
        message = lifecycle.acceptance_message(stage.deal, actor=stage.bea.user)
        signature = stage.bea.sign(message)
        lifecycle.edit_draft(transaction_id=stage.deal.pk, actor=stage.bea.user, changes={"title": "Another website"})
        with pytest.raises(SignatureMismatch):
            lifecycle.propose(transaction_id=stage.deal.pk, actor=stage.bea.user, signature=signature)
        assert stage.fresh().status == "DRAFT"

    def test_somebody_elses_signature_is_refused(self, stage: Stage) -> None:
        stage.draft()
        message = lifecycle.acceptance_message(stage.deal, actor=stage.bea.user)
        with pytest.raises(SignatureMismatch):
            lifecycle.propose(transaction_id=stage.deal.pk, actor=stage.bea.user, signature=stage.max.sign(message))

    def test_a_party_without_a_wallet_stops_the_proposal(self, stage: Stage) -> None:
        Wallet.objects.filter(user=stage.sol.user).delete()
        stage.draft()
        with pytest.raises(WalletMissing):
            lifecycle.acceptance_message(stage.deal, actor=stage.bea.user)

    def test_a_draft_is_seen_by_its_author_alone(self, stage: Stage) -> None:
        stage.draft()
        seen = {p.user.display_name: queries.visible_to(p.user).exists() for p in (stage.bea, stage.sol, stage.ari)}
        assert seen == {"Bea": True, "Sol": False, "Ari": False}
        stage.propose()
        assert queries.visible_to(stage.sol.user).exists()
        assert not queries.visible_to(stage.max.user).exists()

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"max_revisions": 11}, "max_revisions"),
            ({"timeout_seller_bps": 10_001}, "timeout_seller_bps"),
            ({"title": ""}, "title"),
            ({"amounts": (0,)}, "milestones"),
        ],
    )
    def test_terms_nobody_can_live_with_are_refused_by_field(
        self, stage: Stage, changes: dict[str, object], field: str
    ) -> None:
        with pytest.raises(InvalidTerms) as refusal:
            stage.draft(**changes)  # type: ignore[arg-type]
        assert refusal.value.data["field"] == field

    def test_the_buyer_is_never_the_seller(self, stage: Stage) -> None:
        with pytest.raises(InvalidTerms):
            stage.draft(counterparty=stage.bea.user)
        stage.draft()
        stage.deal.seller = stage.deal.buyer
        with pytest.raises(IntegrityError), db_transaction.atomic():
            stage.deal.save()


class TestRequesting:
    def test_a_request_waits_for_the_chain(self, stage: Stage) -> None:
        stage.funded()
        stage.submitted()
        intent = stage.request(stage.bea, Action.APPROVE, 0)
        assert intent.status == "REQUESTED"
        assert stage.deal.milestones.get(position=0).status == "AWAITING_REVIEW"
        lifecycle.record_released(escrow=stage.deal.escrow_id, positions=[0], fee_units=0, log=chain_log())
        intent.refresh_from_db()
        assert intent.status == "DONE"
        assert stage.milestone_states()[0] == ("COMPLETED", "RELEASED")

    def test_the_same_request_twice_is_one_intent(self, stage: Stage) -> None:
        stage.funded()
        stage.submitted()
        stage.request(stage.bea, Action.APPROVE, 0)
        with pytest.raises(ActionPending):
            stage.request(stage.bea, Action.APPROVE, 0)
        assert ActionIntent.objects.count() == 1

    def test_nobody_is_held_up_by_the_other_partys_request(self, stage: Stage) -> None:
        """The chain may be slow, and the seller's own time to call the arbiter runs on."""
        stage.funded()
        stage.submitted()
        stage.request(stage.bea, Action.REQUEST_CHANGES, 0, reason="the form is missing")
        milestone = stage.deal.milestones.get(position=0)
        assert queries.available_actions(stage.fresh(), stage.bea.user, milestone) == []
        assert Action.DISPUTE in queries.available_actions(stage.deal, stage.sol.user, milestone)
        stage.request(stage.sol, Action.DISPUTE, 0, reason="it is there")
        lifecycle.record_refunded(escrow=stage.deal.escrow_id, positions=[0], log=chain_log())
        assert set(ActionIntent.objects.values_list("status", flat=True)) == {"VOIDED"}
        assert milestone.disputes.get().status == "FAILED"

    @pytest.mark.parametrize("who", ["sol", "ari", "max"])
    def test_only_the_buyer_approves(self, stage: Stage, who: str) -> None:
        stage.funded()
        stage.submitted()
        with pytest.raises((ActionNotAllowed, NotAParty)):
            stage.request(getattr(stage, who), Action.APPROVE, 0)

    def test_an_unfunded_milestone_is_never_approved(self, stage: Stage) -> None:
        stage.draft()
        stage.propose()
        stage.accept()
        with pytest.raises(ActionNotAllowed):
            stage.request(stage.bea, Action.APPROVE, 0)

    def test_changes_are_asked_for_as_often_as_was_agreed(self, stage: Stage) -> None:
        stage.funded()
        stage.submitted()
        lifecycle.record_changes_requested(
            escrow=stage.deal.escrow_id,
            position=0,
            round=1,
            reason="0x" + "11" * 32,
            revision_ends_at=utc_now() + timedelta(days=3),
            log=chain_log(),
        )
        stage.submitted(round=2)
        with pytest.raises(ActionNotAllowed) as refusal:
            stage.request(stage.bea, Action.REQUEST_CHANGES, 0, reason="once more")
        assert refusal.value.data["rule"] == "no_revisions_left"
        assert set(refusal.value.data["allowed"]) == {"approve", "dispute"}  # type: ignore[call-overload]

    def test_an_expired_signature_is_refused(self, stage: Stage) -> None:
        stage.funded()
        stage.submitted()
        past = utc_now().replace(microsecond=0) - timedelta(seconds=1)
        milestone = stage.deal.milestones.get(position=0)
        prepared = lifecycle.prepare_action(
            action=Action.APPROVE, deal=stage.deal, actor=stage.bea.user, milestone=milestone, deadline=past
        )
        with pytest.raises(SignatureExpired):
            lifecycle.request_action(
                action=Action.APPROVE,
                transaction_id=stage.deal.pk,
                milestone_id=milestone.pk,
                actor=stage.bea.user,
                deadline=past,
                signature=stage.bea.sign(prepared.message),
            )

    def test_the_arbiter_gives_no_more_than_the_milestone_holds(self, stage: Stage) -> None:
        stage.funded()
        stage.submitted()
        stage.disputed()
        with pytest.raises(InvalidTerms):
            stage.request(stage.ari, Action.RESOLVE, 0, seller_units=101, reason="too much")

    def test_a_failed_request_can_be_made_again(self, stage: Stage) -> None:
        stage.funded()
        stage.submitted()
        intent = stage.request(stage.bea, Action.DISPUTE, 0, reason="not what we agreed")
        lifecycle.mark_intent_failed(intent_id=intent.pk, reason="escrow: too late")
        assert stage.deal.milestones.get(position=0).disputes.get().status == "FAILED"
        assert Event.objects.filter(name="action.failed").count() == 1
        stage.request(stage.bea, Action.DISPUTE, 0, reason="not what we agreed")


class TestFacts:
    def test_a_direct_call_on_the_vault_is_followed(self, stage: Stage) -> None:
        """Nobody asked the platform; the chain is right all the same."""
        stage.funded()
        assert stage.deal.status == "IN_ESCROW"
        stage.submitted()
        assert stage.fresh().status == "WORK_IN_PROGRESS"
        stage.disputed()
        assert stage.fresh().status == "DISPUTED"
        lifecycle.record_split(
            escrow=stage.deal.escrow_id, seller_units={0: 40}, how="resolved", fee_units=0, log=chain_log()
        )
        milestone = stage.deal.milestones.get(position=0)
        assert (milestone.status, milestone.money, milestone.seller_units, milestone.buyer_units) == (
            "COMPLETED",
            "SPLIT",
            40,
            60,
        )
        assert milestone.disputes.get().status == "RESOLVED"
        lifecycle.record_released(escrow=stage.deal.escrow_id, positions=[1], fee_units=0, log=chain_log())
        lifecycle.record_refunded(escrow=stage.deal.escrow_id, positions=[2], log=chain_log())
        assert stage.fresh().status == "COMPLETED"

    def test_the_same_log_twice_changes_nothing(self, stage: Stage) -> None:
        stage.funded()
        log = chain_log()
        for _ in range(2):
            lifecycle.record_released(escrow=stage.deal.escrow_id, positions=[0, 2], fee_units=0, log=log)
        assert Event.objects.filter(name="milestone.released").count() == 2

    def test_money_is_conserved_in_the_ledger(self, stage: Stage) -> None:
        stage.funded(fee_bps=100, fee_recipient="0x" + "fe" * 20)
        lifecycle.record_released(escrow=stage.deal.escrow_id, positions=[0], fee_units=1, log=chain_log())
        lifecycle.record_refunded(escrow=stage.deal.escrow_id, positions=[1], log=chain_log())
        stage.submitted(2)
        stage.disputed(2)
        lifecycle.record_split(
            escrow=stage.deal.escrow_id, seller_units={2: 150}, how="resolved", fee_units=1, log=chain_log()
        )
        currency = f"{stage.deal.chain_id}:{stage.token.address}"
        seller = balance(f"user:{stage.sol.user.pk}", currency)
        buyer = balance(f"user:{stage.bea.user.pk}", currency)
        fees = balance("platform:fees", currency)
        assert (seller, buyer, fees) == (99 + 149, 200 + 150, 1 + 1)
        assert balance(f"escrow:{stage.deal.pk}", currency) == 0

    def test_an_unknown_escrow_is_not_ours(self, stage: Stage) -> None:
        stage.funded()
        assert lifecycle.record_released(escrow="0x" + "00" * 32, positions=[0], fee_units=0, log=chain_log()) is False

    def test_what_a_fact_made_impossible_is_voided(self, stage: Stage) -> None:
        stage.funded()
        stage.submitted()
        intent = stage.request(stage.bea, Action.APPROVE, 0)
        lifecycle.record_refunded(escrow=stage.deal.escrow_id, positions=[0], log=chain_log())
        intent.refresh_from_db()
        assert intent.status == "VOIDED"

    def test_what_a_fact_left_possible_still_goes(self, stage: Stage) -> None:
        stage.funded()
        intent = stage.request(stage.sol, Action.SUBMIT, 0, note="here it is")
        lifecycle.record_extended(
            escrow=stage.deal.escrow_id, position=0, until=utc_now() + timedelta(days=30), log=chain_log()
        )
        intent.refresh_from_db()
        assert intent.status == "REQUESTED"

    def test_a_deal_called_off_here_but_paid_on_the_vault_lives(self, stage: Stage) -> None:
        stage.draft()
        stage.propose()
        stage.accept()
        lifecycle.cancel(transaction_id=stage.deal.pk, actor=stage.sol.user)
        lifecycle.record_funded(escrow=stage.deal.escrow_id, positions=[1], log=chain_log())
        assert stage.fresh().status == "IN_ESCROW"
        assert stage.milestone_states() == [
            ("CANCELLED", "UNFUNDED"),
            ("PENDING", "FUNDED"),
            ("CANCELLED", "UNFUNDED"),
        ]


class TestDeadlines:
    def test_a_silent_buyer_pays_and_a_silent_seller_does_not(self, stage: Stage) -> None:
        stage.funded()
        stage.submitted(0)
        after_review = utc_now() + timedelta(days=8)
        lifecycle.apply_deadlines(now=after_review)
        assert [(i.action, i.target, i.role) for i in ActionIntent.objects.all()] == [("claim", "1", "CLOCK")]
        after_grace = utc_now() + timedelta(days=10 + 7, minutes=1)
        lifecycle.apply_deadlines(now=after_grace)
        lifecycle.apply_deadlines(now=after_grace)
        assert {(i.action, i.target) for i in ActionIntent.objects.all()} == {
            ("claim", "1"),
            ("reclaim", "2"),
            ("reclaim", "4"),
        }

    def test_what_nobody_paid_for_expires_once(self, stage: Stage) -> None:
        stage.draft()
        stage.propose()
        later = utc_now() + timedelta(days=8)
        assert lifecycle.apply_deadlines(now=later)["expired"] == 1
        assert lifecycle.apply_deadlines(now=later)["expired"] == 0
        assert stage.fresh().status == "EXPIRED"

    def test_an_unfundable_rest_does_not_keep_a_deal_open(self, stage: Stage) -> None:
        stage.draft()
        stage.propose()
        stage.accept()
        lifecycle.record_funded(escrow=stage.deal.escrow_id, positions=[0], log=chain_log())
        lifecycle.record_released(escrow=stage.deal.escrow_id, positions=[0], fee_units=0, log=chain_log())
        assert stage.fresh().status == "WORK_IN_PROGRESS"
        lifecycle.apply_deadlines(now=utc_now() + timedelta(days=11))
        assert stage.fresh().status == "COMPLETED"


class TestReviewing:
    def test_both_reviews_close_the_deal(self, stage: Stage) -> None:
        stage.funded(amounts=(100,))
        lifecycle.record_released(escrow=stage.deal.escrow_id, positions=[0], fee_units=0, log=chain_log())
        lifecycle.leave_review(transaction_id=stage.deal.pk, author=stage.bea.user, rating=5, text="good")
        assert stage.fresh().status == "COMPLETED"
        with pytest.raises(ActionNotAllowed):
            lifecycle.leave_review(transaction_id=stage.deal.pk, author=stage.bea.user, rating=1)
        lifecycle.leave_review(transaction_id=stage.deal.pk, author=stage.sol.user, rating=4)
        assert stage.fresh().status == "CLOSED"

    def test_a_rating_is_1_to_5(self, stage: Stage) -> None:
        stage.funded(amounts=(100,))
        lifecycle.record_released(escrow=stage.deal.escrow_id, positions=[0], fee_units=0, log=chain_log())
        with pytest.raises(InvalidTerms):
            lifecycle.leave_review(transaction_id=stage.deal.pk, author=stage.bea.user, rating=6)


class TestTheDatabase:
    def test_a_milestone_settles_to_its_amount_exactly(self, stage: Stage) -> None:
        stage.funded()
        with pytest.raises(IntegrityError), db_transaction.atomic():
            Milestone.objects.filter(transaction=stage.deal, position=0).update(
                money="SPLIT", status="COMPLETED", seller_units=99, buyer_units=0
            )

    def test_money_of_78_digits_survives(self, stage: Stage) -> None:
        huge = 2**127 + 1
        stage.draft(amounts=(huge,))
        assert stage.deal.milestones.get().amount_units == huge


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_once_make_one_intent() -> None:
    """Real threads, real locks: one request wins, the other is told that it waits."""
    stage = cast.stage()
    stage.funded()
    stage.submitted()
    milestone = stage.deal.milestones.get(position=0)
    deadline = utc_now() + timedelta(hours=1)
    prepared = lifecycle.prepare_action(
        action=Action.APPROVE, deal=stage.deal, actor=stage.bea.user, milestone=milestone, deadline=deadline
    )
    signature = stage.bea.sign(prepared.message)
    barrier = threading.Barrier(2)
    outcomes: list[str] = []

    def click() -> None:
        barrier.wait()
        try:
            lifecycle.request_action(
                action=Action.APPROVE,
                transaction_id=stage.deal.pk,
                milestone_id=milestone.pk,
                actor=stage.bea.user,
                deadline=prepared.deadline_at,
                signature=signature,
                inputs=ActionInputs(),
            )
            outcomes.append("intent")
        except ActionPending:
            outcomes.append("pending")
        finally:
            connection.close()

    threads = [threading.Thread(target=click) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["intent", "pending"]
    assert ActionIntent.objects.count() == 1
