"""The overview: what waits for me first, then everything I have a part in."""

from dataclasses import dataclass

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.requests import SignedInRequest
from portal.turns import Turn, for_viewer, turns_of
from transactions import queries
from transactions.models import EscrowTransaction
from transactions.rules import HOLDING, Role
from users.models import User, Wallet

PER_PAGE = 25
WAITING_AT_MOST = 50  # what waits for one person; beyond that the list below is the better place


@dataclass(frozen=True)
class Line:
    """One deal as a line of the list."""

    deal: EscrowTransaction
    role: Role | None
    turn: Turn | None

    @property
    def people(self) -> str:
        """What the viewer is in it, and with whom."""
        if self.role is Role.BUYER:
            return f"You buy from {self.deal.seller}"
        if self.role is Role.SELLER:
            return f"You sell to {self.deal.buyer}"
        return f"{self.deal.buyer} and {self.deal.seller}"


def with_parts(deals: QuerySet[EscrowTransaction]) -> QuerySet[EscrowTransaction]:
    """What a line or a page of a deal reads, in a fixed number of queries."""
    return deals.prefetch_related("milestones", "intents")


def line_of(deal: EscrowTransaction, user: User) -> Line:
    """A deal as its viewer sees it in a list."""
    role = next(iter(deal.roles_of(user)), None)
    turns = for_viewer(turns_of(deal), role)
    return Line(deal, role, turns[0] if turns else None)


@login_required
@require_safe
def dashboard(request: SignedInRequest) -> HttpResponse:
    user = request.user
    deals = with_parts(queries.visible_to(user))
    mine = deals.filter(_taking_part(user))
    moving = mine.filter(status__in=["DRAFT", "PENDING_FUNDING", "AWAITING_PAYMENT", *HOLDING])[:500]
    waiting = [line for deal in moving if (line := line_of(deal, user)).turn and line.turn.is_mine]
    waiting.sort(key=lambda line: line.turn.until.timestamp() if line.turn and line.turn.until else float("inf"))
    page = Paginator(mine, PER_PAGE).get_page(request.GET.get("page"))
    return render(
        request,
        "portal/dashboard/index.html",
        {
            "waiting": waiting[:WAITING_AT_MOST],
            "lines": [line_of(deal, user) for deal in page],
            "page": page,
            "has_wallet": Wallet.objects.filter(user=user, is_primary=True).exists(),
        },
    )


def _taking_part(user: User) -> Q:
    # Operators see more than what they take part in; their overview is not the place for it.
    return Q(buyer=user) | Q(seller=user) | Q(arbiter=user)
