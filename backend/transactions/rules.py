"""Who may do what, when, and where it leads: the one table of the state machine. No framework in here.

The lifecycle enforces it, the API and the portal read it for the actions they offer, the reference page of
transitions is printed from it. Deadlines are the vault's: block time decides, seconds since the epoch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody is to one escrow transaction."""

    BUYER = "BUYER"
    SELLER = "SELLER"
    ARBITER = "ARBITER"
    CLOCK = "CLOCK"  # the platform acting because a deadline passed; on the vault: anyone


class TransactionStatus(StrEnum):
    DRAFT = "DRAFT"
    PENDING_FUNDING = "PENDING_FUNDING"  # proposed, waiting for the other party's acceptance
    AWAITING_PAYMENT = "AWAITING_PAYMENT"  # accepted by both, waiting for the buyer's money
    IN_ESCROW = "IN_ESCROW"
    WORK_IN_PROGRESS = "WORK_IN_PROGRESS"
    DISPUTED = "DISPUTED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REFUNDED = "REFUNDED"
    CLOSED = "CLOSED"


class MilestoneStatus(StrEnum):
    PENDING = "PENDING"
    AWAITING_REVIEW = "AWAITING_REVIEW"
    REVISION_REQUESTED = "REVISION_REQUESTED"
    DISPUTED = "DISPUTED"
    COMPLETED = "COMPLETED"
    REFUNDED = "REFUNDED"
    CANCELLED = "CANCELLED"


class Money(StrEnum):
    """Where the money of one milestone is, as the vault says."""

    UNFUNDED = "UNFUNDED"
    FUNDED = "FUNDED"
    RELEASED = "RELEASED"
    REFUNDED = "REFUNDED"
    SPLIT = "SPLIT"


class Action(StrEnum):
    EDIT = "edit"
    PROPOSE = "propose"
    ACCEPT = "accept"
    DECLINE = "decline"
    CANCEL = "cancel"
    FUND = "fund"
    SUBMIT = "submit"
    APPROVE = "approve"  # `release` on the vault
    REQUEST_CHANGES = "request_changes"
    CLAIM = "claim"
    EXTEND = "extend"
    RECLAIM = "reclaim"
    REFUND = "refund"
    DISPUTE = "dispute"
    RESOLVE = "resolve"
    TIME_OUT = "time_out"
    REVIEW = "review"


class Scope(StrEnum):
    TRANSACTION = "transaction"
    MILESTONE = "milestone"


class Clock(StrEnum):
    """How the deadline that runs on a milestone bears on an action."""

    NONE = "none"
    BEFORE = "before"  # only until the deadline
    AFTER = "after"  # only once it is over
    GRACE = "grace"  # only once it and a further review window are over


@dataclass(frozen=True)
class Rule:
    """One row: these roles may take this action from these states.

    `on_chain`: the vault decides, so the action becomes an intent and the status moves when the chain has spoken.
    `leads_to`: the status that follows (a milestone's for milestone scope); empty where it is derived or unchanged.
    """

    action: Action
    scope: Scope
    roles: frozenset[Role]
    transaction_statuses: frozenset[TransactionStatus]
    milestone_statuses: frozenset[MilestoneStatus] = frozenset()
    money: Money | None = None
    clock: Clock = Clock.NONE
    on_chain: bool = False
    leads_to: str = ""
    words: str = ""


_T, _M, _R = TransactionStatus, MilestoneStatus, Role
PARTIES = frozenset({_R.BUYER, _R.SELLER})
HOLDING = frozenset({_T.IN_ESCROW, _T.WORK_IN_PROGRESS, _T.DISPUTED})
FINISHED = frozenset({_T.COMPLETED, _T.CANCELLED, _T.REFUNDED, _T.EXPIRED, _T.CLOSED})
SETTLED_MONEY = frozenset({Money.RELEASED, Money.REFUNDED, Money.SPLIT})


def _rule(
    action: Action,
    roles: Iterable[Role],
    transaction_statuses: Iterable[TransactionStatus],
    milestone_statuses: Iterable[MilestoneStatus] = (),
    *,
    money: Money | None = None,
    clock: Clock = Clock.NONE,
    on_chain: bool = False,
    leads_to: str = "",
    words: str = "",
) -> Rule:
    statuses = frozenset(milestone_statuses)
    return Rule(
        action=action,
        scope=Scope.MILESTONE if statuses else Scope.TRANSACTION,
        roles=frozenset(roles),
        transaction_statuses=frozenset(transaction_statuses),
        milestone_statuses=statuses,
        money=money,
        clock=clock,
        on_chain=on_chain,
        leads_to=leads_to,
        words=words,
    )


def _held(
    action: Action,
    roles: Iterable[Role],
    milestone_statuses: Iterable[MilestoneStatus],
    leads_to: str = "",
    *,
    clock: Clock = Clock.NONE,
    words: str,
) -> Rule:
    """A row of the vault's table: this milestone's money is held."""
    return _rule(
        action,
        roles,
        HOLDING,
        milestone_statuses,
        money=Money.FUNDED,
        clock=clock,
        on_chain=True,
        leads_to=leads_to,
        words=words,
    )


RULES: tuple[Rule, ...] = (
    _rule(Action.EDIT, PARTIES, [_T.DRAFT], words="its author changes a draft"),
    _rule(Action.PROPOSE, PARTIES, [_T.DRAFT], leads_to=_T.PENDING_FUNDING, words="its author signs and sends it"),
    _rule(
        Action.ACCEPT,
        PARTIES,
        [_T.PENDING_FUNDING],
        leads_to=_T.AWAITING_PAYMENT,
        words="the other party signs the same terms",
    ),
    _rule(Action.DECLINE, PARTIES, [_T.PENDING_FUNDING], leads_to=_T.CANCELLED, words="the other party says no"),
    _rule(
        Action.CANCEL,
        PARTIES,
        [_T.DRAFT, _T.PENDING_FUNDING, _T.AWAITING_PAYMENT],
        leads_to=_T.CANCELLED,
        words="either party, before any money came",
    ),
    _rule(
        Action.FUND,
        [_R.BUYER],
        [_T.AWAITING_PAYMENT, *HOLDING],
        on_chain=True,
        leads_to=_T.IN_ESCROW,
        words="the buyer pays milestones into the vault",
    ),
    _held(
        Action.SUBMIT,
        [_R.SELLER],
        [_M.PENDING, _M.REVISION_REQUESTED],
        _M.AWAITING_REVIEW,
        clock=Clock.BEFORE,
        words="the seller hands in work",
    ),
    _held(
        Action.APPROVE,
        [_R.BUYER],
        [_M.PENDING, _M.AWAITING_REVIEW, _M.REVISION_REQUESTED],
        _M.COMPLETED,
        words="the buyer releases the milestone to the seller",
    ),
    _held(
        Action.REQUEST_CHANGES,
        [_R.BUYER],
        [_M.AWAITING_REVIEW],
        _M.REVISION_REQUESTED,
        clock=Clock.BEFORE,
        words="the buyer asks for changes, as often as was agreed",
    ),
    _held(
        Action.CLAIM,
        [_R.CLOCK],
        [_M.AWAITING_REVIEW],
        _M.COMPLETED,
        clock=Clock.AFTER,
        words="the review window ran out: the seller is paid, whoever asks for it",
    ),
    _held(
        Action.EXTEND,
        [_R.BUYER],
        [_M.PENDING, _M.REVISION_REQUESTED],
        words="the buyer grants a later delivery date",
    ),
    _held(
        Action.RECLAIM,
        [_R.BUYER],
        [_M.PENDING, _M.REVISION_REQUESTED],
        _M.REFUNDED,
        clock=Clock.AFTER,
        words="the delivery date passed without work: the buyer takes the money back",
    ),
    _held(
        Action.RECLAIM,
        [_R.CLOCK],
        [_M.PENDING, _M.REVISION_REQUESTED],
        _M.REFUNDED,
        clock=Clock.GRACE,
        words="a further review window passed as well: anyone may return the money to the buyer",
    ),
    _held(
        Action.REFUND,
        [_R.SELLER],
        [_M.PENDING, _M.AWAITING_REVIEW, _M.REVISION_REQUESTED, _M.DISPUTED],
        _M.REFUNDED,
        words="the seller gives the money back",
    ),
    _held(
        Action.DISPUTE,
        PARTIES,
        [_M.AWAITING_REVIEW, _M.REVISION_REQUESTED],
        _M.DISPUTED,
        clock=Clock.BEFORE,
        words="a party calls the arbiter",
    ),
    _held(
        Action.RESOLVE,
        [_R.ARBITER],
        [_M.DISPUTED],
        words="the arbiter splits the milestone between the two",
    ),
    _held(
        Action.TIME_OUT,
        [_R.CLOCK],
        [_M.DISPUTED],
        clock=Clock.AFTER,
        words="the arbiter did not decide in time: the split of the terms applies, whoever asks for it",
    ),
    _rule(
        Action.REVIEW,
        PARTIES,
        [_T.COMPLETED, _T.REFUNDED, _T.CLOSED],
        words="each party reviews the other, once",
    ),
)


@dataclass(frozen=True)
class MilestoneSituation:
    """What the rules need to know of one milestone. Times in seconds since the epoch; `deadline_at` None: no clock."""

    status: MilestoneStatus
    money: Money
    deadline_at: int | None = None
    change_requests: int = 0


@dataclass(frozen=True)
class Situation:
    """What the rules need to know of an escrow transaction, and of the milestone asked about."""

    status: TransactionStatus
    is_author: bool = False  # the asking party drafted it
    has_reviewed: bool = False
    has_fundable_milestone: bool = False  # unfunded, with its delivery date still ahead
    max_revisions: int = 0
    review_seconds: int = 0
    milestone: MilestoneSituation | None = None


@dataclass(frozen=True)
class Refusal:
    """Why not: a stable code, and a sentence."""

    code: str
    reason: str


def find_rule(action: Action, role: Role) -> Rule | None:
    """The row that lets this role take this action in some state; None if there is none."""
    return next((rule for rule in RULES if rule.action is action and role in rule.roles), None)


def check(action: Action, role: Role, situation: Situation, *, now: int) -> Refusal | None:
    """None if `role` may take `action` now (seconds since the epoch), else the reason why not."""
    rule = find_rule(action, role)
    if rule is None:
        return Refusal("role_may_not", f"the {role.lower()} may not {_verb(action)}")
    if situation.status not in rule.transaction_statuses:
        wanted = ", ".join(sorted(rule.transaction_statuses))
        return Refusal("wrong_transaction_status", f"the transaction is {situation.status}; it has to be {wanted}")
    refusal = _check_author(action, situation)
    if refusal or rule.scope is Scope.TRANSACTION:
        return refusal
    if situation.milestone is None:
        return Refusal("milestone_missing", f"say which milestone to {_verb(action)}")
    return _check_milestone(rule, situation, situation.milestone, now=now)


def _check_author(action: Action, situation: Situation) -> Refusal | None:
    if action in (Action.EDIT, Action.PROPOSE) and not situation.is_author:
        return Refusal("not_the_author", f"only the party who drafted the agreement may {_verb(action)} it")
    if action is Action.CANCEL and situation.status is TransactionStatus.DRAFT and not situation.is_author:
        return Refusal("not_the_author", "only the party who drafted the agreement may cancel a draft")
    if action in (Action.ACCEPT, Action.DECLINE) and situation.is_author:
        return Refusal("own_proposal", f"the party who proposed the terms cannot {_verb(action)} them as well")
    if action is Action.FUND and not situation.has_fundable_milestone:
        return Refusal("nothing_to_fund", "every milestone is funded already or its delivery date has passed")
    if action is Action.REVIEW and situation.has_reviewed:
        return Refusal("already_reviewed", "you have left your review of this transaction")
    return None


def _check_milestone(rule: Rule, situation: Situation, milestone: MilestoneSituation, *, now: int) -> Refusal | None:
    if rule.money is not None and milestone.money is not rule.money:
        return Refusal("wrong_money_state", f"the milestone's money is {milestone.money}; it has to be {rule.money}")
    if milestone.status not in rule.milestone_statuses:
        wanted = ", ".join(sorted(rule.milestone_statuses))
        return Refusal("wrong_milestone_status", f"the milestone is {milestone.status}; it has to be {wanted}")
    if rule.clock is not Clock.NONE and milestone.deadline_at is not None:
        if rule.clock is Clock.BEFORE and now > milestone.deadline_at:
            return Refusal("deadline_passed", f"the time to {_verb(rule.action)} is over")
        grace = situation.review_seconds if rule.clock is Clock.GRACE else 0
        if rule.clock in (Clock.AFTER, Clock.GRACE) and now <= milestone.deadline_at + grace:
            return Refusal("too_early", f"it is too early to {_verb(rule.action)}: the other side's time still runs")
    if rule.action is Action.REQUEST_CHANGES and milestone.change_requests >= situation.max_revisions:
        return Refusal(
            "no_revisions_left", f"all {situation.max_revisions} agreed rounds of changes are used: approve or dispute"
        )
    return None


def available_actions(
    roles: Iterable[Role], situation: Situation, *, now: int, scope: Scope = Scope.MILESTONE
) -> list[Action]:
    """The actions of this scope that one of these roles may take now, in the table's order."""
    mine = list(roles)
    found = [
        rule.action
        for rule in RULES
        if rule.scope is scope
        and any(role in rule.roles and check(rule.action, role, situation, now=now) is None for role in mine)
    ]
    return list(dict.fromkeys(found))


def _verb(action: Action) -> str:
    return str(action).replace("_", " ")


# What the chain says, and what it makes of a milestone: these never refuse.
FACT_OUTCOMES: Mapping[str, tuple[MilestoneStatus, Money]] = {
    "funded": (MilestoneStatus.PENDING, Money.FUNDED),
    "submitted": (MilestoneStatus.AWAITING_REVIEW, Money.FUNDED),
    "changes_requested": (MilestoneStatus.REVISION_REQUESTED, Money.FUNDED),
    "disputed": (MilestoneStatus.DISPUTED, Money.FUNDED),
    "released": (MilestoneStatus.COMPLETED, Money.RELEASED),
    "refunded": (MilestoneStatus.REFUNDED, Money.REFUNDED),
    "split": (MilestoneStatus.COMPLETED, Money.SPLIT),
}


def split_outcome(*, amount_units: int, seller_units: int) -> tuple[MilestoneStatus, Money]:
    """What a split (resolve, settle, time out) makes of a milestone: all, nothing or a part for the seller."""
    if seller_units == amount_units:
        return FACT_OUTCOMES["released"]
    if seller_units == 0:
        return FACT_OUTCOMES["refunded"]
    return FACT_OUTCOMES["split"]


def derive_transaction_status(
    current: TransactionStatus, milestones: Iterable[tuple[MilestoneStatus, Money]]
) -> TransactionStatus:
    """The status that follows from the milestones once any money came; `current` before that and when CLOSED.

    A transaction whose only open milestones are unfunded waits for payment of those in IN_ESCROW or later states.
    """
    states = list(milestones)
    if current is TransactionStatus.CLOSED or all(money is Money.UNFUNDED for _, money in states):
        return current
    if any(status is MilestoneStatus.DISPUTED for status, _ in states):
        return TransactionStatus.DISPUTED
    open_ones = [status for status, money in states if money not in SETTLED_MONEY and status is not _M.CANCELLED]
    if not open_ones:
        paid = any(money in (Money.RELEASED, Money.SPLIT) for _, money in states)
        return TransactionStatus.COMPLETED if paid else TransactionStatus.REFUNDED
    untouched = all(status in (_M.PENDING, _M.CANCELLED) for status, _ in states)
    return TransactionStatus.IN_ESCROW if untouched else TransactionStatus.WORK_IN_PROGRESS
