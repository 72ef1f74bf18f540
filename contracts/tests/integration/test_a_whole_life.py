"""One agreement from the first signature to the last unit, everything relayed: the parties own no gas at all."""

from collections import Counter
from typing import Any

import pytest
from support import (
    ARI,
    BEA,
    FAR_AHEAD,
    MAX,
    PLATFORM,
    REASON,
    SOL,
    WORK,
    Deal,
    advance,
    events,
)


@pytest.fixture
def story(deal: Deal, vault: Any, token: Any) -> list[Any]:
    """Milestone 0 approved, 1 after a request for changes, 2 disputed and split. What the vault told, in order."""
    told: list[Any] = []

    def relay(action: str, *arguments: Any) -> None:
        getattr(vault, action)(deal.call_terms, *arguments, sender=MAX.address)
        told.extend(events(vault))

    def signed(person: Any, primary: str, **values: Any) -> tuple[Any, ...]:
        return *values.values(), FAR_AHEAD, deal.sign(person, primary, **values)

    def handed_in(milestone: int, round: int) -> tuple[Any, ...]:
        return signed(SOL, "Submit", milestone=milestone, round=round, deliverable=WORK)

    token.mint(BEA.address, deal.amount(7))
    relay("fund_with_authorization", 7, *deal.accepted(), 0, FAR_AHEAD, BEA.sign(deal.authorization(7)))
    relay("submit", *handed_in(0, 1))
    relay("release", *signed(BEA, "Release", milestones=1))
    relay("submit", *handed_in(1, 1))
    relay("request_changes", *signed(BEA, "RequestChanges", milestone=1, round=1, reason=REASON))
    relay("submit", *handed_in(1, 2))
    advance(deal.terms["review_seconds"] + 1)
    relay("claim", 1)
    relay("submit", *handed_in(2, 1))
    complaint = {"milestone": 2, "round": 1, "reason": REASON}
    relay("dispute", *complaint.values(), BEA.address, FAR_AHEAD, deal.sign(BEA, "Dispute", **complaint))
    relay("resolve", *signed(ARI, "Resolve", milestone=2, seller_amount=11, reason=REASON))
    return told


def test_everybody_gets_what_is_his_and_the_vault_is_empty(deal, story, vault, token):
    first, second, third = deal.terms["amounts"]
    fees = first * 250 // 10_000 + second * 250 // 10_000 + 11 * 250 // 10_000
    assert token.balanceOf(SOL.address) == first + second + 11 - fees
    assert token.balanceOf(PLATFORM.address) == fees
    assert token.balanceOf(BEA.address) == third - 11
    assert token.balanceOf(ARI.address) == token.balanceOf(MAX.address) == token.balanceOf(vault.address) == 0
    assert deal.state == (0, 7, 7, 0, 0, 0)


def test_the_events_alone_rebuild_it(deal, story):
    """What an indexer knows who has seen nothing but the logs."""
    escrow: dict[str, Any] = {"funded": 0, "settled": 0, "disputed": 0, "in": 0, "out": 0, "round": Counter()}
    for event in story:
        assert bytes(event.escrow) == deal.escrow
        match type(event).__name__:
            case "EscrowOpened":
                escrow["terms"] = tuple(event.terms)
            case "MilestonesFunded":
                escrow["funded"] |= event.milestones
                escrow["in"] += event.amount
            case "MilestoneSubmitted":
                escrow["round"][event.milestone] = event.round
            case "MilestonesReleased":
                escrow["settled"] |= event.milestones
                escrow["out"] += event.seller_amount
            case "MilestoneClaimed":
                escrow["settled"] |= 1 << event.milestone
                escrow["out"] += event.seller_amount
            case "MilestoneDisputed":
                escrow["disputed"] |= 1 << event.milestone
            case "DisputeResolved":
                escrow["disputed"] ^= 1 << event.milestone
                escrow["settled"] |= 1 << event.milestone
                escrow["out"] += escrow["terms"][4][event.milestone]
            case other:
                assert other == "ChangesRequested"
    assert escrow["terms"] == deal.call_terms
    assert (escrow["in"] - escrow["out"], escrow["funded"], escrow["settled"], escrow["disputed"]) == deal.state[:4]
    assert [escrow["round"][i] for i in range(3)] == [deal.milestone(i)[2] for i in range(3)] == [1, 2, 1]


def test_one_milestones_dispute_does_not_delay_the_others(deal):
    deal.fund()
    for milestone in range(3):
        deal.submit(milestone)
    deal.dispute(0)
    deal.request_changes(1)
    deal.submit(1, 2)
    deal.release(0b100)
    advance(deal.terms["review_seconds"] + 1)
    deal.vault.claim(deal.call_terms, 1, sender=MAX.address)
    assert deal.state[2:4] == (0b110, 0b001)
