"""The books: entered once, balanced, never edited."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.db import transaction as db_transaction

from ledger.errors import TransferConflict, TransferNotPending
from ledger.models import LedgerTransfer
from ledger.posting import post_pending, post_transfer, void_pending
from ledger.queries import balance, balances_of_transaction

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def fund(**changes: Any) -> LedgerTransfer:
    entry: dict[str, Any] = {
        "key": "funded:1:0",
        "kind": "fund",
        "escrow_transaction_id": 1,
        "currency": "tUSDC",
        "debit": "buyer:7",
        "credit": "escrow:1",
        "units": 2**127,
        "occurred_at": NOON,
    }
    return post_transfer(**(entry | changes))


class TestPostTransfer:
    def test_moves_units_from_debit_to_credit_exactly(self) -> None:
        fund()
        fund(key="released:1:0", kind="release", debit="escrow:1", credit="seller:8", units=2**126 + 1)
        assert balance("buyer:7", "tUSDC") == -(2**127)
        assert balance("escrow:1", "tUSDC") == 2**127 - 2**126 - 1
        assert balances_of_transaction(1) == {
            ("buyer:7", "tUSDC"): -(2**127),
            ("escrow:1", "tUSDC"): 2**126 - 1,
            ("seller:8", "tUSDC"): 2**126 + 1,
        }
        assert sum(balances_of_transaction(1).values()) == 0

    def test_entering_the_same_fact_again_changes_nothing(self) -> None:
        assert fund().pk == fund(occurred_at=NOON + timedelta(hours=1)).pk
        assert LedgerTransfer.objects.count() == 1

    @pytest.mark.parametrize(
        "change",
        [{"units": 5}, {"debit": "buyer:9"}, {"currency": "USDC"}, {"escrow_transaction_id": 2}, {"kind": "refund"}],
    )
    def test_refuses_another_fact_under_the_same_key(self, change: dict[str, Any]) -> None:
        fund()
        with pytest.raises(TransferConflict):
            fund(**change)

    @pytest.mark.parametrize(
        "change",
        [
            {"units": 0},
            {"units": -1},
            {"units": 1.5},
            {"units": True},
            {"credit": "buyer:7"},
            {"debit": "Bea"},
            {"occurred_at": datetime(2026, 11, 23)},  # noqa: DTZ001 - the naive moment is what is refused
        ],
    )
    def test_refuses_what_makes_no_sense(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"\S"):
            fund(**change)

    def test_keeps_currencies_apart(self) -> None:
        fund(units=5)
        fund(key="other", currency="USDC", units=7)
        assert balance("escrow:1", "tUSDC") == 5
        assert balance("escrow:1", "USDC") == 7
        assert balance("escrow:none", "USDC") == 0


class TestPendingTransfer:
    def test_counts_only_once_it_is_posted(self) -> None:
        fund(units=5, pending=True)
        assert balance("escrow:1", "tUSDC") == 0
        post_pending(key="funded:1:0", settled_at=NOON)
        post_pending(key="funded:1:0", settled_at=NOON)
        assert balance("escrow:1", "tUSDC") == 5

    def test_never_counts_once_it_is_voided(self) -> None:
        fund(units=5, pending=True)
        void_pending(key="funded:1:0", settled_at=NOON)
        with pytest.raises(TransferNotPending):
            post_pending(key="funded:1:0", settled_at=NOON)
        assert balance("escrow:1", "tUSDC") == 0


class TestTheDatabaseRefuses:
    """Whatever the program says: these go past posting.py, straight to the table."""

    @pytest.mark.parametrize("change", [{"units": 6}, {"currency": "USDC"}, {"key": "x"}, {"status": "VOIDED"}])
    def test_editing_a_posted_transfer(self, change: dict[str, Any]) -> None:
        fund(units=5)
        with pytest.raises(DatabaseError, match="never edited"), db_transaction.atomic():
            LedgerTransfer.objects.update(**change)

    def test_changing_the_amount_while_posting(self) -> None:
        fund(units=5, pending=True)
        with pytest.raises(DatabaseError, match="never edited"), db_transaction.atomic():
            LedgerTransfer.objects.update(status="POSTED", units=6)

    def test_deleting_a_transfer(self) -> None:
        fund(units=5, pending=True)
        with pytest.raises(DatabaseError, match="never deleted"), db_transaction.atomic():
            LedgerTransfer.objects.all()._raw_delete("default")
