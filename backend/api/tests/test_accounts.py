"""Accounts, tokens, wallets and the verification of sellers, over HTTP."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from eth_account import Account
from eth_account.messages import encode_defunct

from api.tests.conftest import Api, api_of, clean_document
from common.clock import utc_now
from documents.models import Document
from outbox.models import OutboxMessage
from transactions.tests.cast import Person, Stage, person
from users import accounts, wallets
from users.models import ApiToken, User, Wallet

BEA = {"email": "Bea@Example.com", "password": "a bakery at dawn", "display_name": "Bea"}


class TestRegistering:
    def test_opens_an_account_that_is_welcomed_and_can_log_in(self, db: None) -> None:
        answer = Api().post("accounts/", BEA, format="json")
        assert answer.status_code == 201
        assert "password" not in answer.json()
        user = User.objects.get()
        assert user.email == "bea@example.com"
        [task] = OutboxMessage.objects.filter(task="users.tasks.send_account_notification")
        assert task.kwargs == {"user_id": user.pk}
        token = Api().post("tokens/", {"email": "BEA@example.com", "password": BEA["password"]}, format="json").json()
        client = Api()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token['token']}")
        assert client.get("account/").json()["email"] == "bea@example.com"

    @pytest.mark.parametrize(
        ("change", "status", "field"),
        [
            ({"email": "BEA@example.com"}, 409, "email"),
            ({"email": "other@example.com", "password": "short"}, 422, "password"),
            ({"email": "other@example.com", "password": "password123"}, 422, "password"),
            ({"email": "other@example.com", "time_zone": "Mars/Olympus"}, 422, "time_zone"),
            ({"email": "other@example.com", "display_name": "   "}, 422, "display_name"),
            ({"email": "other@example.com", "time_zone": "../../etc/passwd"}, 422, "time_zone"),
        ],
    )
    def test_refuses(self, db: None, change: dict[str, str], status: int, field: str) -> None:
        Api().post("accounts/", BEA, format="json")
        answer = Api().post("accounts/", {**BEA, **change}, format="json")
        problem = answer.json()
        assert answer.status_code == status, problem
        assert problem.get("field") == field or problem["errors"][0]["field"] == field
        assert User.objects.count() == 1


class TestAToken:
    def test_is_kept_as_a_hash_and_shown_once(self, stage: Stage) -> None:
        _, plain = accounts.issue_token(user=stage.bea.user, name="laptop")
        stored = ApiToken.objects.values().get()
        assert plain not in str(stored)
        assert "token" not in api_of(stage.bea).get("tokens/").json()[0]
        assert accounts.user_for_token(plain) == stage.bea.user

    def test_is_good_until_it_expires_or_is_revoked_or_the_account_is_closed(self, stage: Stage) -> None:
        def token() -> str:
            return accounts.issue_token(user=stage.bea.user, name="laptop", lifetime=timedelta(hours=1))[1]

        plain = token()
        with time_machine.travel(utc_now() + timedelta(hours=2)):
            assert accounts.user_for_token(plain) is None
        client = api_of(stage.bea)
        [mine, *_] = client.get("tokens/").json()
        assert client.delete(f"tokens/{mine['id']}/").status_code == 204
        assert client.get("account/").status_code == 401
        plain = token()
        User.objects.filter(pk=stage.bea.user.pk).update(is_active=False)
        assert accounts.user_for_token(plain) is None

    @pytest.mark.parametrize("header", ["Bearer", "Bearer nonsense", "Bearer escrow_" + "x" * 500, "bearer escrow_x"])
    def test_that_is_none_is_refused(self, db: None, header: str) -> None:
        client = Api()
        client.credentials(HTTP_AUTHORIZATION=header)
        answer = client.get("account/")
        assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")

    def test_is_not_given_for_a_wrong_password_and_the_answer_tells_nothing(self, stage: Stage) -> None:
        known = Api().post("tokens/", {"email": "bea@example.com", "password": "wrong"}, format="json")
        unknown = Api().post("tokens/", {"email": "nobody@example.com", "password": "wrong"}, format="json")
        assert known.status_code == unknown.status_code == 401
        assert known.json() == unknown.json()


class TestLinkingAWallet:
    @staticmethod
    def challenge(client: Api, address: str) -> Any:
        return client.post("wallets/challenge/", {"address": address}, format="json").json()

    @staticmethod
    def proof(key: Any, challenge: Any) -> dict[str, str]:
        signed = key.sign_message(encode_defunct(text=challenge["message"]))
        return {"nonce": challenge["nonce"], "signature": "0x" + bytes(signed.signature).hex()}

    def test_takes_the_signature_of_that_wallet_over_that_text_once(self, stage: Stage, settings: Any) -> None:
        settings.PUBLIC_URL = "https://escrow.example"
        max_, key = api_of(stage.max), Account.create()
        challenge = self.challenge(max_, key.address.lower())
        first, address, *_ = challenge["message"].split("\n")
        assert first == "escrow.example wants you to sign in with your Ethereum account:"
        assert address == key.address
        assert f"Chain ID: {settings.CHAIN_ID}" in challenge["message"]
        refused = max_.post("wallets/link/", self.proof(Account.create(), challenge), format="json")
        assert (refused.status_code, refused.json()["code"]) == (422, "signature_mismatch")
        linked = max_.post("wallets/link/", self.proof(key, challenge), format="json")
        assert (linked.status_code, linked.json()["address"], linked.json()["kind"]) == (201, key.address, "LINKED")
        again = max_.post("wallets/link/", self.proof(key, challenge), format="json")
        assert (again.status_code, again.json()["code"]) == (409, "challenge_not_usable")

    def test_refuses_a_text_of_somebody_else_or_too_old(self, stage: Stage) -> None:
        key = Account.create()
        challenge = self.challenge(api_of(stage.bea), key.address)
        stolen = api_of(stage.max).post("wallets/link/", self.proof(key, challenge), format="json")
        assert stolen.json()["code"] == "challenge_not_usable"
        with time_machine.travel(utc_now() + timedelta(minutes=16)):
            late = api_of(stage.bea).post("wallets/link/", self.proof(key, challenge), format="json")
        assert late.json()["code"] == "challenge_not_usable"

    def test_refuses_a_wallet_that_belongs_to_somebody(self, stage: Stage) -> None:
        answer = api_of(stage.max).post("wallets/challenge/", {"address": stage.bea.key.address.lower()}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (409, "wallet_taken")

    def test_an_own_wallet_comes_before_the_platforms(self, db: None) -> None:
        user = User.objects.create_user("rei@example.com", "a long password", display_name="Rei")
        sandbox = wallets.add_sandbox_wallet(user=user, address=Account.create().address)
        assert wallets.primary_wallet(user) == sandbox
        client, key = api_of(user), Account.create()
        client.post("wallets/link/", self.proof(key, self.challenge(client, key.address)), format="json")
        primary = wallets.primary_wallet(user)
        assert primary is not None
        assert primary.address == key.address
        client.post(f"wallets/{sandbox.pk}/primary/")
        assert Wallet.objects.get(user=user, is_primary=True) == sandbox


class TestVerifyingASeller:
    @pytest.fixture
    def rei(self, db: None) -> Person:
        return person("Rei", is_reviewer=True)

    def hand_in(self, sol: Person, document: Document) -> Any:
        client = api_of(sol)
        client.put("seller-profile/", {"legal_name": "Sol Siteworks", "skills": ["web", "web "]}, format="json")
        return client.post("seller-profile/verification/", {"document_ids": [document.pk]}, format="json")

    def test_goes_from_documents_to_a_decision_that_is_told_once(self, stage: Stage, rei: Person) -> None:
        proof = clean_document(stage.sol.user, Document.Purpose.VERIFICATION)
        request = self.hand_in(stage.sol, proof).json()
        assert api_of(stage.sol).get("seller-profile/").json()["verification_status"] == "PENDING"
        again = self.hand_in(stage.sol, proof)
        assert (again.status_code, again.json()["code"]) == (409, "verification_not_possible")
        assert api_of(rei).get(f"documents/{proof.pk}/download/").status_code == 200
        decide = f"verifications/{request['id']}/decision/"
        assert api_of(rei).post(decide, {"decision": "REJECTED"}, format="json").json()["field"] == "reason"
        assert api_of(rei).post(decide, {"decision": "VERIFIED"}, format="json").status_code == 200
        assert api_of(rei).post(decide, {"decision": "VERIFIED"}, format="json").status_code == 409
        profile = api_of(stage.sol).get("seller-profile/").json()
        assert (profile["verification_status"], profile["skills"]) == ("VERIFIED", ["web"])
        told = OutboxMessage.objects.filter(task="users.tasks.send_verification_notification").order_by("id")
        assert [task.kwargs["verification_status"] for task in told] == ["PENDING", "VERIFIED"]

    def test_who_is_verified_cannot_become_somebody_else(self, stage: Stage, rei: Person) -> None:
        request = self.hand_in(stage.sol, clean_document(stage.sol.user, Document.Purpose.VERIFICATION)).json()
        api_of(rei).post(f"verifications/{request['id']}/decision/", {"decision": "VERIFIED"}, format="json")
        refused = api_of(stage.sol).put("seller-profile/", {"legal_name": "Somebody Else"}, format="json")
        assert (refused.status_code, refused.json()["code"]) == (409, "profile_locked")

    def test_a_rejected_seller_may_hand_in_again(self, stage: Stage, rei: Person) -> None:
        proof = clean_document(stage.sol.user, Document.Purpose.VERIFICATION)
        request = self.hand_in(stage.sol, proof).json()
        entered = {"decision": "REJECTED", "reason": "It cannot be read."}
        api_of(rei).post(f"verifications/{request['id']}/decision/", entered, format="json")
        assert self.hand_in(stage.sol, proof).status_code == 201

    def test_takes_only_own_files_meant_for_it(self, stage: Stage) -> None:
        for document in (
            clean_document(stage.bea.user, Document.Purpose.VERIFICATION),
            clean_document(stage.sol.user, Document.Purpose.DELIVERABLE),
        ):
            refused = self.hand_in(stage.sol, document)
            assert (refused.status_code, refused.json()["field"]) == (422, "document_ids")

    def test_nobody_decides_about_himself_or_on_files_that_were_not_checked(self, stage: Stage, rei: Person) -> None:
        proof = clean_document(stage.sol.user, Document.Purpose.VERIFICATION)
        Document.objects.update(state=Document.State.RECEIVED)
        decide = f"verifications/{self.hand_in(stage.sol, proof).json()['id']}/decision/"
        refused = api_of(rei).post(decide, {"decision": "VERIFIED"}, format="json")
        assert (refused.status_code, refused.json()["code"]) == (409, "verification_not_possible")
        User.objects.filter(pk=stage.sol.user.pk).update(is_reviewer=True)
        own = api_of(stage.sol).post(decide, {"decision": "REJECTED", "reason": "Mine."}, format="json")
        assert (own.status_code, own.json()["code"]) == (403, "not_a_reviewer")
