"""What was told to whom, over which channel, and how that went; and what people do not want to be told."""

from django.conf import settings
from django.db import models

USER = settings.AUTH_USER_MODEL


class Channel(models.TextChoices):
    EMAIL = "email", "e-mail"


class Notification(models.Model):
    """One message to one recipient over one channel.

    `key` names the fact that is told, so the same fact is told once, whoever asks for it and however often. The words
    are rendered when the row is written: a later try sends the same message under the same Message-ID.
    """

    class State(models.TextChoices):
        PENDING = "PENDING", "waiting to be sent"
        SENDING = "SENDING", "being sent"
        SENT = "SENT", "taken by the mail server"
        REFUSED = "REFUSED", "refused for good by the mail server"
        FAILED = "FAILED", "given up after many tries"
        SUPPRESSED = "SUPPRESSED", "not wanted by the recipient"

    OPEN = (State.PENDING, State.SENDING)

    key = models.CharField(max_length=160, help_text="the fact: type of notification, object, occurrence")
    kind = models.CharField(max_length=40, db_index=True, help_text="a name of the catalogue")
    channel = models.CharField(max_length=10, choices=Channel, default=Channel.EMAIL)
    recipient = models.ForeignKey(
        USER, null=True, blank=True, on_delete=models.CASCADE, related_name="notifications", help_text="if an account"
    )
    address = models.CharField(max_length=320, help_text="where it goes; fixed when the row is written")
    transaction = models.ForeignKey(
        "transactions.EscrowTransaction", null=True, blank=True, on_delete=models.CASCADE, related_name="notifications"
    )
    milestone = models.ForeignKey(
        "transactions.Milestone", null=True, blank=True, on_delete=models.CASCADE, related_name="notifications"
    )

    subject = models.CharField(max_length=250)
    body_text = models.TextField()
    body_html = models.TextField(blank=True)
    message_id = models.CharField(max_length=255, unique=True, help_text="follows from key, channel and recipient")

    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(
        help_text="the next try; while it is being sent: when another worker may take it over"
    )
    error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                "key",
                "channel",
                "recipient",
                condition=models.Q(recipient__isnull=False),
                name="notification_once_per_account",
            ),
            models.UniqueConstraint(
                "key",
                "channel",
                "address",
                condition=models.Q(recipient__isnull=True),
                name="notification_once_per_address",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    state__in=["PENDING", "SENDING", "SENT", "REFUSED", "FAILED", "SUPPRESSED"],
                ),
                name="notification_state_known",
            ),
            models.CheckConstraint(
                condition=models.Q(state="SENT", sent_at__isnull=False)
                | (~models.Q(state="SENT") & models.Q(sent_at__isnull=True)),
                name="notification_sent_has_a_time",
            ),
        ]
        indexes = [
            models.Index("due_at", condition=models.Q(state__in=["PENDING", "SENDING"]), name="notification_due_first"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} → {self.address}"


class NotificationPreference(models.Model):
    """A kind of message that somebody switched off (or on again) for a channel. No row means on.

    Only kinds that the catalogue calls optional obey it: money, deadlines and one's own account are always told.
    """

    user = models.ForeignKey(USER, on_delete=models.CASCADE, related_name="notification_preferences")
    kind = models.CharField(max_length=40)
    channel = models.CharField(max_length=10, choices=Channel, default=Channel.EMAIL)
    is_wanted = models.BooleanField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint("user", "kind", "channel", name="preference_once_per_kind_and_channel")]

    def __str__(self) -> str:
        return f"{self.user}: {self.kind} by {self.channel} {'on' if self.is_wanted else 'off'}"
