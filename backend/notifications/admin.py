from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from notifications.models import Notification, NotificationPreference


@admin.register(Notification)
class NotificationAdmin(admin.ModelAdmin[Notification]):
    """What was told to whom, to read."""

    list_display = ["created_at", "kind", "subject", "address", "state", "attempts", "sent_at"]
    list_filter = ["state", "kind", "channel"]
    search_fields = ["address", "subject", "key", "=transaction__id"]
    date_hierarchy = "created_at"
    raw_id_fields = ["recipient", "transaction", "milestone"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(NotificationPreference)
class NotificationPreferenceAdmin(admin.ModelAdmin[NotificationPreference]):
    list_display = ["user", "kind", "channel", "is_wanted", "updated_at"]
    list_filter = ["kind", "is_wanted"]
    raw_id_fields = ["user"]
