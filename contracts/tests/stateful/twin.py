"""The vault's rules in plain Python, for the state machine to compare with: no bits, no packing, no signatures.

It refuses with the vault's own sentences, in the vault's order of questions.
"""

from dataclasses import dataclass, field
from typing import Any

from support import CHANGES, DISPUTED, SUBMITTED, UNSUBMITTED

BPS = 10_000


class Refused(Exception):
    """The vault would revert with this sentence."""


def need(condition: bool, sentence: str) -> None:
    if not condition:
        raise Refused(f"escrow: {sentence}")


@dataclass
class Milestone:
    amount: int
    deadline: int
    phase: int = UNSUBMITTED
    round: int = 0
    funded: bool = False
    settled: bool = False


@dataclass
class Escrow:
    """One agreement; `paid` is what left it, by person, arrived or credited."""

    terms: dict[str, Any]
    milestones: list[Milestone] = field(default_factory=list)
    epochs: dict[str, int] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.milestones = [
            Milestone(amount, deadline)
            for amount, deadline in zip(self.terms["amounts"], self.terms["deliver_by"], strict=True)
        ]
        self.epochs = {self.terms["buyer"]: 0, self.terms["seller"]: 0}

    # -- figures ----------------------------------------------------

    @property
    def funded(self) -> int:
        return sum(m.amount for m in self.milestones if m.funded)

    @property
    def remaining(self) -> int:
        return sum(m.amount for m in self.milestones if m.funded and not m.settled)

    def bitmap(self, name: str) -> int:
        tests = {
            "funded": lambda m: m.funded,
            "settled": lambda m: m.settled,
            "disputed": lambda m: m.phase == DISPUTED and not m.settled,
        }
        return sum(1 << i for i, m in enumerate(self.milestones) if tests[name](m))

    # -- helpers ----------------------------------------------------

    def chosen(self, milestones: int) -> list[Milestone]:
        """The milestones of a set that may be paid out."""
        need(milestones != 0, "no milestone named")
        inside = [m for i, m in enumerate(self.milestones) if milestones >> i & 1 and m.funded]
        need(len(inside) == milestones.bit_count(), "milestone is not funded")
        need(not any(m.settled for m in inside), "milestone is settled")
        return inside

    def one(self, milestone: int) -> Milestone:
        return self.chosen(1 << milestone if milestone < 256 else 0)[0]

    def fee(self, part: int) -> int:
        return part * self.terms["fee_bps"] // BPS

    def pay(self, milestones: list[Milestone], parts: list[int]) -> None:
        """Settle: the seller's part of each less the fee, the rest to the buyer."""
        for milestone, part in zip(milestones, parts, strict=True):
            milestone.settled = True
            for person, amount in (
                (self.terms["seller"], part - self.fee(part)),
                (self.terms["fee_recipient"], self.fee(part)),
                (self.terms["buyer"], milestone.amount - part),
            ):
                if amount:
                    self.paid[person] = self.paid.get(person, 0) + amount

    def caller_is(self, caller: str, role: str) -> None:
        need(caller == self.terms[role], "caller is not the party")

    # -- actions ----------------------------------------------------

    def fund(self, caller: str, now: int, milestones: int, *, limit: int) -> int:
        self.caller_is(caller, "buyer")
        need(milestones != 0, "no milestone named")
        need(milestones < 1 << len(self.milestones), "no such milestone")
        chosen = [m for i, m in enumerate(self.milestones) if milestones >> i & 1]
        need(not any(m.funded for m in chosen), "milestone was funded")
        if not any(m.funded for m in self.milestones):
            need(now <= self.terms["accept_by"], "acceptance has expired")
        for i, deliver_by in enumerate(self.terms["deliver_by"]):
            if milestones >> i & 1:
                need(now < deliver_by, "delivery date has passed")
                need(deliver_by <= now + limit, "deadline is too far")
        for m in chosen:
            m.funded = True
        return sum(m.amount for m in chosen)

    def submit(self, caller: str, now: int, milestone: int, round: int) -> None:
        self.caller_is(caller, "seller")
        m = self.one(milestone)
        need(m.phase in (UNSUBMITTED, CHANGES), "no submission due")
        need(now <= m.deadline, "deadline has passed")
        need(round == m.round + 1, "wrong round")
        m.phase, m.round, m.deadline = SUBMITTED, round, now + self.terms["review_seconds"]

    def release(self, caller: str, now: int, milestones: int) -> None:
        self.caller_is(caller, "buyer")
        chosen = self.chosen(milestones)
        need(not any(m.phase == DISPUTED for m in chosen), "milestone is in dispute")
        self.pay(chosen, [m.amount for m in chosen])

    def request_changes(self, caller: str, now: int, milestone: int, round: int) -> None:
        self.caller_is(caller, "buyer")
        m = self.one(milestone)
        need(m.phase == SUBMITTED, "not in review")
        need(now <= m.deadline, "deadline has passed")
        need(round == m.round, "wrong round")
        need(round <= self.terms["max_revisions"], "no revisions left")
        m.phase, m.deadline = CHANGES, now + self.terms["revision_seconds"]

    def claim(self, caller: str, now: int, milestone: int) -> None:
        m = self.one(milestone)
        need(m.phase == SUBMITTED, "not in review")
        need(now > m.deadline, "deadline has not passed")
        self.pay([m], [m.amount])

    def extend(self, caller: str, now: int, milestone: int, round: int, until: int, *, limit: int) -> None:
        self.caller_is(caller, "buyer")
        m = self.one(milestone)
        need(m.phase in (UNSUBMITTED, CHANGES), "nothing to extend")
        need(round == m.round, "wrong round")
        need(until > m.deadline and until > now, "deadline is not later")
        need(until <= now + limit, "deadline is too far")
        m.deadline = until

    def reclaim(self, caller: str, now: int, milestone: int) -> None:
        m = self.one(milestone)
        need(m.phase in (UNSUBMITTED, CHANGES), "nothing to reclaim")
        need(now > m.deadline, "deadline has not passed")
        if now <= m.deadline + self.terms["review_seconds"]:
            self.caller_is(caller, "buyer")
        self.pay([m], [0])

    def refund(self, caller: str, now: int, milestones: int) -> None:
        self.caller_is(caller, "seller")
        chosen = self.chosen(milestones)
        self.pay(chosen, [0] * len(chosen))

    def settle(self, caller: str, now: int, milestones: int, parts: list[int]) -> None:
        chosen = self.chosen(milestones)
        for m, part in zip(chosen, parts, strict=False):
            need(part <= m.amount, "part is above the amount")
        need(len(parts) == len(chosen), "one part per milestone")
        self.pay(chosen, parts)

    def dispute(self, caller: str, now: int, milestone: int, round: int) -> None:
        need(caller in self.epochs, "neither buyer nor seller")
        m = self.one(milestone)
        need(m.phase in (SUBMITTED, CHANGES), "nothing to dispute")
        need(now <= m.deadline, "deadline has passed")
        need(round == m.round, "wrong round")
        m.phase, m.deadline = DISPUTED, now + self.terms["arbitration_seconds"]

    def disputed(self, milestone: int) -> Milestone:
        inside = milestone < len(self.milestones)
        need(inside and bool(self.bitmap("disputed") >> milestone & 1), "no dispute")
        return self.milestones[milestone]

    def resolve(self, caller: str, now: int, milestone: int, seller_amount: int) -> None:
        self.caller_is(caller, "arbiter")
        m = self.disputed(milestone)
        need(seller_amount <= m.amount, "part is above the amount")
        self.pay([m], [seller_amount])

    def time_out(self, caller: str, now: int, milestone: int) -> None:
        m = self.disputed(milestone)
        need(now > m.deadline, "deadline has not passed")
        self.pay([m], [m.amount * self.terms["timeout_seller_bps"] // BPS])

    def revoke(self, caller: str, now: int) -> None:
        need(caller in self.epochs, "neither buyer nor seller")
        self.epochs[caller] += 1
