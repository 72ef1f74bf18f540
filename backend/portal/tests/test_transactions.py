"""Who sees which deal, and whether the buttons are exactly what the rules allow."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from common.clock import utc_now
from portal.tests.conftest import Door
from portal.transactions import BUTTON_ORDER
from transactions import lifecycle, queries
from transactions.lifecycle import MilestoneDraft
from transactions.rules import Action
from transactions.tests.cast import Person, Stage, chain_log

SHOWN = set(BUTTON_ORDER)


def page(door: Door, who: Person, stage: Stage) -> str:
    response = door(who).get(reverse("portal:transaction", args=[stage.deal.pk]))
    assert response.status_code == 200
    return response.content.decode()


def offered(html: str, stage: Stage) -> set[str]:
    """The pages that the buttons lead to, as the tails of their addresses."""
    links = re.findall(r'<a class="button [^"]*" href="/transactions/\d+/([^"]+)"', html)
    return {link.strip("/") for link in links}


def allowed(stage: Stage, who: Person) -> set[str]:
    """What the rules allow this person now, as those addresses."""
    deal = queries.get_visible(who.user, stage.deal.pk)
    found = {str(action) for action in set(queries.available_actions(deal, who.user)) & SHOWN}
    for milestone in deal.milestones.all():
        for action in set(queries.available_actions(deal, who.user, milestone)) & SHOWN:
            found.add(f"milestones/{milestone.position + 1}/{str(action).replace('_', '-')}")
    return found


class TestDealPage:
    @pytest.mark.parametrize("moment", ["draft", "proposed", "accepted", "funded", "submitted", "disputed", "done"])
    def test_offers_each_person_exactly_what_the_rules_allow(self, on_stage: Stage, door: Door, moment: str) -> None:
        lead_to(on_stage, moment)
        for who in (on_stage.bea, on_stage.sol, on_stage.ari):
            if queries.visible_to(who.user).filter(pk=on_stage.deal.pk).exists():
                assert offered(page(door, who, on_stage), on_stage) == allowed(on_stage, who)

    def test_is_not_there_for_a_stranger(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded()
        for name in ("transaction", "transaction_news", "fund", "sign_fund", "accept", "cancel", "edit", "review"):
            response = door(on_stage.max).get(reverse(f"portal:{name}", args=[on_stage.deal.pk]))
            assert response.status_code == 404, name
            assert on_stage.deal.title not in response.content.decode()
        action = reverse("portal:action", args=[on_stage.deal.pk, 1, "approve"])
        assert door(on_stage.max).get(action).status_code == 404

    def test_sends_who_is_not_logged_in_to_the_log_in_page_and_back(self, on_stage: Stage, client: Client) -> None:
        on_stage.funded()
        address = reverse("portal:transaction", args=[on_stage.deal.pk])
        response = client.get(address)
        assert response.status_code == 302
        assert response["Location"] == f"{reverse('portal:log_in')}?next={address}"

    def test_hides_a_draft_from_the_other_party(self, on_stage: Stage, door: Door) -> None:
        on_stage.draft()
        response = door(on_stage.sol).get(reverse("portal:transaction", args=[on_stage.deal.pk]))
        assert response.status_code == 404

    def test_says_whose_turn_it_is_and_what_silence_means(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded(amounts=(100,))
        on_stage.submitted()
        assert "Your turn: review the work" in page(door, on_stage.bea, on_stage)
        assert "Bea has to review the work" in page(door, on_stage.sol, on_stage)
        assert "Otherwise the seller is paid" in page(door, on_stage.sol, on_stage)

    def test_marks_every_unfunded_milestone_and_warns_the_seller(self, on_stage: Stage, door: Door) -> None:
        on_stage.draft()
        on_stage.propose()
        on_stage.accept()
        lifecycle.record_funded(escrow=on_stage.deal.escrow_id, positions=[0], log=chain_log())
        html = page(door, on_stage.sol, on_stage)
        assert html.count(">UNFUNDED<") == 2
        assert html.count("Do not start") == 2

    def test_shows_a_request_as_waiting_until_the_chain_has_spoken(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded()
        on_stage.request(on_stage.sol, Action.SUBMIT, 0, note="Finished.")
        html = page(door, on_stage.sol, on_stage)
        assert "waiting for confirmation" in html
        assert "Waiting for review" not in html
        assert "milestones/1/" not in " ".join(offered(html, on_stage))

    def test_escapes_whatever_people_write(self, on_stage: Stage, door: Door) -> None:
        evil = "<script>alert('x')</script>"
        later = utc_now() + timedelta(days=9)
        row = MilestoneDraft(title=evil, description=evil, amount_units=10, deliver_by=later)
        on_stage.bea.user.display_name = evil
        on_stage.bea.user.save()
        on_stage.draft(title=evil, description=evil, milestones=[row])
        on_stage.propose()
        on_stage.accept()
        lifecycle.record_funded(escrow=on_stage.deal.escrow_id, positions=[0], log=chain_log())
        on_stage.fresh()
        on_stage.request(on_stage.sol, Action.SUBMIT, 0, note=evil)
        for who in (on_stage.bea, on_stage.sol, on_stage.ari):
            assert "<script>alert" not in page(door, who, on_stage)
        assert "<script>alert" not in door(on_stage.sol).get(reverse("portal:dashboard")).content.decode()


class TestNews:
    def test_is_empty_until_something_happens(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded()
        client = door(on_stage.bea)
        shown = client.get(reverse("portal:transaction", args=[on_stage.deal.pk]))
        address = reverse("portal:transaction_news", args=[on_stage.deal.pk])
        version = shown.context["version"]
        assert client.get(address, {"version": version}).status_code == 204
        on_stage.submitted()
        fresh = client.get(address, {"version": version})
        assert fresh.status_code == 200
        assert "Waiting for review" in fresh.content.decode()
        assert "<html" not in fresh.content.decode()

    def test_asks_for_the_whole_page_again_when_one_was_logged_out(self, on_stage: Stage, client: Client) -> None:
        on_stage.funded()
        answer = client.get(reverse("portal:transaction_news", args=[on_stage.deal.pk]))
        assert (answer.status_code, answer["HX-Refresh"]) == (204, "true")


class TestDashboard:
    def test_puts_first_what_waits_for_me(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded(title="Waits for Bea", amounts=(100,))
        on_stage.submitted()
        on_stage.funded(title="Waits for Sol", amounts=(100,))
        address = reverse("portal:dashboard")
        waiting = door(on_stage.bea).get(address).context["waiting"]
        assert [line.deal.title for line in waiting] == ["Waits for Bea"]
        waiting = door(on_stage.sol).get(address).context["waiting"]
        assert [line.deal.title for line in waiting] == ["Waits for Sol"]
        assert not door(on_stage.max).get(address).context["lines"]

    def test_asks_the_database_equally_often_for_one_deal_and_for_many(
        self, on_stage: Stage, door: Door, django_assert_max_num_queries
    ) -> None:
        for _ in range(8):
            on_stage.funded(amounts=(100,))
        client = door(on_stage.bea)
        with django_assert_max_num_queries(14):
            client.get(reverse("portal:dashboard"))


def lead_to(stage: Stage, moment: str) -> None:
    """A deal of three milestones at this point of its life."""
    if moment in ("draft", "proposed", "accepted"):
        stage.draft()
        if moment != "draft":
            stage.propose()
        if moment == "accepted":
            stage.accept()
        return
    stage.funded()
    if moment in ("submitted", "disputed"):
        stage.submitted(0)
    if moment == "disputed":
        stage.disputed(0)
    if moment == "done":
        lifecycle.record_released(escrow=stage.deal.escrow_id, positions=[0, 1, 2], fee_units=0, log=chain_log())
    stage.fresh()
