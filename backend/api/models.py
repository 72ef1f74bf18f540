"""What the API itself remembers: which request was answered how."""

from django.conf import settings
from django.db import models


class IdempotentRequest(models.Model):
    """A request that carried an Idempotency-Key, and the answer that its repetitions get.

    The row is written in the same database transaction as the request's effect: after a crash there are both or none.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, path and body")
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint("user", "key", name="idempotency_key_once_per_account")]

    def __str__(self) -> str:
        return self.key
