"""The check of uploaded files, away from the request."""

from typing import Any

from celery import shared_task

from documents import intake


@shared_task(queue="documents", time_limit=120, soft_time_limit=100)
def process_document(document_id: int, **_: Any) -> str:
    """Look through an uploaded file: CLEAN, or REJECTED with a reason. Follows the fact `document.received`.

    Idempotent because only a file that is still RECEIVED is marked, by an update that names that state.
    """
    return intake.settle_check(document_id=document_id)
