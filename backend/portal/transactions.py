"""The page of one deal: where we are, whose turn it is, the money, the milestones, what happened, what I may do."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Prefetch
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from portal import prose
from portal.requests import SignedInRequest
from portal.turns import Turn, for_viewer, turns_of
from transactions import queries
from transactions.errors import UnknownTransaction
from transactions.models import ActionIntent, ChangeRequest, Dispute, EscrowTransaction, Event, Milestone, Submission
from transactions.rules import Action, MilestoneStatus, Money
from users.models import User

# What a milestone is mostly about comes first, what ends it last.
BUTTON_ORDER = [
    Action.PROPOSE,
    Action.ACCEPT,
    Action.FUND,
    Action.SUBMIT,
    Action.APPROVE,
    Action.RESOLVE,
    Action.REVIEW,
    Action.REQUEST_CHANGES,
    Action.RECLAIM,
    Action.EXTEND,
    Action.EDIT,
    Action.DISPUTE,
    Action.REFUND,
    Action.DECLINE,
    Action.CANCEL,
]


@dataclass(frozen=True)
class Button:
    """One thing that the reader may do now, and the page that explains it before it happens."""

    label: str
    url: str
    style: str


@dataclass(frozen=True)
class Round:
    """Words that go with a milestone, in the order of time: work, wishes, disputes, decisions."""

    kind: str  # "submission", "changes", "dispute"
    row: Submission | ChangeRequest | Dispute
    at: datetime
    is_pending: bool


@dataclass
class MilestoneCard:
    """One milestone as the page shows it."""

    row: Milestone
    turn: Turn | None
    deadline: datetime | None
    tone: str
    is_unfunded: bool
    rounds: list[Round]
    pending: list[ActionIntent]
    failed: ActionIntent | None
    buttons: list[Button] = field(default_factory=list)
    clock_note: str = ""


def get_for_page(user: User, transaction_id: int) -> EscrowTransaction:
    """A deal this user may see, with all that its page reads. Raises UnknownTransaction."""
    milestones = Milestone.objects.prefetch_related(
        "submissions__documents", "change_request_rows", "disputes__opened_by"
    )
    deal = (
        queries.visible_to(user)
        .select_related("author")
        .prefetch_related(
            Prefetch("milestones", milestones),
            Prefetch("intents", ActionIntent.objects.select_related("actor", "chain_transaction")),
            "attachments",
            "reviews__author",
            Prefetch("events", Event.objects.select_related("actor", "milestone")),
        )
        .filter(pk=transaction_id)
        .first()
    )
    if deal is None:
        raise UnknownTransaction(f"there is no transaction {transaction_id}", transaction_id=transaction_id)
    return deal


@login_required
@require_safe
def detail(request: SignedInRequest, transaction_id: int) -> HttpResponse:
    deal = get_for_page(request.user, transaction_id)
    return render(request, "portal/transactions/detail.html", context_of(deal, request.user))


@require_safe
def news(request: SignedInRequest, transaction_id: int) -> HttpResponse:
    """The live part of the page if it changed since `version`, else 204: what htmx asks for while the page is open."""
    if not request.user.is_authenticated:  # logged out elsewhere: the whole page asks to log in again
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    deal = get_for_page(request.user, transaction_id)
    if request.GET.get("version") == version_of(deal):
        return HttpResponse(status=204)
    return render(request, "portal/transactions/live.html", context_of(deal, request.user))


def context_of(deal: EscrowTransaction, user: User) -> dict[str, Any]:
    """What the page of a deal shows to this user."""
    role = next(iter(deal.roles_of(user)), None)
    turns = for_viewer(turns_of(deal), role)
    turn = turns[0] if turns else None
    pending = [intent for intent in deal.intents.all() if intent.status in ActionIntent.OPEN]
    cards = [_card(deal, milestone, user, turns, pending) for milestone in deal.milestones.all()]
    failed = [intent for intent in deal.intents.all() if intent.status == "FAILED" and intent.milestone_id is None]
    return {
        "deal": deal,
        "role": role,
        "turn": turn,
        "turns_after": [turn for turn in turns[1:] if turn.is_mine],
        "cards": cards,
        "buttons": _led_by(turn, _buttons(deal, offered_actions(deal, user))),
        "pending": pending,
        "deal_pending": [intent for intent in pending if intent.milestone_id is None],
        "failed": failed[-1] if failed and failed[-1] == list(deal.intents.all())[-1] else None,
        "events": _timeline(deal),
        "terms": queries.latest_terms(deal),
        "version": version_of(deal),
        "poll_seconds": 2 if pending else 15,
    }


def offered_actions(deal: EscrowTransaction, user: User) -> list[Action]:
    """What the rules allow on the deal, less what would cross a payment that is on its way already."""
    actions = queries.available_actions(deal, user)
    if deal.intents.filter(action=Action.FUND, status__in=ActionIntent.OPEN).exists():
        return [action for action in actions if action is not Action.CANCEL]
    return actions


def version_of(deal: EscrowTransaction) -> str:
    """Changes whenever the page would: something happened, or a request moved on."""
    events, intents = list(deal.events.all()), list(deal.intents.all())
    return "-".join(
        [
            deal.status,
            str(events[-1].pk if events else 0),
            *(f"{i.pk}{i.status}" for i in intents if i.status != "DONE"),
        ]
    )


def _card(
    deal: EscrowTransaction, milestone: Milestone, user: User, turns: list[Turn], pending: list[ActionIntent]
) -> MilestoneCard:
    actions = queries.available_actions(deal, user, milestone)
    intents = [intent for intent in deal.intents.all() if intent.milestone_id == milestone.pk]
    mine = [intent for intent in pending if intent.milestone_id == milestone.pk]
    tones = {Money.RELEASED: "good", Money.SPLIT: "good"}
    is_unfunded = milestone.money == Money.UNFUNDED and milestone.status != "CANCELLED"
    clock = [words for action, words in prose.CLOCK_WORDS.items() if action in actions]
    return MilestoneCard(
        row=milestone,
        turn=next((turn for turn in turns if turn.milestone == milestone), None),
        deadline=queries.vault_deadline(milestone) if milestone.money == Money.FUNDED else None,
        tone="warn" if is_unfunded else tones.get(Money(milestone.money), prose.milestone_badge(milestone).tone),
        is_unfunded=is_unfunded,
        rounds=_rounds(milestone, mine),
        pending=mine,
        failed=intents[-1] if intents and intents[-1].status == "FAILED" else None,
        buttons=_buttons(deal, actions, milestone),
        clock_note=clock[0] if clock else "",
    )


def _rounds(milestone: Milestone, pending: list[ActionIntent]) -> list[Round]:
    asked = {intent.action for intent in pending}
    rounds: list[Round] = []
    for submission in milestone.submissions.all():
        if submission.confirmed_at or Action.SUBMIT in asked:
            at = submission.confirmed_at or submission.requested_at
            rounds.append(Round("submission", submission, at, submission.confirmed_at is None))
    for request in milestone.change_request_rows.all():
        if request.confirmed_at or Action.REQUEST_CHANGES in asked:
            at = request.confirmed_at or request.requested_at
            rounds.append(Round("changes", request, at, request.confirmed_at is None))
    for dispute in milestone.disputes.all():
        if dispute.status != "FAILED":
            at = dispute.opened_at or dispute.requested_at
            rounds.append(Round("dispute", dispute, at, dispute.status == "REQUESTED"))
    return sorted(rounds, key=lambda item: item.at)


def _buttons(deal: EscrowTransaction, actions: list[Action], milestone: Milestone | None = None) -> list[Button]:
    found = []
    for action in sorted(set(actions) & set(BUTTON_ORDER), key=BUTTON_ORDER.index):
        words = prose.ACTION_WORDS[action]
        label, style = words.button, words.style
        if milestone is None:
            url = reverse(f"portal:{action}", args=[deal.pk])
        else:
            slug = str(action).replace("_", "-")
            url = reverse("portal:action", args=[deal.pk, milestone.position + 1, slug])
            if action is Action.APPROVE and milestone.status != MilestoneStatus.AWAITING_REVIEW:
                label, style = "Pay before delivery", "plain"  # allowed, but nothing to be led into
        found.append(Button(label, url, style))
    return found


def _led_by(turn: Turn | None, buttons: list[Button]) -> list[Button]:
    """The buttons under the line that says whose turn it is: what the line speaks of comes first and stands out."""
    if turn is None or not turn.is_mine or turn.milestone is None or turn.action is Action.FUND:
        return buttons
    there = Button(f"Go to “{turn.milestone.title}”", f"#milestone-{turn.milestone.position + 1}", "")
    return [there, *(replace(button, style=button.style or "plain") for button in buttons)]


def _timeline(deal: EscrowTransaction) -> list[Event]:
    """Newest first, each thing told once: not the request that became a fact, not the parts beside their whole."""
    events = list(deal.events.all())
    open_intents = {intent.pk for intent in deal.intents.all() if intent.status in ActionIntent.OPEN}
    wholes = {(event.name, event.chain_tx_hash) for event in events if event.chain_tx_hash}
    told = []
    for event in events:
        is_settled_request = event.name == "action.requested" and event.data.get("intent_id") not in open_intents
        whole = {"milestone.funded": "transaction.funded", "dispute.resolved": "milestone.split"}.get(event.name)
        if not is_settled_request and (whole, event.chain_tx_hash) not in wholes:
            told.append(event)
    return told[::-1]
