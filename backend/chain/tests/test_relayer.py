"""Sent once, whatever dies on the way."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db import transaction as db_transaction
from eth_account import Account
from web3.eth import Eth

from chain import bindings, client, keys, relayer
from chain.calls import _CALLS
from chain.errors import CallReverted, RelayerUnavailable
from chain.models import ChainTransaction, RelayerAccount
from chain.tests.conftest import ChainStage
from common.clock import utc_now
from transactions import terms
from transactions.errors import ChainUnavailable
from transactions.models import ActionIntent
from transactions.rules import Action


class Killed(BaseException):
    """What a process that dies does to the code it was in."""


def die(*_: Any, **__: Any) -> Any:
    raise Killed


class TestSendingOnce:
    def test_a_crash_between_the_row_and_the_wire_sends_the_same_bytes_later(
        self, stage: ChainStage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage.agreed()
        intent = stage.request(stage.bea, Action.FUND)
        with monkeypatch.context() as crash:
            crash.setattr(Eth, "send_raw_transaction", die)
            with pytest.raises(Killed):
                relayer.send_intent(intent.pk)
        prepared = ChainTransaction.objects.get(intent=intent)
        assert prepared.status == "PREPARED"
        counts = relayer.send_pending(now=utc_now() + timedelta(minutes=1))
        assert counts == {"sent": 0, "broadcast": 1, "failed": 0}
        stage.settle()
        sent = ChainTransaction.objects.get(intent=intent)
        assert (sent.tx_hash, sent.nonce, sent.status) == (prepared.tx_hash, prepared.nonce, "FINAL")
        assert stage.fresh().status == "IN_ESCROW"

    def test_a_crash_after_the_wire_sends_nothing_new(self, stage: ChainStage, monkeypatch: pytest.MonkeyPatch) -> None:
        stage.agreed()
        intent = stage.request(stage.bea, Action.FUND)
        really_send = Eth.send_raw_transaction

        def send_and_die(self: Eth, raw: Any) -> Any:
            really_send(self, raw)
            raise Killed

        with monkeypatch.context() as crash:
            crash.setattr(Eth, "send_raw_transaction", send_and_die)
            with pytest.raises(Killed):
                relayer.send_intent(intent.pk)
        again = relayer.send_intent(intent.pk)
        assert again is not None
        assert again.status == "SUBMITTED"
        stage.settle()
        assert stage.node.nonce_of(again.sender) == again.nonce + 1
        assert stage.fresh().status == "IN_ESCROW"

    def test_an_intent_whose_task_never_came_is_swept_up(self, stage: ChainStage) -> None:
        stage.agreed()
        stage.request(stage.bea, Action.FUND)
        assert relayer.send_pending()["sent"] == 0  # its task may still be on the way
        assert relayer.send_pending(now=utc_now() + timedelta(minutes=1))["sent"] == 1
        assert relayer.send_pending(now=utc_now() + timedelta(minutes=2)) == {"sent": 0, "broadcast": 0, "failed": 0}

    def test_bytes_that_the_node_lost_are_sent_again(self, stage: ChainStage, monkeypatch: pytest.MonkeyPatch) -> None:
        stage.agreed()
        sent = self.send_and_lose(stage.request(stage.bea, Action.FUND), monkeypatch)
        assert relayer.track_transactions(stage.deployment.chain_id)["resent"] == 1
        stage.settle()
        sent.refresh_from_db()
        assert sent.status == "FINAL"

    def test_a_nonce_that_somebody_else_used_is_replaced_once_that_is_final(
        self, stage: ChainStage, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        stage.agreed()
        sent = self.send_and_lose(stage.request(stage.bea, Action.FUND), monkeypatch)
        thief = keys.relayer_key(31337)
        stage.node.send(thief, stage.bea.key.address, "0x")  # the same key, used by another program
        settings.CHAIN_CONFIRMATIONS = 30
        relayer.track_transactions(stage.deployment.chain_id)
        sent.refresh_from_db()
        assert sent.status == "SUBMITTED"
        stage.node.mine(30)
        relayer.track_transactions(stage.deployment.chain_id)
        sent.refresh_from_db()
        assert sent.status == "DROPPED"
        assert relayer.send_pending(now=utc_now() + timedelta(minutes=1))["sent"] == 1
        stage.node.mine(30)
        stage.look()
        lost = sent.tx_hash
        sent.refresh_from_db()
        assert (sent.status, sent.earlier_hashes) == ("FINAL", [lost])
        assert stage.fresh().status == "IN_ESCROW"

    @staticmethod
    def send_and_lose(intent: ActionIntent, monkeypatch: pytest.MonkeyPatch) -> ChainTransaction:
        """Send to a node that says yes and forgets."""
        with monkeypatch.context() as forgetful:
            forgetful.setattr(Eth, "send_raw_transaction", lambda *_: None)
            sent = relayer.send_intent(intent.pk)
        assert sent is not None
        assert sent.status == "SUBMITTED"
        return sent


@pytest.mark.django_db(transaction=True)
class TestWorkersAtOnce:
    def test_one_intent_becomes_one_transaction(self, stage: ChainStage) -> None:
        stage.agreed()
        intent = stage.request(stage.bea, Action.FUND)
        hashes = self.at_once(4, lambda _: relayer.send_intent(intent.pk))
        assert len(set(hashes)) == 1
        assert ChainTransaction.objects.filter(intent=intent).count() == 1

    def test_many_intents_take_nonces_without_gaps(self, stage: ChainStage) -> None:
        stage.funded(amounts=(1,) * 8)
        first = RelayerAccount.objects.get().next_nonce
        intents = [stage.request(stage.bea, Action.APPROVE, position) for position in range(8)]
        self.at_once(8, lambda number: relayer.send_intent(intents[number].pk))
        rows = ChainTransaction.objects.filter(intent__in=intents)
        assert sorted(rows.values_list("nonce", flat=True)) == list(range(first, first + 8))
        stage.settle()
        assert stage.fresh().status == "COMPLETED"

    def test_nothing_is_sent_from_inside_a_database_transaction_that_may_still_roll_back(
        self, stage: ChainStage
    ) -> None:
        stage.agreed()
        intent = stage.request(stage.bea, Action.FUND)
        with pytest.raises(RuntimeError, match="durable"), db_transaction.atomic():
            relayer.send_intent(intent.pk)
        assert not ChainTransaction.objects.filter(intent=intent).exists()

    @staticmethod
    def at_once(workers: int, send: Any) -> list[str]:
        barrier = threading.Barrier(workers)
        hashes: list[str] = []
        errors: list[Exception] = []

        def work(number: int) -> None:
            try:
                barrier.wait()
                hashes.append(send(number).tx_hash)
            except Exception as error:
                errors.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        return hashes


class TestRefusals:
    def test_the_vaults_reason_reaches_the_person(self, stage: ChainStage) -> None:
        stage.draft()
        stage.propose()
        stage.accept()
        intent = stage.request(stage.bea, Action.FUND)  # without the money
        nonces = RelayerAccount.objects.get().next_nonce
        assert relayer.send_intent(intent.pk) is None
        intent.refresh_from_db()
        assert intent.status == "FAILED"
        assert intent.failure == "tUSDC: transfer amount exceeds balance"
        assert RelayerAccount.objects.get().next_nonce == nonces  # no nonce was used up

    def test_a_call_that_fails_only_on_chain_fails_when_that_is_final(
        self, stage: ChainStage, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        stage.funded()
        settings.CHAIN_CONFIRMATIONS = 30
        intent = stage.request(stage.bea, Action.APPROVE, 0)
        version = stage.deal.terms_versions.get()
        refund = bindings.encode_call(bindings.VAULT, "refund", [terms.struct_from_json(version.struct), 0b001, 0, b""])
        stage.node.send(stage.sol.key, stage.deployment.vault, refund)  # a moment before us, by his own wallet
        monkeypatch.setattr(relayer, "_estimate", lambda *_: 1_000_000)
        sent = relayer.send_intent(intent.pk)
        assert sent is not None
        with pytest.raises(CallReverted, match="escrow: milestone is settled"):
            relayer.wait_until_mined(sent)
        relayer.track_transactions(stage.deployment.chain_id)
        sent.refresh_from_db()
        assert (sent.status, sent.succeeded) == ("MINED", False)
        stage.node.mine(30)
        relayer.track_transactions(stage.deployment.chain_id)
        sent.refresh_from_db()
        intent.refresh_from_db()
        assert (sent.status, intent.status) == ("FAILED", "FAILED")
        assert intent.failure == sent.error != ""

    def test_a_signature_past_its_deadline_is_not_sent(self, stage: ChainStage) -> None:
        stage.agreed()
        intent = stage.request(stage.bea, Action.FUND)
        ActionIntent.objects.filter(pk=intent.pk).update(deadline_at=utc_now() - timedelta(seconds=1))
        assert relayer.send_intent(intent.pk) is None
        intent.refresh_from_db()
        assert (intent.status, intent.failure) == ("FAILED", "the signature's deadline has passed; sign again")

    def test_without_a_node_the_intent_waits(self, stage: ChainStage, settings: Any) -> None:
        stage.agreed()
        intent = stage.request(stage.bea, Action.FUND)
        settings.RPC_URL = "http://127.0.0.1:9"
        with pytest.raises(ChainUnavailable):
            relayer.send_intent(intent.pk)
        intent.refresh_from_db()
        assert intent.status == "REQUESTED"


class TestRelayerKey:
    def test_the_public_development_key_is_refused_on_any_other_chain(self, settings: Any) -> None:
        settings.DEBUG = True
        settings.RELAYER_KEYSTORE = ""
        with pytest.raises(RelayerUnavailable):
            keys.relayer_key(1)
        settings.DEBUG = False
        with pytest.raises(RelayerUnavailable):
            keys.relayer_key(31337)

    def test_opens_a_keystore_and_says_nothing_of_its_content_when_it_does_not(
        self, settings: Any, tmp_path: Any
    ) -> None:
        key = Account.create()
        (tmp_path / "relayer.json").write_text(json.dumps(Account.encrypt(key.key, "open sesame", iterations=2)))
        (tmp_path / "password").write_text("open sesame\n")
        (tmp_path / "wrong").write_text("let me in\n")
        settings.RELAYER_KEYSTORE = str(tmp_path / "relayer.json")
        settings.RELAYER_PASSWORD_FILE = str(tmp_path / "password")
        assert keys.relayer_key(1).address == key.address
        settings.RELAYER_PASSWORD_FILE = str(tmp_path / "wrong")
        with pytest.raises(RelayerUnavailable) as refusal:
            keys.relayer_key(1)
        assert "let me in" not in refusal.value.message


class TestRevertReason:
    @pytest.mark.parametrize(
        ("raw", "words"),
        [
            ("execution reverted: escrow: caller is not the buyer", "escrow: caller is not the buyer"),
            ("execution reverted", "the contract refused the call without saying why"),
        ],
    )
    def test_is_the_contracts_own(self, raw: str, words: str) -> None:
        assert client.revert_reason(Exception(raw)) == words


def test_every_call_of_the_vault_that_we_send_exists_in_its_abi() -> None:
    functions = {entry["name"] for entry in bindings.artifact(bindings.VAULT).abi if entry["type"] == "function"}
    assert {function for function, _ in _CALLS.values()} | {"fund_with_authorization"} <= functions
