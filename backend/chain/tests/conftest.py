"""A deployed vault on a real node, and the cast before it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from eth_utils.address import to_checksum_address

from chain import bindings, deployments, indexer, relayer
from chain.deployments import Deployment
from chain.models import ChainTransaction
from chain.tests.node import Node, anvil_binary, own_anvil
from transactions.models import ActionIntent, EscrowTransaction, Token
from transactions.rules import Action
from transactions.tests import cast
from transactions.tests.cast import Person, Stage

CONFIRMATIONS = 3


@pytest.fixture(scope="session")
def anvil_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The node of `./escrow test` (RPC_URL), else one of our own."""
    binary = anvil_binary()
    # Two test processes have two databases, and so would take the same nonces on one node.
    shares_its_node = "PYTEST_XDIST_WORKER" in os.environ
    if django_settings.RPC_URL and not (shares_its_node and binary):
        yield django_settings.RPC_URL
        return
    if binary is None:
        pytest.skip("no node: run `./escrow test`, or set RPC_URL or ANVIL")
    with own_anvil(binary, tmp_path_factory.mktemp("anvil")) as url:
        yield url


@pytest.fixture
def node(anvil_url: str, settings: Any, tmp_path: Path) -> Node:
    """The node, configured as the platform's chain. Each test deploys its own vault, so nothing is rolled back."""
    settings.DEBUG = True
    settings.RPC_URL = anvil_url
    settings.CHAIN_ID = 31337
    settings.CHAIN_CONFIRMATIONS = CONFIRMATIONS
    settings.SANDBOX_WALLETS = True
    settings.RELAYER_KEYSTORE = ""
    settings.DEPLOYMENTS_DIR = tmp_path / "deployments"
    return Node(anvil_url)


@pytest.fixture
def deployment(db: None, node: Node) -> Deployment:
    """A vault and a test token of this test's own."""
    return deployments.deploy(say=lambda _: None)


@dataclass
class ChainStage(Stage):
    """The cast before a real vault."""

    node: Node = field(kw_only=True)
    deployment: Deployment = field(kw_only=True)

    def draft(self, amounts: tuple[int, ...] = (100, 200, 300), **changes: object) -> EscrowTransaction:
        return super().draft(amounts, **{"vault_address": self.deployment.vault, **changes})

    def agreed(self, **changes: object) -> EscrowTransaction:
        """Terms that both have signed, and a buyer who has the money."""
        self.draft(**changes)  # type: ignore[arg-type]
        self.propose()
        self.accept()
        self.mint(self.bea, self.deal.total_units)
        return self.deal

    def funded(self, **changes: object) -> EscrowTransaction:
        """A deal of which every milestone is funded, on the chain too."""
        self.agreed(**changes)
        self.do(self.bea, Action.FUND)
        return self.fresh()

    def mint(self, who: Person, units: int) -> None:
        call = bindings.encode_call(bindings.TEST_TOKEN, "mint", [who.key.address, units])
        self.node.send(who.key, self.deployment.token, call)

    def do(self, who: Person, action: Action, position: int | None = None, **inputs: object) -> ActionIntent:
        """Request an action, relay it, and let it become final."""
        intent = self.request(who, action, position, **inputs)
        self.relay(intent)
        self.settle()
        intent.refresh_from_db()
        return intent

    def relay(self, intent: ActionIntent) -> ChainTransaction:
        sent = relayer.send_intent(intent.pk)
        assert sent is not None, ActionIntent.objects.get(pk=intent.pk).failure
        relayer.wait_until_mined(sent)
        return sent

    def settle(self) -> None:
        """Mine what makes everything so far final, and look."""
        self.node.mine(CONFIRMATIONS)
        self.look()

    def look(self) -> dict[str, int]:
        tracked = relayer.track_transactions(self.deployment.chain_id)
        looked = indexer.follow_chain()
        assert looked is not None
        return tracked | looked

    def balance_of(self, address: str) -> int:
        token = bindings.contract_at(self.node.w3, bindings.TEST_TOKEN, self.deployment.token)
        units: int = token.functions.balanceOf(to_checksum_address(address)).call()
        return units


@pytest.fixture
def stage(deployment: Deployment, node: Node) -> ChainStage:
    """Bea, Sol, Ari and Max with wallets of their own, and a vault."""
    return ChainStage(
        bea=cast.person("Bea"),
        sol=cast.person("Sol"),
        ari=cast.person("Ari", is_arbiter=True),
        max=cast.person("Max"),
        token=Token.objects.get(chain_id=deployment.chain_id, address=deployment.token),
        node=node,
        deployment=deployment,
    )
