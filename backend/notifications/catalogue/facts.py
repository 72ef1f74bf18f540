"""What a message about a deal is written from, and the words that many of them share."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from notifications import links
from notifications.message import QUOTE_LENGTH, Message, one_line, quoted, shorten, words_for_moment, zone_of
from transactions.lifecycle.clocks import PROPOSAL_LIFETIME
from transactions.models import Dispute, EscrowTransaction, Event, Milestone
from transactions.rules import Money, Role
from users.models import User

ROLE_WORDS = {Role.BUYER: "the buyer", Role.SELLER: "the seller", Role.ARBITER: "the arbiter"}


@dataclass(frozen=True)
class Reader:
    """Who reads it, and what he is to the deal."""

    user: User
    role: Role

    def day(self, moment: datetime | None) -> str:
        """The day of a moment in the reader's time zone, short enough for a subject."""
        if moment is None:
            return "the agreed date"
        local = moment.astimezone(zone_of(self.user.time_zone))
        return f"{local:%a} {local.day} {local:%b}"

    def when(self, moment: datetime | None) -> str:
        """A moment in the reader's time zone."""
        return words_for_moment(moment, zone_of(self.user.time_zone)) if moment else "not set"


@dataclass(frozen=True)
class DealFacts:
    """The rows behind a message: the deal, and the milestone and audit event it is about, if any."""

    deal: EscrowTransaction
    milestone: Milestone | None = None
    event: Event | None = None

    @cached_property
    def milestones(self) -> list[Milestone]:
        return list(self.deal.milestones.all())

    @property
    def title(self) -> str:
        return quoted(self.deal.title)

    @property
    def about(self) -> Milestone:
        """The milestone; only for messages about one."""
        if self.milestone is None:
            raise ValueError("this message is about a milestone")
        return self.milestone

    @property
    def part(self) -> str:
        """The milestone inside a sentence."""
        return quoted(self.about.title)

    @cached_property
    def dispute(self) -> Dispute | None:
        """The milestone's dispute that reached the arbiter, newest first."""
        return self.about.disputes.exclude(status__in=["REQUESTED", "FAILED"]).first()

    def user_of(self, role: Role) -> User:
        users: dict[Role, User] = {
            Role.BUYER: self.deal.buyer,
            Role.SELLER: self.deal.seller,
            Role.ARBITER: self.deal.arbiter,
        }
        return users[role]

    def name_of(self, role: Role) -> str:
        return one_line(str(self.user_of(role)), length=60)

    @property
    def author_role(self) -> Role:
        return Role.BUYER if self.deal.author_id == self.deal.buyer_id else Role.SELLER

    @property
    def other_role(self) -> Role:
        """The party that did not draft the agreement."""
        return Role.SELLER if self.author_role is Role.BUYER else Role.BUYER

    def money(self, units: int) -> str:
        """An amount with its currency."""
        return self.deal.token.format(units)

    @property
    def pay_by(self) -> datetime:
        """When an unpaid agreement expires: the date in its terms, or the platform's limit if that is sooner."""
        deal = self.deal
        limit = deal.proposed_at + PROPOSAL_LIFETIME if deal.proposed_at else deal.accept_by
        return min(deal.accept_by, limit)

    @property
    def total(self) -> str:
        return self.money(sum(m.amount_units for m in self.milestones))

    @property
    def funded(self) -> list[Milestone]:
        """The milestones that the payment in question funded; without an event, all that were ever funded."""
        positions = self.event.data.get("milestones") if self.event is not None else None
        return [m for m in self.milestones if m.money != Money.UNFUNDED and (not positions or m.position in positions)]

    def data(self, key: str) -> str:
        """A value of the audit event's data as text, empty if it has none."""
        value = self.event.data.get(key) if self.event is not None else None
        return "" if value is None else str(value)

    def moment(self, key: str, otherwise: datetime | None) -> datetime | None:
        """A moment that the audit event recorded, else the given one."""
        text = self.data(key)
        return datetime.fromisoformat(text) if text else otherwise

    @property
    def round(self) -> int:
        """The submission round that this is about."""
        return int(self.data("round") or self.about.round)

    def write(
        self,
        reader: Reader,
        *,
        subject: str,
        heading: str,
        lines: tuple[str, ...],
        facts: tuple[tuple[str, str], ...] = (),
        quote: tuple[str, str] | None = None,
        action: str = "Open the transaction",
    ) -> Message:
        """A message about this deal, with its link and the reason why the reader gets it."""
        about: tuple[tuple[str, str], ...] = (("Agreement", one_line(self.deal.title)),)
        if self.milestone is not None:
            number = f"{self.milestone.position + 1} of {len(self.milestones)}"
            about += (("Milestone", f"{number}: {one_line(self.milestone.title)}"),)
        said = (quote[0], shorten(quote[1].strip(), QUOTE_LENGTH)) if quote and quote[1].strip() else None
        return Message(
            subject=one_line(subject),
            heading=one_line(heading),
            lines=lines,
            facts=about + facts,
            quote=said,
            action_label=action,
            action_url=links.transaction_page(self.deal.pk),
            reason=f"You receive this mail because you are {ROLE_WORDS[reader.role]} in {self.title}.",
        )
