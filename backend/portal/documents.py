"""Files in and out: what forms upload, and who may open what."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.http import FileResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from documents import intake
from documents.models import Document
from portal.requests import SignedInRequest
from transactions import queries
from transactions.errors import DomainError
from users.models import User

FILES_AT_MOST = 20


class FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Any number of files up to FILES_AT_MOST, each up to DOCUMENT_MAX_BYTES; a list, empty if none was chosen."""

    widget = FilesInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[Any]]:
        given = data if isinstance(data, list | tuple) else [data] if data else []
        if self.required and not given:
            raise forms.ValidationError("Choose at least one file.")
        if len(given) > FILES_AT_MOST:
            raise forms.ValidationError(f"At most {FILES_AT_MOST} files at a time; put more into an archive.")
        for upload in given:
            if upload.size > settings.DOCUMENT_MAX_BYTES:
                limit = settings.DOCUMENT_MAX_BYTES // (1024 * 1024)
                raise forms.ValidationError(f"“{upload.name}” is larger than {limit} MiB.")
        return [super(FilesField, self).clean(upload, initial) for upload in given]


def receive_files(owner: User, uploads: Iterable[UploadedFile[Any]], purpose: Document.Purpose) -> list[Document]:
    """Take uploaded files in; they are checked in the background before they may be used."""
    return [intake.receive_document(owner=owner, purpose=purpose, upload=upload) for upload in uploads]


@login_required
@require_safe
def download(request: SignedInRequest, document_id: int) -> HttpResponseBase:
    """One file, always as a download: nothing that people upload is shown in the portal's own name."""
    document = queries.get_readable_document(request.user, document_id)
    if document.state != Document.State.CLEAN:
        raise DomainError("this file has not passed its check, so it cannot be opened", document_id=document_id)
    response = FileResponse(document.file.open("rb"), as_attachment=True, filename=document.filename)
    response["Content-Type"] = "application/octet-stream"
    response["Cache-Control"] = "private, no-store"
    return response
