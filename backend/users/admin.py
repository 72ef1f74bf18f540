"""Operators appoint arbiters and reviewers here, close accounts and end tokens. Verification goes by its own desk."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from users.models import ApiToken, SellerProfile, User, VerificationRequest, Wallet


class ReadOnly:
    """No adding, changing or deleting; looking follows the usual view permission."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class WalletInline(ReadOnly, admin.TabularInline):
    model = Wallet
    fields = ("address", "kind", "is_primary", "verified_at")
    extra = 0


@admin.register(User)
class AccountAdmin(UserAdmin[User]):
    ordering = ("-id",)
    list_display = ("email", "display_name", "is_active", "is_staff", "is_arbiter", "is_reviewer", "created_at")
    list_filter = ("is_active", "is_staff", "is_arbiter", "is_reviewer")
    search_fields = ("email", "display_name", "wallets__address")
    readonly_fields = ("created_at", "last_login", "date_joined")
    inlines = (WalletInline,)
    fieldsets = (
        (None, {"fields": ("email", "password", "display_name", "time_zone")}),
        ("Appointments", {"fields": ("is_active", "is_arbiter", "is_reviewer")}),
        ("Operators", {"classes": ("collapse",), "fields": ("is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Times", {"fields": ("created_at", "last_login")}),
    )
    add_fieldsets = (
        (
            None,
            {"classes": ("wide",), "fields": ("email", "display_name", "usable_password", "password1", "password2")},
        ),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # an account is closed, not deleted: agreements and money name it


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin[ApiToken]):
    """Tokens can be ended here; their text is nowhere."""

    list_display = ("name", "user", "created_at", "last_used_at", "expires_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__email")
    fields = readonly_fields = ("name", "user", "created_at", "last_used_at", "expires_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Wallet)
class WalletAdmin(ReadOnly, admin.ModelAdmin[Wallet]):
    list_display = ("address", "user", "kind", "is_primary", "verified_at")
    list_filter = ("kind", "is_primary")
    list_select_related = ("user",)
    search_fields = ("address", "user__email")


@admin.register(SellerProfile)
class SellerProfileAdmin(ReadOnly, admin.ModelAdmin[SellerProfile]):
    list_display = ("legal_name", "user", "kind", "verification_status", "verified_at", "expires_at")
    list_filter = ("verification_status", "kind")
    list_select_related = ("user",)
    search_fields = ("legal_name", "user__email")


@admin.register(VerificationRequest)
class VerificationRequestAdmin(ReadOnly, admin.ModelAdmin[VerificationRequest]):
    list_display = ("profile", "decision", "submitted_at", "decided_by", "decided_at")
    list_filter = ("decision",)
    list_select_related = ("profile", "decided_by")
    date_hierarchy = "submitted_at"
