"""A deal over HTTP, as two wallets sign it: what is shown, what is signed, what is asked of the chain."""

from datetime import timedelta
from typing import Any

import pytest

from api.tests.conftest import Api, api_of, sign
from common.clock import utc_now
from transactions import lifecycle
from transactions.models import ActionIntent, EscrowTransaction
from transactions.tests.cast import Person, Stage, chain_log


def draft_of(stage: Stage, **changes: Any) -> dict[str, Any]:
    until = (utc_now() + timedelta(days=20)).isoformat()
    return {
        "author_role": "BUYER",
        "counterparty_email": "SOL@example.com",
        "arbiter_id": stage.ari.user.pk,
        "title": "A website",
        "milestones": [
            {"title": "Wireframes", "amount": "1250.00", "deliver_by": until},
            {"title": "Pages", "amount": "0.000001", "deliver_by": until},
        ],
        **changes,
    }


def sign_terms(client: Api, who: Person, deal_id: int, action: str) -> Any:
    prepared = client.post(f"transactions/{deal_id}/{action}/prepare/").json()
    assert prepared["signer"] == who.key.address
    return client.post(f"transactions/{deal_id}/{action}/", {"signature": sign(who, prepared)}, format="json")


@pytest.fixture
def bea(stage: Stage) -> Api:
    return api_of(stage.bea)


@pytest.fixture
def sol(stage: Stage) -> Api:
    return api_of(stage.sol)


class TestADeal:
    def test_goes_from_a_draft_to_money_that_waits_for_the_chain(self, stage: Stage, bea: Api, sol: Api) -> None:
        deal = bea.post("transactions/", draft_of(stage), format="json").json()
        assert (deal["status"], deal["my_role"], deal["actions"]) == ("DRAFT", "BUYER", ["edit", "propose", "cancel"])
        assert (deal["total"], deal["total_units"]) == ("1250.000001", "1250000001")
        assert sol.get(f"transactions/{deal['id']}/").status_code == 404

        proposed = sign_terms(bea, stage.bea, deal["id"], "propose").json()
        assert proposed["status"] == "PENDING_FUNDING"
        assert sol.get(f"transactions/{deal['id']}/").json()["actions"] == ["accept", "decline", "cancel"]
        accepted = sign_terms(sol, stage.sol, deal["id"], "accept").json()
        assert accepted["status"] == "AWAITING_PAYMENT"
        assert accepted["escrow_id"] == proposed["escrow_id"]

        prepared = bea.post(f"transactions/{deal['id']}/fund/prepare/").json()
        assert prepared["typed_data"]["message"]["value"] == "1250000001"
        entered = {"deadline": prepared["deadline"], "signature": sign(stage.bea, prepared)}
        answer = bea.post(f"transactions/{deal['id']}/fund/", entered, format="json")
        assert answer.status_code == 202
        intent = answer.json()
        assert (intent["status"], intent["action"], intent["chain_transaction"]) == ("REQUESTED", "fund", None)
        shown = bea.get(f"transactions/{deal['id']}/").json()
        assert (shown["status"], [p["id"] for p in shown["pending"]]) == ("AWAITING_PAYMENT", [intent["id"]])
        assert "fund" not in shown["actions"]

        row = EscrowTransaction.objects.get(pk=deal["id"])
        lifecycle.record_funded(escrow=row.escrow_id, positions=[0, 1], log=chain_log())
        shown = bea.get(f"transactions/{deal['id']}/").json()
        assert (shown["status"], shown["pending"]) == ("IN_ESCROW", [])
        names = [event["name"] for event in bea.get(f"transactions/{deal['id']}/timeline/").json()["results"]]
        assert "transaction.funded" in names

    def test_shows_each_caller_the_actions_of_the_rules(self, stage: Stage, bea: Api, sol: Api) -> None:
        deal = stage.funded()
        stage.submitted(0)
        milestone_id = deal.milestones.get(position=0).pk
        assert bea.get(f"milestones/{milestone_id}/").json()["actions"] == ["approve", "request_changes", "dispute"]
        assert sol.get(f"milestones/{milestone_id}/").json()["actions"] == ["refund", "dispute"]
        assert api_of(stage.ari).get(f"milestones/{milestone_id}/").json()["actions"] == []

    def test_a_drafts_milestone_is_replaced_whole_or_not_at_all(self, stage: Stage, bea: Api) -> None:
        deal = bea.post("transactions/", draft_of(stage), format="json").json()
        path = f"transactions/{deal['id']}/"
        refused = bea.patch(path, {"milestones": [{"title": "Only a name"}]}, format="json")
        assert refused.status_code == 422
        assert {error["field"] for error in refused.json()["errors"]} == {
            "milestones.0.amount",
            "milestones.0.deliver_by",
        }
        changed = bea.patch(path, {"title": "Another website"}, format="json").json()
        assert (changed["title"], len(changed["milestones"])) == ("Another website", 2)

    def test_a_token_finer_than_the_amount_is_needed(self, stage: Stage, bea: Api) -> None:
        draft = draft_of(stage)
        draft["milestones"][1]["amount"] = "0.0000001"
        refused = bea.post("transactions/", draft, format="json")
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "milestones.1.amount"

    @pytest.mark.parametrize("amount", [1250.0, 1250, "1e3", "-1", "1,250.00", "NaN", "", "١٢"])
    def test_an_amount_is_plain_decimal_text(self, stage: Stage, bea: Api, amount: Any) -> None:
        draft = draft_of(stage)
        draft["milestones"][0]["amount"] = amount
        refused = bea.post("transactions/", draft, format="json")
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "milestones.0.amount")

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"review_seconds": 59}, "review_seconds"),
            ({"arbitration_seconds": 366 * 86_400}, "arbitration_seconds"),
            ({"milestones": [{"title": "Late", "amount": "1", "deliver_by": "2099-01-01T00:00:00Z"}]}, "milestones"),
        ],
    )
    def test_what_the_vault_would_not_fund_is_refused_before_anybody_signs(
        self, stage: Stage, bea: Api, change: dict[str, Any], field: str
    ) -> None:
        refused = bea.post("transactions/", draft_of(stage, **change), format="json")
        assert (refused.status_code, refused.json()["field"]) == (422, field)
        deal = bea.post("transactions/", draft_of(stage), format="json").json()
        assert bea.patch(f"transactions/{deal['id']}/", change, format="json").json()["field"] == field
        EscrowTransaction.objects.filter(pk=deal["id"]).update(review_seconds=59)  # drafted elsewhere
        refused = bea.post(f"transactions/{deal['id']}/propose/prepare/")
        assert (refused.status_code, refused.json()["field"]) == (422, "review_seconds")

    def test_a_party_without_an_account_is_named(self, stage: Stage, bea: Api) -> None:
        refused = bea.post("transactions/", draft_of(stage, counterparty_email="nobody@example.com"), format="json")
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_account")


class TestASignedAction:
    def test_takes_the_signature_of_the_named_wallet_alone(self, stage: Stage, sol: Api, bea: Api) -> None:
        deal = stage.funded()
        stage.submitted(0)
        path = f"milestones/{deal.milestones.get(position=0).pk}/approve/"
        prepared = bea.post(f"{path}prepare/").json()
        entered = {"deadline": prepared["deadline"]}
        for wrong, code in (
            ({}, "signature_mismatch"),
            ({"signature": sign(stage.sol, prepared)}, "signature_mismatch"),
            ({"signature": "0xzz"}, "signature_mismatch"),
            ({"signature": sign(stage.bea, prepared), "deadline": None}, "invalid"),
        ):
            refused = bea.post(path, {**entered, **wrong}, format="json")
            assert (refused.status_code, refused.json()["code"]) == (422, code), wrong
        unsaid = bea.post(path, {"signature": sign(stage.bea, prepared)}, format="json")
        assert unsaid.json()["errors"][0]["field"] == "deadline"
        assert not ActionIntent.objects.exists()
        assert bea.post(path, {**entered, "signature": sign(stage.bea, prepared)}, format="json").status_code == 202

    def test_is_asked_for_once_and_the_second_time_told_so(self, stage: Stage, bea: Api) -> None:
        deal = stage.funded()
        path = f"milestones/{deal.milestones.get(position=0).pk}/approve/"
        prepared = bea.post(f"{path}prepare/").json()
        entered = {"deadline": prepared["deadline"], "signature": sign(stage.bea, prepared)}
        assert bea.post(path, entered, format="json").status_code == 202
        again = bea.post(path, entered, format="json")
        assert (again.status_code, again.json()["code"]) == (409, "action_pending")

    def test_a_refusal_says_what_is_possible_instead(self, stage: Stage, bea: Api) -> None:
        deal = stage.funded()
        refused = bea.post(
            f"milestones/{deal.milestones.get(position=0).pk}/dispute/prepare/", {"reason": "Too slow."}, format="json"
        )
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (409, "action_not_allowed")
        assert (problem["rule"], problem["allowed"]) == ("wrong_milestone_status", ["approve", "extend"])

    def test_the_arbiters_split_is_in_whole_tokens(self, stage: Stage) -> None:
        stage.funded(amounts=(2_000_000,))
        stage.submitted(0)
        stage.disputed(0)
        ari = api_of(stage.ari)
        [dispute] = ari.get("disputes/", {"status": "OPEN"}).json()["results"]
        assert (dispute["amount"], dispute["actions"]) == ("2.00", ["resolve"])
        path = f"disputes/{dispute['id']}/resolve/prepare/"
        prepared = ari.post(path, {"reason": "Half.", "seller_amount": "1.25"}, format="json").json()
        assert prepared["typed_data"]["message"]["seller_amount"] == "1250000"
        refused = ari.post(path, {"reason": "All and more.", "seller_amount": "2.01"}, format="json")
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_terms")
