"""What we read from the chain, before believing it, and what we sent to it."""

from django.db import models

from common.money import UnitsField
from transactions.models import ActionIntent


class ChainCursor(models.Model):
    """How far a vault's logs were taken in for good. Blocks from `next_block` on are read again at every look."""

    chain_id = models.PositiveBigIntegerField()
    vault = models.CharField(max_length=42)
    next_block = models.PositiveBigIntegerField(help_text="the first block whose logs are not final here")
    final_hash = models.CharField(
        max_length=66, blank=True, help_text="hash of the block before; another one means that the chain was rewritten"
    )
    problem = models.TextField(blank=True, help_text="why following stopped; empty while it runs")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint("chain_id", "vault", name="cursor_one_per_vault")]

    def __str__(self) -> str:
        return f"{self.vault} on chain {self.chain_id} from block {self.next_block}"


class ChainLog(models.Model):
    """One log of a vault, as the node gave it, kept whether or not it concerns a deal of ours."""

    class State(models.TextChoices):
        SEEN = "SEEN", "in a block, not final yet"
        FINAL = "FINAL", "final, its effects are in the database"
        ORPHANED = "ORPHANED", "its block is no longer on the chain"

    chain_id = models.PositiveBigIntegerField()
    block_number = models.PositiveBigIntegerField()
    block_hash = models.CharField(max_length=66)
    block_at = models.DateTimeField(help_text="the block's own time")
    log_index = models.PositiveIntegerField()
    tx_hash = models.CharField(max_length=66)
    address = models.CharField(max_length=42)
    topics = models.JSONField(help_text="0x-hex of 32 bytes each")
    data = models.TextField(help_text="0x-hex")
    state = models.CharField(max_length=10, choices=State, default=State.SEEN)
    error = models.TextField(blank=True, help_text="traceback of the last attempt to apply it")
    seen_at = models.DateTimeField(auto_now_add=True)
    final_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["block_number", "log_index"]
        constraints = [
            # The vault is part of no key: a block holds one log under one index.
            models.UniqueConstraint("chain_id", "block_hash", "log_index", name="log_once_per_block"),
            models.CheckConstraint(condition=models.Q(state__in=["SEEN", "FINAL", "ORPHANED"]), name="log_state_known"),
        ]
        indexes = [
            models.Index("chain_id", "address", "block_number", "log_index", name="log_in_chain_order"),
            models.Index("tx_hash", name="log_by_transaction"),
        ]

    def __str__(self) -> str:
        return f"log {self.log_index} of block {self.block_number} on chain {self.chain_id}"


class RelayerAccount(models.Model):
    """A sender and its next nonce. Its row lock is what makes nonces unique and without gaps."""

    chain_id = models.PositiveBigIntegerField()
    address = models.CharField(max_length=42)
    next_nonce = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint("chain_id", "address", name="relayer_account_once_per_chain")]

    def __str__(self) -> str:
        return f"{self.address} on chain {self.chain_id}"


class ChainTransaction(models.Model):
    """One transaction that the platform sends and pays for. The signed bytes are stored before they are sent.

    So a crash at any point leads to the same bytes being sent again, never to a second nonce for the same purpose.
    """

    class Status(models.TextChoices):
        PREPARED = "PREPARED", "signed, not known to be sent"
        SUBMITTED = "SUBMITTED", "given to the node"
        MINED = "MINED", "in a block, not final yet"
        FINAL = "FINAL", "final"
        FAILED = "FAILED", "final, and the contract refused it"
        DROPPED = "DROPPED", "its nonce was used by another transaction"

    OPEN = (Status.PREPARED, Status.SUBMITTED, Status.MINED)

    intent = models.OneToOneField(
        ActionIntent, null=True, blank=True, on_delete=models.PROTECT, related_name="chain_transaction"
    )
    purpose = models.CharField(max_length=40, help_text="the vault function, or why it was sent without an intent")
    chain_id = models.PositiveBigIntegerField()
    sender = models.CharField(max_length=42)
    nonce = models.PositiveBigIntegerField()
    to = models.CharField(max_length=42, blank=True, help_text="empty: creates a contract")
    call_data = models.TextField(help_text="0x-hex")
    gas_limit = models.PositiveBigIntegerField()
    max_fee_per_gas = UnitsField(help_text="wei")
    max_priority_fee_per_gas = UnitsField(help_text="wei")
    signed = models.TextField(help_text="the signed transaction, 0x-hex: what is sent, and sent again")
    tx_hash = models.CharField(max_length=66)
    earlier_hashes = models.JSONField(default=list, blank=True, help_text="of attempts whose nonce was lost to another")
    status = models.CharField(max_length=10, choices=Status, default=Status.PREPARED)
    block_number = models.PositiveBigIntegerField(null=True, blank=True)
    block_hash = models.CharField(max_length=66, blank=True)
    succeeded = models.BooleanField(null=True, blank=True, help_text="the receipt's status")
    contract_address = models.CharField(max_length=42, blank=True)
    gas_used = models.PositiveBigIntegerField(null=True, blank=True)
    effective_gas_price = UnitsField(null=True, blank=True, help_text="wei")
    error = models.CharField(max_length=300, blank=True)
    prepared_at = models.DateTimeField(auto_now_add=True)
    submitted_at = models.DateTimeField(null=True, blank=True, help_text="last time it was given to the node")
    mined_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint("chain_id", "sender", "nonce", name="chain_transaction_one_per_nonce"),
            models.UniqueConstraint("chain_id", "tx_hash", name="chain_transaction_one_per_hash"),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=["PREPARED", "SUBMITTED", "MINED", "FINAL", "FAILED", "DROPPED"],
                ),
                name="chain_transaction_status_known",
            ),
        ]
        indexes = [
            models.Index(
                "chain_id",
                "nonce",
                condition=models.Q(status__in=["PREPARED", "SUBMITTED", "MINED"]),
                name="chain_transaction_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.tx_hash}"
