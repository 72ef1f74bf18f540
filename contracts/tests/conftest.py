"""A chain in this process with the vault, the test token and the cast, put back after every test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boa
import pytest
from hypothesis import settings
from support import (
    ARI,
    BEA,
    DAY,
    MAX,
    MAX_WINDOW_SECONDS,
    MIN_WINDOW_SECONDS,
    PLATFORM,
    SOL,
    USDC,
    Deal,
    now,
)

ROOM = Path(__file__).resolve().parent.parent
LONG = os.environ.get("ESCROW_LONG") == "1"  # minutes instead of seconds, for changes of the vault

settings.register_profile("short", max_examples=20, stateful_step_count=25, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=500, stateful_step_count=50, deadline=None)
settings.load_profile("long" if LONG else "short")


@pytest.fixture(scope="session")
def vault() -> Any:
    return boa.load(str(ROOM / "src" / "EscrowVault.vy"), MIN_WINDOW_SECONDS, MAX_WINDOW_SECONDS)


@pytest.fixture(scope="session")
def token() -> Any:
    return boa.load(str(ROOM / "src" / "TestUSDC.vy"))


@pytest.fixture(scope="session")
def odd_token() -> Any:
    """Misbehaves as told."""
    return boa.load(str(ROOM / "tests" / "mocks" / "OddToken.vy"), 6)


@pytest.fixture(scope="session")
def wallet() -> Any:
    """A contract wallet that Max owns."""
    return boa.load(str(ROOM / "tests" / "mocks" / "Wallet.vy"), MAX.address)


@pytest.fixture(autouse=True)
def _clean_chain(vault: Any, token: Any, odd_token: Any, wallet: Any) -> Iterator[None]:
    with boa.env.anchor():
        yield


@pytest.fixture
def make_deal(vault: Any, token: Any) -> Callable[..., Deal]:
    """Terms between the cast; keyword arguments change single terms."""

    def make(*, over: Any = None, at: Any = None, **changes: Any) -> Deal:
        used_token = over or token
        terms = {
            "buyer": BEA.address,
            "seller": SOL.address,
            "arbiter": ARI.address,
            "token": used_token.address,
            "amounts": [100 * USDC, 250 * USDC + 1, 33],
            "deliver_by": [now() + 30 * DAY] * 3,
            "accept_by": now() + 7 * DAY,
            "review_seconds": 7 * DAY,
            "revision_seconds": 5 * DAY,
            "max_revisions": 2,
            "arbitration_seconds": 14 * DAY,
            "timeout_seller_bps": 5_000,
            "fee_recipient": PLATFORM.address,
            "fee_bps": 250,
            "details": b"\x11" * 32,
            "salt": b"\x22" * 32,
        }
        assert not set(changes) - set(terms)
        return Deal(at or vault, used_token, {**terms, **changes})

    return make


@pytest.fixture
def deal(make_deal: Callable[..., Deal]) -> Deal:
    """Three milestones, a fee of 2.5 %, nothing funded."""
    return make_deal()


@pytest.fixture
def funded(deal: Deal) -> Deal:
    """The same, all three milestones funded."""
    deal.fund()
    return deal
