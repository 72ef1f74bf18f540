"""Whose turn it is, until when, and what happens otherwise: read off the rows, for the portal's one clear line."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from common.clock import utc_now
from transactions import queries
from transactions.models import EscrowTransaction, Milestone
from transactions.rules import HOLDING, SETTLED_MONEY, Action, MilestoneStatus, Money, Role, TransactionStatus


@dataclass(frozen=True)
class Turn:
    """What is waited for. `role` None: nobody's turn. `until` aware UTC or None; `otherwise` what its passing means."""

    role: Role | None
    task: str  # "review the work": follows "your turn: " or "Sol has to "
    action: Action | None = None
    until: datetime | None = None
    otherwise: str = ""
    milestone: Milestone | None = None
    is_pending: bool = False  # asked of the chain already
    role_of_viewer: Role | None = None

    @property
    def is_mine(self) -> bool:
        """Whether the one who looks is the one who is waited for."""
        return self.role is not None and self.role is self.role_of_viewer and not self.is_pending


def turns_of(deal: EscrowTransaction, *, now: datetime | None = None) -> list[Turn]:
    """Everything that this deal waits for, the nearest deadline first; empty when it is over.

    Reads `deal.milestones` and `deal.intents`: prefetch them for lists.
    """
    moment = now or utc_now()
    before_money = _before_money(deal)
    if before_money is not None:
        return [before_money]
    if deal.status not in HOLDING:
        return []
    waiting = {intent.milestone_id for intent in deal.intents.all() if intent.status in intent.OPEN}
    found = [turn for m in deal.milestones.all() if (turn := _milestone_turn(deal, m, moment)) is not None]
    marked = [replace(turn, is_pending=turn.milestone is not None and _is_waiting(turn, waiting)) for turn in found]
    return sorted(marked, key=_urgency)


def for_viewer(turns: Iterable[Turn], role: Role | None) -> list[Turn]:
    """The same turns as seen by somebody with this role: his own first, else in the order of their deadlines."""
    seen = [replace(turn, role_of_viewer=role) for turn in turns]
    return sorted(seen, key=lambda turn: not turn.is_mine)


def _is_waiting(turn: Turn, waiting: set[int | None]) -> bool:
    if turn.action is Action.FUND:
        return None in waiting
    return turn.milestone is not None and turn.milestone.pk in waiting


def _urgency(turn: Turn) -> tuple[bool, bool, float]:
    # A milestone that nobody has paid for yet is the less urgent question while money is at work elsewhere.
    return turn.is_pending, turn.action is Action.FUND, turn.until.timestamp() if turn.until else float("inf")


def _before_money(deal: EscrowTransaction) -> Turn | None:
    author_role = Role.BUYER if deal.author_id == deal.buyer_id else Role.SELLER
    other_role = Role.SELLER if author_role is Role.BUYER else Role.BUYER
    match TransactionStatus(deal.status):
        case TransactionStatus.DRAFT:
            return Turn(author_role, "check the draft, sign it and send it", Action.PROPOSE)
        case TransactionStatus.PENDING_FUNDING:
            return Turn(
                other_role,
                "read the terms and accept or decline them",
                Action.ACCEPT,
                until=deal.accept_by,
                otherwise="the proposal expires",
            )
        case TransactionStatus.AWAITING_PAYMENT:
            is_pending = any(i.action == Action.FUND and i.status in i.OPEN for i in deal.intents.all())
            return Turn(
                Role.BUYER,
                "pay the money into the vault",
                Action.FUND,
                until=deal.accept_by,
                otherwise="the agreement expires",
                is_pending=is_pending,
            )
    return None


def _milestone_turn(deal: EscrowTransaction, milestone: Milestone, now: datetime) -> Turn | None:
    if milestone.money in SETTLED_MONEY or milestone.status == MilestoneStatus.CANCELLED:
        return None
    name = f"“{milestone.title}”"
    deadline = queries.vault_deadline(milestone)
    is_over = deadline is not None and deadline < now
    if milestone.money == Money.UNFUNDED:
        if milestone.deliver_by <= now:
            return None
        return Turn(
            Role.BUYER,
            f"pay for {name}",
            Action.FUND,
            until=milestone.deliver_by,
            otherwise="it can no longer be paid for",
            milestone=milestone,
        )
    match MilestoneStatus(milestone.status):
        case MilestoneStatus.PENDING | MilestoneStatus.REVISION_REQUESTED if is_over:
            return Turn(
                Role.BUYER,
                f"take back the money for {name}, or grant more time: its date has passed",
                Action.RECLAIM,
                milestone=milestone,
            )
        case MilestoneStatus.PENDING:
            return Turn(
                Role.SELLER,
                f"hand in {name}",
                Action.SUBMIT,
                until=deadline,
                otherwise="the buyer may take the money back",
                milestone=milestone,
            )
        case MilestoneStatus.REVISION_REQUESTED:
            return Turn(
                Role.SELLER,
                f"hand in {name} again with the changes",
                Action.SUBMIT,
                until=deadline,
                otherwise="the buyer may take the money back",
                milestone=milestone,
            )
        case MilestoneStatus.AWAITING_REVIEW if is_over:
            return Turn(Role.CLOCK, f"{name} was not reviewed in time: the seller is being paid", milestone=milestone)
        case MilestoneStatus.AWAITING_REVIEW:
            return Turn(
                Role.BUYER,
                f"review the work for {name}",
                Action.APPROVE,
                until=deadline,
                otherwise="the seller is paid",
                milestone=milestone,
            )
        case MilestoneStatus.DISPUTED:
            percent = f"{deal.timeout_seller_bps / 100:g} %"
            return Turn(
                Role.ARBITER,
                f"decide the dispute over {name}",
                Action.RESOLVE,
                until=deadline,
                otherwise=f"{percent} go to the seller, the rest back to the buyer",
                milestone=milestone,
            )
    return None
