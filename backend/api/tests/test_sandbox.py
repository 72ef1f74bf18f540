"""Keys that the platform holds: in development, for our own contracts' messages, and for their owner alone."""

from typing import Any

import pytest

from api.tests.conftest import Api, api_of
from chain import sandbox
from transactions import terms
from transactions.tests import cast
from transactions.tests.cast import Stage


@pytest.fixture
def bea(stage: Stage, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Api:
    """Bea with a sandbox wallet; the node is not asked which chain it is, because there is none."""
    settings.DEBUG = settings.SANDBOX_WALLETS = True
    monkeypatch.setattr(sandbox, "connect", lambda chain_id: None)
    stage.bea.user.wallets.all().delete()
    sandbox.create_wallet(stage.bea.user)
    return api_of(stage.bea)


def message(**changes: Any) -> dict[str, Any]:
    fields = [{"name": "escrow", "type": "bytes32"}, {"name": "milestones", "type": "uint256"}]
    return {
        "types": {"EIP712Domain": terms.DOMAIN_FIELDS, "Release": fields},
        "primaryType": "Release",
        "domain": {"name": "EscrowVault", "version": "1", "chainId": cast.CHAIN_ID, "verifyingContract": cast.VAULT},
        "message": {"escrow": "0x" + "ab" * 32, "milestones": "1"},
        **changes,
    }


class TestSigning:
    def test_is_for_our_vault_and_tokens(self, bea: Api, stage: Stage) -> None:
        for contract in (cast.VAULT, cast.VAULT.lower(), stage.token.address):
            typed = message(domain={**message()["domain"], "verifyingContract": contract})
            answer = bea.post("wallets/sandbox/sign/", {"typed_data": typed}, format="json")
            assert answer.status_code == 200, answer.json()
            assert answer.json()["signature"] == sandbox.sign(stage.bea.user, typed)

    @pytest.mark.parametrize(
        "change",
        [{"verifyingContract": "0x" + "99" * 20}, {"chainId": 1}, {"chainId": None}, {"verifyingContract": []}],
    )
    def test_refuses_every_other_domain(self, bea: Api, change: dict[str, Any]) -> None:
        typed = message(domain={**message()["domain"], **change})
        answer = bea.post("wallets/sandbox/sign/", {"typed_data": typed}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (403, "sandbox_refused")

    @pytest.mark.parametrize(
        "change",
        [
            {"primaryType": "Nothing"},
            {"types": {}},
            {"types": {"EIP712Domain": [{"name": "name"}], "Release": []}},
            {"types": {"EIP712Domain": terms.DOMAIN_FIELDS, "Release": [{"name": "a", "type": "uint7"}]}},
            {"types": {"EIP712Domain": terms.DOMAIN_FIELDS, "Release": [{"name": "a", "type": "uint256[x]"}]}},
            {"message": {"escrow": 7, "milestones": {"a": []}}},
            {"message": {"escrow": "0x" + "ab" * 40, "milestones": "-1"}},
            {"message": {"escrow": "0x" + "ab" * 32, "milestones": str(2**256)}},
            {"message": {"escrow": "0x" + "ab" * 32, "milestones": "one"}},
        ],
    )
    def test_tells_a_broken_message_from_our_own_bug(self, bea: Api, change: dict[str, Any]) -> None:
        answer = bea.post("wallets/sandbox/sign/", {"typed_data": message(**change)}, format="json")
        assert answer.status_code == 422, answer.json()

    def test_is_nobody_elses(self, bea: Api, stage: Stage) -> None:
        answer = api_of(stage.sol).post("wallets/sandbox/sign/", {"typed_data": message()}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (403, "sandbox_refused")

    def test_ends_with_development(self, bea: Api, settings: Any) -> None:
        settings.DEBUG = settings.SANDBOX_WALLETS = False
        answer = bea.post("wallets/sandbox/sign/", {"typed_data": message()}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (403, "sandbox_refused")


def test_an_action_may_leave_the_signature_to_the_platform(bea: Api, stage: Stage) -> None:
    deal = stage.draft()
    answer = bea.post(f"transactions/{deal.pk}/propose/", {}, format="json")
    assert (answer.status_code, answer.json()["status"]) == (200, "PENDING_FUNDING")
    refused = api_of(stage.sol).post(f"transactions/{deal.pk}/accept/", {}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (422, "signature_mismatch")
