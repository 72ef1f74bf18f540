"""Everything that goes wrong is answered in one form, with a code that stays."""

import inspect
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError

from api import problems
from api.tests.conftest import Api, api_of
from chain import errors as chain_errors
from common.errors import DomainError
from documents import errors as document_errors
from transactions import errors as transaction_errors
from transactions.errors import ActionNotAllowed, ChainUnavailable, UnknownTransaction
from transactions.tests.cast import Stage
from users import errors as user_errors

MODULES = (chain_errors, document_errors, transaction_errors, user_errors, problems)
ERRORS = sorted(
    {
        error
        for module in MODULES
        for _, error in inspect.getmembers(module, inspect.isclass)
        if issubclass(error, DomainError)
    },
    key=lambda error: error.__name__,
)


class TestEveryDomainError:
    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
    def test_has_a_status_and_a_code_of_its_own(self, error: type[DomainError]) -> None:
        answer = problems.problem_response(error("a sentence", field="amount"), {})
        assert answer is not None
        assert 400 <= answer.status_code < 600
        assert answer.data["code"] == error.code
        assert answer.data["field"] == "amount"
        same = [other for other in ERRORS if other.code == error.code and other is not error]
        assert not same, f"{same} and {error} have one code"

    def test_tells_time_from_permission(self) -> None:
        assert problems.status_of(ActionNotAllowed("too early", rule="too_early")) == 409
        assert problems.status_of(ActionNotAllowed("not the seller's", rule="role_may_not")) == 403
        assert problems.status_of(UnknownTransaction("there is no transaction 7")) == 404
        assert problems.status_of(ChainUnavailable("no node")) == 503

    def test_data_never_hides_the_standard_members(self) -> None:
        answer = problems.problem_response(DomainError("a sentence", status="VERIFIED", code="mine"), {})
        assert answer is not None
        assert (answer.data["status"], answer.data["code"]) == (409, "refused")


class TestAProblem:
    def test_names_each_field_that_is_wrong(self, db: None) -> None:
        answer = Api().post("accounts/", {"email": "nothing"}, format="json")
        assert answer.headers["Content-Type"] == "application/problem+json"
        body = answer.json()
        assert (body["status"], body["code"], body["instance"]) == (422, "invalid", "/api/v1/accounts/")
        assert {error["field"] for error in body["errors"]} == {"email", "password", "display_name"}

    def test_is_what_unreadable_json_gets(self, stage: Stage) -> None:
        answer = api_of(stage.bea).post("wallets/challenge/", "{", content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")

    def test_is_what_a_body_too_large_to_be_read_gets(self, stage: Stage, settings: Any) -> None:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE, settings.DOCUMENT_MAX_BYTES = 1_000, 1_000
        bea = api_of(stage.bea)
        answer = bea.post("wallets/challenge/", {"address": "x" * 1_000}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        form = {"file": SimpleUploadedFile("plan.txt", b"x" * 100_000), "purpose": "AGREEMENT"}
        answer = bea.post("documents/", form, format="multipart")
        assert (answer.status_code, answer.json()["code"]) == (413, "document_too_large")

    def test_says_how_to_log_in(self, db: None) -> None:
        answer = Api().get("account/")
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    def test_says_when_to_come_back(self, db: None, settings: Any) -> None:
        answers = [
            Api().post("tokens/", {"email": "bea@example.com", "password": "a guess"}, format="json") for _ in range(11)
        ]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429]
        assert answers[-1].json()["code"] == "throttled"
        assert int(answers[-1].headers["Retry-After"]) > 0

    def test_of_an_unknown_method_is_one_too(self, stage: Stage) -> None:
        answer = api_of(stage.bea).delete("account/")
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")

    def test_shows_nothing_of_a_bug(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*args: object, **kwargs: object) -> None:
            raise RuntimeError("password=hunter2")

        monkeypatch.setattr("api.transactions.queries.visible_to", broken)
        answer = api_of(stage.bea).get("transactions/")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert "hunter2" not in answer.content.decode()

    def test_says_that_the_database_is_away(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*args: object, **kwargs: object) -> None:
            raise OperationalError("connection refused at 10.0.0.7")

        client = api_of(stage.bea)
        monkeypatch.setattr("api.transactions.queries.visible_to", away)
        answer = client.get("transactions/")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert "10.0.0.7" not in answer.content.decode()
