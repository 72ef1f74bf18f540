"""Operators look things up here; nothing is changed here: an escrow moves by the lifecycle alone."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from transactions.models import (
    ActionIntent,
    ChangeRequest,
    Dispute,
    EscrowTransaction,
    Event,
    Milestone,
    Review,
    Submission,
    Terms,
    Token,
)


class ReadOnly:
    """No adding, changing or deleting; looking follows the usual view permission."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyInline(ReadOnly, admin.TabularInline[Any, EscrowTransaction]):
    """Rows below their deal, with a link to each."""

    followed: tuple[str, ...] = ("transaction", "milestone__transaction", "actor")

    extra = 0
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related(*self.followed)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields  # also those that no form could hold, such as moments set by the database


def _number(milestone: Milestone | None) -> str:
    return str(milestone.position + 1) if milestone else ""


class MilestoneInline(ReadOnlyInline):
    model = Milestone
    followed = ("transaction__token",)
    fields = ("number", "title", "amount", "status", "money", "deliver_by", "deadline_at", "round")

    @admin.display(description="no.")
    def number(self, milestone: Milestone) -> int:
        return milestone.position + 1

    @admin.display(description="amount")
    def amount(self, milestone: Milestone) -> str:
        return milestone.transaction.token.format(milestone.amount_units)


class IntentInline(ReadOnlyInline):
    model = ActionIntent
    fields = ("action", "number", "role", "actor", "status", "failure", "requested_at", "settled_at")

    @admin.display(description="milestone")
    def number(self, intent: ActionIntent) -> str:
        return _number(intent.milestone)


class EventInline(ReadOnlyInline):
    model = Event
    fields = ("occurred_at", "name", "number", "actor", "tx")

    @admin.display(description="milestone")
    def number(self, event: Event) -> str:
        return _number(event.milestone)

    @admin.display(description="chain transaction")
    def tx(self, event: Event) -> str:
        return f"{event.chain_tx_hash[:10]}…" if event.chain_tx_hash else ""


@admin.register(EscrowTransaction)
class EscrowTransactionAdmin(ReadOnly, admin.ModelAdmin[EscrowTransaction]):
    list_display = ("id", "title", "status", "buyer", "seller", "arbiter", "total", "accept_by", "updated_at")
    list_filter = ("status", "token", "chain_id")
    list_select_related = ("buyer", "seller", "arbiter", "token")
    search_fields = ("=id", "title", "buyer__email", "seller__email", "arbiter__email", "escrow_id")
    search_help_text = "number, title, a party's e-mail address, or the escrow id"
    date_hierarchy = "created_at"
    inlines = (MilestoneInline, IntentInline, EventInline)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("milestones")

    @admin.display(description="total")
    def total(self, deal: EscrowTransaction) -> str:
        return deal.token.format(deal.total_units)


@admin.register(Milestone)
class MilestoneAdmin(ReadOnly, admin.ModelAdmin[Milestone]):
    list_display = ("transaction", "position", "title", "status", "money", "amount", "deadline_at", "deliver_by")
    list_filter = ("status", "money")
    list_select_related = ("transaction__token",)
    search_fields = ("=transaction__id", "title", "transaction__title")

    @admin.display(description="amount", ordering="amount_units")
    def amount(self, milestone: Milestone) -> str:
        return milestone.transaction.token.format(milestone.amount_units)


@admin.register(Event)
class EventAdmin(ReadOnly, admin.ModelAdmin[Event]):
    list_display = ("occurred_at", "name", "transaction", "milestone", "actor", "chain_tx_hash")
    list_filter = ("name",)
    list_select_related = ("transaction", "milestone__transaction", "actor")
    search_fields = ("=transaction__id", "transaction__title", "=chain_tx_hash", "name")
    date_hierarchy = "occurred_at"


@admin.register(ActionIntent)
class ActionIntentAdmin(ReadOnly, admin.ModelAdmin[ActionIntent]):
    list_display = (
        "id",
        "action",
        "transaction",
        "milestone",
        "role",
        "status",
        "failure",
        "requested_at",
        "settled_at",
    )
    list_filter = ("status", "action")
    list_select_related = ("transaction", "milestone__transaction")
    search_fields = ("=transaction__id", "signer", "digest")


@admin.register(Dispute)
class DisputeAdmin(ReadOnly, admin.ModelAdmin[Dispute]):
    list_display = ("milestone", "status", "opened_by", "opened_at", "arbitration_ends_at", "decided_at")
    list_filter = ("status",)
    list_select_related = ("milestone__transaction", "opened_by")


@admin.register(Terms, Submission, ChangeRequest, Review)
class WordsAdmin(ReadOnly, admin.ModelAdmin[Any]):
    """What people wrote and signed."""


@admin.register(Token)
class TokenAdmin(admin.ModelAdmin[Token]):
    """The one list here that operators keep: which tokens are offered."""

    list_display = ("symbol", "name", "chain_id", "address", "decimals", "is_offered")
    list_filter = ("chain_id", "is_offered")

    def get_readonly_fields(self, request: HttpRequest, obj: Token | None = None) -> tuple[str, ...]:
        # Signed terms name the token by these: they stay as they were.
        return ("chain_id", "address", "decimals") if obj else ()
