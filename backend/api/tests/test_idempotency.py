"""An Idempotency-Key, with real threads and PostgreSQL's locks."""

import threading
from collections import Counter
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from api.idempotency import LIFETIME, forget_old_keys
from api.models import IdempotentRequest
from api.tests.conftest import Api, api_of, sign
from common.clock import utc_now
from documents.models import Document
from transactions.models import ActionIntent, Event
from transactions.tests import cast
from transactions.tests.cast import Stage
from users.accounts import issue_token
from users.models import WalletChallenge

KEY: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": "3f9c-one"}
ADDRESS = {"address": "0x" + "ab" * 20}


@pytest.fixture
def bea(stage: Stage) -> Api:
    return api_of(stage.bea)


class TestTheSameKey:
    def test_gets_the_first_answer_and_does_nothing_again(self, bea: Api) -> None:
        first = bea.post("wallets/challenge/", ADDRESS, format="json", **KEY)
        again = bea.post("wallets/challenge/", ADDRESS, format="json", **KEY)
        assert first.status_code == again.status_code == 201
        assert first.json() == again.json()
        assert again.headers["Idempotent-Replayed"] == "true"
        assert WalletChallenge.objects.count() == 1

    def test_with_another_body_is_refused(self, bea: Api) -> None:
        bea.post("wallets/challenge/", ADDRESS, format="json", **KEY)
        refused = bea.post("wallets/challenge/", {"address": "0x" + "cd" * 20}, format="json", **KEY)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")

    def test_of_somebody_else_is_another_key(self, stage: Stage, bea: Api) -> None:
        bea.post("wallets/challenge/", ADDRESS, format="json", **KEY)
        other = api_of(stage.sol).post("wallets/challenge/", ADDRESS, format="json", **KEY)
        assert "Idempotent-Replayed" not in other.headers
        assert WalletChallenge.objects.count() == 2

    def test_keeps_no_refusal(self, bea: Api) -> None:
        refused = bea.post("wallets/challenge/", {"address": "nothing"}, format="json", **KEY)
        assert refused.status_code == 422
        assert bea.post("wallets/challenge/", ADDRESS, format="json", **KEY).status_code == 201

    def test_tells_uploads_apart_by_their_content(self, bea: Api) -> None:
        def upload(content: bytes) -> Any:
            form = {"file": SimpleUploadedFile("plan.txt", content), "purpose": "AGREEMENT"}
            return bea.post("documents/", form, format="multipart", **KEY)

        assert upload(b"One plan.\n").status_code == 201
        assert upload(b"One plan.\n").headers["Idempotent-Replayed"] == "true"
        assert upload(b"Another.\n").status_code == 422
        assert Document.objects.count() == 1

    def test_is_free_again_after_its_lifetime(self, bea: Api) -> None:
        bea.post("wallets/challenge/", ADDRESS, format="json", **KEY)
        IdempotentRequest.objects.update(created_at=utc_now() - LIFETIME)
        assert "Idempotent-Replayed" not in bea.post("wallets/challenge/", ADDRESS, format="json", **KEY).headers
        IdempotentRequest.objects.update(created_at=utc_now() - LIFETIME)
        assert forget_old_keys() == 1

    @pytest.mark.parametrize("key", ["", "x" * 256, "two\tparts"])
    def test_has_to_be_a_short_text(self, bea: Api, key: str) -> None:
        refused = bea.post("wallets/challenge/", ADDRESS, format="json", HTTP_IDEMPOTENCY_KEY=key)
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_invalid")


@pytest.mark.django_db(transaction=True)
class TestCallsAtTheSameTime:
    COUNT = 8

    def at_once(self, stage: Stage, keys: list[str | None]) -> list[tuple[int, Any]]:
        """The answers to the same signed approval, sent by as many threads as there are keys."""
        path = f"milestones/{stage.deal.milestones.get(position=0).pk}/approve/"
        client, (_, plain) = api_of(stage.bea), issue_token(user=stage.bea.user, name="thread")
        prepared = client.post(f"{path}prepare/").json()
        entered = {"deadline": prepared["deadline"], "signature": sign(stage.bea, prepared)}
        barrier, answers = threading.Barrier(len(keys)), []

        def ask(key: str | None) -> None:
            mine = Api()
            mine.credentials(HTTP_AUTHORIZATION=f"Bearer {plain}")
            extra: dict[str, Any] = {} if key is None else {"HTTP_IDEMPOTENCY_KEY": key}
            try:
                barrier.wait()
                answer = mine.post(path, entered, format="json", **extra)
                answers.append((answer.status_code, answer.json()))
            finally:
                connection.close()

        threads = [threading.Thread(target=ask, args=(key,)) for key in keys]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def test_with_one_key_have_one_effect_and_one_answer(self) -> None:
        stage = cast.stage()
        stage.funded()
        answers = self.at_once(stage, ["the-same"] * self.COUNT)
        assert [status for status, _ in answers] == [202] * self.COUNT
        assert {body["id"] for _, body in answers} == {ActionIntent.objects.get().pk}
        assert Event.objects.filter(name="action.requested").count() == 1

    def test_without_a_key_have_one_effect_and_the_others_a_conflict(self) -> None:
        stage = cast.stage()
        stage.funded()
        answers = self.at_once(stage, [None] * self.COUNT)
        assert Counter(status for status, _ in answers) == {202: 1, 409: self.COUNT - 1}
        assert {body["code"] for status, body in answers if status == 409} == {"action_pending"}
        assert ActionIntent.objects.count() == 1
