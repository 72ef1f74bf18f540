"""Where requests go."""

from django.contrib import admin
from django.urls import include, path

admin.site.site_header = "Escrow: operator's desk"
admin.site.site_title = "Escrow"
admin.site.index_title = "What do you want to look up?"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("portal.urls")),
]

handler400 = "portal.errors.bad_request"
handler403 = "portal.errors.permission_denied"
handler404 = "portal.errors.page_not_found"
handler500 = "portal.errors.server_error"
