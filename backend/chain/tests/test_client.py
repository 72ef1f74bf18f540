"""One clear sentence when the chain is not there, without the secrets that node addresses carry."""

from typing import Any

import pytest

from chain import client, tasks
from chain.tests.node import Node
from transactions.errors import ChainUnavailable


class TestConnect:
    def test_says_that_the_chain_is_off(self, settings: Any) -> None:
        settings.RPC_URL = ""
        with pytest.raises(ChainUnavailable, match="RPC_URL is not set"):
            client.connect()

    def test_says_where_no_node_answers_without_the_key_in_its_address(self, settings: Any) -> None:
        settings.RPC_URL = "http://user:hunter2@127.0.0.1:9/v3/secret-key?token=abc"
        with pytest.raises(ChainUnavailable) as refusal:
            client.connect()
        assert refusal.value.message == "no node answers at http://127.0.0.1:9 (connection refused)"

    def test_refuses_a_node_of_another_chain(self, node: Node, settings: Any) -> None:
        settings.CHAIN_ID = 1
        with pytest.raises(ChainUnavailable, match="is on chain 31337, not on 1"):
            client.connect()

    def test_gives_a_client_of_the_configured_chain(self, node: Node) -> None:
        assert client.connect().eth.chain_id == 31337


class TestTasksWithoutAChain:
    def test_say_so_once_and_return(self, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
        settings.RPC_URL = ""
        tasks._off.clear()
        for _ in range(3):
            assert tasks.follow_chain() == {}
            assert tasks.send_pending_intents() == {}
            assert tasks.send_intent(intent_id=1) == ""
        assert [record.getMessage() for record in caplog.records if "chain is off" in record.getMessage()] == [
            "the chain is off: RPC_URL is not set; everything else works, and this is taken up when it is back"
        ]
