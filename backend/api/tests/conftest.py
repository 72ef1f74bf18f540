"""The cast at the API: people with tokens and real keys, a deal, and no chain unless a test says so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from documents import intake
from documents.models import Document
from transactions.tests import cast
from transactions.tests.cast import Person, Stage
from users import accounts
from users.models import User


@pytest.fixture(autouse=True)
def house(settings: Any, tmp_path: Path) -> None:
    """Files and the record of the deployment lie in a folder of the test; there is no node to ask."""
    settings.RPC_URL = ""
    settings.MEDIA_ROOT = str(tmp_path / "media")
    settings.DEPLOYMENTS_DIR = tmp_path / "deployments"
    settings.DEPLOYMENTS_DIR.mkdir()
    record = {
        "chain_id": cast.CHAIN_ID,
        "vault": cast.VAULT,
        "block_number": 1,
        "block_hash": "0x" + "00" * 32,
        "code_hash": "0x" + "00" * 32,
        "tx_hash": "0x" + "00" * 32,
        "min_window_seconds": 60,
        "max_window_seconds": 365 * 86_400,
        "token": "0x" + "70" * 20,
    }
    (settings.DEPLOYMENTS_DIR / f"{cast.CHAIN_ID}.json").write_text(json.dumps(record))
    cache.clear()


@pytest.fixture
def stage(db: None) -> Stage:
    return cast.stage()


class Api(APIClient):
    """A client that speaks for somebody, below /api/v1/."""

    def generic(self, method: str, path: Any, *args: Any, **kwargs: Any) -> Any:
        return super().generic(method, path if path.startswith("/") else f"/api/v1/{path}", *args, **kwargs)


def api_of(who: Person | User | None) -> Api:
    """The API as this person sees it, by a token; None is a stranger without an account."""
    client = Api()
    if who is not None:
        user = who.user if isinstance(who, Person) else who
        _, plain = accounts.issue_token(user=user, name="test")
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {plain}")
    return client


@pytest.fixture
def as_() -> Callable[[Person | User | None], Api]:
    return api_of


def clean_document(
    owner: User, purpose: str, name: str = "plan.txt", content: bytes = b"What we agreed.\n"
) -> Document:
    """An uploaded file that has passed its check."""
    document = intake.receive_document(owner=owner, purpose=purpose, upload=SimpleUploadedFile(name, content))
    intake.settle_check(document_id=document.pk)
    document.refresh_from_db()
    return document


def sign(person: Person, prepared: dict[str, Any]) -> str:
    """A wallet's signature over the typed data of a `prepare` answer, as JSON has brought it."""
    signed = person.key.sign_typed_data(full_message=prepared["typed_data"])
    assert "0x" + bytes(signed.message_hash).hex() == prepared["digest"]
    return "0x" + bytes(signed.signature).hex()
