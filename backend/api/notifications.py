"""What one was told."""

from typing import Any

from rest_framework import serializers
from rest_framework.generics import ListAPIView

from api.callers import caller
from notifications.models import Notification


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    transaction_id = serializers.IntegerField(read_only=True, allow_null=True)
    milestone_id = serializers.IntegerField(read_only=True, allow_null=True)

    class Meta:
        model = Notification
        fields = [
            "id",
            "kind",
            "channel",
            "subject",
            "body_text",
            "transaction_id",
            "milestone_id",
            "state",
            "created_at",
            "sent_at",
        ]


class Notifications(ListAPIView[Notification]):
    """The messages to you, over all channels."""

    serializer_class = NotificationSerializer
    queryset = Notification.objects.none()
    filterset_fields = ["kind", "channel", "state"]

    def get_queryset(self) -> Any:
        return Notification.objects.filter(recipient=caller(self.request))
