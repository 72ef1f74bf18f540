"""What the clock tells: the daily summary, reminders to pay or accept, overdue milestones.

Everything here reads in sets (a fixed number of queries per 500 people or deals) and writes one row per rule, object,
step and recipient, so that a run may be repeated, overlap with another or be late, and nobody hears a step twice.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from django.db.models import Exists, Model, OuterRef, Prefetch, Q, QuerySet

from common.clock import to_epoch, utc_now
from notifications import links
from notifications.catalogue import milestones as milestone_words
from notifications.catalogue.facts import ROLE_WORDS, DealFacts, Reader
from notifications.channels.email.rendering import render
from notifications.delivery import Draft, Report, tell
from notifications.message import Item, Message, one_line
from notifications.models import Notification
from transactions import rules
from transactions.models import EscrowTransaction, Milestone
from transactions.queries import vault_deadline
from transactions.rules import Action, MilestoneStatus, Money, Role, TransactionStatus
from users.models import User

Row = TypeVar("Row", bound=Model)
CHUNK = 500
REMINDER_DAYS = (7, 14, 21)
OVERDUE_AFTER = timedelta(days=14)
ACTIVE = (
    TransactionStatus.PENDING_FUNDING,
    TransactionStatus.AWAITING_PAYMENT,
    TransactionStatus.IN_ESCROW,
    TransactionStatus.WORK_IN_PROGRESS,
    TransactionStatus.DISPUTED,
)
# What somebody waits for: the action that ends the waiting, and the words for the one whose turn it is.
TURNS: tuple[tuple[Action, str], ...] = (
    (Action.ACCEPT, "Your turn: accept or decline the terms by {until}"),
    (Action.FUND, "Your turn: pay into escrow by {until}"),
    (Action.SUBMIT, "Your turn: hand in {part} by {until}"),
    (Action.REQUEST_CHANGES, "Your turn: review {part} by {until}, or it is paid to the seller"),
    (Action.RESOLVE, "Your turn: decide the dispute over {part} by {until}"),
    (Action.RECLAIM, "{part} is late: grant more time or take the money back"),
)


# --- Daily summary --------------------------------------------------------------------------------------------------


def send_daily_summaries(*, now: datetime | None = None) -> Report:
    """Send everybody with an active transaction a summary of them, once per day (UTC).

    Idempotent because a summary is named by its day: a second run on the same day finds it.
    """
    moment = now or utc_now()
    report = Report()
    for people in _people_with_active_deals(moment):
        report.add(tell(_summary_drafts(people, moment)))
    return report


def _summary_key(now: datetime) -> str:
    return f"daily_summary:{now:%Y-%m-%d}"


def _people_with_active_deals(now: datetime) -> Iterator[list[User]]:
    def active(**match: object) -> Exists:
        return Exists(EscrowTransaction.objects.filter(status__in=ACTIVE, **match))

    told = Notification.objects.filter(key=_summary_key(now), recipient=OuterRef("pk")).exclude(
        state__in=Notification.OPEN
    )
    people = User.objects.filter(
        Q(active(buyer=OuterRef("pk")))
        | Q(active(seller=OuterRef("pk")))
        | Q(Exists(EscrowTransaction.objects.filter(status=TransactionStatus.DISPUTED, arbiter=OuterRef("pk")))),
        ~Exists(told),
        is_active=True,
    ).order_by("pk")
    last = 0
    while chunk := list(people.filter(pk__gt=last)[:CHUNK]):
        yield chunk
        last = chunk[-1].pk


def _summary_drafts(people: Sequence[User], now: datetime) -> list[Draft]:
    deals = list(
        _deals()
        .filter(status__in=ACTIVE)
        .filter(Q(buyer__in=people) | Q(seller__in=people) | Q(arbiter__in=people, status=TransactionStatus.DISPUTED))
        .order_by("pk")
    )
    deals_of: dict[int, list[EscrowTransaction]] = defaultdict(list)
    for deal in deals:
        for user_id in (deal.buyer_id, deal.seller_id, deal.arbiter_id):
            deals_of[user_id].append(deal)
    drafts = []
    for user in people:
        items, waiting = [], 0
        for deal in deals_of[user.pk]:
            roles = deal.roles_of(user)
            if not roles or (roles == [Role.ARBITER] and deal.status != TransactionStatus.DISPUTED):
                continue
            reader = Reader(user, roles[0])
            todo = tuple(_turns(deal, reader, now))
            waiting += bool(todo)
            items.append(_summary_item(deal, reader, todo))
        drafts.append(
            Draft(
                key=_summary_key(now),
                kind="daily_summary",
                recipient_id=user.pk,
                address=user.email,
                mail=render(_summary(sorted(items, key=lambda item: not item.todo), waiting)),
            )
        )
    return drafts


def _summary(items: Sequence[Item], waiting: int) -> Message:
    count = f"{len(items)} active transaction{'' if len(items) == 1 else 's'}"
    turn = f"{waiting} wait{'s' if waiting == 1 else ''} for you" if waiting else "nothing waits for you"
    return Message(
        subject=f"Your {count}: {turn}",
        heading=f"Your {count}",
        lines=(f"This is how things stand today; {turn}.",),
        items=tuple(items),
        action_label="Open your transactions",
        action_url=links.dashboard(),
        reason="You receive this mail once a day while you have active transactions.",
    )


def _summary_item(deal: EscrowTransaction, reader: Reader, todo: tuple[str, ...]) -> Item:
    facts = DealFacts(deal)
    held = sum(m.amount_units for m in facts.milestones if m.money == Money.FUNDED)
    status = deal.status.replace("_", " ").lower()
    money = f"{facts.total}, {facts.money(held)} of it in escrow" if held else facts.total
    return Item(
        title=one_line(deal.title),
        url=links.transaction_page(deal.pk),
        details=(f"{status[0].upper()}{status[1:]} · {money} · you are {ROLE_WORDS[reader.role]}",),
        todo=todo,
    )


def _turns(deal: EscrowTransaction, reader: Reader, now: datetime) -> Iterator[str]:
    """What the reader has to do in this deal, from the rules and rows already read: no query per deal."""
    milestones = list(deal.milestones.all())
    fundable = any(
        m.money == Money.UNFUNDED and m.status == MilestoneStatus.PENDING and m.deliver_by > now for m in milestones
    )
    for milestone in (None, *milestones):
        deadline = DealFacts(deal).pay_by if milestone is None else vault_deadline(milestone)
        situation = rules.Situation(
            status=TransactionStatus(deal.status),
            is_author=deal.author_id == reader.user.pk,
            has_fundable_milestone=fundable,
            max_revisions=max(deal.max_revisions, 99),  # reviewing is the buyer's turn also when no round is left
            review_seconds=deal.review_seconds,
            milestone=None
            if milestone is None
            else rules.MilestoneSituation(
                status=MilestoneStatus(milestone.status),
                money=Money(milestone.money),
                deadline_at=to_epoch(deadline) if deadline else None,
            ),
        )
        scope = rules.Scope.TRANSACTION if milestone is None else rules.Scope.MILESTONE
        mine = rules.available_actions([reader.role], situation, now=to_epoch(now), scope=scope)
        for action, words in TURNS:
            if action in mine:
                part = DealFacts(deal, milestone).part if milestone is not None else ""
                yield words.format(part=part, until=reader.when(deadline))


# --- Reminders ------------------------------------------------------------------------------------------------------


def send_funding_reminders(*, now: datetime | None = None) -> Report:
    """Remind of transactions that have waited for acceptance or payment for 7, 14 and 21 days.

    The buyer is reminded; the seller as well while the terms wait for the seller's answer. Of several steps that
    passed since the last run only the newest is sent. Idempotent because each reminder is named by its transaction
    and step.
    """
    moment = now or utc_now()
    waiting = _deals().filter(
        Q(status=TransactionStatus.PENDING_FUNDING) | Q(status=TransactionStatus.AWAITING_PAYMENT),
        created_at__lte=moment - timedelta(days=REMINDER_DAYS[0]),
    )
    report = Report()
    for deals in _in_chunks(waiting):
        report.add(tell([draft for deal in deals for draft in _funding_reminders(deal, moment)]))
    return report


def _funding_reminders(deal: EscrowTransaction, now: datetime) -> Iterator[Draft]:
    # Waiting begins anew with acceptance: who accepted on day 6 is not reminded to pay on day 7.
    accepting = deal.status == TransactionStatus.PENDING_FUNDING
    since = (deal.proposed_at if accepting else deal.accepted_at) or deal.proposed_at or deal.created_at
    days = (now - since).days
    step = max((day for day in REMINDER_DAYS if day <= days), default=None)
    if step is None:
        return
    facts = DealFacts(deal)
    roles = [Role.BUYER]
    if accepting and facts.other_role is Role.SELLER:
        roles.append(Role.SELLER)
    for role in roles:
        reader = Reader(facts.user_of(role), role)
        yield Draft(
            key=f"funding_reminder:transaction:{deal.pk}:{deal.status.lower()}-day-{step}",
            kind="funding_reminder",
            recipient_id=reader.user.pk,
            address=reader.user.email,
            mail=render(_funding_reminder(facts, reader, days, accepting=accepting)),
            transaction_id=deal.pk,
        )


def _funding_reminder(facts: DealFacts, reader: Reader, days: int, *, accepting: bool) -> Message:
    other = facts.name_of(Role.SELLER if reader.role is Role.BUYER else Role.BUYER)
    until = reader.when(facts.pay_by)
    if not accepting:
        subject = f"Reminder: {facts.title} waits for your payment of {facts.total}"
        line = f"Both of you signed {days} days ago, and {other} waits for the money to be in escrow before starting."
        action = "Pay into escrow"
    elif reader.role is facts.other_role:
        subject = f"Reminder: {facts.title} waits for your answer"
        line = f"{other} proposed these terms {days} days ago and waits for you to accept or decline them."
        action = "Read and answer"
    else:
        subject = f"Reminder: {facts.title} still waits for {other}"
        line = f"You proposed these terms {days} days ago, and {other} has not answered yet."
        action = "Open the transaction"
    return facts.write(
        reader,
        subject=subject,
        heading="A friendly reminder",
        lines=(line, f"The terms can be accepted and paid until {until}; after that the agreement expires."),
        facts=(("Amount", facts.total), ("Accept and pay by", until)),
        action=action,
    )


def send_overdue_notices(*, now: datetime | None = None) -> Report:
    """Tell sellers of funded milestones that wait for work and are more than 14 days past their date.

    Told again for every further week. Idempotent because each notice is named by the milestone, its date and the week.
    """
    moment = now or utc_now()
    limit = moment - OVERDUE_AFTER
    late = (
        Milestone.objects.filter(
            Q(deadline_at__lt=limit) | Q(deadline_at__isnull=True, deliver_by__lt=limit),
            money=Money.FUNDED,
            status__in=[MilestoneStatus.PENDING, MilestoneStatus.REVISION_REQUESTED],
            transaction__status__in=list(rules.HOLDING),
        )
        .select_related("transaction__buyer", "transaction__seller", "transaction__arbiter", "transaction__token")
        .prefetch_related("transaction__milestones")
    )
    report = Report()
    for milestones in _in_chunks(late):
        report.add(tell([_overdue_notice(milestone, moment) for milestone in milestones]))
    return report


def _overdue_notice(milestone: Milestone, now: datetime) -> Draft:
    deal = milestone.transaction
    since = milestone.deadline_at or milestone.deliver_by
    reader = Reader(deal.seller, Role.SELLER)
    weeks = (now - since).days // 7
    return Draft(
        key=f"overdue:milestone:{milestone.pk}:{since:%Y-%m-%d}-week-{weeks}",
        kind="overdue",
        recipient_id=deal.seller_id,
        address=deal.seller.email,
        mail=render(milestone_words.overdue(DealFacts(deal, milestone), reader)),
        transaction_id=deal.pk,
        milestone_id=milestone.pk,
    )


def _deals() -> QuerySet[EscrowTransaction]:
    related = EscrowTransaction.objects.select_related("buyer", "seller", "arbiter", "token")
    return related.prefetch_related(Prefetch("milestones", queryset=Milestone.objects.order_by("position")))


def _in_chunks(rows: QuerySet[Row]) -> Iterator[list[Row]]:
    """The rows in the order of their keys, so many at a time; what was handled before is never read again."""
    last = 0
    ordered = rows.order_by("pk")
    while chunk := list(ordered.filter(pk__gt=last)[:CHUNK]):
        yield chunk
        last = chunk[-1].pk
