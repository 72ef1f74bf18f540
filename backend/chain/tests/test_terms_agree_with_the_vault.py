"""The hashes that people sign here are the ones that the vault computes itself, by the code that checks them."""

from typing import Any

import pytest
from eth_account import Account

from chain import bindings
from chain.tests.conftest import ChainStage
from chain.tests.node import Node
from transactions import queries, terms
from transactions.rules import Action

# The numbers of the messages in the vault's `digest` view.
NUMBERS = {
    "Accept": 0,
    "Submit": 2,
    "Release": 3,
    "RequestChanges": 4,
    "Extend": 5,
    "Reclaim": 6,
    "Refund": 7,
    "Dispute": 9,
    "Resolve": 10,
}
BYTES32 = "0x" + "a7" * 32
UINT256 = 2**255 + 12_345


@pytest.fixture
def vault(stage: ChainStage, node: Node) -> Any:
    return bindings.contract_at(node.w3, bindings.VAULT, stage.deployment.vault)


def proposed(stage: ChainStage, **changes: object) -> dict[str, Any]:
    stage.draft(**changes)  # type: ignore[arg-type]
    stage.propose()
    version = queries.latest_terms(stage.deal)
    assert version is not None
    return terms.struct_from_json(version.struct)


class TestEscrowId:
    @pytest.mark.parametrize("count", [1, 3, 32])
    def test_is_the_vaults_hash_of_the_terms(self, stage: ChainStage, vault: Any, count: int) -> None:
        recipient = Account.create().address
        struct = proposed(stage, amounts=tuple(range(1, count + 1)), fee_bps=125, fee_recipient=recipient)
        assert "0x" + vault.functions.hash_terms(struct).call().hex() == stage.deal.escrow_id

    def test_changes_with_every_field_of_the_terms(self, stage: ChainStage, vault: Any) -> None:
        struct = proposed(stage)
        others = {"address": "0x" + "00" * 19 + "09", "bytes32": BYTES32, "uint256": 77, "uint256[]": [1, 2, 4]}
        ids = {stage.deal.escrow_id}
        for field in terms.TERMS_FIELDS:
            changed = struct | {field["name"]: others[field["type"]]}
            ids.add(terms.escrow_id(changed))
            assert "0x" + vault.functions.hash_terms(changed).call().hex() == terms.escrow_id(changed)
        assert len(ids) == len(terms.TERMS_FIELDS) + 1


class TestDigests:
    @pytest.mark.parametrize("action", list(terms.MESSAGE_OF_ACTION), ids=str)
    def test_of_every_action_is_the_vaults(self, stage: ChainStage, vault: Any, action: Action) -> None:
        proposed(stage)
        primary = terms.MESSAGE_OF_ACTION[action]
        fields = {
            name: (BYTES32 if kind == "bytes32" else UINT256 + number)
            for number, (name, kind) in enumerate(terms.MESSAGES[primary])
            if name != "escrow"
        }
        message = terms.action_message(stage.deal, action, fields)
        words = [int(stage.deal.escrow_id, 16), *(int(v, 16) if isinstance(v, str) else v for v in fields.values())]
        expected = vault.functions.digest(NUMBERS[primary], words).call()
        assert terms.digest_of(message) == "0x" + expected.hex()

    def test_of_an_acceptance_is_the_vaults(self, stage: ChainStage, vault: Any) -> None:
        struct = proposed(stage)
        message = terms.accept_message(stage.deal, struct, epoch=3, deadline=UINT256)
        expected = vault.functions.digest(NUMBERS["Accept"], [int(stage.deal.escrow_id, 16), 3, UINT256]).call()
        assert terms.digest_of(message) == "0x" + expected.hex()

    def test_of_a_payment_is_the_tokens(self, stage: ChainStage, node: Node) -> None:
        # The token has no view of it; that it takes the signature (every test that funds) says that it agrees. Here:
        # that the money cannot be taken for another set of milestones or after a revocation.
        proposed(stage)

        def nonce(**changes: int) -> str:
            return terms.fund_nonce(**{"escrow": stage.deal.escrow_id, "milestones": 0b111, "epoch": 0, **changes})  # type: ignore[arg-type]

        assert len({nonce(), nonce(milestones=0b011), nonce(epoch=1)}) == 3
