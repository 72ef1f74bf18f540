"""Whose signature it is: told by the key, or by the contract wallet itself."""

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from eth_typing import Hash32

from chain import signatures
from chain.tests.node import Node
from transactions import terms
from transactions.errors import ChainUnavailable, SignatureMismatch

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
# A wallet that takes everything for its own: returns 0x1626ba7e, 32 bytes wide.
YES_WALLET = "0x631626ba7e60e01b60005260206000f3"
# One that answers, but not with the magic value.
NO_WALLET = "0x600160005260206000f3"


@pytest.fixture
def bea() -> LocalAccount:
    key: LocalAccount = Account.create()
    return key


@pytest.fixture
def message() -> terms.TypedData:
    return {
        "types": {"EIP712Domain": terms.DOMAIN_FIELDS, "Note": [{"name": "words", "type": "string"}]},
        "primaryType": "Note",
        "domain": {"name": "Test", "version": "1", "chainId": 31337, "verifyingContract": "0x" + "11" * 20},
        "message": {"words": "I agree"},
    }


def sign(key: LocalAccount, message: terms.TypedData) -> str:
    digest = Hash32(bytes.fromhex(terms.digest_of(message)[2:]))
    return "0x" + bytes(key.unsafe_sign_hash(digest).signature).hex()


class TestByKey:
    """A key's signature needs no chain."""

    @pytest.fixture(autouse=True)
    def no_chain(self, settings: object) -> None:
        settings.RPC_URL = ""  # type: ignore[attr-defined]

    def test_the_signers_own_is_taken(self, bea: LocalAccount, message: terms.TypedData) -> None:
        verified = signatures.verify(message=message, signature=sign(bea, message), signer=bea.address.lower())
        assert verified.signer == bea.address
        assert verified.digest == terms.digest_of(message)

    def test_somebody_elses_is_refused(self, bea: LocalAccount, message: terms.TypedData) -> None:
        with pytest.raises(SignatureMismatch):
            signatures.verify(message=message, signature=sign(Account.create(), message), signer=bea.address)

    def test_one_over_other_words_is_refused(self, bea: LocalAccount, message: terms.TypedData) -> None:
        signature = sign(bea, message)
        with pytest.raises(SignatureMismatch):
            signatures.verify(
                message={**message, "message": {"words": "I disagree"}}, signature=signature, signer=bea.address
            )

    def test_its_malleable_twin_is_refused(self, bea: LocalAccount, message: terms.TypedData) -> None:
        raw = bytes.fromhex(sign(bea, message)[2:])
        twin = raw[:32] + (ORDER - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big") + bytes([55 - raw[64]])
        with pytest.raises(SignatureMismatch):
            signatures.verify(message=message, signature="0x" + twin.hex(), signer=bea.address)

    def test_v_of_0_or_1_becomes_what_the_vault_takes(self, bea: LocalAccount, message: terms.TypedData) -> None:
        usual = sign(bea, message)
        raw = bytes.fromhex(usual[2:])
        unusual = "0x" + (raw[:64] + bytes([raw[64] - 27])).hex()
        assert signatures.verify(message=message, signature=unusual, signer=bea.address).signature == usual

    @pytest.mark.parametrize("nonsense", ["", "0x", "0xzz", "0x" + "00" * 65, "0x" + "ff" * 65, "0x" + "ab" * 3000])
    def test_nonsense_is_refused(self, bea: LocalAccount, message: terms.TypedData, nonsense: str) -> None:
        with pytest.raises(SignatureMismatch):
            signatures.verify(message=message, signature=nonsense, signer=bea.address)

    def test_a_text_as_wallets_show_it_is_taken(self, bea: LocalAccount) -> None:
        signed = bea.sign_message(encode_defunct(text="link this wallet"))
        signature = "0x" + bytes(signed.signature).hex()
        assert signatures.verify_text("link this wallet", signature, bea.address).signer == bea.address
        with pytest.raises(SignatureMismatch):
            signatures.verify_text("link that wallet", signature, bea.address)


class TestByContractWallet:
    def test_what_its_contract_takes_is_taken(self, node: Node, message: terms.TypedData) -> None:
        wallet = Account.create().address
        node.rpc("anvil_setCode", wallet, YES_WALLET)
        verified = signatures.verify(message=message, signature="0x1234", signer=wallet)
        assert (verified.signer, verified.signature) == (wallet, "0x1234")
        assert verified.block_number is not None

    @pytest.mark.parametrize("code", [NO_WALLET, "0x60006000fd", "0x00"], ids=["another answer", "revert", "silence"])
    def test_what_its_contract_does_not_take_is_refused(self, node: Node, message: terms.TypedData, code: str) -> None:
        wallet = Account.create().address
        node.rpc("anvil_setCode", wallet, code)
        with pytest.raises(SignatureMismatch):
            signatures.verify(message=message, signature="0x1234", signer=wallet)

    def test_the_key_of_a_wallet_with_code_still_counts(
        self, node: Node, bea: LocalAccount, message: terms.TypedData
    ) -> None:
        node.rpc("anvil_setCode", bea.address, NO_WALLET)
        assert signatures.verify(message=message, signature=sign(bea, message), signer=bea.address).block_number is None

    def test_is_left_open_while_the_node_is_away(self, settings: object, message: terms.TypedData) -> None:
        settings.RPC_URL = "http://127.0.0.1:9"  # type: ignore[attr-defined]
        with pytest.raises(ChainUnavailable):
            signatures.verify(message=message, signature="0x1234", signer="0x" + "22" * 20)
