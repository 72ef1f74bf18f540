"""Each role tries each action in each state a milestone can be in, by call and by signature: the whole matrix.

The table below says who may; everybody else must be refused, and nothing may change.
"""

from collections.abc import Callable

import boa
import pytest
from support import ARI, BEA, CAST, DAY, FAR_AHEAD, MAX, REASON, SOL, WORK, Deal, advance, advance_to, now


def _funded(deal: Deal) -> None:
    deal.fund()


def _late(deal: Deal) -> None:
    deal.fund()
    advance_to(deal.terms["deliver_by"][0] + 1)


def _abandoned(deal: Deal) -> None:
    deal.fund()
    advance_to(deal.terms["deliver_by"][0] + deal.terms["review_seconds"] + 1)


def _extended(deal: Deal) -> None:
    _late(deal)
    deal.vault.extend(deal.call_terms, 0, 0, now() + DAY, 0, b"", sender=BEA.address)


def _in_review(deal: Deal) -> None:
    deal.fund()
    deal.submit()


def _reviewed(deal: Deal) -> None:
    _in_review(deal)
    advance(deal.terms["review_seconds"] + 1)


def _changes(deal: Deal) -> None:
    _in_review(deal)
    deal.request_changes()


def _changes_late(deal: Deal) -> None:
    _changes(deal)
    advance(deal.terms["revision_seconds"] + 1)


def _changes_abandoned(deal: Deal) -> None:
    _changes(deal)
    advance(deal.terms["revision_seconds"] + deal.terms["review_seconds"] + 1)


def _in_review_again(deal: Deal) -> None:
    _changes(deal)
    deal.submit(0, 2)


def _disputed(deal: Deal) -> None:
    _in_review(deal)
    deal.dispute()


def _disputed_in_changes(deal: Deal) -> None:
    _changes(deal)
    deal.dispute(party=SOL)


def _unheard(deal: Deal) -> None:
    _disputed(deal)
    advance(deal.terms["arbitration_seconds"] + 1)


def _released(deal: Deal) -> None:
    _in_review(deal)
    deal.release(1)


def _refunded(deal: Deal) -> None:
    deal.fund()
    deal.vault.refund(deal.call_terms, 1, 0, b"", sender=SOL.address)


def _resolved(deal: Deal) -> None:
    _disputed(deal)
    deal.vault.resolve(deal.call_terms, 0, 1, REASON, 0, b"", sender=ARI.address)


BUYER, SELLER, ARBITER = {"buyer"}, {"seller"}, {"arbiter"}
PARTIES = BUYER | SELLER
ANYONE = set(CAST)
OPEN = {"release": BUYER, "refund": SELLER, "settle": PARTIES}
# What is not named is nobody's. `revoke` is the parties' always.
STATES: dict[str, tuple[Callable[[Deal], None], dict[str, set[str]]]] = {
    "not funded": (lambda deal: None, {"fund": BUYER}),
    "funded": (_funded, {**OPEN, "submit": SELLER, "extend": BUYER}),
    "late": (_late, {**OPEN, "extend": BUYER, "reclaim": BUYER}),
    "abandoned": (_abandoned, {**OPEN, "extend": BUYER, "reclaim": ANYONE}),
    "extended": (_extended, {**OPEN, "submit": SELLER, "extend": BUYER}),
    "in review": (_in_review, {**OPEN, "request_changes": BUYER, "dispute": PARTIES}),
    "review over": (_reviewed, {**OPEN, "claim": ANYONE}),
    "changes due": (_changes, {**OPEN, "submit": SELLER, "extend": BUYER, "dispute": PARTIES}),
    "changes late": (_changes_late, {**OPEN, "extend": BUYER, "reclaim": BUYER}),
    "changes abandoned": (_changes_abandoned, {**OPEN, "extend": BUYER, "reclaim": ANYONE}),
    "in review again": (_in_review_again, {**OPEN, "request_changes": BUYER, "dispute": PARTIES}),
    "disputed": (_disputed, {"refund": SELLER, "settle": PARTIES, "resolve": ARBITER}),
    "disputed while changes were due": (
        _disputed_in_changes,
        {"refund": SELLER, "settle": PARTIES, "resolve": ARBITER},
    ),
    "arbitration over": (
        _unheard,
        {"refund": SELLER, "settle": PARTIES, "resolve": ARBITER, "time_out": ANYONE},
    ),
    "released": (_released, {}),
    "refunded": (_refunded, {}),
    "resolved": (_resolved, {}),
}
ACTIONS = (
    "fund",
    "submit",
    "release",
    "request_changes",
    "claim",
    "extend",
    "reclaim",
    "refund",
    "settle",
    "dispute",
    "resolve",
    "time_out",
    "revoke",
)
# Whose signature stands behind a message that somebody else sends.
SIGNED = ("submit", "release", "request_changes", "extend", "reclaim", "refund", "dispute", "resolve", "revoke")


def attempt(deal: Deal, action: str, role: str, *, signed: bool) -> None:
    """`role` tries the action on milestone 0: calls it himself, or has his signature sent by a stranger."""
    person = CAST[role]
    round = deal.milestone()[2]
    sender = MAX if signed else person
    until = now() + 200 * DAY
    if action == "fund":
        deal.token.mint(person.address, deal.amount(1))
        deal.token.approve(deal.vault.address, deal.amount(1), sender=person.address)
        deal.vault.fund(deal.call_terms, 1, *deal.accepted(), sender=person.address)
        return
    if action in ("claim", "time_out"):
        getattr(deal.vault, action)(deal.call_terms, 0, sender=person.address)
        return
    if action == "settle":  # the other party has signed; this one calls, or has signed with his own key
        both = []
        for party in (BEA, SOL):
            signature = deal.sign(party, "Settle", milestones=1, seller_amounts=[7])
            both += [FAR_AHEAD, b"" if party is person else signature]
        if role not in PARTIES:
            both[1] = b""
        deal.vault.settle(deal.call_terms, 1, [7], *both, sender=person.address)
        return
    work = {"milestone": 0, "round": round + 1, "deliverable": WORK}
    complaint = {"milestone": 0, "round": round, "reason": REASON}
    primary, values, arguments = {
        "submit": ("Submit", work, tuple(work.values())),
        "release": ("Release", {"milestones": 1}, (1,)),
        "request_changes": ("RequestChanges", complaint, tuple(complaint.values())),
        "extend": ("Extend", {"milestone": 0, "round": round, "until": until}, (0, round, until)),
        "reclaim": ("Reclaim", {"milestone": 0}, (0,)),
        "refund": ("Refund", {"milestones": 1}, (1,)),
        "dispute": ("Dispute", complaint, (*complaint.values(), person.address)),
        "resolve": ("Resolve", {"milestone": 0, "seller_amount": 9, "reason": REASON}, (0, 9, REASON)),
        "revoke": ("Revoke", {}, (person.address,)),
    }[action]
    signature = deal.sign(person, primary, **values) if signed else b""
    getattr(deal.vault, action)(deal.call_terms, *arguments, FAR_AHEAD, signature, sender=sender.address)


def everything(deal: Deal) -> tuple:
    """What an action can change: every one of them writes one of the two words."""
    return deal.state, deal.milestone(), deal.token.balanceOf(deal.vault.address)


@pytest.mark.parametrize("signed", [False, True], ids=["called", "signed"])
@pytest.mark.parametrize("state", STATES)
def test_who_may_do_what(deal, state, signed):
    prepare, allowed = STATES[state]
    prepare(deal)
    before = everything(deal)
    wrong = []
    for action in SIGNED if signed else ACTIONS:
        who_may = PARTIES if action == "revoke" else allowed.get(action, set())
        if signed and who_may == ANYONE:  # a signature that is not needed must still be the buyer's
            who_may = BUYER
        for role in CAST:
            with boa.env.anchor():
                try:
                    attempt(deal, action, role, signed=signed)
                    done = True
                except boa.BoaError:
                    done = False
                changed = everything(deal) != before
            if done != (role in who_may) or (action != "fund" and changed != done):
                wrong.append((action, role, "done" if done else "refused", "changed" if changed else "unchanged"))
    assert not wrong
