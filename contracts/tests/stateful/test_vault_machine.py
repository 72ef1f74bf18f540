"""Anybody does anything in any order while time passes: the vault must do what the twin does, and keep its promises.

Two escrows with different terms share a vault and a token that blocks people now and then. After every step:
1. the vault holds what remains plus credits; 2. in each escrow paid + remaining = funded; 3. nobody but buyer, seller
and fee recipient ever gets anything; 5. what is settled stays settled, and a refusal changes nothing (the twin is
unchanged and equal). At the end of every run: 4. strangers alone bring all money out within bounded time.
"""

from collections import Counter
from typing import Any

import boa
from conftest import LONG
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support import (
    ARI,
    BEA,
    CHANGES,
    DAY,
    DISPUTED,
    FAR_AHEAD,
    MAX,
    MAX_WINDOW_SECONDS,
    PLATFORM,
    REASON,
    SOL,
    SUBMITTED,
    TERMS_FIELDS,
    UNSUBMITTED,
    WORK,
    ZERO_ADDRESS,
    Deal,
    Person,
    advance,
    now,
)
from twin import Escrow, Refused

PEOPLE = {person.address: person for person in (BEA, SOL, ARI, MAX, PLATFORM)}
# Mostly the milestones that exist, and the edges of what can be named.
MILESTONES = st.sampled_from([0, 0, 0, 1, 1, 1, 2, 3, 31, 32, 255, 256, 2**256 - 1])
SETS = st.sampled_from([1, 2, 3, 1, 2, 3, 4, 5, 7, 0, 8, 2**32, 2**255])
ROUNDS_OFF = st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1, -1])
WHO = st.sampled_from(["right"] * 7 + ["buyer", "seller", "arbiter", "stranger"])


ACTIONS = {"fund", "submit", "release", "request_changes", "claim", "extend", "reclaim", "refund", "settle"}
ACTIONS |= {"dispute", "resolve", "time_out", "revoke", "withdraw"}


class VaultMachine(RuleBasedStateMachine):
    """The steps; every one runs the action in the vault and in the twin and compares the outcome."""

    vault: Any
    token: Any
    outcomes: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.anchor = boa.env.anchor()
        self.anchor.__enter__()
        self.pairs: list[tuple[Deal, Escrow]] = []
        self.gifts = 0
        self.received: dict[str, int] = {}
        self.started_at = now()

    @initialize(
        fee_bps=st.sampled_from([0, 1, 333, 1_000]),
        timeout_bps=st.sampled_from([0, 4_999, 10_000]),
        funded_at_once=st.booleans(),
        blocked=st.sampled_from([None, BEA, SOL, PLATFORM]),
    )
    def agree(self, fee_bps: int, timeout_bps: int, funded_at_once: bool, blocked: Person | None) -> None:
        common = {
            "token": self.token.address,
            "accept_by": now() + 5 * DAY,
            "timeout_seller_bps": timeout_bps,
            "fee_recipient": PLATFORM.address if fee_bps else ZERO_ADDRESS,
            "fee_bps": fee_bps,
            "details": bytes(32),
        }
        for salt, changes in enumerate(
            (
                {
                    "amounts": [1_000_003, 7, 50],
                    "deliver_by": [now() + 10 * DAY, now() + 20 * DAY, now() + 30 * DAY],
                    "review_seconds": 3 * DAY,
                    "revision_seconds": 2 * DAY,
                    "max_revisions": 1,
                    "arbitration_seconds": 4 * DAY,
                },
                {  # the other way round: Sol buys from Bea
                    "buyer": SOL.address,
                    "seller": BEA.address,
                    "amounts": [2**127, 12_345],
                    "deliver_by": [now() + DAY, now() + 364 * DAY],
                    "review_seconds": 10,
                    "revision_seconds": 30 * DAY,
                    "max_revisions": 10,
                    "arbitration_seconds": DAY,
                },
            )
        ):
            given = {"buyer": BEA.address, "seller": SOL.address, "arbiter": ARI.address, **common, **changes}
            given["salt"] = bytes([salt]) * 32
            terms = {kind["name"]: given[kind["name"]] for kind in TERMS_FIELDS}
            deal = Deal(self.vault, self.token, terms, PEOPLE[terms["buyer"]], PEOPLE[terms["seller"]])
            self.pairs.append((deal, Escrow(terms)))
            for person in (BEA, SOL, MAX):
                self.token.mint(person.address, 2**129)
                self.token.approve(self.vault.address, 2**129, sender=person.address)
        self.before = {address: self.token.balanceOf(address) for address in PEOPLE}
        self.spent = dict.fromkeys(PEOPLE, 0)
        if funded_at_once:
            self.fund(0, 0b111, "right")
            self.fund(1, 0b01, "right")
        if blocked:
            self.block(blocked, True)

    # -- one step in both worlds ------------------------------------

    def both(
        self, deal: Deal, twin: Escrow, action: str, who: str, right: str, own: tuple, call: tuple, signed: tuple | None
    ) -> None:
        """`own` are the twin's arguments, `call` the vault's. `signed` (message, values): sent by Max instead."""
        roles = {"buyer": deal.buyer, "seller": deal.seller, "arbiter": ARI, "stranger": MAX}
        person: Person = roles[right if who == "right" else who]
        sender = person
        tail: tuple = () if action in ("claim", "time_out") else (0, b"")
        if action in ("dispute", "revoke"):
            call = (*call, person.address)
        if signed is not None:
            message, values = signed
            tail = (FAR_AHEAD, deal.sign(person, message, **values))
            sender = MAX
        limit = {"limit": MAX_WINDOW_SECONDS} if action == "extend" else {}
        try:
            getattr(twin, action)(person.address, now(), *own, **limit)
            expected = None
        except Refused as refusal:
            expected = str(refusal)
        if expected == "escrow: caller is not the party" and signed is not None:
            expected = "escrow: signature is not valid"
        note(f"{action} {own} by {person.name}{' (signed)' if signed else ''}: {expected or 'done'}")
        self.run(
            action, expected, lambda: getattr(self.vault, action)(deal.call_terms, *call, *tail, sender=sender.address)
        )

    def run(self, action: str, expected: str | None, call: Any) -> None:
        try:
            call()
            outcome = None
        except boa.BoaError as error:
            outcome = error.stack_trace.last_frame.pretty_vm_reason
        assert outcome == expected
        self.outcomes[expected or action] += 1

    def pick(self, which: int) -> tuple[Deal, Escrow]:
        return self.pairs[which]

    @staticmethod
    def round_of(twin: Escrow, milestone: int) -> int:
        return twin.milestones[milestone].round if milestone < len(twin.milestones) else 0

    # -- the actions ------------------------------------------------

    @rule(which=st.integers(0, 1), milestones=SETS, who=WHO)
    def fund(self, which: int, milestones: int, who: str) -> None:
        deal, twin = self.pick(which)
        person = {"right": deal.buyer, "buyer": deal.buyer, "seller": deal.seller}.get(who, MAX)
        blocked = self.token.blocked(person.address)
        if blocked:
            return
        try:
            amount = twin.fund(person.address, now(), milestones, limit=MAX_WINDOW_SECONDS)
            expected = None
            self.spent[person.address] += amount
        except Refused as refusal:
            expected = str(refusal)
        accepted = deal.accepted()
        note(f"fund {milestones} by {person.name}: {expected or 'done'}")
        self.run(
            "fund", expected, lambda: self.vault.fund(deal.call_terms, milestones, *accepted, sender=person.address)
        )

    @rule(which=st.integers(0, 1), milestone=MILESTONES, off=ROUNDS_OFF, who=WHO, signed=st.booleans())
    def submit(self, which: int, milestone: int, off: int, who: str, signed: bool) -> None:
        deal, twin = self.pick(which)
        round = max(0, self.round_of(twin, milestone) + 1 + off)
        values = {"milestone": milestone, "round": round, "deliverable": WORK}
        self.both(
            deal, twin, "submit", who, "seller", (milestone, round), tuple(values.values()),
            ("Submit", values) if signed else None,
        )  # fmt: skip

    @rule(which=st.integers(0, 1), milestones=SETS, who=WHO, signed=st.booleans())
    def release(self, which: int, milestones: int, who: str, signed: bool) -> None:
        deal, twin = self.pick(which)
        signing = ("Release", {"milestones": milestones}) if signed else None
        self.both(deal, twin, "release", who, "buyer", (milestones,), (milestones,), signing)

    @rule(which=st.integers(0, 1), milestones=SETS, who=WHO, signed=st.booleans())
    def refund(self, which: int, milestones: int, who: str, signed: bool) -> None:
        deal, twin = self.pick(which)
        signing = ("Refund", {"milestones": milestones}) if signed else None
        self.both(deal, twin, "refund", who, "seller", (milestones,), (milestones,), signing)

    @rule(which=st.integers(0, 1), milestone=MILESTONES, off=ROUNDS_OFF, who=WHO, signed=st.booleans())
    def request_changes(self, which: int, milestone: int, off: int, who: str, signed: bool) -> None:
        deal, twin = self.pick(which)
        round = max(0, self.round_of(twin, milestone) + off)
        values = {"milestone": milestone, "round": round, "reason": REASON}
        self.both(
            deal, twin, "request_changes", who, "buyer", (milestone, round), tuple(values.values()),
            ("RequestChanges", values) if signed else None,
        )  # fmt: skip

    @rule(which=st.integers(0, 1), milestone=MILESTONES, off=ROUNDS_OFF, who=WHO, seller=st.booleans())
    def dispute(self, which: int, milestone: int, off: int, who: str, seller: bool) -> None:
        deal, twin = self.pick(which)
        round = max(0, self.round_of(twin, milestone) + off)
        self.both(
            deal, twin, "dispute", who, "seller" if seller else "buyer", (milestone, round),
            (milestone, round, REASON), None,
        )  # fmt: skip

    @rule(which=st.integers(0, 1), milestone=MILESTONES, action=st.sampled_from(["claim", "time_out"]))
    def clock(self, which: int, milestone: int, action: str) -> None:
        deal, twin = self.pick(which)
        self.both(deal, twin, action, "stranger", "stranger", (milestone,), (milestone,), None)

    @rule(which=st.integers(0, 1), milestone=MILESTONES, who=WHO)
    def reclaim(self, which: int, milestone: int, who: str) -> None:
        deal, twin = self.pick(which)
        self.both(deal, twin, "reclaim", who, "buyer", (milestone,), (milestone,), None)

    @rule(
        which=st.integers(0, 1),
        milestone=MILESTONES,
        off=ROUNDS_OFF,
        who=WHO,
        days=st.sampled_from([-1, 0, 1, 25, 300, 365, 366]),
        signed=st.booleans(),
    )
    def extend(self, which: int, milestone: int, off: int, who: str, days: int, signed: bool) -> None:
        deal, twin = self.pick(which)
        round = max(0, self.round_of(twin, milestone) + off)
        until = now() + days * DAY
        values = {"milestone": milestone, "round": round, "until": until}
        self.both(
            deal, twin, "extend", who, "buyer", (milestone, round, until), tuple(values.values()),
            ("Extend", values) if signed else None,
        )  # fmt: skip

    @rule(which=st.integers(0, 1), milestone=MILESTONES, who=WHO, part=st.integers(0, 60), signed=st.booleans())
    def resolve(self, which: int, milestone: int, who: str, part: int, signed: bool) -> None:
        deal, twin = self.pick(which)
        values = {"milestone": milestone, "seller_amount": part, "reason": REASON}
        self.both(
            deal, twin, "resolve", who, "arbiter", (milestone, part), tuple(values.values()),
            ("Resolve", values) if signed else None,
        )  # fmt: skip

    @rule(which=st.integers(0, 1), milestones=SETS, parts=st.lists(st.integers(0, 60), max_size=3))
    def settle(self, which: int, milestones: int, parts: list[int]) -> None:
        deal, twin = self.pick(which)
        signatures = [
            deal.sign(person, "Settle", milestones=milestones, seller_amounts=parts)
            for person in (deal.buyer, deal.seller)
        ]
        try:
            twin.settle(MAX.address, now(), milestones, parts)
            expected = None
        except Refused as refusal:
            expected = str(refusal)
        note(f"settle {milestones} {parts}: {expected or 'done'}")
        both = (FAR_AHEAD, signatures[0], FAR_AHEAD, signatures[1])
        self.run(
            "settle", expected, lambda: self.vault.settle(deal.call_terms, milestones, parts, *both, sender=MAX.address)
        )

    @rule(which=st.integers(0, 1), who=WHO)
    def revoke(self, which: int, who: str) -> None:
        deal, twin = self.pick(which)
        self.both(deal, twin, "revoke", who, "buyer", (), (), None)

    @rule(
        which=st.integers(0, 1),
        number=st.integers(0, 2),
        choice=st.integers(0, 3),
        who=WHO,
        signed=st.booleans(),
        seller=st.booleans(),
        part=st.integers(0, 60),
    )
    def take_the_next_step(
        self, which: int, number: int, choice: int, who: str, signed: bool, seller: bool, part: int
    ) -> None:
        """Something that makes sense where this milestone is: the other rules mostly try what does not."""
        milestone = number % len(self.pick(which)[1].milestones)
        m = self.pick(which)[1].milestones[milestone]
        if not m.funded:
            self.fund(which, 1 << milestone, who)
            return
        step = {
            UNSUBMITTED: ("submit", "submit", "extend", "reclaim"),
            SUBMITTED: ("request_changes", "request_changes", "dispute", "claim"),
            CHANGES: ("submit", "submit", "dispute", "reclaim"),
            DISPUTED: ("resolve", "time_out", "settle", "refund"),
        }[m.phase][choice]
        if step in ("reclaim", "claim", "time_out") and m.deadline >= now():
            advance(m.deadline + 1 - now())
        match step:
            case "submit":
                self.submit(which, milestone, 0, who, signed)
            case "extend":
                self.extend(which, milestone, 0, who, 300, signed)
            case "reclaim":
                self.reclaim(which, milestone, who)
            case "request_changes":
                self.request_changes(which, milestone, 0, who, signed)
            case "dispute":
                self.dispute(which, milestone, 0, who, seller)
            case "settle":
                self.settle(which, 1 << milestone, [part % (m.amount + 1)])
            case "refund":
                self.refund(which, 1 << milestone, who, signed)
            case "resolve":
                self.resolve(which, milestone, who, part % (m.amount + 1), signed)
            case _:
                self.clock(which, milestone, step)

    @rule(
        which=st.integers(0, 1), number=st.integers(0, 2), choices=st.lists(st.integers(0, 3), min_size=2, max_size=6)
    )
    def go_a_long_way(self, which: int, number: int, choices: list[int]) -> None:
        """Several steps that make sense, one after the other, each by the right person."""
        for choice in choices:
            self.take_the_next_step(which, number, choice, "right", choice % 2 == 0, choice < 2, 7 * choice)

    # -- the world around -------------------------------------------

    @rule(seconds=st.sampled_from([1, 10, DAY, 2 * DAY, 3 * DAY, 30 * DAY]))
    def pass_time(self, seconds: int) -> None:
        advance(seconds)

    @rule(which=st.integers(0, 1), milestone=st.integers(0, 1), beyond=st.integers(0, 1))
    def pass_time_to_a_deadline(self, which: int, milestone: int, beyond: int) -> None:
        """The last moment in time, or the first one too late."""
        moment = self.pick(which)[1].milestones[milestone].deadline + beyond
        if moment > now():
            advance(moment - now())

    @rule(person=st.sampled_from([BEA, SOL, PLATFORM]), blocked=st.booleans())
    def block(self, person: Person, blocked: bool) -> None:
        self.token.block(person.address, blocked)

    @rule(amount=st.integers(1, 10**9))
    def give_by_accident(self, amount: int) -> None:
        self.token.mint(self.vault.address, amount)
        self.gifts += amount

    @rule(person=st.sampled_from([BEA, SOL, PLATFORM, ARI]), unblocked=st.booleans())
    def withdraw(self, person: Person, unblocked: bool) -> None:
        if unblocked:
            self.block(person, False)
        credit = self.vault.credit_of(self.token.address, person.address)
        if credit == 0:
            expected = "escrow: no credit"
        elif self.token.blocked(person.address):
            expected = "escrow: token refuses transfer"
        else:
            expected = None
        self.run(
            "withdraw",
            expected,
            lambda: self.vault.withdraw(self.token.address, person.address, person.address, 0, b"", sender=MAX.address),
        )

    # -- what must always hold --------------------------------------

    @invariant()
    def the_vault_is_the_twin(self) -> None:
        for deal, twin in self.pairs:
            terms = deal.terms
            assert deal.state == (
                twin.remaining,
                twin.bitmap("funded"),
                twin.bitmap("settled"),
                twin.bitmap("disputed"),
                twin.epochs[terms["buyer"]],
                twin.epochs[terms["seller"]],
            )
            for number, m in enumerate(twin.milestones):
                phase, deadline, round = deal.milestone(number)
                assert (phase, deadline or m.deadline, round) == (m.phase, m.deadline, m.round)

    @invariant()
    def money_is_conserved(self) -> None:
        if not self.pairs:
            return
        credits = {person: self.vault.credit_of(self.token.address, person) for person in PEOPLE}
        remaining = sum(twin.remaining for _, twin in self.pairs)
        assert self.token.balanceOf(self.vault.address) == remaining + sum(credits.values()) + self.gifts
        for person in PEOPLE:
            paid = sum(twin.paid.get(person, 0) for _, twin in self.pairs)
            arrived = self.token.balanceOf(person) - self.before[person] + self.spent[person]
            assert arrived + credits[person] == paid
        for _, twin in self.pairs:
            assert sum(twin.paid.values()) + twin.remaining == twin.funded
            assert set(twin.paid) <= {twin.terms["buyer"], twin.terms["seller"], twin.terms["fee_recipient"]}
            assert ARI.address not in twin.paid

    def teardown(self) -> None:
        try:
            if self.pairs:
                self.strangers_alone_bring_all_money_out()
        finally:
            self.anchor.__exit__(None, None, None)

    def strangers_alone_bring_all_money_out(self) -> None:
        """No party and no arbiter does anything any more; the longest wait is a deadline plus a review window."""
        longest = [m.deadline + twin.terms["review_seconds"] for _, twin in self.pairs for m in twin.milestones]
        assert max(longest) <= max(now(), self.started_at) + 2 * MAX_WINDOW_SECONDS
        if max(longest) >= now():
            advance(max(longest) + 1 - now())
        way_out = {UNSUBMITTED: "reclaim", CHANGES: "reclaim", SUBMITTED: "claim", DISPUTED: "time_out"}
        for deal, twin in self.pairs:
            for number, m in enumerate(twin.milestones):
                if m.funded and not m.settled:
                    self.step_of_a_stranger(deal, way_out[m.phase], number)
            remaining, funded, settled, disputed, *_ = deal.state
            assert (remaining, settled, disputed) == (0, funded, 0)
        for person in (BEA, SOL, PLATFORM):
            self.token.block(person.address, False)
            if self.vault.credit_of(self.token.address, person.address):
                self.withdraw(person, True)
        assert self.token.balanceOf(self.vault.address) == self.gifts

    def step_of_a_stranger(self, deal: Deal, action: str, milestone: int) -> None:
        tail = (0, b"") if action == "reclaim" else ()
        self.run(
            action, None, lambda: getattr(self.vault, action)(deal.call_terms, milestone, *tail, sender=MAX.address)
        )


def test_the_vault_keeps_its_promises_whatever_people_do(vault, odd_token):
    outcomes: Counter[str] = Counter()
    machine = type("Machine", (VaultMachine,), {"vault": vault, "token": odd_token, "outcomes": outcomes})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=1_000 if LONG else 30,
            stateful_step_count=50 if LONG else 20,
            deadline=None,
            derandomize=not LONG,
            database=None,
        ),
    )
    print(f"{outcomes.total()} actions:", ", ".join(f"{outcome} {count}" for outcome, count in outcomes.most_common()))
    done = {outcome for outcome in outcomes if not outcome.startswith("escrow:")}
    assert done == ACTIONS  # a machine that is mostly refused proves little
