"""From a button to a signed request, with plain forms: what was shown is what is signed, and nothing else."""

import re
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from common.clock import utc_now
from documents.models import Document
from portal.tests.conftest import Door
from transactions import terms
from transactions.models import ActionIntent, Submission
from transactions.rules import Action
from transactions.tests.cast import Person, Stage


def sign_shown(client: Client, address: str, who: Person, **changes: str):
    """Press the button as an own wallet would: sign the typed data of the page, send the signature."""
    shown = client.get(address)
    assert shown.status_code == 200
    message = shown.context["typed_data"]
    signature = who.sign(numbers(message)).signature
    return client.post(address, {"digest": shown.context["digest"], "signature": signature, **changes})


def numbers(message: terms.TypedData) -> terms.TypedData:
    """The wallet's reading of the typed data: decimal text where the type says uint256."""
    kinds = {field["name"]: field["type"] for fields in message["types"].values() for field in fields}

    def read(key: str, value):
        if isinstance(value, dict):
            return {name: read(name, item) for name, item in value.items()}
        if isinstance(value, list):
            return [int(item) for item in value]
        return int(value) if kinds.get(key) == "uint256" else value

    return {**message, "message": read("", message["message"])}


class TestApprove:
    def test_explains_shows_the_message_and_requests_the_release(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded()
        on_stage.submitted()
        client = door(on_stage.bea)
        first = client.get(reverse("portal:action", args=[on_stage.deal.pk, 1, "approve"]))
        assert first.status_code == 302
        html = client.get(first["Location"]).content.decode()
        assert "are paid from the vault to Sol" in html
        assert "This is final" in html
        assert "Release" in html
        assert on_stage.deal.escrow_id in html
        done = sign_shown(client, first["Location"], on_stage.bea)
        assert done.status_code == 302
        intent = ActionIntent.objects.get(action=Action.APPROVE)
        assert (intent.target, intent.signer) == ("1", on_stage.bea.key.address)

    def test_takes_no_signature_by_somebody_else(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded()
        on_stage.submitted()
        client = door(on_stage.bea)
        address = client.get(reverse("portal:action", args=[on_stage.deal.pk, 1, "approve"]))["Location"]
        refused = sign_shown(client, address, on_stage.max)
        assert refused.status_code == 200
        assert "does not belong to the wallet" in refused.content.decode()
        assert not ActionIntent.objects.filter(action=Action.APPROVE).exists()

    def test_signs_only_what_the_page_showed(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded()
        on_stage.submitted()
        client = door(on_stage.bea)
        address = client.get(reverse("portal:action", args=[on_stage.deal.pk, 1, "approve"]))["Location"]
        sign_shown(client, address, on_stage.bea, digest="0x" + "00" * 32)
        assert not ActionIntent.objects.filter(action=Action.APPROVE).exists()

    def test_changes_nothing_when_it_is_only_looked_at(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded()
        on_stage.submitted()
        client = door(on_stage.bea)
        client.get(reverse("portal:action", args=[on_stage.deal.pk, 1, "approve"]), follow=True)
        assert not ActionIntent.objects.filter(action=Action.APPROVE).exists()

    def test_says_why_it_is_not_possible(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded()
        address = reverse("portal:action", args=[on_stage.deal.pk, 1, "approve"])
        refused = door(on_stage.sol).get(address)
        assert refused.status_code == 409
        assert "The seller may not approve" in refused.content.decode()

    def test_a_second_click_is_told_that_it_waits(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded()
        on_stage.submitted()
        client = door(on_stage.bea)
        address = client.get(reverse("portal:action", args=[on_stage.deal.pk, 1, "approve"]))["Location"]
        sign_shown(client, address, on_stage.bea)
        again = client.get(reverse("portal:action", args=[on_stage.deal.pk, 1, "approve"]))
        assert again.status_code == 409
        assert "waiting for the chain" in again.content.decode()
        assert ActionIntent.objects.filter(action=Action.APPROVE).count() == 1


class TestFund:
    def test_pays_for_the_milestones_that_were_chosen(self, on_stage: Stage, door: Door) -> None:
        on_stage.draft()
        on_stage.propose()
        on_stage.accept()
        client = door(on_stage.bea)
        address = reverse("portal:fund", args=[on_stage.deal.pk])
        to_sign = client.post(address, {"positions": ["0", "2"]})
        assert to_sign.status_code == 302
        assert sign_shown(client, to_sign["Location"], on_stage.bea).status_code == 302
        intent = ActionIntent.objects.get(action=Action.FUND)
        assert intent.parameters["value_units"] == "400"
        assert intent.target == "5"

    def test_nobody_calls_it_off_while_the_payment_is_on_its_way(self, on_stage: Stage, door: Door) -> None:
        self.test_pays_for_the_milestones_that_were_chosen(on_stage, door)
        client = door(on_stage.sol)
        html = client.get(reverse("portal:transaction", args=[on_stage.deal.pk])).content.decode()
        assert "Call it off" not in html
        assert client.post(reverse("portal:cancel", args=[on_stage.deal.pk]), {}).status_code == 409
        assert on_stage.fresh().status == "AWAITING_PAYMENT"


class TestSubmit:
    def test_hands_in_a_note_and_checked_files(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded()
        client = door(on_stage.sol)
        address = reverse("portal:action", args=[on_stage.deal.pk, 1, "submit"])
        upload = SimpleUploadedFile("work.txt", b"the work itself", content_type="text/plain")
        to_sign = client.post(address, {"note": "Please look.", "uploads": [upload]})
        assert to_sign.status_code == 302
        Document.objects.update(state=Document.State.RECEIVED)
        waiting = client.get(to_sign["Location"])
        assert "are being checked" in waiting.content.decode()
        Document.objects.update(state=Document.State.CLEAN)
        assert sign_shown(client, to_sign["Location"], on_stage.sol).status_code == 302
        submission = Submission.objects.get()
        assert submission.note == "Please look."
        assert [document.filename for document in submission.documents.all()] == ["work.txt"]

    def test_lets_the_buyer_open_the_file_and_no_stranger(self, on_stage: Stage, door: Door) -> None:
        self.test_hands_in_a_note_and_checked_files(on_stage, door)
        address = reverse("portal:document", args=[Document.objects.get().pk])
        opened = door(on_stage.bea).get(address)
        assert opened.status_code == 200
        assert opened["Content-Disposition"].startswith("attachment")
        assert b"".join(opened) == b"the work itself"
        assert door(on_stage.max).get(address).status_code == 404

    def test_wants_something_to_look_at(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded()
        address = reverse("portal:action", args=[on_stage.deal.pk, 1, "submit"])
        refused = door(on_stage.sol).post(address, {"note": " "})
        assert refused.status_code == 200
        assert "there has to be something to look at" in refused.content.decode()


class TestResolve:
    def test_shows_the_split_before_it_is_signed(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded(amounts=(100_000_000,))
        on_stage.submitted()
        on_stage.disputed()
        client = door(on_stage.ari)
        address = reverse("portal:action", args=[on_stage.deal.pk, 1, "resolve"])
        too_much = client.post(address, {"seller_amount": "100.000001", "reason": "Because."})
        assert "more than the milestone holds" in too_much.content.decode()
        to_sign = client.post(address, {"seller_amount": "62.50", "reason": "Half of it was done."})
        html = client.get(to_sign["Location"]).content.decode()
        assert "62.50 tUSDC, 62.5 %" in html
        assert "37.50 tUSDC" in html
        assert sign_shown(client, to_sign["Location"], on_stage.ari).status_code == 302
        assert ActionIntent.objects.get(action=Action.RESOLVE).parameters["seller_amount"] == "62500000"


@pytest.mark.parametrize("action", ["request-changes", "dispute"])
def test_words_are_kept_with_the_request(on_stage: Stage, door: Door, action: str) -> None:
    on_stage.funded()
    on_stage.submitted()
    client = door(on_stage.bea)
    to_sign = client.post(reverse("portal:action", args=[on_stage.deal.pk, 1, action]), {"reason": "Too small."})
    sign_shown(client, to_sign["Location"], on_stage.bea)
    html = client.get(reverse("portal:transaction", args=[on_stage.deal.pk])).content.decode()
    assert re.search(r"Too small\.", html)
    assert "waiting for the chain" in html


def test_a_later_date_reaches_to_the_end_of_that_day(on_stage: Stage, door: Door) -> None:
    on_stage.funded()
    on_stage.bea.user.time_zone = "America/New_York"
    on_stage.bea.user.save()
    client = door(on_stage.bea)
    day = (utc_now() + timedelta(days=30)).date()
    to_sign = client.post(reverse("portal:action", args=[on_stage.deal.pk, 2, "extend"]), {"until": day.isoformat()})
    sign_shown(client, to_sign["Location"], on_stage.bea)
    until = int(ActionIntent.objects.get(action=Action.EXTEND).parameters["until"])
    assert until % 3600 == 3599
    assert until % 86_400 != 86_399  # not UTC's midnight: the reader's
