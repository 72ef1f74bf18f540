"""Who signed what: golden digests, and every way in which a signature can be wrong."""

import boa
import pytest
from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data
from support import (
    ARI,
    BEA,
    DAY,
    FAR_AHEAD,
    MAX,
    MAX_WINDOW_SECONDS,
    MESSAGES,
    MIN_WINDOW_SECONDS,
    REASON,
    SOL,
    WORK,
    advance,
    advance_to,
    fields_of,
    hash_array,
    now,
    refused,
)

SECP256K1_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def as_word(value):
    """A field of a message as the number that stands for it in `digest`."""
    if isinstance(value, list):
        value = hash_array(value)
    if isinstance(value, bytes):
        return int.from_bytes(value)
    return int(value, 16) if isinstance(value, str) else value


class TestDigests:
    @pytest.mark.parametrize(("number", "primary"), list(enumerate(MESSAGES)), ids=str)
    def test_are_those_of_eth_account(self, deal, vault, number, primary):
        values, words = {}, []
        for position, field in enumerate(fields_of(MESSAGES[primary])):
            kind, name = field["type"], field["name"]
            if kind == "Terms" or name == "escrow":
                words.append(int.from_bytes(deal.escrow))
                continue
            values[name] = {
                "uint256": 2**255 + position,
                "uint256[]": [7, 0, 2**200],
                "bytes32": bytes([position]) * 32,
                "address": MAX.address,
            }[kind]
            words.append(as_word(values[name]))
        expected = _hash_eip191_message(encode_typed_data(full_message=deal.message(primary, **values)))
        assert bytes(vault.digest(number, words)) == expected

    def test_there_are_no_others(self, vault):
        with refused("no such message"):
            vault.digest(len(MESSAGES), [])

    @pytest.mark.parametrize("count", [1, 2, 32])
    def test_of_terms_are_those_of_eip712(self, make_deal, vault, count):
        deal = make_deal(amounts=list(range(1, count + 1)), deliver_by=[now() + DAY + i for i in range(count)])
        assert bytes(vault.hash_terms(deal.call_terms)) == deal.escrow

    def test_of_terms_change_with_every_field(self, deal, make_deal, vault):
        other = {
            **dict.fromkeys(("buyer", "seller", "arbiter", "token", "fee_recipient"), MAX.address),
            "amounts": [1, 2],
            "deliver_by": [1, 2],
            **dict.fromkeys(("details", "salt"), b"\x77" * 32),
        }
        ids = {bytes(vault.hash_terms(deal.call_terms))}
        for name in deal.terms:
            ids.add(bytes(vault.hash_terms(make_deal(**{name: other.get(name, 9)}).call_terms)))
        assert len(ids) == len(deal.terms) + 1


class TestSignedActions:
    """Every action of a party, sent by a stranger with the party's signature."""

    def prepared(self, deal, action):
        """Bring the deal where the action is allowed; who signs, which message, its values, and the call around it."""
        vault, terms = deal.vault, deal.call_terms
        if action in ("request_changes", "dispute", "resolve"):
            deal.submit()
        if action == "resolve":
            deal.dispute()
        if action == "reclaim":
            advance_to(deal.terms["deliver_by"][0] + 1)
        until = now() + 100 * DAY
        person, primary, values, arguments = {
            "submit": (SOL, "Submit", {"milestone": 0, "round": 1, "deliverable": WORK}, (0, 1, WORK)),
            "release": (BEA, "Release", {"milestones": 3}, (3,)),
            "request_changes": (BEA, "RequestChanges", {"milestone": 0, "round": 1, "reason": REASON}, (0, 1, REASON)),
            "extend": (BEA, "Extend", {"milestone": 0, "round": 0, "until": until}, (0, 0, until)),
            "reclaim": (BEA, "Reclaim", {"milestone": 0}, (0,)),
            "refund": (SOL, "Refund", {"milestones": 3}, (3,)),
            "dispute": (
                SOL,
                "Dispute",
                {"milestone": 0, "round": 1, "reason": REASON},
                (0, 1, REASON, SOL.address),
            ),
            "resolve": (
                ARI,
                "Resolve",
                {"milestone": 0, "seller_amount": 5, "reason": REASON},
                (0, 5, REASON),
            ),
            "revoke": (BEA, "Revoke", {}, (BEA.address,)),
        }[action]

        def call(signature, deadline=FAR_AHEAD):
            getattr(vault, action)(terms, *arguments, deadline, signature, sender=MAX.address)

        return person, primary, values, call

    ACTIONS = ("submit", "release", "request_changes", "extend", "reclaim", "refund", "dispute", "resolve", "revoke")

    @pytest.mark.parametrize("action", ACTIONS)
    def test_count_as_the_partys_own_and_only_once(self, funded, action):
        person, primary, values, call = self.prepared(funded, action)
        before = funded.state, funded.milestone()
        signature = funded.sign(person, primary, **values)
        call(signature)
        after = funded.state, funded.milestone()
        assert after != before
        with pytest.raises(boa.BoaError):
            call(signature)
        assert (funded.state, funded.milestone()) == after

    @pytest.mark.parametrize("action", ACTIONS)
    def test_are_refused_if_anything_about_the_signature_is_wrong(self, funded, make_deal, action):
        person, primary, values, call = self.prepared(funded, action)
        good = funded.sign(person, primary, **values)
        with refused("caller is not the party"):
            call(b"")
        for other in (BEA, SOL, ARI, MAX):
            if other is not person:
                epoch = {} if primary == "Resolve" else {"epoch": 0}
                with refused("signature is not valid"):
                    call(funded.sign(other, primary, **values, **epoch))
        for name, value in values.items():  # each field is bound
            changed = bytes(32) if isinstance(value, bytes) else value + 1
            with refused("signature is not valid"):
                call(funded.sign(person, primary, **{**values, name: changed}))
        if primary != "Resolve":
            with refused("signature is not valid"):
                call(funded.sign(person, primary, **values, epoch=1))
        elsewhere = make_deal(salt=b"\x44" * 32)
        with refused("signature is not valid"):
            call(elsewhere.sign(person, primary, **values))
        with refused("signature is not valid"):  # its deadline is signed too
            call(good, FAR_AHEAD + 1)
        for length in (1, 64, 66):
            with refused("signature is not valid"):
                call((good + good)[:length])
        call(good)

    @pytest.mark.parametrize("action", ACTIONS)
    def test_count_until_the_very_end_of_their_deadline(self, funded, action):
        person, primary, values, call = self.prepared(funded, action)
        deadline = now() + 60
        signature = funded.sign(person, primary, deadline=deadline, **values)
        advance(61)
        with refused("signature has expired"):
            call(signature, deadline)
        boa.env.time_travel(seconds=-1)
        call(signature, deadline)


class TestForging:
    def test_the_mirror_image_of_a_signature_is_refused(self, funded, vault):
        good = funded.sign(BEA, "Release", milestones=1)
        s = int.from_bytes(good[32:64])
        mirror = good[:32] + (SECP256K1_N - s).to_bytes(32) + bytes([55 - good[64]])
        digest = vault.digest(3, [int.from_bytes(funded.escrow), 1, 0, FAR_AHEAD])
        assert Account._recover_hash(bytes(digest), signature=mirror) == BEA.address  # else the test proves nothing
        with refused("signature is not valid"):
            vault.release(funded.call_terms, 1, FAR_AHEAD, mirror, sender=MAX.address)
        vault.release(funded.call_terms, 1, FAR_AHEAD, good, sender=MAX.address)

    @pytest.mark.parametrize("v", [0, 1, 26, 29, 255])
    def test_v_is_27_or_28(self, funded, vault, v):
        good = funded.sign(BEA, "Release", milestones=1)
        with refused("signature is not valid"):
            vault.release(funded.call_terms, 1, FAR_AHEAD, good[:64] + bytes([v]), sender=MAX.address)

    def test_nobody_signs_for_the_zero_address(self, make_deal, vault):
        """ecrecover answers zero for nonsense; terms that name zero as a party must not profit from it."""
        nobody = make_deal(buyer="0x" + "00" * 20)
        with refused("signature is not valid"):
            vault.revoke(nobody.call_terms, nobody.terms["buyer"], FAR_AHEAD, b"\x00" * 65, sender=MAX.address)

    def test_another_vault_is_another_domain(self, funded, make_deal, vault):
        twin = vault.deployer.deploy(MIN_WINDOW_SECONDS, MAX_WINDOW_SECONDS)
        other = make_deal(at=twin)
        other.fund()
        assert other.escrow == funded.escrow
        with refused("signature is not valid"):
            twin.release(other.call_terms, 1, FAR_AHEAD, funded.sign(BEA, "Release", milestones=1), sender=MAX.address)

    def test_another_chain_is_another_domain(self, funded, vault):
        signature = funded.sign(BEA, "Release", milestones=1)
        here = boa.env.evm.patch.chain_id
        boa.env.evm.patch.chain_id = here + 1
        try:
            with refused("signature is not valid"):
                vault.release(funded.call_terms, 1, FAR_AHEAD, signature, sender=MAX.address)
        finally:
            boa.env.evm.patch.chain_id = here
        vault.release(funded.call_terms, 1, FAR_AHEAD, signature, sender=MAX.address)


class TestContractWallets:
    HONEST, SAYS_NO, REVERTS, SAYS_TRUE, ANSWERS_SHORT = range(5)

    @pytest.fixture
    def wallet_deal(self, make_deal, token, vault, wallet):
        """The buyer is a contract wallet, which Max owns."""
        deal = make_deal(buyer=wallet.address)
        token.mint(wallet.address, deal.amount(7))
        for target, call in (
            (token, token.approve.prepare_calldata(vault.address, deal.amount(7))),
            (vault, vault.fund.prepare_calldata(deal.call_terms, 7, *deal.accepted())),
        ):
            wallet.execute(target.address, call, sender=MAX.address)
        return deal

    def test_sign_by_erc1271(self, wallet_deal, vault):
        signature = b"\x00" + wallet_deal.sign(MAX, "Release", milestones=1, epoch=0)
        vault.release(wallet_deal.call_terms, 1, FAR_AHEAD, signature, sender=SOL.address)
        assert wallet_deal.state[2] == 1

    @pytest.mark.parametrize("manner", [SAYS_NO, REVERTS, SAYS_TRUE, ANSWERS_SHORT])
    def test_must_answer_with_the_magic_value(self, wallet_deal, vault, wallet, manner):
        signature = b"\x00" + wallet_deal.sign(MAX, "Release", milestones=1, epoch=0)
        wallet.behave(manner)
        with refused("signature is not valid"):
            vault.release(wallet_deal.call_terms, 1, FAR_AHEAD, signature, sender=SOL.address)

    def test_their_owners_key_alone_is_not_theirs(self, wallet_deal, vault):
        signature = wallet_deal.sign(MAX, "Release", milestones=1, epoch=0)
        with refused("signature is not valid"):
            vault.release(wallet_deal.call_terms, 1, FAR_AHEAD, signature, sender=SOL.address)

    def test_an_account_with_key_and_code_signs_with_its_key(self, funded, vault, wallet):
        """As EIP-7702 accounts have both; the code, which would say no, is not even asked."""
        boa.env.set_code(BEA.address, boa.env.get_code(wallet.address))
        signature = funded.sign(BEA, "Release", milestones=1)
        vault.release(funded.call_terms, 1, FAR_AHEAD, signature, sender=MAX.address)
        assert funded.state[2] == 1
