"""Taking files in: named safely, measured, typed by their content, hashed, kept privately, then checked elsewhere."""

import contextlib
import hashlib
import secrets
import unicodedata
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.db import transaction as db_transaction

from common.clock import utc_now
from documents import scanning
from documents.errors import DocumentRefused, DocumentTooLarge, DocumentTypeRefused
from documents.models import Document
from outbox.publish import publish_fact

FILENAME_LENGTH = 120
NAMELESS = "file"


def receive_document(*, owner: Any, purpose: str, upload: File) -> Document:
    """Keep an upload as RECEIVED; a task checks it before it may be used. Raises DocumentRefused and what is below it.

    The bytes are written under a random key before the row is committed: a crash between leaves a file that no row
    names, never a row without a file.
    """
    if purpose not in Document.Purpose.values:
        raise DocumentRefused("say what the file is for", field="purpose", allowed=list(Document.Purpose.values))
    filename = clean_filename(upload.name or "")
    size_bytes, digest, head = _measure(upload)
    content_type = scanning.find_type(head, filename)
    if not content_type:
        raise DocumentTypeRefused(
            "files of this kind are not taken, or the content is not what the name says",
            field="file",
            allowed=sorted(scanning.ALLOWED),
        )
    document = Document(
        owner=owner,
        purpose=purpose,
        filename=filename,
        content_type=content_type,
        size_bytes=size_bytes,
        sha256=digest,
        storage_key=secrets.token_hex(32),
    )
    upload.seek(0)
    document.file.save(filename, upload, save=False)
    try:
        with db_transaction.atomic():
            document.save()
            publish_fact("document.received", key=f"document.received:{document.pk}", data={"document_id": document.pk})
    except BaseException:
        with contextlib.suppress(OSError):
            document.file.delete(save=False)
        raise
    return document


def clean_filename(name: str) -> str:
    """The uploader's name for a file without folders, invisible or control characters; never empty or a dot file."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/"))
    # Cc, Cf: line breaks, zero-width and right-to-left marks, which make a name read as another one.
    name = "".join(letter for letter in name if unicodedata.category(letter)[0] != "C")
    path = PurePosixPath(PurePosixPath(name).name)
    suffix = path.suffix[:16]
    stem = " ".join(path.name.removesuffix(path.suffix).split()).strip(". ")
    return (stem[: FILENAME_LENGTH - len(suffix)] or NAMELESS) + suffix


def _measure(upload: File) -> tuple[int, str, bytes]:
    """Size in bytes, SHA-256 as hex, and the beginning of the content. Stops reading above the limit."""
    limit: int = settings.DOCUMENT_MAX_BYTES
    size_bytes = 0
    digest = hashlib.sha256()
    head = b""
    upload.seek(0)
    while chunk := upload.read(scanning.CHUNK_BYTES):
        size_bytes += len(chunk)
        if size_bytes > limit:
            raise DocumentTooLarge(f"a file has at most {limit} bytes", field="file", limit_bytes=limit)
        digest.update(chunk)
        if len(head) < scanning.HEAD_BYTES:
            head += chunk[: scanning.HEAD_BYTES - len(head)]
    if not size_bytes:
        raise DocumentRefused("the file is empty", field="file")
    return size_bytes, digest.hexdigest(), head


def settle_check(*, document_id: int) -> str:
    """Check one file and mark it CLEAN or REJECTED with the reason. Returns its state.

    Raises Document.DoesNotExist. Idempotent: only a RECEIVED file is marked, by an update that names the old state.
    """
    document = Document.objects.get(pk=document_id)
    if document.state != Document.State.RECEIVED:
        return document.state
    problem, content_type = _problem_of(document)
    Document.objects.filter(pk=document_id, state=Document.State.RECEIVED).update(
        state=Document.State.REJECTED if problem else Document.State.CLEAN,
        rejection_reason=problem[:300],
        content_type=content_type or document.content_type,
        checked_at=utc_now(),
    )
    return Document.objects.values_list("state", flat=True).get(pk=document_id)


def _problem_of(document: Document) -> tuple[str, str]:
    try:
        with document.file.open("rb") as source:
            digest = hashlib.sha256()
            while chunk := source.read(scanning.CHUNK_BYTES):
                digest.update(chunk)
            if digest.hexdigest() != document.sha256:
                return "the stored file is not the one that was uploaded", ""
            source.seek(0)
            verdict = scanning.check(source.file, document.filename)
    except FileNotFoundError:
        return "the file is missing from the storage", ""
    return verdict.problem, verdict.content_type
