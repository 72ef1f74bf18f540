"""Files that people upload: who owns them, what they are for, whether they may be used yet."""

from django.conf import settings
from django.core.files.storage import Storage, storages
from django.db import models


def private_storage() -> Storage:
    """Where files lie: never below a folder that a web server hands out."""
    return storages["default"]


def storage_path(document: "Document", filename: str) -> str:
    """Where the file lies: by a random key, never by a name the uploader chose."""
    return f"documents/{document.storage_key[:2]}/{document.storage_key}"


class Document(models.Model):
    """An uploaded file. Its bytes never change; its SHA-256 is what terms and submissions commit to."""

    class Purpose(models.TextChoices):
        AGREEMENT = "AGREEMENT", "attached to an agreement"
        DELIVERABLE = "DELIVERABLE", "submitted work"
        EVIDENCE = "EVIDENCE", "evidence in a dispute"
        VERIFICATION = "VERIFICATION", "proof of who a seller is"

    class State(models.TextChoices):
        RECEIVED = "RECEIVED", "waiting to be checked"
        CLEAN = "CLEAN", "checked, usable"
        REJECTED = "REJECTED", "refused"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="documents")
    purpose = models.CharField(max_length=14, choices=Purpose)
    filename = models.CharField(max_length=200, help_text="as the uploader named it, without folders")
    content_type = models.CharField(max_length=100, blank=True, help_text="found by looking inside, not as claimed")
    size_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    storage_key = models.CharField(max_length=64, unique=True)
    file = models.FileField(upload_to=storage_path, storage=private_storage, max_length=200)
    state = models.CharField(max_length=10, choices=State, default=State.RECEIVED)
    rejection_reason = models.CharField(max_length=300, blank=True)
    uploaded_at = models.DateTimeField(auto_now_add=True)
    checked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index("state", "uploaded_at", name="document_waiting_first")]

    def __str__(self) -> str:
        return self.filename
