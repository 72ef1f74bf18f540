"""Files over HTTP: what is taken, how it is handed out, and to whom."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from api.tests.conftest import api_of, clean_document
from common.clock import utc_now
from documents.intake import clean_filename, settle_check
from documents.models import Document
from documents.tasks import process_document
from outbox.models import OutboxMessage
from transactions.tests.cast import Stage

PDF = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (64).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"


def packed(entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def upload(stage: Stage, name: str, content: bytes) -> Any:
    form = {"file": SimpleUploadedFile(name, content), "purpose": "DELIVERABLE"}
    return api_of(stage.sol).post("documents/", form, format="multipart")


class TestAnUpload:
    def test_is_hashed_kept_privately_and_checked_by_a_task(self, stage: Stage, settings: Any) -> None:
        answer = upload(stage, "plan.pdf", PDF)
        taken = answer.json()
        assert (answer.status_code, taken["state"]) == (201, "RECEIVED")
        assert (taken["sha256"], taken["size_bytes"]) == (hashlib.sha256(PDF).hexdigest(), len(PDF))
        stored = [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]
        assert len(stored) == 1
        assert "plan" not in stored[0].name
        assert stored[0].stat().st_mode & 0o077 == 0
        [task] = OutboxMessage.objects.filter(task="documents.tasks.process_document")
        assert (task.queue, task.task_id) == ("documents", taken["task_id"])
        assert process_document(**task.kwargs) == process_document(**task.kwargs) == "CLEAN"
        assert api_of(stage.sol).get(f"tasks/{taken['task_id']}/").json()["name"] == task.task

    @pytest.mark.parametrize(
        ("name", "content", "status", "code"),
        [
            ("nothing.pdf", b"", 422, "invalid"),
            ("page.html", b"<html><script>alert(1)</script></html>", 415, "document_type_refused"),
            ("page.txt", b"hello <script>alert(1)</script>", 415, "document_type_refused"),
            ("picture.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "document_type_refused"),
            ("program.exe", b"MZ\x90\x00" + b"\x00" * 60, 415, "document_type_refused"),
            ("program.pdf", b"MZ\x90\x00" + b"\x00" * 60, 415, "document_type_refused"),
            ("picture.png", PDF, 415, "document_type_refused"),
            ("invoice.pdf.exe", PDF, 415, "document_type_refused"),
            ("notes.txt", b"a\x00b", 415, "document_type_refused"),
            ("no-extension", PDF, 415, "document_type_refused"),
        ],
    )
    def test_is_refused_by_its_content(self, stage: Stage, name: str, content: bytes, status: int, code: str) -> None:
        answer = upload(stage, name, content)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert not Document.objects.exists()

    def test_is_refused_above_the_limit(self, stage: Stage, settings: Any) -> None:
        settings.DOCUMENT_MAX_BYTES = 100
        answer = upload(stage, "plan.txt", b"x" * 101)
        assert (answer.status_code, answer.json()["code"]) == (413, "document_too_large")

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("active.pdf", PDF.replace(b"/Catalog", b"/Catalog /OpenAction << /S /JavaScript >>"), "scripts"),
            ("escaped.pdf", PDF.replace(b"/Catalog", b"/Catalog /J#61vaScript 2 0 R"), "scripts"),
            ("files.pdf", PDF.replace(b"/Catalog", b"/Catalog /EmbeddedFiles 2 0 R"), "scripts"),
            ("locked.pdf", PDF.replace(b"/Catalog", b"/Catalog /Encrypt 2 0 R"), "encrypted"),
            ("half.pdf", PDF[:30], "cut off"),
            ("bomb.zip", packed({"zeros": b"\x00" * 5_000_000}), "unpacks"),
            ("slip.zip", packed({"../../etc/cron.d/x": b"* * * * *"}), "outside"),
            ("broken.zip", packed({"a": b"b"})[:-10], "damaged"),
            ("macro.docx", packed({"[Content_Types].xml": b"x", "word/vbaProject.bin": b"x"}), "macros"),
            ("other.docx", packed({"a.txt": b"x"}), "not the kind"),
            ("huge.png", PNG[:16] + (60_000).to_bytes(4, "big") * 2 + PNG[24:], "too large"),
            ("late.txt", b"x" * 9_000 + b"\xff\xfe", "UTF-8"),
        ],
    )
    def test_is_rejected_with_a_reason_when_it_is_looked_through(
        self, stage: Stage, name: str, content: bytes, reason: str
    ) -> None:
        document_id = upload(stage, name, content).json()["id"]
        assert settle_check(document_id=document_id) == "REJECTED"
        shown = api_of(stage.sol).get(f"documents/{document_id}/").json()
        assert reason in shown["rejection_reason"]
        refused = api_of(stage.sol).get(f"documents/{document_id}/download/")
        assert (refused.status_code, refused.json()["code"]) == (409, "document_not_readable")

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("plan.pdf", PDF),
            ("picture.png", PNG),
            ("notes.txt", "Grüße, – über 8 KiB: ".encode() + "ä".encode() * 50_000),
            ("work.zip", packed({"index.html": b"<html></html>", "img/a.png": PNG})),
            ("text.docx", packed({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w/>"})),
        ],
    )
    def test_is_clean_when_it_is_what_it_says(self, stage: Stage, name: str, content: bytes) -> None:
        assert settle_check(document_id=upload(stage, name, content).json()["id"]) == "CLEAN"

    def test_whose_bytes_were_changed_on_disk_is_rejected(self, stage: Stage) -> None:
        document = Document.objects.get(pk=upload(stage, "plan.pdf", PDF).json()["id"])
        Path(document.file.path).chmod(0o600)
        Path(document.file.path).write_bytes(PDF + b"more")
        assert settle_check(document_id=document.pk) == "REJECTED"


class TestAFilename:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("../../etc/passwd.txt", "passwd.txt"),
            ("C:\\Users\\Sol\\plan.pdf", "plan.pdf"),
            ("two\nlines\r.pdf", "twolines.pdf"),
            ("invoice\u202efdp.exe", "invoicefdp.exe"),
            ("zero\u200bwidth.pdf", "zerowidth.pdf"),
            ("  spaced   out .pdf", "spaced out.pdf"),
            ("", "file"),
            ("..", "file"),
            (".pdf", "pdf"),
            ("x" * 300 + ".pdf", "x" * 116 + ".pdf"),
        ],
    )
    def test_loses_folders_and_what_one_cannot_see(self, given: str, kept: str) -> None:
        assert clean_filename(given) == kept


class TestADownload:
    def test_is_an_attachment_that_no_browser_shows_in_our_name(self, stage: Stage) -> None:
        document = clean_document(stage.sol.user, Document.Purpose.DELIVERABLE, 'a "quoted" name.txt')
        answer: Any = api_of(stage.sol).get(f"documents/{document.pk}/download/")
        assert b"".join(answer.streaming_content) == b"What we agreed.\n"
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "private, no-store"

    def test_of_handed_in_work_is_for_the_deal_alone_and_only_if_the_vault_has_its_hash(self, stage: Stage) -> None:
        deal = stage.funded()
        document = clean_document(stage.sol.user, Document.Purpose.DELIVERABLE)
        submission = deal.milestones.get(position=0).submissions.create(round=1, deliverable_hash="0x" + "ab" * 32)
        submission.documents.add(document)

        def readers() -> set[str]:
            people = (stage.bea, stage.sol, stage.ari, stage.max)
            path = f"documents/{document.pk}/download/"
            return {who.user.display_name for who in people if api_of(who).get(path).status_code == 200}

        assert readers() == {"Sol"}
        submission.confirmed_at = utc_now()
        submission.save()
        assert readers() == {"Bea", "Sol", "Ari"}
