"""How far something asynchronous is that a call has started."""

from collections.abc import Callable, Mapping
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.callers import caller
from api.intents import intents_visible_to
from common.errors import NotFound
from documents import queries as document_queries
from outbox.models import OutboxMessage
from transactions import queries
from users.models import User

# Whether an id among a task's arguments is this caller's business. A task of which none is known is an operator's.
CONCERNS: Mapping[str, Callable[[User, Any], bool]] = {
    "user_id": lambda user, value: bool(user.pk == value),
    "document_id": lambda user, value: document_queries.visible_to(user).filter(pk=value).exists(),
    "transaction_id": lambda user, value: queries.visible_to(user).filter(pk=value).exists(),
    "intent_id": lambda user, value: intents_visible_to(user).filter(pk=value).exists(),
}


class TaskSerializer(serializers.ModelSerializer[OutboxMessage]):
    """`state`: PENDING, PUBLISHED (in the queue), RUNNING, DONE, FAILED, DEAD (given up) or REVOKED."""

    id = serializers.CharField(source="task_id")
    name = serializers.CharField(source="task")

    class Meta:
        model = OutboxMessage
        fields = ["id", "name", "state", "attempts", "created_at", "started_at", "finished_at"]


class Task(APIView):
    @extend_schema(responses=TaskSerializer)
    def get(self, request: Request, task_id: str) -> Response:
        """How far a task is that concerns you."""
        found = OutboxMessage.objects.filter(task_id=task_id).first()
        if found is None or not _concerns(caller(request), found):
            raise NotFound(f"there is no task {task_id}", task_id=task_id)
        return Response(TaskSerializer(found).data)


def _concerns(user: Any, message: OutboxMessage) -> bool:
    if user.is_operator:
        return True
    known = [(CONCERNS[name], value) for name, value in message.kwargs.items() if name in CONCERNS]
    return bool(known) and all(isinstance(value, int) and concerns(user, value) for concerns, value in known)
