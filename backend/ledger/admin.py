from django.contrib import admin
from django.http import HttpRequest

from ledger.models import LedgerTransfer


@admin.register(LedgerTransfer)
class LedgerTransferAdmin(admin.ModelAdmin[LedgerTransfer]):
    """The books, to read. They are written by `ledger.posting` alone."""

    list_display = ["occurred_at", "kind", "debit", "credit", "units", "currency", "status", "escrow_transaction_id"]
    list_filter = ["status", "kind", "currency"]
    list_select_related = ["debit", "credit"]
    search_fields = ["key", "debit__code", "credit__code", "=escrow_transaction_id"]
    date_hierarchy = "occurred_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: LedgerTransfer | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: LedgerTransfer | None = None) -> bool:
        return False
