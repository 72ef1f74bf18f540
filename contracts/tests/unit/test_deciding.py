"""release, refund, settle, resolve, revoke: where people decide, and who gets what."""

import boa
import pytest
from eth_utils import keccak
from support import (
    ARI,
    BEA,
    FAR_AHEAD,
    MAX,
    PLATFORM,
    REASON,
    SOL,
    advance,
    events,
    refused,
)


def fee_of(amount: int) -> int:
    return amount * 250 // 10_000


class TestReleasing:
    def test_pays_a_set_in_one_transfer_with_the_fee_of_each_rounded_down(self, funded, vault, token):
        funded.release(0b111)
        amounts = funded.terms["amounts"]
        fee = sum(fee_of(amount) for amount in amounts)
        (event,) = events(vault)
        assert (event.milestones, event.seller_amount, event.fee) == (0b111, sum(amounts), fee)
        assert token.balanceOf(SOL.address) == sum(amounts) - fee
        assert token.balanceOf(PLATFORM.address) == fee
        assert token.balanceOf(vault.address) == 0
        assert funded.state == (0, 0b111, 0b111, 0, 0, 0)

    def test_needs_no_submission_and_takes_one_in_any_phase_but_dispute(self, funded):
        funded.submit(0)
        funded.submit(1)
        funded.request_changes(1)
        funded.release(0b111)
        assert funded.state[2] == 0b111

    def test_ignores_deadlines(self, funded):
        advance(400 * 86_400)
        funded.release(0b001)

    def test_is_worth_nothing_while_disputed(self, funded, vault):
        signature = funded.sign(BEA, "Release", milestones=0b011)
        funded.submit()
        funded.dispute(party=SOL)
        for milestones in (0b001, 0b011):
            with refused("milestone is in dispute"):
                funded.release(milestones)
        with refused("milestone is in dispute"):
            vault.release(funded.call_terms, 0b011, FAR_AHEAD, signature, sender=SOL.address)
        funded.release(0b110)

    def test_is_for_funded_and_unsettled_milestones(self, deal):
        with refused("milestone is not funded"):
            deal.release(1)
        deal.fund(0b011)
        with refused("no milestone named"):
            deal.release(0)
        for beyond in (0b111, 2**32, 2**255):
            with refused("milestone is not funded"):
                deal.release(beyond)
        deal.release(1)
        with refused("milestone is settled"):
            deal.release(0b011)


class TestRefunding:
    def test_gives_a_set_back_disputed_or_not_without_a_fee(self, funded, vault, token):
        funded.submit()
        funded.dispute()
        vault.refund(funded.call_terms, 0b011, 0, b"", sender=SOL.address)
        amount = funded.amount(0b011)
        (event,) = events(vault)
        assert (event.milestones, event.amount) == (0b011, amount)
        assert token.balanceOf(BEA.address) == amount
        assert token.balanceOf(PLATFORM.address) == token.balanceOf(SOL.address) == 0
        assert funded.state == (funded.amount(0b100), 0b111, 0b011, 0, 0, 0)
        with refused("milestone is settled"):
            vault.refund(funded.call_terms, 0b001, 0, b"", sender=SOL.address)
        with refused("no dispute"):
            vault.resolve(funded.call_terms, 0, 0, REASON, 0, b"", sender=ARI.address)


class TestSettling:
    def settle(self, deal, milestones, parts, *, buyer=None, seller=None, sender=MAX):
        both = []
        for person, given in ((BEA, buyer), (SOL, seller)):
            both += [
                FAR_AHEAD,
                deal.sign(person, "Settle", milestones=milestones, seller_amounts=parts) if given is None else given,
            ]
        deal.vault.settle(deal.call_terms, milestones, parts, *both, sender=sender.address)

    def test_splits_each_milestone_as_both_sign(self, funded, vault, token):
        funded.submit()
        funded.dispute()
        parts = [40_000_003, 33]
        self.settle(funded, 0b101, parts)
        fee = sum(fee_of(part) for part in parts)
        (event,) = events(vault)
        assert (event.milestones, list(event.seller_amounts), event.fee) == (0b101, parts, fee)
        assert token.balanceOf(SOL.address) == sum(parts) - fee
        assert token.balanceOf(PLATFORM.address) == fee
        assert token.balanceOf(BEA.address) == funded.amount(0b101) - sum(parts)
        assert funded.state == (funded.amount(0b010), 0b111, 0b101, 0, 0, 0)

    def test_one_of_them_may_send_it_himself(self, funded):
        self.settle(funded, 0b001, [0], buyer=b"", sender=BEA)
        self.settle(funded, 0b010, [1], seller=b"", sender=SOL)
        assert funded.state[2] == 0b011

    def test_needs_both(self, funded):
        with refused("caller is not the party"):
            self.settle(funded, 1, [0], seller=b"", sender=BEA)
        with refused("caller is not the party"):
            self.settle(funded, 1, [0], buyer=b"", sender=SOL)
        with refused("signature is not valid"):
            self.settle(funded, 1, [0], buyer=funded.sign(SOL, "Settle", milestones=1, seller_amounts=[0]))

    def test_both_sign_the_same_parts(self, funded):
        generous = funded.sign(BEA, "Settle", milestones=1, seller_amounts=[50])
        with refused("signature is not valid"):
            self.settle(funded, 1, [51], buyer=generous)

    def test_takes_one_part_for_each_milestone_and_none_above_its_amount(self, funded):
        with refused("one part per milestone"):
            self.settle(funded, 0b011, [1])
        with refused("one part per milestone"):
            self.settle(funded, 0b011, [1, 2, 3])
        with refused("part is above the amount"):
            self.settle(funded, 0b100, [34])
        self.settle(funded, 0b100, [33])

    def test_is_for_funded_and_unsettled_milestones(self, deal):
        deal.fund(0b011)
        with refused("milestone is not funded"):
            self.settle(deal, 0b100, [1])
        deal.release(1)
        with refused("milestone is settled"):
            self.settle(deal, 0b001, [1])


class TestResolving:
    @pytest.mark.parametrize("part", [0, 1, 61_000_001, 100_000_000])
    def test_splits_between_buyer_and_seller(self, funded, vault, token, part):
        funded.submit()
        funded.dispute()
        vault.resolve(funded.call_terms, 0, part, REASON, 0, b"", sender=ARI.address)
        (event,) = events(vault)
        assert (event.milestone, event.seller_amount, event.fee) == (0, part, fee_of(part))
        assert bytes(event.reason) == REASON
        assert token.balanceOf(SOL.address) == part - fee_of(part)
        assert token.balanceOf(BEA.address) == 100_000_000 - part
        assert token.balanceOf(PLATFORM.address) == fee_of(part)
        assert token.balanceOf(ARI.address) == 0
        assert funded.state == (funded.amount(0b110), 0b111, 0b001, 0, 0, 0)

    def test_counts_also_late_as_long_as_nobody_timed_it_out(self, funded, vault):
        funded.submit(0)
        funded.submit(1)
        funded.dispute(0)
        funded.dispute(1)
        advance(funded.terms["arbitration_seconds"] + 1)
        vault.time_out(funded.call_terms, 0, sender=MAX.address)
        vault.resolve(funded.call_terms, 1, 0, REASON, 0, b"", sender=ARI.address)
        with refused("no dispute"):
            vault.resolve(funded.call_terms, 0, 0, REASON, 0, b"", sender=ARI.address)

    def test_gives_the_seller_no_more_than_the_milestone(self, funded, vault):
        funded.submit()
        funded.dispute()
        with refused("part is above the amount"):
            vault.resolve(funded.call_terms, 0, 100_000_001, REASON, 0, b"", sender=ARI.address)

    def test_needs_a_dispute_of_this_milestone(self, funded, vault):
        funded.submit()
        funded.dispute()
        for milestone in (1, 32, 2**256 - 1):
            with refused("no dispute"):
                vault.resolve(funded.call_terms, milestone, 0, REASON, 0, b"", sender=ARI.address)


class TestRevoking:
    @pytest.mark.parametrize("party", [BEA, SOL], ids=lambda p: p.name)
    def test_moves_only_the_own_epoch(self, funded, vault, party):
        vault.revoke(funded.call_terms, party.address, 0, b"", sender=party.address)
        (event,) = events(vault)
        assert (event.party, event.epoch) == (party.address, 1)
        assert funded.state[4:] == ((1, 0) if party is BEA else (0, 1))
        assert funded.state[:4] == (funded.amount(7), 7, 0, 0)

    def test_voids_what_was_signed_and_leaves_what_is_signed_later(self, funded, vault):
        old = funded.sign(BEA, "Release", milestones=1)
        vault.revoke(funded.call_terms, BEA.address, 0, b"", sender=BEA.address)
        with refused("signature is not valid"):
            vault.release(funded.call_terms, 1, FAR_AHEAD, old, sender=MAX.address)
        new = funded.sign(BEA, "Release", milestones=1)
        vault.release(funded.call_terms, 1, FAR_AHEAD, new, sender=MAX.address)

    def test_a_signed_revocation_works_once(self, funded, vault):
        signature = funded.sign(SOL, "Revoke")
        vault.revoke(funded.call_terms, SOL.address, FAR_AHEAD, signature, sender=MAX.address)
        with refused("signature is not valid"):
            vault.revoke(funded.call_terms, SOL.address, FAR_AHEAD, signature, sender=MAX.address)

    def test_is_for_buyer_and_seller(self, funded, vault):
        for other in (ARI, MAX):
            with refused("neither buyer nor seller"):
                vault.revoke(funded.call_terms, other.address, 0, b"", sender=other.address)

    def test_stops_at_the_last_epoch(self, funded, vault):
        word = boa.env.get_storage(vault.address, slot := self.slot_of(vault, funded.escrow))
        boa.env.set_storage(vault.address, slot, word | 0xFFFE << 240 | 0xFFFF << 224)
        assert funded.state[4:] == (0xFFFF, 0xFFFE)
        with refused("no epoch left"):
            vault.revoke(funded.call_terms, BEA.address, 0, b"", sender=BEA.address)
        vault.revoke(funded.call_terms, SOL.address, 0, b"", sender=SOL.address)
        with refused("no epoch left"):
            vault.revoke(funded.call_terms, SOL.address, 0, b"", sender=SOL.address)
        assert funded.state == (funded.amount(7), 7, 0, 0, 0xFFFF, 0xFFFF)

    @staticmethod
    def slot_of(vault, escrow: bytes) -> int:
        """Where the escrow's word lies: the mapping's own slot is the compiler's choice, so look for the content."""
        for base in range(8):
            slot = int.from_bytes(keccak(base.to_bytes(32, "big") + escrow))
            if boa.env.get_storage(vault.address, slot):
                return slot
        raise AssertionError("no word of this escrow in storage")
