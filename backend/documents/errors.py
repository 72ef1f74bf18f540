"""Why a file is not taken in."""

from common.errors import DomainError


class DocumentRefused(DomainError):
    """The file cannot be taken in as it is."""

    code = "document_refused"


class DocumentTooLarge(DocumentRefused):
    """More bytes than are taken. `data["limit_bytes"]` says how many are."""

    code = "document_too_large"


class DocumentTypeRefused(DocumentRefused):
    """Its content is of no kind that is taken, or not of the kind that its name says."""

    code = "document_type_refused"
