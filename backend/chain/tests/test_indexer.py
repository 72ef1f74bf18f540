"""What the vault says becomes true here: only when it is final, in order, once, whoever sent it."""

import threading
from typing import Any

import pytest
from django.db import connection
from eth_typing import Hash32

from chain import bindings, indexer, relayer
from chain.errors import ChainRewritten
from chain.models import ChainCursor, ChainLog, ChainTransaction
from chain.tests.conftest import CONFIRMATIONS, ChainStage
from common.clock import to_epoch
from transactions import lifecycle, queries, terms
from transactions.models import Event
from transactions.rules import Action

DELIVERABLE = "0x" + "d1" * 32


def struct_of(stage: ChainStage) -> dict[str, Any]:
    version = queries.latest_terms(stage.deal)
    assert version is not None
    return terms.struct_from_json(version.struct)


def call(stage: ChainStage, who: Any, function: str, *arguments: Any) -> str:
    """A party's own transaction to the vault, past the platform."""
    data = bindings.encode_call(bindings.VAULT, function, arguments)
    return stage.node.send(who.key, stage.deployment.vault, data)


class TestDirectCalls:
    """Who never asks us anything is followed just as well."""

    def test_a_whole_life_past_the_platform(self, stage: ChainStage) -> None:
        deal = stage.agreed()
        struct = struct_of(stage)
        accepted = deal.terms_versions.get().signatures.get(role="SELLER")
        approve = bindings.encode_call(bindings.TEST_TOKEN, "approve", [stage.deployment.vault, 600])
        stage.node.send(stage.bea.key, stage.deployment.token, approve)
        call(stage, stage.bea, "fund", struct, 0b111, to_epoch(accepted.deadline_at), accepted.signature)
        call(stage, stage.sol, "submit", struct, 0, 1, DELIVERABLE, 0, b"")
        call(stage, stage.bea, "release", struct, 0b001, 0, b"")
        call(stage, stage.sol, "submit", struct, 1, 1, DELIVERABLE, 0, b"")
        call(stage, stage.sol, "refund", struct, 0b100, 0, b"")
        stage.settle()
        assert stage.milestone_states() == [
            ("COMPLETED", "RELEASED"),
            ("AWAITING_REVIEW", "FUNDED"),
            ("REFUNDED", "REFUNDED"),
        ]
        assert stage.deal.milestones.get(position=1).submissions.get().deliverable_hash == DELIVERABLE
        assert not ChainTransaction.objects.filter(intent__isnull=False).exists()

    def test_settles_what_the_same_party_also_asked_us_for(self, stage: ChainStage) -> None:
        stage.funded()
        intent = stage.request(stage.bea, Action.APPROVE, 0)
        call(stage, stage.bea, "release", struct_of(stage), 0b001, 0, b"")
        stage.settle()
        intent.refresh_from_db()
        assert intent.status == "DONE"
        assert relayer.send_intent(intent.pk) is None
        assert not ChainTransaction.objects.filter(intent=intent).exists()

    def test_voids_what_it_contradicts(self, stage: ChainStage) -> None:
        stage.funded()
        intent = stage.request(stage.bea, Action.APPROVE, 0)
        call(stage, stage.sol, "refund", struct_of(stage), 0b001, 0, b"")
        stage.settle()
        intent.refresh_from_db()
        assert intent.status == "VOIDED"

    def test_strangers_escrows_are_kept_raw_and_change_nothing(self, stage: ChainStage) -> None:
        stage.agreed()
        struct = struct_of(stage) | {"salt": "0x" + "99" * 32}
        message = terms.accept_message(stage.deal, struct, epoch=0, deadline=struct["accept_by"])
        digest = Hash32(bytes.fromhex(terms.digest_of(message)[2:]))
        accepted = bytes(stage.sol.key.unsafe_sign_hash(digest).signature)
        approve = bindings.encode_call(bindings.TEST_TOKEN, "approve", [stage.deployment.vault, 600])
        stage.node.send(stage.bea.key, stage.deployment.token, approve)
        call(stage, stage.bea, "fund", struct, 0b111, struct["accept_by"], accepted)
        stage.settle()
        assert set(ChainLog.objects.values_list("state", flat=True)) == {"FINAL"}
        assert stage.fresh().status == "AWAITING_PAYMENT"
        assert not Event.objects.filter(name="milestone.funded").exists()


class TestFinality:
    def test_nothing_is_promised_before_the_last_confirmation(self, stage: ChainStage, settings: Any) -> None:
        settings.CHAIN_CONFIRMATIONS = 100  # so that a node that mines by itself does not get there first
        stage.agreed()
        intent = stage.request(stage.bea, Action.FUND)
        sent = stage.relay(intent)
        stage.look()
        intent.refresh_from_db()
        assert (intent.status, stage.fresh().status) == ("SEEN", "AWAITING_PAYMENT")
        assert set(ChainLog.objects.filter(tx_hash=sent.tx_hash).values_list("state", flat=True)) == {"SEEN"}
        stage.node.mine(50)
        stage.look()
        assert stage.fresh().status == "AWAITING_PAYMENT"
        stage.node.mine(50)
        stage.look()
        intent.refresh_from_db()
        sent.refresh_from_db()
        assert (intent.status, sent.status, stage.fresh().status) == ("DONE", "FINAL", "IN_ESCROW")

    def test_looking_again_changes_nothing(self, stage: ChainStage) -> None:
        stage.funded()
        before = list(Event.objects.values_list("pk", flat=True))
        ChainCursor.objects.update(next_block=0, final_hash="")
        assert stage.look()["applied"] == 0
        ChainLog.objects.all().delete()
        ChainCursor.objects.update(next_block=0, final_hash="")
        assert stage.look()["applied"] > 0
        assert list(Event.objects.values_list("pk", flat=True)) == before

    def test_a_log_that_cannot_be_applied_stops_everything_behind_it(
        self, stage: ChainStage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage.funded()
        stage.relay(stage.request(stage.sol, Action.SUBMIT, 0, note="work"))
        stage.relay(stage.request(stage.bea, Action.APPROVE, 1))
        stage.node.mine(CONFIRMATIONS)
        with monkeypatch.context() as broken:
            broken.setattr(lifecycle, "record_submitted", lambda **_: 1 / 0)
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    stage.look()
        assert stage.milestone_states()[:2] == [("PENDING", "FUNDED"), ("PENDING", "FUNDED")]
        stuck = ChainLog.objects.exclude(error="").get()
        assert "ZeroDivisionError" in stuck.error
        assert "cannot be applied" in ChainCursor.objects.get().problem
        stage.look()
        assert stage.milestone_states()[:2] == [("AWAITING_REVIEW", "FUNDED"), ("COMPLETED", "RELEASED")]
        assert ChainCursor.objects.get().problem == ""


class TestReorganisation:
    def test_takes_back_what_was_only_seen_and_the_relayer_sends_it_again(
        self, stage: ChainStage, settings: Any
    ) -> None:
        stage.agreed()
        stage.settle()
        settings.CHAIN_CONFIRMATIONS = 30
        intent = stage.request(stage.bea, Action.FUND)
        sent = stage.relay(intent)
        stage.look()
        assert ChainLog.objects.filter(tx_hash=sent.tx_hash, state="SEEN").exists()
        mined_in = ChainLog.objects.filter(tx_hash=sent.tx_hash).values_list("block_number", flat=True)[0]
        stage.node.reorganise_from(mined_in)
        gone = stage.look()
        assert gone["orphaned"] == 2
        assert stage.fresh().status == "AWAITING_PAYMENT"
        assert not Event.objects.filter(name="milestone.funded").exists()
        # The bytes were sent again by the same look, so the next block has them: same hash, no second nonce.
        stage.node.mine(31)
        stage.look()
        sent.refresh_from_db()
        intent.refresh_from_db()
        assert (sent.status, intent.status, stage.fresh().status) == ("FINAL", "DONE", "IN_ESCROW")
        states = ChainLog.objects.filter(tx_hash=sent.tx_hash).values_list("state", flat=True)
        assert sorted(states) == ["FINAL", "FINAL", "ORPHANED", "ORPHANED"]
        assert Event.objects.filter(name="milestone.funded").count() == 3

    def test_of_a_party_who_then_does_something_else_leaves_only_that(self, stage: ChainStage, settings: Any) -> None:
        stage.funded()
        settings.CHAIN_CONFIRMATIONS = 30
        call(stage, stage.bea, "release", struct_of(stage), 0b001, 0, b"")
        stage.look()
        mined_in = ChainLog.objects.filter(state="SEEN").values_list("block_number", flat=True)[0]
        stage.node.reorganise_from(mined_in)
        call(stage, stage.sol, "refund", struct_of(stage), 0b001, 0, b"")
        stage.node.mine(30)
        stage.look()
        assert stage.milestone_states()[0] == ("REFUNDED", "REFUNDED")
        assert ChainLog.objects.filter(state="ORPHANED").count() == 1

    def test_deeper_than_what_was_final_stops_with_an_alarm(self, stage: ChainStage) -> None:
        stage.funded()
        before = stage.milestone_states()
        stage.node.reorganise(CONFIRMATIONS + 1)
        stage.node.mine(CONFIRMATIONS)
        for _ in range(2):
            with pytest.raises(ChainRewritten):
                indexer.follow_chain()
        assert "rewritten" in ChainCursor.objects.get().problem
        assert stage.milestone_states() == before


@pytest.mark.django_db(transaction=True)
class TestSeveralPokesAtOnce:
    def test_one_looks_and_the_others_go_away(self, stage: ChainStage) -> None:
        stage.agreed()
        stage.relay(stage.request(stage.bea, Action.FUND))
        stage.node.mine(CONFIRMATIONS)
        barrier = threading.Barrier(4)
        results: list[object] = []

        def poke() -> None:
            try:
                barrier.wait()
                results.append(indexer.follow_chain())
            except Exception as error:
                results.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=poke) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not [result for result in results if isinstance(result, Exception)]
        assert sum(result["applied"] for result in results if isinstance(result, dict)) == 2
        assert Event.objects.filter(name="milestone.funded").count() == 3
