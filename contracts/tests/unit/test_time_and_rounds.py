"""submit, request changes, claim, extend, reclaim, dispute, time out: what the clocks and the rounds allow."""

import pytest
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
    UNSUBMITTED,
    WORK,
    advance,
    advance_to,
    events,
    now,
    refused,
)


class TestSubmitting:
    def test_starts_the_review_window_and_the_first_round(self, funded, vault):
        funded.submit(1)
        ends_at = now() + funded.terms["review_seconds"]
        assert funded.milestone(1) == (SUBMITTED, ends_at, 1)
        assert funded.milestone(0) == (UNSUBMITTED, 0, 0)
        funded.submit(0)
        (event,) = events(vault)
        assert (bytes(event.escrow), event.milestone, event.round) == (funded.escrow, 0, 1)
        assert (bytes(event.deliverable), event.review_ends_at) == (WORK, ends_at)

    def test_is_in_time_until_the_very_delivery_date(self, funded):
        advance_to(funded.terms["deliver_by"][0])
        funded.submit(0)
        advance(1)
        with refused("deadline has passed"):
            funded.submit(1)

    def test_again_is_refused_while_in_review(self, funded):
        funded.submit()
        with refused("no submission due"):
            funded.submit(0, 2)

    def test_again_after_a_request_until_the_revision_deadline(self, funded):
        funded.submit()
        funded.request_changes()
        with refused("wrong round"):
            funded.submit(0, 1)
        advance(funded.terms["revision_seconds"])
        funded.submit(0, 2)
        assert funded.milestone() == (SUBMITTED, now() + funded.terms["review_seconds"], 2)

    def test_again_is_refused_after_the_revision_deadline(self, funded):
        funded.submit()
        funded.request_changes()
        advance(funded.terms["revision_seconds"] + 1)
        with refused("deadline has passed"):
            funded.submit(0, 2)

    def test_starts_with_round_one(self, funded):
        for wrong in (0, 2):
            with refused("wrong round"):
                funded.submit(0, wrong)

    def test_is_refused_for_a_milestone_that_is_not_funded(self, deal):
        deal.fund(0b010)
        for milestone in (0, 31, 32, 255, 2**256 - 1):
            with refused("no milestone named" if milestone > 255 else "milestone is not funded"):
                deal.submit(milestone)


class TestRequestingChanges:
    def test_starts_the_revision_window_in_the_same_round(self, funded, vault):
        funded.submit()
        funded.request_changes()
        ends_at = now() + funded.terms["revision_seconds"]
        (event,) = events(vault)
        assert (event.milestone, event.round, bytes(event.reason), event.revision_ends_at) == (0, 1, REASON, ends_at)
        assert funded.milestone() == (CHANGES, ends_at, 1)

    def test_is_possible_until_the_very_end_of_the_review(self, funded):
        funded.submit(0)
        funded.submit(1)
        advance(funded.terms["review_seconds"])
        funded.request_changes(0)
        advance(1)
        with refused("deadline has passed"):
            funded.request_changes(1)

    def test_is_limited_in_number(self, funded):
        for round in (1, 2):
            funded.submit(0, round)
            funded.request_changes(0, round)
        funded.submit(0, 3)
        with refused("no revisions left"):
            funded.request_changes(0, 3)

    def test_may_be_excluded_by_the_terms(self, make_deal):
        deal = make_deal(max_revisions=0)
        deal.fund()
        deal.submit()
        with refused("no revisions left"):
            deal.request_changes()

    def test_names_the_round_under_review(self, funded):
        funded.submit()
        for wrong in (0, 2):
            with refused("wrong round"):
                funded.request_changes(0, wrong)


class TestClaiming:
    def test_pays_the_seller_less_the_fee_once_the_review_is_over(self, funded, vault, token):
        funded.submit(1)
        advance(funded.terms["review_seconds"])
        with refused("deadline has not passed"):
            vault.claim(funded.call_terms, 1, sender=MAX.address)
        advance(1)
        vault.claim(funded.call_terms, 1, sender=MAX.address)
        amount = funded.amount(0b010)
        fee = amount * 250 // 10_000
        (event,) = events(vault)
        assert (event.milestone, event.seller_amount, event.fee) == (1, amount, fee)
        assert token.balanceOf(SOL.address) == amount - fee
        assert token.balanceOf(PLATFORM.address) == fee
        assert funded.state == (funded.amount(0b101), 0b111, 0b010, 0, 0, 0)

    def test_needs_a_submission(self, funded, vault):
        advance_to(FAR_AHEAD)
        with refused("not in review"):
            vault.claim(funded.call_terms, 1, sender=SOL.address)


class TestExtending:
    def extend(self, deal, until, milestone=0, round=0):
        deal.vault.extend(deal.call_terms, milestone, round, until, 0, b"", sender=BEA.address)

    def test_moves_the_delivery_date_of_one_milestone(self, funded, vault):
        until = funded.terms["deliver_by"][0] + DAY
        self.extend(funded, until)
        (event,) = events(vault)
        assert (event.milestone, event.until) == (0, until)
        assert funded.milestone(0) == (UNSUBMITTED, until, 0)
        advance_to(until)
        with refused("deadline has passed"):
            funded.submit(1)
        funded.submit(0)

    def test_moves_the_revision_deadline_and_keeps_the_round(self, funded):
        funded.submit()
        funded.request_changes()
        until = now() + 9 * DAY
        self.extend(funded, until, round=1)
        assert funded.milestone() == (CHANGES, until, 1)
        advance_to(until)
        funded.submit(0, 2)

    def test_revives_a_milestone_that_nobody_has_reclaimed(self, funded):
        advance_to(funded.terms["deliver_by"][0] + 60 * DAY)
        with refused("deadline is not later"):
            self.extend(funded, now())
        self.extend(funded, now() + 1)
        funded.submit()

    def test_only_ever_gives_more_time(self, funded):
        with refused("deadline is not later"):
            self.extend(funded, funded.terms["deliver_by"][0])

    def test_reaches_no_further_than_the_upper_limit(self, funded):
        with refused("deadline is too far"):
            self.extend(funded, now() + MAX_WINDOW_SECONDS + 1)
        self.extend(funded, now() + MAX_WINDOW_SECONDS)

    def test_is_of_no_use_in_another_round(self, funded, vault):
        signature = funded.sign(BEA, "Extend", milestone=0, round=0, until=now() + 300 * DAY)
        until = now() + 300 * DAY
        funded.submit()
        funded.request_changes()
        with refused("wrong round"):
            vault.extend(funded.call_terms, 0, 0, until, FAR_AHEAD, signature, sender=SOL.address)
        with refused("signature is not valid"):
            vault.extend(funded.call_terms, 0, 1, until, FAR_AHEAD, signature, sender=SOL.address)


class TestReclaiming:
    def reclaim(self, deal, sender, milestone=0):
        deal.vault.reclaim(deal.call_terms, milestone, 0, b"", sender=sender.address)

    def test_gives_the_whole_milestone_back_without_a_fee(self, funded, vault, token):
        advance_to(funded.terms["deliver_by"][0])
        with refused("deadline has not passed"):
            self.reclaim(funded, BEA)
        advance(1)
        self.reclaim(funded, BEA, 1)
        (event,) = events(vault)
        assert (event.milestone, event.amount) == (1, funded.amount(0b010))
        assert token.balanceOf(BEA.address) == funded.amount(0b010)
        assert token.balanceOf(PLATFORM.address) == 0
        assert funded.state[2] == 0b010

    def test_is_anyones_one_review_window_later(self, funded, token):
        advance_to(funded.terms["deliver_by"][0] + funded.terms["review_seconds"])
        with refused("caller is not the party"):
            self.reclaim(funded, MAX)
        advance(1)
        self.reclaim(funded, MAX)
        assert token.balanceOf(BEA.address) == funded.amount(1)

    def test_follows_an_extension(self, funded, vault):
        until = funded.terms["deliver_by"][0] + 30 * DAY
        vault.extend(funded.call_terms, 0, 0, until, 0, b"", sender=BEA.address)
        advance_to(until)
        with refused("deadline has not passed"):
            self.reclaim(funded, BEA)
        advance(1)
        self.reclaim(funded, BEA)

    def test_follows_a_revision_that_never_came(self, funded, token):
        funded.submit()
        funded.request_changes()
        advance(funded.terms["revision_seconds"] + 1)
        self.reclaim(funded, BEA)
        assert token.balanceOf(BEA.address) == funded.amount(1)

    def test_a_bad_signature_is_refused_even_when_none_is_needed(self, funded, vault):
        advance_to(funded.terms["deliver_by"][0] + 365 * DAY)
        with refused("signature is not valid"):
            vault.reclaim(funded.call_terms, 0, FAR_AHEAD, b"\x01" * 65, sender=MAX.address)


class TestDisputing:
    @pytest.mark.parametrize("party", [BEA, SOL], ids=lambda p: p.name)
    def test_stops_the_clocks_of_this_milestone_only(self, funded, vault, party):
        funded.submit(0)
        funded.submit(1)
        funded.dispute(0, party=party)
        ends_at = now() + funded.terms["arbitration_seconds"]
        (event,) = events(vault)
        assert (event.milestone, event.round, event.party) == (0, 1, party.address)
        assert (bytes(event.reason), event.arbitration_ends_at) == (REASON, ends_at)
        assert funded.milestone(0) == (DISPUTED, ends_at, 1)
        assert funded.milestone(1)[0] == SUBMITTED
        assert funded.state[3] == 0b001
        funded.release(0b110)

    def test_is_possible_while_changes_are_due(self, funded):
        funded.submit()
        funded.request_changes()
        advance(funded.terms["revision_seconds"])
        funded.dispute(party=SOL)
        assert funded.milestone()[0] == DISPUTED

    def test_needs_a_submission(self, funded):
        with refused("nothing to dispute"):
            funded.dispute(0, 0)

    @pytest.mark.parametrize("after_request", [False, True])
    def test_comes_too_late_after_the_deadline(self, funded, after_request):
        funded.submit()
        if after_request:
            funded.request_changes()
        advance(funded.terms["revision_seconds" if after_request else "review_seconds"] + 1)
        for party in (BEA, SOL):
            with refused("deadline has passed"):
                funded.dispute(party=party)

    def test_only_once(self, funded):
        funded.submit()
        funded.dispute()
        with refused("nothing to dispute"):
            funded.dispute(party=SOL)

    def test_names_the_round(self, funded):
        funded.submit()
        for wrong in (0, 2):
            with refused("wrong round"):
                funded.dispute(0, wrong)

    def test_nobody_else_is_a_party_to_it(self, funded, vault):
        funded.submit()
        for other in (ARI, MAX):
            with refused("neither buyer nor seller"):
                funded.dispute(party=other)
            with refused("caller is not the party"):
                vault.dispute(funded.call_terms, 0, 1, REASON, BEA.address, 0, b"", sender=other.address)


class TestTimingOut:
    @pytest.mark.parametrize("bps", [0, 3_333, 10_000])
    def test_splits_as_the_terms_say_when_the_arbiter_was_silent(self, make_deal, vault, token, bps):
        deal = make_deal(timeout_seller_bps=bps)
        deal.fund()
        deal.submit(1)
        deal.dispute(1)
        advance(deal.terms["arbitration_seconds"])
        with refused("deadline has not passed"):
            vault.time_out(deal.call_terms, 1, sender=MAX.address)
        advance(1)
        vault.time_out(deal.call_terms, 1, sender=MAX.address)
        amount = deal.amount(0b010)
        part = amount * bps // 10_000
        fee = part * 250 // 10_000
        (event,) = events(vault)
        assert (event.milestone, event.seller_amount, event.fee) == (1, part, fee)
        assert token.balanceOf(SOL.address) == part - fee
        assert token.balanceOf(PLATFORM.address) == fee
        assert token.balanceOf(BEA.address) == amount - part
        assert deal.state == (deal.amount(0b101), 0b111, 0b010, 0, 0, 0)

    def test_needs_a_dispute(self, funded, vault):
        funded.submit()
        advance_to(FAR_AHEAD)
        for milestone in (0, 1, 32, 2**256 - 1):
            with refused("no dispute"):
                vault.time_out(funded.call_terms, milestone, sender=MAX.address)
