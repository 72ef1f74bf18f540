"""Double entry: who moved how much to whom, against which fact. Entries are written once and never edited."""

from django.db import models
from django.db.models.functions import Concat

from common.money import UnitsField


class Account(models.Model):
    """One place money can be, or come from. The code reads `<kind>:<detail>`, for example `user:17`."""

    code = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=40, help_text="the code's first word")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(code__startswith=Concat("kind", models.Value(":"))),
                name="account_code_begins_with_its_kind",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class LedgerTransfer(models.Model):
    """Money moved from the debited account to the credited one, in one currency.

    It is POSTED when the fact is final, or PENDING first and then POSTED or VOIDED. Nothing else about it ever
    changes, and it is never deleted: a trigger in the database refuses both. A mistake is corrected by another
    transfer.
    """

    class Status(models.TextChoices):
        PENDING = "PENDING", "promised, not final"
        POSTED = "POSTED", "final"
        VOIDED = "VOIDED", "did not happen"

    key = models.CharField(max_length=200, unique=True, help_text="names the fact, so that it is entered once")
    kind = models.CharField(max_length=40)
    debit = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="debits")
    credit = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="credits")
    units = UnitsField(help_text="token base units")
    currency = models.CharField(max_length=80)
    # A number and no foreign key: the books know no rooms above them, and outlive what they book.
    escrow_transaction_id = models.BigIntegerField(db_index=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.POSTED)
    occurred_at = models.DateTimeField(help_text="block time for a fact of the chain")
    settled_at = models.DateTimeField(null=True, blank=True, help_text="when a pending transfer was posted or voided")
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["occurred_at", "id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(units__gt=0), name="transfer_units_positive"),
            models.CheckConstraint(
                condition=~models.Q(debit=models.F("credit")), name="transfer_between_different_accounts"
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=["PENDING", "POSTED", "VOIDED"]), name="transfer_status_known"
            ),
            models.CheckConstraint(
                condition=~models.Q(status="PENDING") | models.Q(settled_at__isnull=True),
                name="transfer_pending_is_not_settled",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.units} {self.currency} from {self.debit} to {self.credit}"
