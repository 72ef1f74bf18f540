"""Operators see what was uploaded and how its check ended; the content is not opened here."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from documents.models import Document


@admin.register(Document)
class DocumentAdmin(admin.ModelAdmin[Document]):
    list_display = ("filename", "purpose", "owner", "state", "content_type", "size_bytes", "uploaded_at")
    list_filter = ("state", "purpose", "content_type")
    list_select_related = ("owner",)
    search_fields = ("filename", "owner__email", "sha256")
    date_hierarchy = "uploaded_at"
    exclude = ("file", "storage_key")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
