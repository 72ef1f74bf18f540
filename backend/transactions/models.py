"""The heart's memory: the deal and its milestones, what was agreed, asked of the chain, and what happened."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from common.ids import new_salt
from common.money import UnitsField, format_units
from transactions import rules
from users.models import address_validator

USER = settings.AUTH_USER_MODEL


def _choices(values: type) -> list[tuple[str, str]]:
    return [(str(value), str(value).replace("_", " ").lower()) for value in values]  # type: ignore[attr-defined]


class Token(models.Model):
    """A token that agreements may be made in: the platform's list, per chain."""

    chain_id = models.PositiveBigIntegerField()
    address = models.CharField(max_length=42, validators=[address_validator])
    symbol = models.CharField(max_length=16)
    name = models.CharField(max_length=64, help_text="name in the token's EIP-712 domain")
    version = models.CharField(max_length=8, default="2", help_text="version in the token's EIP-712 domain")
    decimals = models.PositiveSmallIntegerField(validators=[MaxValueValidator(36)])
    is_offered = models.BooleanField(default=True)

    class Meta:
        constraints = [models.UniqueConstraint("chain_id", "address", name="token_known_once_per_chain")]

    def __str__(self) -> str:
        return self.symbol

    def format(self, units: int) -> str:
        """An amount in base units as a person reads it: "1,250.00 USDC"."""
        return format_units(units, decimals=self.decimals, symbol=self.symbol)


class EscrowTransaction(models.Model):
    """A deal between a buyer and a seller. The vault is right about its money, this row about its words."""

    title = models.CharField(max_length=140)
    description = models.TextField(blank=True, max_length=20_000)
    buyer = models.ForeignKey(USER, on_delete=models.PROTECT, related_name="purchases")
    seller = models.ForeignKey(USER, on_delete=models.PROTECT, related_name="sales")
    arbiter = models.ForeignKey(USER, on_delete=models.PROTECT, related_name="arbitrations")
    author = models.ForeignKey(USER, on_delete=models.PROTECT, related_name="+", help_text="the party who drafted it")
    status = models.CharField(max_length=20, choices=_choices(rules.TransactionStatus), default="DRAFT")

    token = models.ForeignKey(Token, on_delete=models.PROTECT)
    chain_id = models.PositiveBigIntegerField()
    vault_address = models.CharField(max_length=42, validators=[address_validator])
    accept_by = models.DateTimeField(help_text="after this the first funding is refused")
    review_seconds = models.PositiveIntegerField()
    revision_seconds = models.PositiveIntegerField()
    max_revisions = models.PositiveSmallIntegerField(validators=[MaxValueValidator(10)])
    arbitration_seconds = models.PositiveIntegerField()
    timeout_seller_bps = models.PositiveSmallIntegerField(validators=[MaxValueValidator(10_000)])
    fee_bps = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(1_000)])
    fee_recipient = models.CharField(max_length=42, blank=True)
    salt = models.CharField(max_length=66, default=new_salt)
    attachments = models.ManyToManyField("documents.Document", blank=True, related_name="+")

    escrow_id = models.CharField(max_length=66, blank=True, default="", help_text="EIP-712 hash of the proposed terms")
    buyer_epoch = models.PositiveIntegerField(default=0)
    seller_epoch = models.PositiveIntegerField(default=0)

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    proposed_at = models.DateTimeField(null=True, blank=True)
    accepted_at = models.DateTimeField(null=True, blank=True)
    funded_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=[str(s) for s in rules.TransactionStatus]),
                name="transaction_status_known",
            ),
            models.CheckConstraint(
                condition=~models.Q(buyer=models.F("seller"))
                & ~models.Q(arbiter=models.F("buyer"))
                & ~models.Q(arbiter=models.F("seller")),
                name="transaction_three_different_people",
            ),
            models.CheckConstraint(
                condition=models.Q(author=models.F("buyer")) | models.Q(author=models.F("seller")),
                name="transaction_author_is_a_party",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=["DRAFT", "CANCELLED"]) | ~models.Q(escrow_id=""),
                name="transaction_proposed_has_an_escrow_id",
            ),
            models.UniqueConstraint(
                "chain_id",
                "vault_address",
                "escrow_id",
                condition=~models.Q(escrow_id=""),
                name="transaction_one_per_escrow",
            ),
        ]
        indexes = [models.Index("status", "updated_at", name="transaction_by_status")]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"

    def roles_of(self, user: object) -> list[rules.Role]:
        """What this user is to this transaction: at most one role, as a list for the rules."""
        pairs = [
            (self.buyer_id, rules.Role.BUYER),
            (self.seller_id, rules.Role.SELLER),
            (self.arbiter_id, rules.Role.ARBITER),
        ]
        return [role for user_id, role in pairs if user_id == getattr(user, "pk", None)]

    @property
    def total_units(self) -> int:
        """Sum of all milestones, in token base units."""
        return sum(milestone.amount_units for milestone in self.milestones.all())


class Milestone(models.Model):
    """A part of the deal that is funded, submitted, released, disputed and refunded on its own."""

    transaction = models.ForeignKey(EscrowTransaction, on_delete=models.CASCADE, related_name="milestones")
    position = models.PositiveSmallIntegerField(
        validators=[MaxValueValidator(31)], help_text="from 0; the vault's number"
    )
    title = models.CharField(max_length=140)
    description = models.TextField(blank=True, max_length=10_000)
    amount_units = UnitsField(help_text="token base units")
    deliver_by = models.DateTimeField()

    status = models.CharField(max_length=20, choices=_choices(rules.MilestoneStatus), default="PENDING")
    money = models.CharField(max_length=10, choices=_choices(rules.Money), default="UNFUNDED")
    deadline_at = models.DateTimeField(null=True, blank=True, help_text="the clock that runs now, as the vault set it")
    round = models.PositiveSmallIntegerField(default=0, help_text="number of submissions so far")
    change_requests = models.PositiveSmallIntegerField(default=0)
    seller_units = UnitsField(default=0, help_text="paid to the seller, before the fee")
    fee_units = UnitsField(default=0)
    buyer_units = UnitsField(default=0, help_text="paid back to the buyer")
    funded_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["transaction_id", "position"]
        constraints = [
            models.UniqueConstraint("transaction", "position", name="milestone_position_once"),
            models.CheckConstraint(condition=models.Q(amount_units__gt=0), name="milestone_amount_positive"),
            models.CheckConstraint(
                condition=models.Q(status__in=[str(s) for s in rules.MilestoneStatus])
                & models.Q(money__in=[str(m) for m in rules.Money]),
                name="milestone_status_known",
            ),
            models.CheckConstraint(
                condition=models.Q(money__in=["UNFUNDED", "FUNDED"], seller_units=0, buyer_units=0)
                | models.Q(amount_units=models.F("seller_units") + models.F("buyer_units")),
                name="milestone_settles_to_its_amount",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=["PENDING", "CANCELLED"]) | ~models.Q(money="UNFUNDED"),
                name="milestone_moves_only_with_money",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.transaction} · milestone {self.position + 1}"


class Terms(models.Model):
    """One proposed version of the terms, frozen: the words, and the struct that the vault knows them by."""

    transaction = models.ForeignKey(EscrowTransaction, on_delete=models.CASCADE, related_name="terms_versions")
    version = models.PositiveIntegerField()
    document = models.JSONField(help_text="the agreement in words; its canonical form is what `details` hashes")
    struct = models.JSONField(help_text="the vault's Terms, integers as decimal text")
    escrow_id = models.CharField(max_length=66)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint("transaction", "version", name="terms_version_once")]

    def __str__(self) -> str:
        return f"terms {self.version} of {self.transaction}"


class TermsSignature(models.Model):
    """A party's signature over one version of the terms (EIP-712 `Accept`)."""

    terms = models.ForeignKey(Terms, on_delete=models.CASCADE, related_name="signatures")
    role = models.CharField(max_length=10, choices=[("BUYER", "buyer"), ("SELLER", "seller")])
    signer = models.CharField(max_length=42)
    epoch = models.PositiveIntegerField()
    deadline_at = models.DateTimeField()
    digest = models.CharField(max_length=66)
    signature = models.TextField()
    signed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint("terms", "role", name="terms_signed_once_per_party")]

    def __str__(self) -> str:
        return f"{self.role} signed {self.terms}"


class ActionIntent(models.Model):
    """Something that shall happen on the vault: a party's signed action, or a deadline's consequence.

    The relayer makes one chain transaction of it. It is DONE when the chain has said so finally, VOIDED when the
    chain said something that contradicts it.
    """

    class Status(models.TextChoices):
        REQUESTED = "REQUESTED", "waiting to be sent"
        SENT = "SENT", "sent to the chain"
        SEEN = "SEEN", "on the chain, not final yet"
        DONE = "DONE", "final"
        FAILED = "FAILED", "refused by the chain"
        VOIDED = "VOIDED", "overtaken by events"

    OPEN = (Status.REQUESTED, Status.SENT, Status.SEEN)

    transaction = models.ForeignKey(EscrowTransaction, on_delete=models.PROTECT, related_name="intents")
    milestone = models.ForeignKey(Milestone, null=True, blank=True, on_delete=models.PROTECT, related_name="intents")
    action = models.CharField(max_length=20, choices=_choices(rules.Action))
    target = models.CharField(max_length=80, help_text="what it acts on: the vault's milestone bitmap as decimal text")
    role = models.CharField(max_length=10, choices=_choices(rules.Role))
    actor = models.ForeignKey(USER, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    parameters = models.JSONField(default=dict, help_text="arguments of the vault call, integers as decimal text")
    signer = models.CharField(max_length=42, blank=True)
    signature = models.TextField(blank=True)
    digest = models.CharField(max_length=66, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True, help_text="the signature is void after this")
    status = models.CharField(max_length=10, choices=Status, default=Status.REQUESTED)
    failure = models.CharField(max_length=300, blank=True)
    requested_at = models.DateTimeField(auto_now_add=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                "transaction",
                "action",
                "target",
                condition=models.Q(status__in=["REQUESTED", "SENT", "SEEN"]),
                name="intent_one_open_per_action_and_target",
            ),
        ]
        indexes = [models.Index("status", "deadline_at", name="intent_nearest_deadline_first")]

    def __str__(self) -> str:
        return f"{self.action} of {self.transaction}"


class Submission(models.Model):
    """Work handed in for a milestone. `confirmed_at` is set when the vault has recorded its hash."""

    milestone = models.ForeignKey(Milestone, on_delete=models.CASCADE, related_name="submissions")
    round = models.PositiveSmallIntegerField()
    note = models.TextField(blank=True, max_length=10_000)
    documents = models.ManyToManyField("documents.Document", blank=True, related_name="+")
    deliverable_hash = models.CharField(max_length=66)
    requested_at = models.DateTimeField(auto_now_add=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["round", "id"]
        constraints = [
            models.UniqueConstraint(
                "milestone",
                "round",
                condition=models.Q(confirmed_at__isnull=False),
                name="submission_one_confirmed_per_round",
            ),
        ]

    def __str__(self) -> str:
        return f"submission {self.round} of {self.milestone}"


class ChangeRequest(models.Model):
    """What the buyer wants changed in a submission."""

    milestone = models.ForeignKey(Milestone, on_delete=models.CASCADE, related_name="change_request_rows")
    round = models.PositiveSmallIntegerField()
    reason = models.TextField(blank=True, max_length=10_000)
    reason_hash = models.CharField(max_length=66)
    requested_at = models.DateTimeField(auto_now_add=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["round", "id"]
        constraints = [
            models.UniqueConstraint(
                "milestone",
                "round",
                condition=models.Q(confirmed_at__isnull=False),
                name="change_request_one_confirmed_per_round",
            ),
        ]

    def __str__(self) -> str:
        return f"changes to {self.milestone}"


class Dispute(models.Model):
    """A milestone before the arbiter. It exists from the opener's request; OPEN once the vault froze the milestone."""

    class Status(models.TextChoices):
        REQUESTED = "REQUESTED", "waiting for the chain"
        OPEN = "OPEN", "with the arbiter"
        RESOLVED = "RESOLVED", "decided by the arbiter"
        TIMED_OUT = "TIMED_OUT", "the arbiter did not decide in time"
        SETTLED = "SETTLED", "ended by the parties"
        FAILED = "FAILED", "never opened"

    milestone = models.ForeignKey(Milestone, on_delete=models.PROTECT, related_name="disputes")
    opened_by = models.ForeignKey(USER, null=True, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(blank=True, max_length=10_000)
    reason_hash = models.CharField(max_length=66)
    status = models.CharField(max_length=10, choices=Status, default=Status.REQUESTED)
    arbitration_ends_at = models.DateTimeField(null=True, blank=True)
    seller_units = UnitsField(null=True, blank=True, help_text="the seller's part as decided, before the fee")
    decision = models.TextField(blank=True, max_length=10_000)
    decision_hash = models.CharField(max_length=66, blank=True)
    requested_at = models.DateTimeField(auto_now_add=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                "milestone", condition=models.Q(status="OPEN"), name="dispute_one_open_per_milestone"
            ),
        ]

    def __str__(self) -> str:
        return f"dispute over {self.milestone}"


class Review(models.Model):
    """What one party says of the other after the end."""

    transaction = models.ForeignKey(EscrowTransaction, on_delete=models.PROTECT, related_name="reviews")
    author = models.ForeignKey(USER, on_delete=models.PROTECT, related_name="reviews_written")
    subject = models.ForeignKey(USER, on_delete=models.PROTECT, related_name="reviews_received")
    rating = models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(5)])
    text = models.TextField(blank=True, max_length=5_000)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("transaction", "author", name="review_once_per_party"),
            models.CheckConstraint(condition=models.Q(rating__gte=1, rating__lte=5), name="review_rating_1_to_5"),
            models.CheckConstraint(condition=~models.Q(author=models.F("subject")), name="review_not_of_oneself"),
        ]

    def __str__(self) -> str:
        return f"review of {self.subject} by {self.author}"


class Event(models.Model):
    """The audit trail: what happened, when, by whom, and which log of the chain proves it. Never changed."""

    transaction = models.ForeignKey(EscrowTransaction, on_delete=models.PROTECT, related_name="events")
    milestone = models.ForeignKey(Milestone, null=True, blank=True, on_delete=models.PROTECT, related_name="events")
    name = models.CharField(max_length=60)
    actor = models.ForeignKey(USER, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    data = models.JSONField(default=dict)
    occurred_at = models.DateTimeField(help_text="block time for a fact of the chain")
    recorded_at = models.DateTimeField(auto_now_add=True)
    chain_tx_hash = models.CharField(max_length=66, blank=True)
    chain_log_index = models.PositiveIntegerField(null=True, blank=True)
    chain_block_number = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["occurred_at", "id"]
        constraints = [
            models.UniqueConstraint(
                "transaction",
                "name",
                "milestone",
                "chain_tx_hash",
                "chain_log_index",
                condition=~models.Q(chain_tx_hash=""),
                nulls_distinct=False,
                name="event_once_per_chain_log",
            ),
        ]

    def __str__(self) -> str:
        return self.name
