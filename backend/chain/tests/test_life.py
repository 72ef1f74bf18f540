"""A deal's whole life on a real chain: signed by the parties, relayed by us, followed into the mirror."""

from datetime import datetime, timedelta

from chain.models import ChainLog, ChainTransaction
from chain.reconciliation import reconcile
from chain.tests.conftest import ChainStage
from common.clock import from_epoch, utc_now
from ledger.queries import balance
from transactions import lifecycle
from transactions.lifecycle import MilestoneDraft
from transactions.models import ActionIntent
from transactions.rules import Action


def chain_time(stage: ChainStage) -> datetime:
    """The node's clock, which tests put forward and never back."""
    return from_epoch(stage.node.w3.eth.get_block("latest")["timestamp"])


class TestWholeLife:
    def test_three_milestones_end_three_ways_and_every_unit_is_accounted_for(self, stage: ChainStage) -> None:
        deal = stage.agreed(amounts=(1_000_000, 2_000_000, 3_000_001))
        steps = [
            stage.do(stage.bea, Action.FUND),
            stage.do(stage.sol, Action.SUBMIT, 0, note="the first part"),
            stage.do(stage.bea, Action.APPROVE, 0),
            stage.do(stage.sol, Action.SUBMIT, 1, note="the second part"),
            stage.do(stage.bea, Action.REQUEST_CHANGES, 1, reason="the logo is missing"),
            stage.do(stage.sol, Action.SUBMIT, 1, note="the second part, with the logo"),
            stage.do(stage.bea, Action.APPROVE, 1),
            stage.do(stage.sol, Action.SUBMIT, 2, note="the third part"),
            stage.do(stage.bea, Action.DISPUTE, 2, reason="this is not what we agreed"),
            stage.do(stage.ari, Action.RESOLVE, 2, seller_units=2_000_000, reason="two thirds of it are"),
        ]
        assert [(step.action, step.status, step.failure) for step in steps] == [
            (step.action, "DONE", "") for step in steps
        ]
        assert stage.fresh().status == "COMPLETED"
        assert stage.milestone_states() == [
            ("COMPLETED", "RELEASED"),
            ("COMPLETED", "RELEASED"),
            ("COMPLETED", "SPLIT"),
        ]
        assert stage.balance_of(stage.sol.key.address) == 5_000_000
        assert stage.balance_of(stage.bea.key.address) == 1_000_001
        assert stage.balance_of(stage.deployment.vault) == 0
        currency = f"{deal.chain_id}:{deal.token.address}"
        assert balance(f"user:{stage.sol.user.pk}", currency) == 5_000_000
        assert balance(f"escrow:{deal.pk}", currency) == 0
        assert reconcile() == (1, [])

        sent = ChainTransaction.objects.filter(intent__isnull=False)
        assert sent.count() == len(steps)
        assert set(sent.values_list("status", "succeeded")) == {("FINAL", True)}
        assert not sent.filter(gas_used=None).exists()
        assert set(ChainLog.objects.values_list("state", flat=True)) == {"FINAL"}

    def test_money_goes_back_when_the_seller_gives_it_back(self, stage: ChainStage) -> None:
        stage.funded()
        stage.do(stage.sol, Action.REFUND, 0)
        stage.do(stage.sol, Action.REFUND, 1)
        stage.do(stage.sol, Action.REFUND, 2)
        assert stage.fresh().status == "REFUNDED"
        assert stage.balance_of(stage.bea.key.address) == 600
        assert reconcile() == (1, [])

    def test_milestones_are_funded_one_by_one(self, stage: ChainStage) -> None:
        stage.agreed()
        stage.do(stage.bea, Action.FUND, positions=(1,))
        assert [money for _, money in stage.milestone_states()] == ["UNFUNDED", "FUNDED", "UNFUNDED"]
        stage.do(stage.bea, Action.FUND, positions=(0, 2))
        assert [money for _, money in stage.milestone_states()] == ["FUNDED"] * 3
        assert stage.balance_of(stage.deployment.vault) == 600
        assert reconcile() == (1, [])

    def test_a_fee_is_taken_from_the_sellers_part_alike_in_vault_and_books(self, stage: ChainStage) -> None:
        platform = "0x00000000000000000000000000000000000000Fe"
        deal = stage.funded(amounts=(1_000_003,), fee_bps=250, fee_recipient=platform)
        stage.do(stage.bea, Action.APPROVE, 0)
        fee = 1_000_003 * 250 // 10_000
        assert stage.balance_of(platform) == fee
        assert stage.balance_of(stage.sol.key.address) == 1_000_003 - fee
        assert balance("platform:fees", f"{deal.chain_id}:{deal.token.address}") == fee
        assert reconcile() == (1, [])


class TestPassedDeadlines:
    """What silence leads to is asked for by the clock, and anyone may send it. The windows are the shortest allowed."""

    def test_a_buyer_who_says_nothing_has_accepted(self, stage: ChainStage) -> None:
        stage.funded(review_seconds=60)
        stage.do(stage.sol, Action.SUBMIT, 0, note="work")
        self.pass_time(stage, seconds=90)
        assert stage.milestone_states()[0] == ("COMPLETED", "RELEASED")
        assert stage.balance_of(stage.sol.key.address) == 100
        assert reconcile() == (1, [])

    def test_an_arbiter_who_says_nothing_leaves_it_to_the_terms(self, stage: ChainStage) -> None:
        stage.funded(arbitration_seconds=60, timeout_seller_bps=2_500)
        stage.do(stage.sol, Action.SUBMIT, 2, note="work")
        stage.do(stage.sol, Action.DISPUTE, 2, reason="she does not answer")
        self.pass_time(stage, seconds=90)
        assert stage.milestone_states()[2] == ("COMPLETED", "SPLIT")
        assert (stage.balance_of(stage.sol.key.address), stage.balance_of(stage.bea.key.address)) == (75, 225)
        assert reconcile() == (1, [])

    def test_a_seller_who_delivers_nothing_loses_the_money_one_review_window_later(self, stage: ChainStage) -> None:
        soon = max(utc_now(), chain_time(stage)) + timedelta(seconds=30)
        draft = MilestoneDraft(title="Everything", amount_units=500, deliver_by=soon)
        stage.funded(milestones=[draft], review_seconds=60)
        self.pass_time(stage, seconds=180)
        assert stage.milestone_states() == [("REFUNDED", "REFUNDED")]
        assert stage.balance_of(stage.bea.key.address) == 500
        assert reconcile() == (1, [])

    @staticmethod
    def pass_time(stage: ChainStage, *, seconds: int) -> None:
        """Let the chain's clock and ours run on, and the clock ask for what that entitles anyone to."""
        stage.node.rpc("evm_increaseTime", seconds)
        stage.node.mine()
        lifecycle.apply_deadlines(now=chain_time(stage))
        intent = ActionIntent.objects.get(role="CLOCK")
        stage.relay(intent)
        stage.settle()
        intent.refresh_from_db()
        assert intent.status == "DONE"


class TestReconcile:
    def test_finds_a_single_unit_and_a_single_status(self, stage: ChainStage) -> None:
        deal = stage.funded()
        deal.milestones.filter(position=1).update(amount_units=201)
        deal.milestones.filter(position=2).update(status="DISPUTED")
        _, differences = reconcile([deal.pk])
        assert {difference.what for difference in differences} == {
            "units held",
            "disputed milestones",
            "milestone 3, phase",
        }
