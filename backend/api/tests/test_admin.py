"""The operators' pages about people and files open, and keep what is not theirs to change."""

import pytest
from django.test import Client

from api.tests.conftest import clean_document
from documents.models import Document
from transactions.tests.cast import Stage
from users.models import User


@pytest.fixture
def olga(stage: Stage) -> Client:
    clean_document(stage.sol.user, Document.Purpose.DELIVERABLE)
    client = Client()
    client.force_login(User.objects.create_superuser("olga@example.com", "a long password", display_name="Olga"))
    return client


@pytest.mark.parametrize(
    "page",
    [
        "users/user/",
        "users/user/add/",
        "users/apitoken/",
        "users/wallet/",
        "users/sellerprofile/",
        "users/verificationrequest/",
        "documents/document/",
    ],
)
def test_opens(olga: Client, page: str) -> None:
    assert olga.get(f"/admin/{page}").status_code == 200


def test_an_account_is_changed_but_not_deleted(olga: Client, stage: Stage) -> None:
    page = f"/admin/users/user/{stage.bea.user.pk}/"
    assert b"is_reviewer" in olga.get(f"{page}change/").content
    assert olga.get(f"{page}delete/").status_code == 403


def test_a_file_is_looked_up_but_not_changed(olga: Client) -> None:
    page = f"/admin/documents/document/{Document.objects.get().pk}/change/"
    assert b'name="state"' not in olga.get(page).content
    assert olga.post(page, {"state": "CLEAN"}).status_code == 403
