"""What the parties say of each other after the end."""

from django.core.exceptions import ValidationError
from django.db import transaction as db_transaction

from common.clock import utc_now
from transactions.errors import InvalidTerms
from transactions.events import record_event
from transactions.lifecycle.guard import check_allowed
from transactions.locks import lock_transaction
from transactions.models import EscrowTransaction, Review
from transactions.rules import Action, TransactionStatus
from users.models import User


def leave_review(*, transaction_id: int, author: User, rating: int, text: str = "") -> Review:
    """A party reviews the other, 1 to 5, once. With both reviews in, the finished transaction is CLOSED."""
    with db_transaction.atomic():
        deal = lock_transaction(transaction_id)
        check_allowed(Action.REVIEW, deal, author)
        subject = deal.seller if author.pk == deal.buyer_id else deal.buyer
        review = Review(transaction=deal, author=author, subject=subject, rating=rating, text=text)
        try:
            review.full_clean(validate_constraints=False)
        except ValidationError as error:
            field, messages = next(iter(error.message_dict.items()))
            raise InvalidTerms(f"{field}: {messages[0]}", field=field) from error
        review.save()
        record_event("review.left", deal, actor=author, data={"rating": rating})
        if deal.status != TransactionStatus.CLOSED and deal.reviews.count() == 2:
            close(deal)
    return review


def close(deal: EscrowTransaction) -> None:
    """End a locked, finished deal: nothing is left to do or to say."""
    deal.status = TransactionStatus.CLOSED
    deal.closed_at = utc_now()
    deal.save(update_fields=["status", "closed_at", "updated_at"])
    record_event("transaction.closed", deal)
