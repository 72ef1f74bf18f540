"""Wallets held by the platform work in development and refuse to exist anywhere else."""

from typing import Any

import pytest
from eth_utils.address import is_checksum_address

from chain import bindings, relayer, sandbox, signatures
from chain.deployments import Deployment
from chain.errors import SandboxRefused
from chain.tests.node import Node
from transactions.errors import ChainUnavailable
from users.models import User, Wallet


@pytest.fixture
def bea(db: None) -> User:
    return User.objects.create_user("bea@example.com", "a long password", display_name="Bea")


MESSAGE = {
    "types": {"EIP712Domain": [{"name": "name", "type": "string"}], "Note": [{"name": "words", "type": "string"}]},
    "primaryType": "Note",
    "domain": {"name": "Test"},
    "message": {"words": "I agree"},
}


class TestSandboxWallet:
    def test_signs_for_its_owner(self, node: Node, bea: User) -> None:
        wallet = sandbox.create_wallet(bea)
        assert wallet.kind == Wallet.Kind.SANDBOX
        assert is_checksum_address(wallet.address)
        signature = sandbox.sign(bea, MESSAGE)
        assert signatures.verify(message=MESSAGE, signature=signature, signer=wallet.address)

    def test_is_the_same_however_often_it_is_asked_for(self, node: Node, bea: User) -> None:
        assert sandbox.create_wallet(bea) == sandbox.create_wallet(bea)

    def test_is_another_for_everybody_and_for_every_installation(self, node: Node, bea: User, settings: Any) -> None:
        sol = User.objects.create_user("sol@example.com", "a long password", display_name="Sol")
        addresses = {sandbox.create_wallet(bea).address, sandbox.create_wallet(sol).address}
        settings.SECRET_KEY = "another installation's secret"
        addresses.add(sandbox._key(bea).address)
        assert len(addresses) == 3

    def test_does_not_sign_for_who_has_none(self, node: Node, bea: User) -> None:
        with pytest.raises(SandboxRefused):
            sandbox.sign(bea, MESSAGE)

    def test_receives_test_money(self, deployment: Deployment, node: Node, bea: User) -> None:
        relayer.wait_until_mined(sandbox.fund(bea, 5_000_000))
        token = bindings.contract_at(node.w3, bindings.TEST_TOKEN, deployment.token)
        assert token.functions.balanceOf(sandbox.create_wallet(bea).address).call() == 5_000_000

    @pytest.mark.parametrize(
        ("name", "value"), [("SANDBOX_WALLETS", False), ("DEBUG", False), ("CHAIN_ID", 1), ("CHAIN_ID", 11155111)]
    )
    def test_refuses_to_exist_outside_development(
        self, node: Node, bea: User, settings: Any, name: str, value: object
    ) -> None:
        sandbox.create_wallet(bea)
        setattr(settings, name, value)
        for use in (sandbox.create_wallet, sandbox.fund, lambda user: sandbox.sign(user, MESSAGE)):
            with pytest.raises(SandboxRefused):
                use(bea)

    def test_refuses_to_exist_when_the_node_is_on_another_chain(
        self, node: Node, bea: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        node.rpc("anvil_setChainId", 4242)
        try:
            with pytest.raises(ChainUnavailable):
                sandbox.create_wallet(bea)
        finally:
            node.rpc("anvil_setChainId", 31337)
        assert not Wallet.objects.exists()
