"""Reads of files. Who may read one because of a deal or a verification is asked further up, where those are known."""

from django.db.models import QuerySet

from documents.models import Document


def visible_to(user: object) -> QuerySet[Document]:
    """The files this user uploaded himself."""
    return Document.objects.filter(owner_id=getattr(user, "pk", None))
