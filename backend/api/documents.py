"""Files: in by multipart, checked in the background, out only as a download and only for whom they concern."""

from typing import Any

from django.conf import settings
from django.http.response import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.callers import caller
from api.idempotency import idempotent
from common.errors import DomainError
from documents import intake
from documents import queries as document_queries
from documents.errors import DocumentTooLarge
from documents.models import Document
from outbox.models import OutboxMessage
from transactions import queries

FORM_OVERHEAD_BYTES = 64 * 1024  # boundaries, headers and the fields beside the file


class DocumentNotReadable(DomainError):
    """The file has not passed its check."""

    code = "document_not_readable"


class DocumentSerializer(serializers.ModelSerializer[Document]):
    """`state` is RECEIVED until the check has ended; only a CLEAN file can be used or read."""

    class Meta:
        model = Document
        fields = [
            "id",
            "purpose",
            "filename",
            "content_type",
            "size_bytes",
            "sha256",
            "state",
            "rejection_reason",
            "uploaded_at",
            "checked_at",
        ]
        read_only_fields = fields


class ReceivedDocumentSerializer(DocumentSerializer):
    task_id = serializers.SerializerMethodField(help_text="of the check, to be asked after at `/tasks/{task_id}/`")

    class Meta(DocumentSerializer.Meta):
        fields = [*DocumentSerializer.Meta.fields, "task_id"]

    def get_task_id(self, document: Document) -> str | None:
        key = f"document.received:{document.pk}:documents.tasks.process_document"
        return OutboxMessage.objects.filter(key=key).values_list("task_id", flat=True).first()


class UploadSerializer(serializers.Serializer[Any]):
    file = serializers.FileField(max_length=1_000)
    purpose = serializers.ChoiceField(choices=Document.Purpose.choices)


class Documents(ListAPIView[Document]):
    """The files one uploaded oneself."""

    serializer_class = DocumentSerializer
    queryset = Document.objects.none()
    parser_classes = (MultiPartParser,)
    filterset_fields = ["state", "purpose"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        _refuse_large_form(request)  # first: a session's CSRF check would read the whole of it
        super().initial(request, *args, **kwargs)

    def get_queryset(self) -> Any:
        return document_queries.visible_to(caller(self.request))

    @idempotent
    @extend_schema(request=UploadSerializer, responses={201: ReceivedDocumentSerializer})
    def post(self, request: Request) -> Response:
        """Upload a file. It is checked in the background before it may be used."""
        entered = UploadSerializer(data=request.data)
        entered.is_valid(raise_exception=True)
        document = intake.receive_document(
            owner=caller(request), purpose=entered.validated_data["purpose"], upload=entered.validated_data["file"]
        )
        return Response(ReceivedDocumentSerializer(document).data, status=status.HTTP_201_CREATED)


def _refuse_large_form(request: Request) -> None:
    """Raise DocumentTooLarge before anything is read, by the length that is announced: Django reads no more than it."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    limit = settings.DOCUMENT_MAX_BYTES
    if not length.isdigit() or int(length) > limit + FORM_OVERHEAD_BYTES:
        raise DocumentTooLarge(f"a file has at most {limit} bytes", field="file", limit_bytes=limit)


class DocumentDetail(RetrieveAPIView[Document]):
    """One file's record: of one's own, of a deal that one sees, or, for reviewers, of a verification."""

    serializer_class = DocumentSerializer
    queryset = Document.objects.none()
    lookup_url_kwarg = "document_id"

    def get_queryset(self) -> Any:
        return queries.documents_readable_by(caller(self.request))


class Download(APIView):
    @extend_schema(
        responses={
            (200, "application/octet-stream"): OpenApiResponse(
                OpenApiTypes.BINARY, description="The file, as uploaded."
            )
        }
    )
    def get(self, request: Request, document_id: int) -> Any:
        """The file itself, always as an attachment: nothing that people upload is shown in our own name."""
        document = queries.get_readable_document(caller(request), document_id)
        if document.state != Document.State.CLEAN:
            raise DocumentNotReadable("this file has not passed its check", state=document.state)
        response = FileResponse(document.file.open("rb"), as_attachment=True, filename=document.filename)
        response["Content-Type"] = "application/octet-stream"
        response["X-Content-Type-Options"] = "nosniff"
        response["Content-Security-Policy"] = "default-src 'none'; sandbox"
        response["Cache-Control"] = "private, no-store"
        return response
