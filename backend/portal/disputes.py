"""The arbiter's desk: which milestones wait for a decision, the nearest deadline first."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.requests import SignedInRequest
from transactions import queries
from transactions.models import Dispute

DECIDED_SHOWN = 20


@login_required
@require_safe
def desk(request: SignedInRequest) -> HttpResponse:
    """For arbiters their own; parties see the disputes of their deals."""
    disputes = queries.disputes_visible_to(request.user).select_related(
        "opened_by", "milestone__transaction__buyer", "milestone__transaction__seller"
    )
    if request.user.is_arbiter and not request.user.is_staff:
        disputes = disputes.filter(milestone__transaction__arbiter=request.user)
    waiting = disputes.filter(status=Dispute.Status.OPEN).order_by("arbitration_ends_at", "pk")
    decided = disputes.exclude(status__in=["OPEN", "REQUESTED", "FAILED"]).order_by("-decided_at", "-pk")
    context = {"waiting": waiting, "decided": decided[:DECIDED_SHOWN]}
    return render(request, "portal/disputes/desk.html", context)
