"""What the chain said and what we sent, for operators to read. Nothing here is edited by hand."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from chain.models import ChainCursor, ChainLog, ChainTransaction, RelayerAccount


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Rows to look at."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(ChainTransaction)
class ChainTransactionAdmin(ReadOnlyAdmin):
    list_display = ["id", "purpose", "status", "nonce", "tx_hash", "block_number", "gas_used", "prepared_at", "error"]
    list_filter = ["status", "purpose", "chain_id"]
    search_fields = ["tx_hash", "=intent__id", "=intent__transaction__id"]
    list_select_related = ["intent"]


@admin.register(ChainLog)
class ChainLogAdmin(ReadOnlyAdmin):
    list_display = ["id", "block_number", "log_index", "state", "tx_hash", "block_at", "final_at"]
    list_filter = ["state", "chain_id"]
    search_fields = ["tx_hash", "block_hash"]


@admin.register(ChainCursor)
class ChainCursorAdmin(ReadOnlyAdmin):
    list_display = ["vault", "chain_id", "next_block", "problem", "updated_at"]


@admin.register(RelayerAccount)
class RelayerAccountAdmin(ReadOnlyAdmin):
    list_display = ["address", "chain_id", "next_nonce"]
