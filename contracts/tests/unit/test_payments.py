"""Tokens that misbehave, payments that do not arrive, and who may withdraw what was credited."""

from dataclasses import replace

import boa
import pytest
from conftest import ROOM
from support import (
    ARI,
    BEA,
    DAY,
    FAR_AHEAD,
    MAX,
    PLATFORM,
    SOL,
    ZERO_ADDRESS,
    advance,
    events,
    now,
    refused,
    reverts_with,
)


@pytest.fixture
def odd_deal(make_deal, odd_token):
    """Three milestones in a token that behaves so far."""
    return make_deal(over=odd_token)


class TestPayingIn:
    def test_refuses_a_token_that_takes_a_fee(self, odd_deal, odd_token):
        odd_token.behave(1, True, False, False)
        with refused("token paid another sum"):
            odd_deal.fund()

    def test_refuses_a_token_that_answers_false_and_moves_nothing(self, odd_deal, odd_token):
        odd_token.behave(0, False, False, False)
        with refused("token paid another sum"):
            odd_deal.fund()

    def test_is_not_fooled_by_money_that_was_there_before(self, odd_deal, odd_token, vault):
        odd_token.mint(vault.address, 10**12)
        odd_token.behave(0, False, False, False)
        with refused("token paid another sum"):
            odd_deal.fund()
        odd_token.behave(0, True, False, False)
        odd_deal.fund()
        assert odd_deal.state[0] == odd_deal.amount(7)

    def test_fails_while_the_token_is_paused(self, odd_deal, odd_token):
        odd_token.behave(0, True, True, False)
        with reverts_with("odd: paused"):
            odd_deal.fund()

    @pytest.mark.parametrize("decimals", [0, 18])
    def test_knows_base_units_only(self, make_deal, decimals):
        token = boa.load(str(ROOM / "tests" / "mocks" / "OddToken.vy"), decimals)
        deal = make_deal(over=token, amounts=[1, 10**18, 10**30])
        deal.fund()
        deal.release(7)
        assert token.balanceOf(SOL.address) == deal.amount(7) - sum(a * 250 // 10_000 for a in deal.terms["amounts"])

    def test_takes_and_pays_a_token_that_answers_nothing(self, make_deal, vault):
        token = boa.load(str(ROOM / "tests" / "mocks" / "SilentToken.vy"))
        deal = make_deal(over=token, fee_bps=0, fee_recipient=ZERO_ADDRESS)
        deal.fund()
        deal.release(0b011)
        assert token.balanceOf(SOL.address) == deal.amount(0b011)
        assert vault.credit_of(token.address, SOL.address) == 0


class TestReentering:
    """While the token is asked to move money it calls the vault. Each of these calls is good on its own."""

    @pytest.fixture
    def other(self, make_deal, odd_token, vault):
        """A second escrow in the same token, which the token's call is about."""
        deal = make_deal(over=odd_token, salt=b"\x55" * 32)
        odd_token.mint(BEA.address, deal.amount(7))
        odd_token.approve(vault.address, deal.amount(7), sender=BEA.address)
        return deal

    def prepared(self, deal, name):
        """Bring `deal` where anyone may send this call; its call data."""
        vault, terms, round_1 = deal.vault, deal.call_terms, {"milestone": 0, "round": 1}
        accepted = deal.accepted()
        if name == "fund_with_permit":
            tail = (FAR_AHEAD, 27, b"", b"", FAR_AHEAD, deal.sign(BEA, "Fund", milestones=1))
            return vault.fund_with_permit.prepare_calldata(terms, 1, *accepted, *tail)
        if name == "fund_with_authorization":
            return vault.fund_with_authorization.prepare_calldata(terms, 1, *accepted, 0, FAR_AHEAD, b"\x01" * 65)
        deal.fund()
        if name in ("request_changes", "dispute", "claim", "resolve", "time_out"):
            deal.submit()
        if name in ("resolve", "time_out"):
            deal.dispute()
        if name in ("claim", "reclaim", "time_out"):
            advance(40 * DAY)
        if name == "withdraw":
            deal.token.block(SOL.address, True)
            deal.release(1)
            deal.token.block(SOL.address, False)
            return vault.withdraw.prepare_calldata(deal.token.address, SOL.address, SOL.address, 0, b"")
        if name in ("claim", "time_out"):
            return getattr(vault, name).prepare_calldata(terms, 0)
        if name == "settle":
            both = [deal.sign(person, "Settle", milestones=1, seller_amounts=[5]) for person in (BEA, SOL)]
            return vault.settle.prepare_calldata(terms, 1, [5], FAR_AHEAD, both[0], FAR_AHEAD, both[1])
        person, primary, values, extra = {
            "submit": (SOL, "Submit", {**round_1, "deliverable": b"\x01" * 32}, ()),
            "release": (BEA, "Release", {"milestones": 1}, ()),
            "request_changes": (BEA, "RequestChanges", {**round_1, "reason": b"\x02" * 32}, ()),
            "extend": (BEA, "Extend", {"milestone": 0, "round": 0, "until": now() + 99 * DAY}, ()),
            "reclaim": (BEA, "Reclaim", {"milestone": 0}, ()),
            "refund": (SOL, "Refund", {"milestones": 1}, ()),
            "dispute": (SOL, "Dispute", {**round_1, "reason": b"\x02" * 32}, (SOL.address,)),
            "resolve": (ARI, "Resolve", {"milestone": 0, "seller_amount": 1, "reason": b"\x02" * 32}, ()),
            "revoke": (BEA, "Revoke", {}, (BEA.address,)),
        }[name]
        signature = deal.sign(person, primary, **values)
        return getattr(vault, name).prepare_calldata(terms, *values.values(), *extra, FAR_AHEAD, signature)

    MUTATORS = (
        *("fund_with_permit", "fund_with_authorization", "submit", "release", "request_changes", "claim", "extend"),
        *("reclaim", "refund", "settle", "dispute", "resolve", "time_out", "revoke", "withdraw"),
    )

    @pytest.mark.parametrize("name", MUTATORS)
    def test_is_stopped_by_the_lock(self, other, make_deal, odd_token, vault, name):
        call = self.prepared(other, name)
        deal = replace(make_deal(over=odd_token, buyer=MAX.address), buyer=MAX)
        before = other.state, other.milestone()
        credit = vault.credit_of(odd_token.address, SOL.address)
        odd_token.hook(vault.address, call)
        calls = odd_token.hook_calls()
        deal.fund()
        deal.release(1)
        assert odd_token.hook_calls() >= calls + 2
        assert not odd_token.hook_succeeded()
        assert (other.state, other.milestone()) == before
        assert deal.state == (deal.amount(6), 7, 1, 0, 0, 0)
        assert vault.credit_of(odd_token.address, SOL.address) == credit
        odd_token.hook(ZERO_ADDRESS, b"")
        boa.env.raw_call(vault.address, data=call, sender=odd_token.address)  # it was the lock and nothing else
        assert (other.state, other.milestone()) != before or vault.credit_of(odd_token.address, SOL.address) != credit

    def test_the_buyer_himself_cannot_fund_from_within(self, make_deal, odd_token, vault):
        """A wallet that the token owns is the buyer, so the token can make it call."""
        wallet = boa.load(str(ROOM / "tests" / "mocks" / "Wallet.vy"), odd_token.address)
        inner = make_deal(over=odd_token, buyer=wallet.address)
        odd_token.mint(wallet.address, inner.amount(1))
        approve = odd_token.approve.prepare_calldata(vault.address, inner.amount(1))
        fund = vault.fund.prepare_calldata(inner.call_terms, 1, *inner.accepted())
        boa.env.raw_call(
            wallet.address, data=wallet.execute.prepare_calldata(odd_token.address, approve), sender=odd_token.address
        )
        call = wallet.execute.prepare_calldata(vault.address, fund)
        odd_token.hook(wallet.address, call)
        outer = make_deal(over=odd_token)
        outer.fund()
        assert (odd_token.hook_calls(), odd_token.hook_succeeded()) == (1, False)
        assert inner.state[1] == 0
        odd_token.hook(ZERO_ADDRESS, b"")
        boa.env.raw_call(wallet.address, data=call, sender=odd_token.address)
        assert inner.state[1] == 1


class TestCrediting:
    def test_happens_to_the_blocked_party_alone(self, odd_deal, odd_token, vault):
        odd_deal.fund()
        odd_token.block(SOL.address, True)
        odd_deal.release(1)
        amount = odd_deal.amount(1)
        fee = amount * 250 // 10_000
        names = [type(event).__name__ for event in events(vault)]
        assert names == ["MilestonesReleased", "Credited"]
        credited = events(vault)[1]
        assert (credited.token, credited.account, credited.amount) == (odd_token.address, SOL.address, amount - fee)
        assert odd_token.balanceOf(PLATFORM.address) == fee
        assert vault.credit_of(odd_token.address, SOL.address) == amount - fee
        assert odd_token.balanceOf(vault.address) == odd_deal.amount(6) + amount - fee

    @pytest.mark.parametrize(
        "manners", [(0, False, False, False), (0, True, True, False), (0, True, False, True)], ids=str
    )
    def test_happens_where_the_token_says_no_reverts_or_burns_all_gas(self, odd_deal, odd_token, vault, manners):
        odd_deal.fund()
        odd_token.behave(*manners)
        vault.release(odd_deal.call_terms, 7, 0, b"", sender=BEA.address, gas=1_200_000)
        credits = [vault.credit_of(odd_token.address, person.address) for person in (SOL, PLATFORM)]
        assert sum(credits) == odd_deal.amount(7)
        assert min(credits) > 0
        assert odd_deal.state == (0, 7, 7, 0, 0, 0)

    def test_cannot_be_forced_by_sending_too_little_gas(self, odd_deal, vault, odd_token):
        """Whatever gas a stranger gives, the seller is paid or nothing happens: the token always has its 200,000."""
        odd_deal.fund()
        signature = odd_deal.sign(BEA, "Release", milestones=1)
        enough = []
        for gas in range(60_000, 420_000, 12_000):
            with boa.env.anchor():
                try:
                    vault.release(odd_deal.call_terms, 1, FAR_AHEAD, signature, sender=MAX.address, gas=gas)
                except boa.BoaError:
                    assert odd_deal.state[2] == 0
                else:
                    enough.append(gas)
                    assert vault.credit_of(odd_token.address, SOL.address) == 0
                    assert odd_token.balanceOf(SOL.address) > 0
        assert 250_000 < min(enough) < 400_000
        with refused("too little gas"):
            vault.release(odd_deal.call_terms, 1, FAR_AHEAD, signature, sender=MAX.address, gas=250_000)

    def test_adds_up(self, odd_deal, odd_token, vault):
        odd_deal.fund()
        odd_token.block(BEA.address, True)
        for milestones in (0b001, 0b110):
            vault.refund(odd_deal.call_terms, milestones, 0, b"", sender=SOL.address)
        assert vault.credit_of(odd_token.address, BEA.address) == odd_deal.amount(7)


class TestWithdrawing:
    @pytest.fixture(autouse=True)
    def credit(self, odd_deal, odd_token, vault):
        """Bea's refund did not reach her; the token has let go of her since."""
        odd_deal.fund()
        odd_token.block(BEA.address, True)
        vault.refund(odd_deal.call_terms, 0b001, 0, b"", sender=SOL.address)
        odd_token.block(BEA.address, False)
        self.amount = odd_deal.amount(0b001)

    def signed(self, deal, person, *, to, nonce=0, deadline=FAR_AHEAD, account=None):
        account = account or person.address
        return deal.sign(
            person, "Withdraw", deadline=deadline, account=account, token=deal.token.address, to=to, nonce=nonce
        )

    def test_anyone_may_send_it_to_its_owner(self, odd_token, vault):
        vault.withdraw(odd_token.address, BEA.address, BEA.address, 0, b"", sender=MAX.address)
        (event,) = events(vault)
        assert (event.token, event.account, event.to) == (odd_token.address, BEA.address, BEA.address)
        assert event.amount == self.amount == odd_token.balanceOf(BEA.address)
        assert vault.credit_of(odd_token.address, BEA.address) == 0
        with refused("no credit"):
            vault.withdraw(odd_token.address, BEA.address, BEA.address, 0, b"", sender=BEA.address)

    def test_elsewhere_only_by_its_owners_call(self, odd_token, vault):
        for other in (MAX, SOL, ARI):
            with refused("caller is not the party"):
                vault.withdraw(odd_token.address, BEA.address, other.address, 0, b"", sender=other.address)
        vault.withdraw(odd_token.address, BEA.address, SOL.address, 0, b"", sender=BEA.address)
        assert odd_token.balanceOf(SOL.address) == self.amount

    def test_elsewhere_by_its_owners_signature_once(self, odd_deal, odd_token, vault):
        signature = self.signed(odd_deal, BEA, to=ARI.address)
        with refused("signature is not valid"):
            vault.withdraw(odd_token.address, BEA.address, MAX.address, FAR_AHEAD, signature, sender=MAX.address)
        vault.withdraw(odd_token.address, BEA.address, ARI.address, FAR_AHEAD, signature, sender=MAX.address)
        assert odd_token.balanceOf(ARI.address) == self.amount
        assert vault.withdraw_nonce_of(BEA.address) == 1
        with refused("signature is not valid"):
            vault.withdraw(odd_token.address, BEA.address, ARI.address, FAR_AHEAD, signature, sender=MAX.address)

    def test_of_another_account_needs_that_accounts_signature(self, odd_deal, odd_token, vault):
        forged = self.signed(odd_deal, MAX, to=MAX.address, account=BEA.address)
        with refused("signature is not valid"):
            vault.withdraw(odd_token.address, BEA.address, MAX.address, FAR_AHEAD, forged, sender=MAX.address)

    def test_signed_expires(self, odd_deal, odd_token, vault):
        signature = self.signed(odd_deal, BEA, to=ARI.address, deadline=now())
        advance(1)
        with refused("signature has expired"):
            vault.withdraw(odd_token.address, BEA.address, ARI.address, now() - 1, signature, sender=MAX.address)

    def test_keeps_the_credit_where_the_token_refuses_again(self, odd_token, vault):
        odd_token.block(BEA.address, True)
        with refused("token refuses transfer"):
            vault.withdraw(odd_token.address, BEA.address, BEA.address, 0, b"", sender=BEA.address)
        assert vault.credit_of(odd_token.address, BEA.address) == self.amount

    def test_never_back_into_the_vault(self, odd_token, vault):
        with refused("the vault cannot be paid"):
            vault.withdraw(odd_token.address, BEA.address, vault.address, 0, b"", sender=BEA.address)
