"""Operators read what was told to whom, and change nothing."""

import pytest
from django.test import Client
from django.urls import reverse

from ledger.models import LedgerTransfer
from notifications import delivery
from notifications.models import Notification
from transactions.factories import EscrowTransactionFactory, UserFactory


@pytest.fixture
def operator(db: None, client: Client) -> Client:
    client.force_login(UserFactory.create(name="Olga", is_staff=True, is_superuser=True))
    return client


def test_deliveries_can_be_read_and_not_changed(operator: Client) -> None:
    deal = EscrowTransactionFactory.create(funded=True)
    delivery.notify_transaction(transaction_id=deal.pk, notification_type="funded")
    row = Notification.objects.get(address="sol@example.com")
    page = operator.get(reverse("admin:notifications_notification_changelist"), {"q": "sol@"})
    assert row.subject in page.content.decode()
    address = reverse("admin:notifications_notification_change", args=[row.pk])
    assert row.message_id in operator.get(address).content.decode().replace("&lt;", "<").replace("&gt;", ">")
    assert operator.post(address, {"subject": "x"}).status_code == 403
    assert operator.post(reverse("admin:notifications_notification_delete", args=[row.pk])).status_code == 403


def test_the_books_can_be_read_and_not_changed(operator: Client) -> None:
    assert operator.get(reverse("admin:ledger_ledgertransfer_changelist")).status_code == 200
    assert operator.get(reverse("admin:ledger_ledgertransfer_add")).status_code == 403
    assert LedgerTransfer.objects.count() == 0
