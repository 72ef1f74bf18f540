"""The table of rules, asked in every state."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transactions import rules
from transactions.rules import (
    Action,
    Clock,
    MilestoneSituation,
    MilestoneStatus,
    Money,
    Role,
    Situation,
    TransactionStatus,
)
from transactions.transitions import transitions_page

NOW = 1_000_000


def held(status: MilestoneStatus, money: Money = Money.FUNDED, deadline_at: int | None = NOW + 1) -> Situation:
    milestone = MilestoneSituation(status=status, money=money, deadline_at=deadline_at)
    return Situation(status=TransactionStatus.WORK_IN_PROGRESS, max_revisions=1, review_seconds=10, milestone=milestone)


@pytest.mark.parametrize("rule", [rule for rule in rules.RULES if rule.money is not None], ids=lambda r: str(r.action))
def test_money_that_is_not_held_lets_nobody_act(rule: rules.Rule) -> None:
    for money, status in itertools.product(set(Money) - {Money.FUNDED}, rule.milestone_statuses):
        for role in rule.roles:
            assert rules.check(rule.action, role, held(status, money), now=NOW) is not None


@pytest.mark.parametrize("action", list(Action))
def test_a_role_without_a_row_is_refused_in_every_state(action: Action) -> None:
    allowed = {role for rule in rules.RULES if rule.action is action for role in rule.roles}
    for role in set(Role) - allowed:
        for status in TransactionStatus:
            refusal = rules.check(action, role, Situation(status=status, is_author=True), now=NOW)
            assert refusal is not None and refusal.code == "role_may_not"


def test_the_arbiter_only_resolves() -> None:
    assert {rule.action for rule in rules.RULES if Role.ARBITER in rule.roles} == {Action.RESOLVE}


@pytest.mark.parametrize("status", sorted(rules.FINISHED))
def test_a_finished_transaction_moves_no_money(status: TransactionStatus) -> None:
    for rule in rules.RULES:
        if rule.on_chain:
            assert status not in rule.transaction_statuses, rule.action


@pytest.mark.parametrize("rule", [r for r in rules.RULES if r.clock is not Clock.NONE], ids=lambda r: str(r.action))
def test_the_deadline_itself_still_belongs_to_the_one_whose_time_runs(rule: rules.Rule) -> None:
    status = next(iter(rule.milestone_statuses))
    role = next(iter(rule.roles))
    at_the_deadline = rules.check(rule.action, role, held(status, deadline_at=NOW), now=NOW)
    after = rules.check(rule.action, role, held(status, deadline_at=NOW), now=NOW + 1)
    after_grace = rules.check(rule.action, role, held(status, deadline_at=NOW), now=NOW + 11)
    match rule.clock:
        case Clock.BEFORE:
            assert at_the_deadline is None and after is not None and after.code == "deadline_passed"
        case Clock.AFTER:
            assert at_the_deadline is not None and after is None
        case Clock.GRACE:
            assert after is not None and after.code == "too_early" and after_grace is None


def test_before_and_after_the_review_window_never_overlap() -> None:
    """A dispute and a claim can never both be allowed: silence is decided by the clock alone."""
    for now in (NOW - 1, NOW, NOW + 1):
        situation = held(MilestoneStatus.AWAITING_REVIEW, deadline_at=NOW)
        dispute = rules.check(Action.DISPUTE, Role.BUYER, situation, now=now) is None
        claim = rules.check(Action.CLAIM, Role.CLOCK, situation, now=now) is None
        assert dispute != claim


def test_a_pending_milestone_cannot_be_disputed() -> None:
    refusal = rules.check(Action.DISPUTE, Role.BUYER, held(MilestoneStatus.PENDING), now=NOW)
    assert refusal is not None and refusal.code == "wrong_milestone_status"


STATES = st.tuples(st.sampled_from(list(MilestoneStatus)), st.sampled_from(list(Money))).filter(
    lambda state: (
        (state[1] in rules.SETTLED_MONEY) == (state[0] in (MilestoneStatus.COMPLETED, MilestoneStatus.REFUNDED))
        and (state[1] is not Money.UNFUNDED or state[0] in (MilestoneStatus.PENDING, MilestoneStatus.CANCELLED))
        and (state[0] is not MilestoneStatus.CANCELLED or state[1] is Money.UNFUNDED)
    )
)


@given(st.lists(STATES, min_size=1, max_size=6))
def test_the_derived_status_says_what_the_milestones_say(
    milestones: list[tuple[MilestoneStatus, Money]],
) -> None:
    derived = rules.derive_transaction_status(TransactionStatus.AWAITING_PAYMENT, milestones)
    held_money = any(money is Money.FUNDED for _, money in milestones)
    if held_money:
        assert derived in rules.HOLDING, "money in the vault is never called finished"
    if derived in rules.FINISHED:
        assert not held_money
    assert (derived is TransactionStatus.DISPUTED) == any(s is MilestoneStatus.DISPUTED for s, _ in milestones)


def test_the_page_of_transitions_is_the_table() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "reference" / "transitions.md"
    assert page.read_text() == transitions_page(), (
        "run: python manage.py print_transitions > ../docs/reference/transitions.md"
    )
