"""Milestones before the arbiter."""

from typing import Any

from rest_framework.generics import ListAPIView, RetrieveAPIView

from api.callers import caller
from api.milestones import DisputeSerializer
from transactions import queries
from transactions.models import Dispute


def _listed(user: Any) -> Any:
    """Those that the vault knows of: a request that waits or failed is its opener's intent, not yet a dispute."""
    found = queries.disputes_visible_to(user).exclude(status__in=["REQUESTED", "FAILED"])
    return found.select_related("opened_by", "milestone__transaction__token")


class Disputes(ListAPIView[Dispute]):
    """The disputes of the transactions you see: for an arbiter, what waits for a decision."""

    serializer_class = DisputeSerializer
    queryset = Dispute.objects.none()
    filterset_fields = ["status"]

    def get_queryset(self) -> Any:
        return _listed(caller(self.request))


class DisputeDetail(RetrieveAPIView[Dispute]):
    """One dispute."""

    serializer_class = DisputeSerializer
    queryset = Dispute.objects.none()
    lookup_url_kwarg = "object_id"

    def get_queryset(self) -> Any:
        return _listed(caller(self.request))
