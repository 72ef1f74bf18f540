"""Coming in, being verified, deciding, and what every page has in common."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from documents.models import Document
from portal.tests.conftest import Door
from transactions.tests.cast import Person, Stage
from users.models import SellerProfile, User, VerificationRequest

PAPER = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"


@pytest.mark.django_db
class TestComingIn:
    def test_a_newcomer_registers_and_is_in(self, client: Client, settings: Any) -> None:
        settings.SANDBOX_WALLETS = False
        values = {"display_name": "Nia", "email": "Nia@example.com", "password": "correct horse battery"}
        response = client.post(reverse("portal:register"), values)
        assert response["Location"] == reverse("portal:dashboard")
        assert client.get(reverse("portal:dashboard")).status_code == 200
        assert User.objects.get().email == "nia@example.com"

    def test_reads_dates_by_the_own_clock(self, client: Client, settings: Any) -> None:
        settings.SANDBOX_WALLETS = False
        values = {"display_name": "Nia", "email": "nia@example.com", "password": "correct horse battery"}
        client.post(reverse("portal:register"), {**values, "time_zone": "Not/A_Zone"})
        assert User.objects.get().time_zone == "UTC"
        client.post(reverse("portal:account"), {"display_name": "Nia K", "time_zone": "Asia/Tokyo"})
        assert User.objects.get().time_zone == "Asia/Tokyo"

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [({"password": "short"}, "too short"), ({"email": "bea@example.com"}, "There is an account with this address")],
    )
    def test_says_what_is_wrong(self, client: Client, on_stage: Stage, change: dict[str, str], sentence: str) -> None:
        values = {"display_name": "Nia", "email": "nia@example.com", "password": "correct horse battery", **change}
        assert sentence in client.post(reverse("portal:register"), values).content.decode()

    def test_leads_nowhere_else_than_here(self, client: Client, settings: Any) -> None:
        settings.SANDBOX_WALLETS = False
        values = {
            "display_name": "Nia",
            "email": "nia@example.com",
            "password": "correct horse battery",
            "next": "https://evil.example/",
        }
        assert client.post(reverse("portal:register"), values)["Location"] == reverse("portal:dashboard")

    def test_logs_in_and_out(self, client: Client, on_stage: Stage) -> None:
        values = {"username": "BEA@example.com", "password": "a long password"}
        assert client.post(reverse("portal:log_in"), values)["Location"] == reverse("portal:dashboard")
        assert client.get(reverse("portal:log_out")).status_code == 405
        assert client.post(reverse("portal:log_out"))["Location"] == reverse("portal:front_door")
        assert client.get(reverse("portal:dashboard")).status_code == 302


class TestWallet:
    def test_an_own_wallet_is_linked_by_a_signed_text(self, on_stage: Stage, door: Door) -> None:
        client, key = door(on_stage.max), Account.create()
        shown = client.post(reverse("portal:link_wallet"), {"address": key.address.lower()})
        challenge = shown.context["challenge"]
        nonce = challenge.nonce

        def send(signer: LocalAccount) -> Any:
            signed = signer.sign_message(encode_defunct(text=challenge.message)).signature.to_0x_hex()
            return client.post(reverse("portal:link_wallet"), {"nonce": nonce, "signature": signed})

        assert "does not belong to the wallet" in send(Account.create()).content.decode()
        assert send(key)["Location"] == reverse("portal:wallet")
        assert on_stage.max.user.wallets.get(address=key.address).kind == "LINKED"

    def test_a_sandbox_wallet_needs_a_development_chain(self, on_stage: Stage, door: Door, settings: Any) -> None:
        settings.SANDBOX_WALLETS = False
        client = door(on_stage.max)
        assert "sandbox" not in client.get(reverse("portal:wallet")).content.decode().lower()
        told = client.post(reverse("portal:create_sandbox_wallet"), follow=True)
        assert "only in development" in told.content.decode()


class TestVerification:
    def test_a_seller_sends_papers_and_a_reviewer_decides(self, on_stage: Stage, rei: Person, door: Door) -> None:
        seller, address = door(on_stage.sol), reverse("portal:verification")
        paper = SimpleUploadedFile("passport.pdf", PAPER, content_type="application/pdf")
        sent = seller.post(address, {"legal_name": "Sol Sørensen", "kind": "INDIVIDUAL", "uploads": [paper]})
        assert sent.status_code == 302, sent.content.decode()
        Document.objects.update(state=Document.State.CLEAN)
        request = VerificationRequest.objects.get()
        desk = door(rei)
        assert "Sol Sørensen" in desk.get(reverse("portal:verification_queue")).content.decode()
        decide = reverse("portal:verification_request", args=[request.pk])
        unexplained = desk.post(decide, {"decision": "REJECTED"})
        assert "Say what is missing" in unexplained.content.decode()
        assert desk.get(reverse("portal:document", args=[request.documents.get().pk])).status_code == 200
        assert desk.post(decide, {"decision": "VERIFIED"}).status_code == 302
        assert SellerProfile.objects.get().verification_status == "VERIFIED"
        assert "Verified" in seller.get(address).content.decode()

    def test_is_a_reviewers_desk_only(self, on_stage: Stage, door: Door) -> None:
        for who in (on_stage.bea, on_stage.sol, on_stage.ari):
            assert door(who).get(reverse("portal:verification_queue")).status_code == 403

    def test_papers_are_nobody_elses_business(self, on_stage: Stage, rei: Person, door: Door) -> None:
        self.test_a_seller_sends_papers_and_a_reviewer_decides(on_stage, rei, door)
        on_stage.funded()
        address = reverse("portal:document", args=[Document.objects.get().pk])
        for who in (on_stage.bea, on_stage.ari, on_stage.max):
            assert door(who).get(address).status_code == 404


class TestDisputeDesk:
    def test_shows_the_arbiter_what_waits_for_him(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded(title="In dispute")
        on_stage.submitted()
        on_stage.disputed()
        address = reverse("portal:disputes")
        assert "In dispute" in door(on_stage.ari).get(address).content.decode()
        assert "In dispute" not in door(on_stage.max).get(address).content.decode()


class TestEveryPage:
    ADDRESSES = (
        "portal:front_door",
        "portal:dashboard",
        "portal:new_agreement",
        "portal:wallet",
        "portal:account",
        "portal:verification",
    )

    def test_carries_a_strict_policy_and_nothing_inline(self, on_stage: Stage, door: Door) -> None:
        on_stage.funded()
        client = door(on_stage.bea)
        pages = [reverse(name) for name in self.ADDRESSES]
        pages.append(reverse("portal:transaction", args=[on_stage.deal.pk]))
        for address in pages:
            response = client.get(address)
            html = response.content.decode()
            assert response.status_code == 200, address
            assert "unsafe" not in response["Content-Security-Policy"]
            assert " style=" not in html
            assert "<style" not in html
            assert " onclick=" not in html
            assert "<script>" not in html
            assert "http://" not in html.replace("http://www.w3.org", "")
            assert "https://" not in html

    def test_leaves_the_admin_to_its_own_policy(self, client: Client, db: None) -> None:
        assert "Content-Security-Policy" not in client.get(reverse("admin:login"))

    def test_errors_wear_the_same_dress(self, client: Client, db: None, settings: Any) -> None:
        settings.DEBUG = False
        missing = client.get("/no/such/page/")
        assert missing.status_code == 404
        assert "portal.css" in missing.content.decode()
        assert "Content-Security-Policy" in missing

    def test_a_form_from_yesterday_is_explained(self, on_stage: Stage) -> None:
        strict = Client(enforce_csrf_checks=True)
        response = strict.post(reverse("portal:log_in"), {"username": "bea@example.com", "password": "x"})
        assert response.status_code == 403
        assert "Please send that once more" in response.content.decode()


class TestAdmin:
    def test_lets_operators_look_and_change_nothing(self, on_stage: Stage, client: Client) -> None:
        on_stage.funded()
        operator = User.objects.create_superuser("op@example.com", "a long password", display_name="Olga")
        client.force_login(operator)
        for name in ("escrowtransaction", "milestone", "event", "actionintent", "token"):
            assert client.get(reverse(f"admin:transactions_{name}_changelist")).status_code == 200
        address = reverse("admin:transactions_escrowtransaction_change", args=[on_stage.deal.pk])
        assert on_stage.deal.title in client.get(address).content.decode()
        assert client.post(address, {"title": "Mine now"}).status_code == 403
        assert client.get(reverse("admin:transactions_escrowtransaction_add")).status_code == 403
