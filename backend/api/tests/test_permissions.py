"""Who may do what: every route and method for every role. A route without a row fails.

A cell is the status that this role is answered with, sent a body with which the call would go as far as it may. So
403 and 404 are refusals for who one is, and 409, 422 and 503 mean that this role gets through to the rules.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction as db_transaction
from django.urls import URLPattern

from api import urls
from api.tests.conftest import api_of, clean_document
from common.clock import utc_now
from documents.models import Document
from outbox.models import OutboxMessage
from transactions.models import ActionIntent
from transactions.tests.cast import Stage, person
from users import accounts, verification
from users.models import User

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ROLES = ("buyer", "seller", "arbiter", "reviewer", "operator", "stranger", "anonymous")
Row = tuple[int, int, int, int, int, int, int]


def everybody(status: int) -> Row:
    return (status,) * 7


def with_account(status: int) -> Row:
    return (*(status,) * 6, 401)


def of_the_deal(buyer: int, seller: int, arbiter: int, operator: int) -> Row:
    return (buyer, seller, arbiter, 404, operator, 404, 401)


SEEN = of_the_deal(200, 200, 200, 200)
TOO_LATE = of_the_deal(409, 409, 403, 403)
REASON = {"reason": "The form is missing."}
UNTIL = {"until": (utc_now() + timedelta(days=60)).isoformat()}
SPLIT = {"reason": "A part was done.", "seller_amount": "0.0001"}

# (method, route): (row, body). Rows in the order of ROLES.
MATRIX: dict[tuple[str, str], tuple[Row, Any]] = {
    ("GET", "root"): (everybody(200), None),
    ("POST", "accounts"): (everybody(422), {}),
    ("GET", "account"): (with_account(200), None),
    ("PATCH", "account"): (with_account(200), {}),
    ("GET", "tokens"): (with_account(200), None),
    ("POST", "tokens"): (everybody(422), {}),
    ("DELETE", "token"): ((204, 404, 404, 404, 404, 404, 401), None),
    ("GET", "arbiters"): (with_account(200), None),
    ("GET", "deployment"): (with_account(200), None),
    ("GET", "wallets"): (with_account(200), None),
    ("POST", "wallet-challenge"): (with_account(422), {}),
    ("POST", "wallet-link"): (with_account(422), {}),
    ("POST", "wallet-sandbox"): (with_account(403), {}),  # development only
    ("POST", "wallet-sandbox-sign"): (with_account(422), {}),
    ("POST", "wallet-primary"): ((200, 404, 404, 404, 404, 404, 401), {}),
    ("GET", "seller-profile"): ((404, 200, 404, 404, 404, 404, 401), None),
    ("PUT", "seller-profile"): (with_account(200), {"legal_name": "Sol", "headline": "Websites"}),
    ("POST", "seller-profile-verification"): (with_account(422), {}),
    ("GET", "verifications"): (with_account(200), None),
    ("GET", "verification"): ((404, 200, 404, 200, 404, 404, 401), None),
    ("POST", "verification-decision"): ((403, 403, 403, 422, 403, 403, 401), {}),
    ("GET", "documents"): (with_account(200), None),
    ("POST", "documents"): (with_account(415), {}),
    ("GET", "document"): (SEEN, None),
    ("GET", "document-download"): (SEEN, None),
    ("GET", "transactions"): (with_account(200), None),
    ("POST", "transactions"): (with_account(422), {}),
    ("GET", "transaction"): (SEEN, None),
    ("PATCH", "transaction"): (TOO_LATE, {}),
    ("POST", "transaction-propose-prepare"): (TOO_LATE, {}),
    ("POST", "transaction-propose"): (TOO_LATE, {}),
    ("POST", "transaction-accept-prepare"): (TOO_LATE, {}),
    ("POST", "transaction-accept"): (TOO_LATE, {}),
    ("POST", "transaction-decline"): (TOO_LATE, {}),
    ("POST", "transaction-cancel"): (TOO_LATE, {}),
    ("POST", "transaction-fund-prepare"): (of_the_deal(409, 403, 403, 403), {}),
    ("POST", "transaction-fund"): (of_the_deal(409, 403, 403, 403), {}),
    ("GET", "transaction-timeline"): (SEEN, None),
    ("GET", "transaction-reviews"): (SEEN, None),
    ("POST", "transaction-reviews"): (TOO_LATE, {"rating": 5}),
    ("GET", "milestone"): (SEEN, None),
    ("POST", "milestone-submit-prepare"): (of_the_deal(403, 409, 403, 403), {"note": "Done."}),
    ("POST", "milestone-submit"): (of_the_deal(403, 409, 403, 403), {"note": "Done."}),
    ("POST", "milestone-approve-prepare"): (of_the_deal(200, 403, 403, 403), {}),
    ("POST", "milestone-approve"): (of_the_deal(422, 403, 403, 403), {}),
    ("POST", "milestone-request-changes-prepare"): (of_the_deal(200, 403, 403, 403), REASON),
    ("POST", "milestone-request-changes"): (of_the_deal(422, 403, 403, 403), REASON),
    ("POST", "milestone-dispute-prepare"): (of_the_deal(200, 200, 403, 403), REASON),
    ("POST", "milestone-dispute"): (of_the_deal(422, 422, 403, 403), REASON),
    ("POST", "milestone-extend-prepare"): (of_the_deal(409, 403, 403, 403), UNTIL),
    ("POST", "milestone-extend"): (of_the_deal(409, 403, 403, 403), UNTIL),
    ("POST", "milestone-refund-prepare"): (of_the_deal(403, 200, 403, 403), {}),
    ("POST", "milestone-refund"): (of_the_deal(403, 422, 403, 403), {}),
    ("POST", "milestone-reclaim-prepare"): (of_the_deal(409, 403, 403, 403), {}),
    ("POST", "milestone-reclaim"): (of_the_deal(409, 403, 403, 403), {}),
    ("GET", "disputes"): (with_account(200), None),
    ("GET", "dispute"): (SEEN, None),
    ("POST", "dispute-resolve-prepare"): (of_the_deal(403, 403, 200, 403), SPLIT),
    ("POST", "dispute-resolve"): (of_the_deal(403, 403, 422, 403), SPLIT),
    ("GET", "intent"): (SEEN, None),
    ("GET", "notifications"): (with_account(200), None),
    ("GET", "task"): ((200, 404, 404, 404, 200, 404, 401), None),
    ("GET", "unknown"): (everybody(404), None),
}


@dataclass
class World:
    """Milestone 1 waits for its review, milestone 2 for the arbiter; one of everything that a route may name."""

    stage: Stage
    people: dict[str, User | None]
    ids: dict[str, int | str]


@pytest.fixture
def world(stage: Stage) -> World:
    plan = clean_document(stage.bea.user, Document.Purpose.AGREEMENT)
    deal = stage.funded(attachments=[plan])
    stage.submitted(0)
    stage.submitted(1)
    stage.disputed(1)
    proof = clean_document(stage.sol.user, Document.Purpose.VERIFICATION, "passport.txt")
    request = verification.submit_for_verification(
        user=stage.sol.user, document_ids=[proof.pk], legal_name="Sol", headline="Websites"
    )
    token, _ = accounts.issue_token(user=stage.bea.user, name="another")
    intent = ActionIntent.objects.create(transaction=deal, action="fund", target="7", role="BUYER", status="DONE")
    check = OutboxMessage.objects.create(
        task="documents.tasks.process_document", task_id="a-check", kwargs={"document_id": plan.pk}
    )
    dispute = deal.milestones.get(position=1).disputes.get()
    people: dict[str, User | None] = {
        "buyer": stage.bea.user,
        "seller": stage.sol.user,
        "arbiter": stage.ari.user,
        "reviewer": person("Rei", is_reviewer=True).user,
        "operator": person("Olga", is_staff=True).user,
        "stranger": stage.max.user,
        "anonymous": None,
    }
    ids: dict[str, int | str] = {
        "token_id": token.pk,
        "wallet_id": stage.bea.user.wallets.get().pk,
        "request_id": request.pk,
        "document_id": plan.pk,
        "intent_id": intent.pk,
        "task_id": check.task_id,
        "transactions": deal.pk,
        "milestones": deal.milestones.get(position=0).pk,
        "disputes": dispute.pk,
    }
    return World(stage, people, ids)


def routes() -> Iterator[tuple[str, str, URLPattern]]:
    """(method, route name, pattern) of everything below /api/v1/."""
    for pattern in urls.urlpatterns:
        view = pattern.callback.view_class  # type: ignore[attr-defined]
        for method in METHODS:
            if hasattr(view, method.lower()):
                yield method, str(pattern.name), pattern


def address(pattern: URLPattern, ids: dict[str, int | str]) -> str:
    if pattern.name == "unknown":
        return "nothing/here/"
    noun = str(pattern.pattern).split("/")[0]
    values = {name: ids[noun if name == "object_id" else name] for name in pattern.pattern.converters}
    route = str(pattern.pattern)
    for name, value in values.items():
        for kind in ("int", "str"):
            route = route.replace(f"<{kind}:{name}>", str(value))
    return route


class TestTheMatrix:
    def test_has_a_row_for_every_route_and_no_other(self) -> None:
        existing = {(method, name) for method, name, _ in routes()}
        assert existing - set(MATRIX) == set(), "give every new route a row: who may call it?"
        assert set(MATRIX) - existing == set()

    def test_is_what_the_routes_answer(self, world: World) -> None:
        clients = {role: api_of(user) for role, user in world.people.items()}
        wrong, cells = [], 0
        for method, name, pattern in routes():
            row, body = MATRIX[method, name]
            for role, expected in zip(ROLES, row, strict=True):
                cells += 1
                with db_transaction.atomic():
                    request = getattr(clients[role], method.lower())
                    path = address(pattern, world.ids)
                    answer = request(path) if body is None else request(path, body, format="json")
                    db_transaction.set_rollback(True)
                if answer.status_code != expected:
                    said = getattr(answer, "data", None)
                    wrong.append(f"{method} {name} as {role}: {answer.status_code}, not {expected} ({said})")
                elif expected >= 400:
                    assert answer.headers["Content-Type"] == "application/problem+json", (method, name, role)
        assert not wrong, "\n".join(wrong)
        assert cells == len(MATRIX) * len(ROLES)


class TestLists:
    """A list answers everybody; what it holds is the caller's own."""

    @pytest.mark.parametrize(
        ("route", "who_sees_something"),
        [
            ("transactions/", {"buyer", "seller", "arbiter", "operator"}),
            ("disputes/", {"buyer", "seller", "arbiter", "operator"}),
            ("documents/", {"buyer", "seller"}),
            ("verifications/", {"seller", "reviewer"}),
            ("wallets/", {"buyer", "seller", "arbiter", "stranger", "reviewer", "operator"}),
        ],
    )
    def test_hold_what_the_caller_may_see(self, world: World, route: str, who_sees_something: set[str]) -> None:
        seen = set()
        for role, user in world.people.items():
            if user is not None:
                data = api_of(user).get(route).json()
                if data["results"] if isinstance(data, dict) else data:
                    seen.add(role)
        assert seen == who_sees_something

    def test_a_draft_is_its_authors_alone(self, stage: Stage) -> None:
        stage.draft()
        seen = {who.user.display_name: len(api_of(who).get("transactions/").json()["results"]) for who in
                (stage.bea, stage.sol, stage.ari, stage.max)}  # fmt: skip
        assert seen == {"Bea": 1, "Sol": 0, "Ari": 0, "Max": 0}


class TestASession:
    """The portal's cookie opens the API too, but changes nothing without the CSRF token."""

    def test_reads_but_does_not_write_without_a_csrf_token(self, stage: Stage) -> None:
        from rest_framework.test import APIClient

        client = APIClient(enforce_csrf_checks=True)
        client.force_login(stage.bea.user)
        assert client.get("/api/v1/account/").status_code == 200
        refused = client.patch("/api/v1/account/", {"display_name": "Mallory"}, format="json")
        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")


def test_an_upload_is_taken_as_a_form(stage: Stage) -> None:
    answer = api_of(stage.bea).post(
        "documents/",
        {"file": SimpleUploadedFile("plan.txt", b"What we want.\n"), "purpose": "AGREEMENT"},
        format="multipart",
    )
    assert answer.status_code == 201, answer.json()
