"""One command puts the vault on the chain, once."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from chain import bindings, deployments, tasks
from chain.deployments import Deployment
from chain.errors import DeploymentRefused
from chain.models import ChainCursor, ChainTransaction, RelayerAccount
from chain.reconciliation import reconcile
from chain.tests.conftest import ChainStage
from chain.tests.node import Node
from transactions.errors import ChainUnavailable
from transactions.models import Token
from transactions.rules import Action


def deploy_vault(*arguments: str) -> str:
    output = io.StringIO()
    call_command("deploy_vault", *arguments, stdout=output)
    return output.getvalue()


class TestDeployVault:
    def test_deploys_once(self, db: None, node: Node) -> None:
        first = deploy_vault()
        assert "deployed on chain 31337" in first
        sent = ChainTransaction.objects.count()
        assert deploy_vault().startswith("already deployed: vault 0x")
        assert ChainTransaction.objects.count() == sent

    def test_the_vault_is_the_one_that_was_compiled_with_windows_for_a_test_chain(
        self, deployment: Deployment, node: Node
    ) -> None:
        vault = bindings.contract_at(node.w3, bindings.VAULT, deployment.vault)
        assert vault.functions.min_window_seconds().call() == 60
        assert vault.functions.max_window_seconds().call() == 365 * 86_400

    def test_the_test_token_is_offered(self, deployment: Deployment) -> None:
        token = Token.objects.get()
        assert (token.address, token.symbol, token.name, token.version, token.decimals, token.is_offered) == (
            deployment.token,
            "tUSDC",
            "Test USD Coin",
            "2",
            6,
            True,
        )

    def test_a_chain_that_was_reset_gets_a_new_vault(
        self, stage: ChainStage, node: Node, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = stage.deployment
        stage.funded()
        waiting = stage.request(stage.sol, Action.SUBMIT, 0, note="work")
        node.rpc("anvil_setCode", old.vault, "0x")
        node.reorganise_from(old.block_number)  # every block of ours is gone
        new = deployments.deploy(say=lambda _: None)
        assert deployments.current() == new
        assert new.block_hash != old.block_hash
        assert not ChainCursor.objects.filter(vault=old.vault).exists()
        account = RelayerAccount.objects.get()
        assert account.next_nonce == node.nonce_of(account.address)
        waiting.refresh_from_db()
        assert (waiting.status, waiting.failure) == ("FAILED", "the development chain was reset; its vault is gone")

    def test_a_real_chain_never_gets_a_second_vault_by_itself(
        self, deployment: Deployment, node: Node, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deployments, "DEVELOPMENT_CHAIN_ID", 1)  # 31337 is a real chain now
        node.rpc("anvil_setCode", deployment.vault, "0x00")
        with pytest.raises(DeploymentRefused, match="does not hold the vault"):
            deployments.deploy(say=lambda _: None)

    def test_without_a_node_ends_in_one_sentence(self, settings: Any, tmp_path: Any) -> None:
        settings.RPC_URL = ""
        with pytest.raises(CommandError, match="^the chain is off: RPC_URL is not set$"):
            deploy_vault()

    def test_without_a_vault_new_agreements_are_told_what_to_do(self, node: Node) -> None:
        with pytest.raises(ChainUnavailable, match="manage.py deploy_vault"):
            deployments.current()


class TestRegisterToken:
    def test_reads_from_the_chain_what_the_token_is(self, deployment: Deployment) -> None:
        Token.objects.all().delete()
        assert "tUSDC at" in deploy_vault("--token", deployment.token)
        assert Token.objects.get(address=deployment.token).is_offered

    def test_refuses_what_cannot_be_signed_for(self, deployment: Deployment) -> None:
        with pytest.raises(CommandError, match="does not answer as a token"):
            deploy_vault("--token", deployment.vault)


class TestRestartedDevelopmentNode:
    def test_gets_back_what_it_lost_by_the_same_bytes(self, stage: ChainStage, node: Node) -> None:
        stage.funded()
        stage.do(stage.bea, Action.APPROVE, 0)
        events = stage.deal.events.count()
        _, approve = ChainTransaction.objects.filter(intent__isnull=False).order_by("nonce")
        node.reorganise_from(approve.block_number or 0)  # killed before it was written
        tasks.follow_chain()
        stage.settle()
        approve.refresh_from_db()
        assert approve.status == "FINAL"
        assert stage.balance_of(stage.sol.key.address) == 100
        assert stage.deal.events.count() == events
        assert reconcile() == (1, [])
        assert stage.do(stage.bea, Action.APPROVE, 1).status == "DONE"
