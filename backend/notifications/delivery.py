"""Telling people: write down who shall read what, once per fact, then hand it over and note how that went.

Two steps, so that nothing is forgotten and nothing is said twice:

1. *Plan*: one row per recipient, unique by the fact's key. Whoever tells the same fact again finds the rows.
2. *Deliver*: each row is claimed by an update that names its old state, sent with no database transaction open, and
   marked at once. What a server cannot take now stays PENDING and is tried again (`deliver_due`, every minute).

The only moment in which a mail can be doubled lies between the server's answer and our mark: a process that dies
exactly there leaves a row that is sent again after its lease, under the same Message-ID.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q

from common.clock import utc_now
from notifications import catalogue
from notifications.catalogue import DealFacts, DealNotification, Reader, accounts
from notifications.channels.email.rendering import RenderedMail, render, render_verbatim
from notifications.channels.email.sending import Answer, MailConnection, sender_domain
from notifications.errors import (
    DeliveryDeferred,
    InvalidMessage,
    NothingToTell,
    NotificationError,
    UnknownNotificationType,
    UnknownUser,
)
from notifications.message import Message, shorten
from notifications.models import Channel, Notification
from notifications.preferences import list_unwilling
from transactions.errors import UnknownTransaction
from transactions.models import EscrowTransaction, Event, Milestone
from users.models import SellerProfile, User, VerificationRequest

logger = logging.getLogger(__name__)
__all__ = [
    "EXPECTED_ERRORS",
    "DeliveryDeferred",
    "Draft",
    "Report",
    "deliver",
    "deliver_due",
    "notify_account",
    "notify_transaction",
    "notify_verification",
    "plan",
    "send_message",
    "tell",
]
State = Notification.State

# A caller's mistake or a server's answer: said in one line where tasks are logged, without a traceback.
EXPECTED_ERRORS = (NotificationError, UnknownTransaction)

LEASE = timedelta(minutes=5)  # longer than one mail can take; after it another worker may take a claimed row over
FIRST_DELAY = timedelta(minutes=1)
LONGEST_DELAY = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=3)
SWEEP_SIZE = 200


@dataclass(frozen=True)
class Draft:
    """A message that shall reach somebody: what is needed for its row."""

    key: str
    kind: str
    address: str
    mail: RenderedMail
    recipient_id: int | None = None
    transaction_id: int | None = None
    milestone_id: int | None = None


@dataclass
class Report:
    """What became of a set of notifications, as addresses."""

    sent: list[str] = field(default_factory=list)
    sent_before: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    deferred: dict[str, str] = field(default_factory=dict)
    not_wanted: list[str] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        self.sent += other.sent
        self.sent_before += other.sent_before
        self.refused |= other.refused
        self.deferred |= other.deferred
        self.not_wanted += other.not_wanted

    def raise_if_deferred(self) -> None:
        """Raise DeliveryDeferred if a server could not take something now."""
        if self.deferred:
            what = "; ".join(f"{address}: {error}" for address, error in self.deferred.items())
            raise DeliveryDeferred(f"{len(self.deferred)} of the mails will be tried again ({what})")

    def as_result(self, **more: Any) -> dict[str, Any]:
        """The result of a task: JSON, with `success` false if a server refused somebody for good."""
        result: dict[str, Any] = {"success": not self.refused, **more, "recipients": [*self.sent_before, *self.sent]}
        result["notifications_sent"] = len(self.sent)
        if self.refused:
            result["refused"] = self.refused
        return result


# --- The four things that can be told -------------------------------------------------------------------------------


def notify_transaction(
    *, transaction_id: int, notification_type: str, milestone_id: int | None = None, event_id: int | None = None
) -> Report:
    """Tell the parties of a deal something that happened: a type of the catalogue, each in his own words.

    `milestone_id` and `event_id` say which milestone or occurrence is meant; without them it is the latest. Idempotent
    because the key follows from the recorded fact: an event and a direct call for one fact make one mail per person.
    Raises UnknownTransaction, UnknownNotificationType, and NothingToTell if the record says that it has not happened.
    """
    kind = catalogue.find_type(notification_type)
    deals = EscrowTransaction.objects.select_related("buyer", "seller", "arbiter", "author", "token")
    deal = deals.prefetch_related("milestones").filter(pk=transaction_id).first()
    if deal is None:
        raise UnknownTransaction(f"there is no transaction {transaction_id}", transaction_id=transaction_id)
    if notification_type == "proposed" and deal.proposed_at is None:
        raise NothingToTell(f"transaction {deal.pk} is a draft: nothing was proposed")
    facts = _gather(kind, deal, milestone_id=milestone_id, event_id=event_id)
    if not kind.happened(facts):
        raise NothingToTell(f"transaction {deal.pk} is {deal.status}: there is nothing {notification_type!r} to tell")
    drafts = []
    for role in kind.audience(facts):
        reader = Reader(facts.user_of(role), role)
        drafts.append(
            Draft(
                key=kind.key(facts),
                kind=kind.name,
                recipient_id=reader.user.pk,
                address=reader.user.email,
                mail=render(kind.words(facts, reader)),
                transaction_id=deal.pk,
                milestone_id=facts.milestone.pk if facts.milestone is not None else None,
            )
        )
    return tell(drafts)


def notify_verification(*, user_id: int, verification_status: str) -> Report:
    """Tell a seller how his verification stands: PENDING, VERIFIED or REJECTED.

    Idempotent because the key names the verification request it is about. Raises UnknownUser, UnknownNotificationType,
    and NothingToTell if the seller's record says otherwise.
    """
    if verification_status not in catalogue.VERIFICATION_STATUSES:
        raise UnknownNotificationType.among(verification_status, catalogue.VERIFICATION_STATUSES)
    user = _get_user(user_id)
    profile = SellerProfile.objects.filter(user=user).first()
    requests = VerificationRequest.objects.filter(profile__user=user)
    if verification_status != "PENDING":
        requests = requests.filter(decision=verification_status)
    request = requests.order_by("-id").first()
    # Somebody without a seller's profile has no record to contradict: a project may verify people in its own way.
    if profile is not None and request is None and profile.verification_status != verification_status:
        raise NothingToTell(f"user {user_id} is {profile.verification_status}, not {verification_status}")
    occurrence = f"request-{request.pk}" if request is not None else f"user-{user_id}"
    return _tell_user(
        user,
        kind=f"verification_{verification_status.lower()}",
        key=f"verification_{verification_status.lower()}:{occurrence}",
        message=accounts.verification(user, verification_status, request),
    )


def notify_account(*, user_id: int, notification_type: str = "welcome") -> Report:
    """Tell somebody about his own account: "welcome". Once per account. Raises UnknownUser, UnknownNotificationType."""
    if notification_type not in catalogue.ACCOUNT_NOTIFICATIONS:
        raise UnknownNotificationType.among(notification_type, catalogue.ACCOUNT_NOTIFICATIONS)
    user = _get_user(user_id)
    return _tell_user(
        user, kind=notification_type, key=f"{notification_type}:user-{user_id}", message=accounts.welcome(user)
    )


def send_message(*, key: str, subject: str, message: str, recipient_list: Sequence[str]) -> Report:
    """Send the same words to each address, one mail each. `key` names this message: once per key and address.

    Raises InvalidMessage, before anything is sent, for an empty or multi-line subject or an address that is none.
    """
    if isinstance(recipient_list, str) or not recipient_list:
        raise InvalidMessage("recipient_list is a list of at least one e-mail address")
    if not isinstance(subject, str) or not subject.strip() or len(subject.splitlines()) > 1:
        raise InvalidMessage("a subject is one line of text")
    if not isinstance(message, str):
        raise InvalidMessage("a message is text")
    addresses = list(dict.fromkeys(recipient_list))
    for address in addresses:
        try:
            validate_email(address)
        except ValidationError as error:
            raise InvalidMessage(f"{address!r} is no e-mail address") from error
    mail = render_verbatim(subject=subject, text=message)
    return tell([Draft(key=key, kind="message", address=address, mail=mail) for address in addresses])


def _tell_user(user: User, *, kind: str, key: str, message: Message) -> Report:
    draft = Draft(key=key, kind=kind, recipient_id=user.pk, address=user.email, mail=render(message))
    return tell([draft])


def _get_user(user_id: int) -> User:
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise UnknownUser(f"there is no user {user_id}")
    return user


def _gather(
    kind: DealNotification, deal: EscrowTransaction, *, milestone_id: int | None, event_id: int | None
) -> DealFacts:
    """The milestone and the audit event that a message is about."""
    told = Event.objects.filter(transaction=deal, name__in=kind.event_names)
    told = told.select_related("actor", "milestone").order_by("-id")
    event = None
    if event_id is not None:
        event = told.filter(pk=event_id).first()
        if event is None:
            raise NothingToTell(f"event {event_id} is not one of {' or '.join(kind.event_names)} of {deal.pk}")
    if not kind.about_milestone:
        return DealFacts(deal, event=event or told.first())
    if milestone_id is None and event is None:
        event = told.filter(milestone__isnull=False).first()
    if milestone_id is None and event is not None:
        milestone_id = event.milestone_id
    milestone = _pick_milestone(kind, deal, milestone_id)
    return DealFacts(deal, milestone, event or told.filter(milestone=milestone).first())


def _pick_milestone(kind: DealNotification, deal: EscrowTransaction, milestone_id: int | None) -> Milestone:
    milestones = list(deal.milestones.all())
    if milestone_id is None:
        found = [m for m in milestones if kind.happened(DealFacts(deal, m))]
        if len(found) > 1:
            raise NothingToTell(f"say by milestone_id which milestone of transaction {deal.pk} is meant")
        where = f"transaction {deal.pk} is {deal.status}"
    else:
        found = [m for m in milestones if m.pk == milestone_id]
        where = f"transaction {deal.pk} has no milestone {milestone_id}"
    if not found:
        raise NothingToTell(f"{where}: there is nothing {kind.name!r} to tell")
    return found[0]


# --- Plan and deliver -----------------------------------------------------------------------------------------------


def tell(drafts: Sequence[Draft]) -> Report:
    """Plan these messages and deliver at once what is due of them."""
    notifications = plan(drafts)
    now = utc_now()
    report = Report()
    due = []
    for notification in notifications:
        if notification.state == State.SENT:
            report.sent_before.append(notification.address)
        elif notification.state == State.SUPPRESSED:
            report.not_wanted.append(notification.address)
        elif notification.state in (State.REFUSED, State.FAILED):
            report.refused[notification.address] = notification.error
        elif notification.state == State.SENDING and notification.due_at > now:
            report.sent_before.append(notification.address)  # another worker is handing it over
        else:
            due.append(notification)
    report.add(deliver(due))
    return report


def plan(drafts: Sequence[Draft]) -> list[Notification]:
    """Write the rows of these messages; one that exists stays as it was written first. Returns the rows of all.

    What a recipient does not want is written as SUPPRESSED, so that it is not sent later either.
    """
    if not drafts:
        return []
    now = utc_now()
    unwilling = list_unwilling(
        kinds={draft.kind for draft in drafts},
        user_ids=(draft.recipient_id for draft in drafts if draft.recipient_id is not None),
        channel=Channel.EMAIL,
    )
    rows = []
    for draft in drafts:
        unwanted = draft.recipient_id is not None and (draft.recipient_id, draft.kind) in unwilling
        rows.append(
            Notification(
                key=draft.key,
                kind=draft.kind,
                channel=Channel.EMAIL,
                recipient_id=draft.recipient_id,
                address=draft.address,
                transaction_id=draft.transaction_id,
                milestone_id=draft.milestone_id,
                subject=draft.mail.subject,
                body_text=draft.mail.body_text,
                body_html=draft.mail.body_html,
                message_id=_message_id(draft),
                state=State.SUPPRESSED if unwanted else State.PENDING,
                due_at=now,
            )
        )
    Notification.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
    mine = Q(recipient__in=[row.recipient_id for row in rows if row.recipient_id is not None])
    mine |= Q(recipient__isnull=True, address__in=[row.address for row in rows if row.recipient_id is None])
    written = Notification.objects.filter(mine, key__in={row.key for row in rows}, channel=Channel.EMAIL)
    wanted = {_identity(row) for row in rows}
    return [row for row in written.order_by("id") if _identity(row) in wanted]


def _identity(row: Notification) -> tuple[str, int | str]:
    return row.key, row.address if row.recipient_id is None else row.recipient_id


def deliver(notifications: Sequence[Notification]) -> Report:
    """Hand these over, one by one. One recipient's refusal never stops the others; call it outside of locks.

    Idempotent because only the worker whose update moves a row to SENDING sends it.
    """
    report = Report()
    with MailConnection() as connection:
        for notification in notifications:
            if not _claim(notification):
                continue
            outcome = connection.send(notification)
            _record(notification, outcome.answer, outcome.error, report)
            if outcome.answer is Answer.UNREACHABLE:
                _put_off(notifications, notification, outcome.error, report)
                break
    return report


def deliver_due(*, limit: int = SWEEP_SIZE) -> Report:
    """Try again what is due: put off before, or claimed by a worker that died."""
    due = Notification.objects.filter(state__in=Notification.OPEN, due_at__lte=utc_now()).order_by("due_at", "id")
    return deliver(list(due[:limit]))


def _claim(notification: Notification) -> bool:
    now = utc_now()
    free = Q(state=State.PENDING) | Q(state=State.SENDING, due_at__lte=now)
    claimed = Notification.objects.filter(free, pk=notification.pk, attempts=notification.attempts).update(
        state=State.SENDING, attempts=notification.attempts + 1, due_at=now + LEASE
    )
    if claimed:
        notification.attempts += 1
    return bool(claimed)


def _record(notification: Notification, answer: Answer, error: str, report: Report) -> None:
    now = utc_now()
    fields: dict[str, Any] = {"error": shorten(error, 300)}
    if answer is Answer.TAKEN:
        fields |= {"state": State.SENT, "sent_at": now}
        report.sent.append(notification.address)
    elif answer is Answer.REFUSED:
        fields["state"] = State.REFUSED
        report.refused[notification.address] = error
        logger.warning("mail %s to %s refused: %s", notification.pk, notification.address, error)
    elif now - notification.created_at > GIVE_UP_AFTER:
        fields["state"] = State.FAILED
        report.refused[notification.address] = error
        logger.error("mail %s to %s given up: %s", notification.pk, notification.address, error)
    else:
        fields |= {"state": State.PENDING, "due_at": _next_try(notification.attempts, now)}
        report.deferred[notification.address] = error
        logger.warning("mail %s to %s put off: %s", notification.pk, notification.address, error)
    # Only the claim's own holder marks it: a worker that came back after its lease must not undo another's answer.
    Notification.objects.filter(pk=notification.pk, state=State.SENDING, attempts=notification.attempts).update(
        **fields
    )


def _put_off(notifications: Sequence[Notification], last: Notification, error: str, report: Report) -> None:
    """The server cannot be reached: the rest stays as it is and is due at the next sweep."""
    waiting = [n for n in notifications if n.pk != last.pk and n.address not in report.sent]
    report.deferred |= {n.address: error for n in waiting if n.address not in report.refused}


def _next_try(attempts: int, now: datetime) -> datetime:
    pause: timedelta = FIRST_DELAY * 2 ** min(attempts - 1, 12)
    return now + min(pause, LONGEST_DELAY)


def _message_id(draft: Draft) -> str:
    """The same for every try of the same message, and for nobody else's."""
    recipient = draft.address.lower() if draft.recipient_id is None else f"user-{draft.recipient_id}"
    named = f"{settings.PUBLIC_URL}\n{draft.key}\n{Channel.EMAIL}\n{recipient}"
    return f"<{hashlib.sha256(named.encode()).hexdigest()[:40]}@{sender_domain()}>"
