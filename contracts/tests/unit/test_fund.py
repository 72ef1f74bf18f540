"""The buyer pays in: by allowance, by permit, by EIP-3009 authorization."""

import pytest
from support import (
    BEA,
    DAY,
    FAR_AHEAD,
    MAX,
    MAX_WINDOW_SECONDS,
    SOL,
    USDC,
    ZERO_ADDRESS,
    advance_to,
    events,
    now,
    refused,
    reverts_with,
)


@pytest.fixture
def rich(token):
    """Bea holds money and has approved none of it."""
    token.mint(BEA.address, 10_000 * USDC)


class TestByAllowance:
    def test_pulls_exactly_the_sum_and_marks_the_set(self, deal, vault, token):
        deal.fund(0b101)
        amount = deal.amount(0b101)
        assert token.balanceOf(vault.address) == amount
        assert token.balanceOf(BEA.address) == 0
        assert deal.state == (amount, 0b101, 0, 0, 0, 0)

    def test_the_first_time_tells_all_the_terms_and_later_only_the_set(self, deal, vault, token):
        token.mint(BEA.address, 10_000 * USDC)
        token.approve(vault.address, 10_000 * USDC, sender=BEA.address)
        vault.fund(deal.call_terms, 1, *deal.accepted(), sender=BEA.address)
        opened, paid = events(vault)
        assert (bytes(opened.escrow), opened.buyer, opened.seller) == (deal.escrow, BEA.address, SOL.address)
        assert tuple(opened.terms) == deal.call_terms
        assert (bytes(paid.escrow), paid.milestones, paid.amount) == (deal.escrow, 1, deal.amount(1))
        vault.fund(deal.call_terms, 2, 0, b"", sender=BEA.address)
        assert [type(event).__name__ for event in events(vault)] == ["MilestonesFunded"]

    def test_is_the_buyers_alone(self, deal, vault, token, rich):
        token.approve(vault.address, deal.amount(1), sender=BEA.address)
        for other in (SOL, MAX):
            with refused("caller is not the party"):
                vault.fund(deal.call_terms, 1, *deal.accepted(), sender=other.address)

    def test_takes_each_milestone_once(self, funded, vault):
        with refused("milestone was funded"):
            vault.fund(funded.call_terms, 0b100, 0, b"", sender=BEA.address)
        funded.release(0b100)
        with refused("milestone was funded"):
            vault.fund(funded.call_terms, 0b100, 0, b"", sender=BEA.address)

    @pytest.mark.parametrize(("milestones", "sentence"), [(0, "no milestone named"), (8, "no such milestone")])
    def test_refuses_a_set_that_is_not_in_the_terms(self, deal, vault, milestones, sentence):
        with refused(sentence):
            vault.fund(deal.call_terms, milestones, *deal.accepted(), sender=BEA.address)
        with refused("no such milestone"):
            vault.fund(deal.call_terms, 2**255 | 1, *deal.accepted(), sender=BEA.address)

    def test_fails_as_a_whole_without_the_money(self, deal, vault, token):
        token.approve(vault.address, deal.amount(1), sender=BEA.address)
        with reverts_with("tUSDC: transfer amount exceeds balance"):
            vault.fund(deal.call_terms, 1, *deal.accepted(), sender=BEA.address)
        assert deal.state == (0,) * 6


class TestAcceptance:
    def test_is_needed_the_first_time(self, deal, vault, rich):
        with refused("caller is not the party"):
            vault.fund(deal.call_terms, 1, FAR_AHEAD, b"", sender=BEA.address)
        with refused("signature is not valid"):
            vault.fund(deal.call_terms, 1, FAR_AHEAD, deal.sign(BEA, "Accept", epoch=0), sender=BEA.address)

    def test_is_for_exactly_these_terms(self, deal, make_deal, vault, rich):
        dearer = make_deal(fee_bps=251)
        with refused("signature is not valid"):
            vault.fund(dearer.call_terms, 1, *deal.accepted(), sender=BEA.address)

    def test_ends_with_its_own_deadline(self, deal, vault, rich):
        deadline, signature = deal.accepted(deadline=now() + 100)
        advance_to(deadline + 1)
        with refused("signature has expired"):
            vault.fund(deal.call_terms, 1, deadline, signature, sender=BEA.address)

    def test_ends_with_accept_by_whatever_its_deadline(self, deal, vault, token, rich):
        token.approve(vault.address, deal.amount(3), sender=BEA.address)
        accepted = deal.accepted()
        advance_to(deal.terms["accept_by"] + 1)
        with refused("acceptance has expired"):
            vault.fund(deal.call_terms, 1, *accepted, sender=BEA.address)

    def test_counts_until_the_very_end_and_for_all_later_milestones(self, deal, vault, token, rich):
        token.approve(vault.address, deal.amount(3), sender=BEA.address)
        advance_to(deal.terms["accept_by"])
        vault.fund(deal.call_terms, 1, *deal.accepted(), sender=BEA.address)
        advance_to(deal.terms["accept_by"] + DAY)
        vault.fund(deal.call_terms, 2, 0, b"", sender=BEA.address)

    def test_can_be_revoked_before_the_first_funding(self, deal, vault, rich):
        accepted = deal.accepted()
        vault.revoke(deal.call_terms, SOL.address, 0, b"", sender=SOL.address)
        with refused("signature is not valid"):
            vault.fund(deal.call_terms, 1, *accepted, sender=BEA.address)

    def test_once_used_cannot_be_taken_back(self, deal, vault, token, rich):
        token.approve(vault.address, deal.amount(3), sender=BEA.address)
        vault.fund(deal.call_terms, 1, *deal.accepted(), sender=BEA.address)
        vault.revoke(deal.call_terms, SOL.address, 0, b"", sender=SOL.address)
        vault.fund(deal.call_terms, 2, 0, b"", sender=BEA.address)


class TestDeliveryDates:
    def test_a_milestone_is_funded_only_before_its_own(self, make_deal, vault, token, rich):
        deal = make_deal(deliver_by=[now() + DAY, now() + 2 * DAY, now() + 3 * DAY])
        token.approve(vault.address, deal.amount(7), sender=BEA.address)
        advance_to(deal.terms["deliver_by"][0])
        with refused("delivery date has passed"):
            vault.fund(deal.call_terms, 0b011, *deal.accepted(), sender=BEA.address)
        vault.fund(deal.call_terms, 0b110, *deal.accepted(), sender=BEA.address)

    def test_lie_at_most_the_upper_limit_ahead(self, make_deal, vault, token, rich):
        limit = now() + MAX_WINDOW_SECONDS
        deal = make_deal(deliver_by=[limit, limit + 1, limit])
        token.approve(vault.address, deal.amount(7), sender=BEA.address)
        with refused("deadline is too far"):
            vault.fund(deal.call_terms, 0b010, *deal.accepted(), sender=BEA.address)
        vault.fund(deal.call_terms, 0b101, *deal.accepted(), sender=BEA.address)
        advance_to(now() + 1)
        vault.fund(deal.call_terms, 0b010, 0, b"", sender=BEA.address)


class TestTerms:
    """Terms in which somebody could never act, be paid, or would judge himself are refused at the first funding."""

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"buyer": ZERO_ADDRESS}, None),  # nobody can call as the zero address
            ({"seller": ZERO_ADDRESS}, "a party is missing"),
            ({"arbiter": ZERO_ADDRESS}, "a party is missing"),
            ({"seller": "buyer"}, "buyer is the seller"),
            ({"arbiter": "buyer"}, "arbiter is a party"),
            ({"arbiter": "seller"}, "arbiter is a party"),
            ({"fee_recipient": "buyer"}, "fee recipient is a party"),
            ({"fee_recipient": "seller"}, "fee recipient is a party"),
            ({"fee_recipient": "arbiter"}, "fee recipient is a party"),
            ({"seller": "vault"}, "party is vault or token"),
            ({"arbiter": "vault"}, "party is vault or token"),
            ({"fee_recipient": "vault"}, "party is vault or token"),
            ({"seller": "token"}, "party is vault or token"),
            ({"arbiter": "token"}, "party is vault or token"),
            ({"fee_recipient": "token"}, "party is vault or token"),
            ({"fee_bps": 0}, "fee or recipient missing"),
            ({"fee_recipient": ZERO_ADDRESS}, "fee or recipient missing"),
            ({"fee_bps": 1_001}, "fee is too high"),
            ({"timeout_seller_bps": 10_001}, "timeout part is too high"),
            ({"max_revisions": 11}, "too many revisions"),
            ({"review_seconds": 9}, "window is out of limits"),
            ({"revision_seconds": 9}, "window is out of limits"),
            ({"arbitration_seconds": 9}, "window is out of limits"),
            ({"review_seconds": MAX_WINDOW_SECONDS + 1}, "window is out of limits"),
            ({"revision_seconds": MAX_WINDOW_SECONDS + 1}, "window is out of limits"),
            ({"arbitration_seconds": 2**256 - 1}, "window is out of limits"),
            ({"amounts": [1, 2]}, "arrays differ in length"),
            ({"amounts": [1, 0, 3]}, "amount is zero"),
            ({"amounts": [2**128 - 2, 1, 1]}, "sum is too large"),
        ],
        ids=str,
    )
    def test_are_refused(self, make_deal, deal, vault, token, rich, changes, sentence):
        places = {**deal.terms, "vault": vault.address}
        odd = make_deal(**{k: places.get(v, v) if isinstance(v, str) else v for k, v in changes.items()})
        caller = odd.terms["buyer"] if odd.terms["buyer"] != ZERO_ADDRESS else BEA.address
        with refused(sentence or "caller is not the party"):
            vault.fund(odd.call_terms, 1, *odd.accepted(), sender=caller)

    def test_are_refused_where_the_token_has_no_code(self, make_deal, vault):
        nowhere = make_deal(token=MAX.address)
        with refused("token has no code"):
            vault.fund(nowhere.call_terms, 1, *nowhere.accepted(), sender=BEA.address)

    def test_are_taken_at_their_limits(self, make_deal, vault, token, rich):
        deal = make_deal(
            amounts=[1] * 32,
            deliver_by=[now() + DAY] * 32,
            fee_bps=1_000,
            timeout_seller_bps=10_000,
            max_revisions=10,
            review_seconds=10,
            revision_seconds=MAX_WINDOW_SECONDS,
            arbitration_seconds=10,
        )
        deal.fund()
        assert deal.state[:2] == (32, 2**32 - 1)

    def test_may_add_up_to_128_bits(self, make_deal, vault, token):
        deal = make_deal(amounts=[2**128 - 3, 1, 1])
        deal.fund()
        assert deal.state[:2] == (2**128 - 1, 0b111)
        deal.release(0b111)
        assert deal.state == (0, 0b111, 0b111, 0, 0, 0)

    def test_need_no_fee(self, make_deal, vault, token):
        deal = make_deal(fee_bps=0, fee_recipient=ZERO_ADDRESS)
        deal.fund(1)
        deal.release(1)
        assert token.balanceOf(SOL.address) == deal.amount(1)


class TestByPermit:
    def call(self, deal, vault, *, milestones=7, permit=None, signature=None, deadline=FAR_AHEAD, sender=MAX):
        permit = permit or deal.permit(deal.amount(milestones))
        signature = deal.sign(BEA, "Fund", milestones=milestones) if signature is None else signature
        vault.fund_with_permit(
            deal.call_terms,
            milestones,
            *deal.accepted(),
            FAR_AHEAD,
            *permit,
            deadline,
            signature,
            sender=sender.address,
        )

    def test_anyone_may_send_it(self, deal, vault, token, rich):
        self.call(deal, vault)
        assert deal.state[:2] == (deal.amount(7), 7)
        assert token.balanceOf(vault.address) == deal.amount(7)
        assert token.allowance(BEA.address, vault.address) == 0

    def test_a_permit_alone_is_not_enough(self, deal, vault, rich):
        with refused("caller is not the party"):
            self.call(deal, vault, signature=b"")

    def test_the_buyer_himself_needs_no_second_signature(self, deal, vault, rich):
        self.call(deal, vault, signature=b"", sender=BEA)
        assert deal.state[1] == 7

    def test_the_signature_is_for_exactly_this_set(self, deal, vault, rich):
        with refused("signature is not valid"):
            self.call(deal, vault, milestones=3, signature=deal.sign(BEA, "Fund", milestones=7))

    def test_a_front_run_permit_does_not_block(self, deal, vault, token, rich):
        permit = deal.permit(deal.amount(7))
        token.permit(BEA.address, vault.address, deal.amount(7), FAR_AHEAD, *permit, sender=MAX.address)
        self.call(deal, vault, permit=permit)
        assert deal.state[1] == 7

    def test_a_bad_permit_pulls_nothing(self, deal, vault, token, rich):
        with reverts_with("tUSDC: transfer amount exceeds allowance"):
            self.call(deal, vault, permit=deal.permit(deal.amount(7) - 1))


class TestByAuthorization:
    def call(self, deal, vault, *, milestones=7, signature=None, accepted=None, sender=MAX):
        signature = BEA.sign(deal.authorization(milestones)) if signature is None else signature
        vault.fund_with_authorization(
            deal.call_terms,
            milestones,
            *(accepted or deal.accepted()),
            0,
            FAR_AHEAD,
            signature,
            sender=sender.address,
        )

    def test_anyone_may_send_it(self, deal, vault, token, rich):
        self.call(deal, vault)
        assert deal.state[:2] == (deal.amount(7), 7)
        assert token.balanceOf(vault.address) == deal.amount(7)

    def test_the_seller_may_send_it_without_signing(self, deal, vault, rich):
        self.call(deal, vault, accepted=(0, b""), sender=SOL)
        assert deal.state[1] == 7

    def test_is_bound_to_the_set_and_the_terms(self, deal, make_deal, vault, rich):
        signature = BEA.sign(deal.authorization(1))
        with reverts_with("tUSDC: invalid signature"):
            self.call(deal, vault, milestones=2, signature=signature)
        other = make_deal(salt=b"\x33" * 32)
        with reverts_with("tUSDC: invalid signature"):
            self.call(other, vault, milestones=1, signature=signature)

    def test_is_void_after_a_revocation(self, deal, vault, rich):
        signature = BEA.sign(deal.authorization(7))
        vault.revoke(deal.call_terms, BEA.address, 0, b"", sender=BEA.address)
        with reverts_with("tUSDC: invalid signature"):
            self.call(deal, vault, signature=signature)
        self.call(deal, vault, signature=BEA.sign(deal.authorization(7, epoch=1)))

    def test_cannot_be_used_without_the_vault(self, deal, vault, token, rich):
        signature = BEA.sign(deal.authorization(7))
        message = deal.authorization(7)["message"]
        with reverts_with("tUSDC: caller must be the payee"):
            token.receiveWithAuthorization(
                *message.values(), signature[64], signature[:32], signature[32:64], sender=MAX.address
            )

    def test_does_not_believe_a_nonce_that_is_used_already(self, deal, vault, token, rich):
        kinds = [{"type": "address", "name": "authorizer"}, {"type": "bytes32", "name": "nonce"}]
        typed = deal.authorization(7)
        typed["types"] = {"EIP712Domain": typed["types"]["EIP712Domain"], "CancelAuthorization": kinds}
        nonce = typed["message"]["nonce"]
        typed |= {"primaryType": "CancelAuthorization", "message": {"authorizer": BEA.address, "nonce": nonce}}
        cancel = BEA.sign(typed)
        token.cancelAuthorization(BEA.address, nonce, cancel[64], cancel[:32], cancel[32:64])
        assert token.authorizationState(BEA.address, nonce)
        with reverts_with("tUSDC: authorization is used or canceled"):
            self.call(deal, vault)

    def test_a_contract_wallet_signs_in_bytes(self, make_deal, vault, token, wallet):
        deal = make_deal(buyer=wallet.address)
        token.mint(wallet.address, deal.amount(7))
        signature = b"\x00" + MAX.sign(deal.authorization(7))
        vault.fund_with_authorization(deal.call_terms, 7, *deal.accepted(), 0, FAR_AHEAD, signature, sender=SOL.address)
        assert deal.state[:2] == (deal.amount(7), 7)
