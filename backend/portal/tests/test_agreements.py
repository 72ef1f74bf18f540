"""Drafting, signing, accepting, declining, reviewing: forms that work without JavaScript."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.urls import reverse

from chain import deployments
from common.clock import utc_now
from portal.tests.conftest import Door
from portal.tests.test_actions import sign_shown
from transactions import lifecycle
from transactions.models import EscrowTransaction, Review
from transactions.tests.cast import VAULT, Stage, chain_log

TOMORROW = (utc_now() + timedelta(days=5)).date().isoformat()


@pytest.fixture(autouse=True)
def _deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = SimpleNamespace(vault=VAULT, chain_id=31337, min_window_seconds=60, max_window_seconds=365 * 86_400)
    monkeypatch.setattr(deployments, "current", lambda *args: deployment)


def entered(stage: Stage, **changes: str) -> dict[str, str]:
    """What Bea types into the form."""
    values = {
        "title": "Website for the bakery",
        "description": "Five pages.",
        "author_role": "BUYER",
        "counterparty_email": "SOL@example.com",
        "arbiter": str(stage.ari.user.pk),
        "token": str(stage.token.pk),
        "accept_by": TOMORROW,
        "review_seconds": "604800",
        "revision_seconds": "259200",
        "max_revisions": "2",
        "arbitration_seconds": "1209600",
        "timeout_seller_percent": "40",
        "milestones-TOTAL_FORMS": "3",
        "milestones-INITIAL_FORMS": "0",
        "milestones-0-title": "Design",
        "milestones-0-amount": "800",
        "milestones-0-deliver_by": TOMORROW,
        "milestones-1-title": "Build",
        "milestones-1-amount": "1450.50",
        "milestones-1-deliver_by": TOMORROW,
    }
    return {**values, **changes}


class TestNewAgreement:
    def test_saves_a_draft_and_drops_empty_rows(self, on_stage: Stage, door: Door) -> None:
        response = door(on_stage.bea).post(reverse("portal:new_agreement"), entered(on_stage))
        deal = EscrowTransaction.objects.get()
        assert response["Location"] == reverse("portal:transaction", args=[deal.pk])
        assert (deal.status, deal.buyer, deal.seller) == ("DRAFT", on_stage.bea.user, on_stage.sol.user)
        assert [m.amount_units for m in deal.milestones.all()] == [800_000_000, 1_450_500_000]
        assert deal.timeout_seller_bps == 4_000
        assert deal.vault_address == VAULT

    def test_adds_a_row_without_javascript_and_keeps_what_was_typed(self, on_stage: Stage, door: Door) -> None:
        sent = entered(on_stage, add_milestone="1")
        response = door(on_stage.bea).post(reverse("portal:new_agreement"), sent)
        html = response.content.decode()
        assert 'name="milestones-3-title"' in html
        assert 'value="1450.50"' in html
        assert not EscrowTransaction.objects.exists()

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"counterparty_email": "nobody@example.com"}, "There is no account with this address yet"),
            ({"counterparty_email": "bea@example.com"}, "This is your own address"),
            ({"milestones-0-amount": "0"}, "The amount is above zero"),
            ({"milestones-0-amount": "1.0000001"}, "more decimal places"),
            ({"milestones-0-deliver_by": "2020-01-01"}, "Choose a day in the future"),
            ({"milestones-0-title": ""}, "This field is required"),
        ],
    )
    def test_says_what_is_wrong_and_saves_nothing(
        self, on_stage: Stage, door: Door, change: dict[str, str], sentence: str
    ) -> None:
        response = door(on_stage.bea).post(reverse("portal:new_agreement"), entered(on_stage, **change))
        assert response.status_code == 200
        assert sentence in response.content.decode()
        assert not EscrowTransaction.objects.exists()

    def test_a_draft_can_be_changed_until_it_is_sent(self, on_stage: Stage, door: Door) -> None:
        client = door(on_stage.bea)
        client.post(reverse("portal:new_agreement"), entered(on_stage))
        deal = EscrowTransaction.objects.get()
        address = reverse("portal:edit", args=[deal.pk])
        assert 'value="1450.5"' in client.get(address).content.decode()
        client.post(address, entered(on_stage, **{"title": "Another title", "milestones-0-amount": "900"}))
        deal.refresh_from_db()
        assert deal.title == "Another title"
        assert deal.total_units == 2_350_500_000


class TestSigning:
    def test_both_sign_what_they_were_shown(self, on_stage: Stage, door: Door) -> None:
        on_stage.draft()
        bea, sol = door(on_stage.bea), door(on_stage.sol)
        assert sign_shown(bea, reverse("portal:propose", args=[on_stage.deal.pk]), on_stage.bea).status_code == 302
        assert on_stage.fresh().status == "PENDING_FUNDING"
        html = sol.get(reverse("portal:accept", args=[on_stage.deal.pk])).content.decode()
        assert "If the buyer does not answer for 7 days" in html
        assert sign_shown(sol, reverse("portal:accept", args=[on_stage.deal.pk]), on_stage.sol).status_code == 302
        assert on_stage.fresh().status == "AWAITING_PAYMENT"

    def test_leads_to_the_wallet_page_who_has_none_and_tells_of_others(self, on_stage: Stage, door: Door) -> None:
        on_stage.draft()
        address = reverse("portal:propose", args=[on_stage.deal.pk])
        on_stage.sol.user.wallets.all().delete()
        told = door(on_stage.bea).get(address, follow=True)
        assert "The other side has no wallet yet" in told.content.decode()
        on_stage.bea.user.wallets.all().delete()
        assert door(on_stage.bea).get(address)["Location"] == reverse("portal:wallet")

    def test_a_draft_whose_dates_passed_is_not_signed_but_changed(self, on_stage: Stage, door: Door) -> None:
        on_stage.draft()
        on_stage.deal.milestones.update(deliver_by=utc_now() - timedelta(days=1))
        told = door(on_stage.bea).get(reverse("portal:propose", args=[on_stage.deal.pk]), follow=True)
        assert "Please change the draft" in told.content.decode()

    def test_the_author_cannot_accept_for_the_other(self, on_stage: Stage, door: Door) -> None:
        on_stage.draft()
        on_stage.propose()
        response = door(on_stage.bea).get(reverse("portal:accept", args=[on_stage.deal.pk]))
        assert response.status_code == 409

    def test_declining_takes_a_press_of_the_button(self, on_stage: Stage, door: Door) -> None:
        on_stage.draft()
        on_stage.propose()
        client, address = door(on_stage.sol), reverse("portal:decline", args=[on_stage.deal.pk])
        client.get(address)
        assert on_stage.fresh().status == "PENDING_FUNDING"
        client.post(address, {"reason": "Too early."})
        assert on_stage.fresh().status == "CANCELLED"


def test_each_party_reviews_once(on_stage: Stage, door: Door) -> None:
    on_stage.funded()
    lifecycle.record_released(escrow=on_stage.deal.escrow_id, positions=[0, 1, 2], fee_units=0, log=chain_log())
    client, address = door(on_stage.bea), reverse("portal:review", args=[on_stage.deal.pk])
    assert client.post(address, {"rating": "5", "text": "Thank you."}).status_code == 302
    assert client.post(address, {"rating": "1"}).status_code == 409
    assert Review.objects.get().subject == on_stage.sol.user
