"""Checking a signature at the door: by the key (ecrecover), else by the contract wallet (ERC-1271)."""

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_account.messages import _hash_eip191_message, encode_defunct
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.abi import function_signature_to_4byte_selector
from eth_utils.address import is_address, to_checksum_address
from eth_utils.exceptions import ValidationError
from web3.exceptions import ContractLogicError, Web3RPCError

from chain.client import configured_chains, connect
from transactions.errors import SignatureMismatch
from transactions.terms import TypedData, VerifiedSignature, digest_of

HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
IS_VALID_SIGNATURE = function_signature_to_4byte_selector("isValidSignature(bytes32,bytes)")
MAGIC_VALUE = bytes.fromhex("1626ba7e")
MAX_SIGNATURE_BYTES = 1_024  # the vault takes no longer ones
WALLET_GAS = 5_000_000  # what a contract wallet may burn to answer; a bound on what a stranger can make a node do


def verify(*, message: TypedData, signature: str, signer: str) -> VerifiedSignature:
    """A signature over EIP-712 typed data, if it is `signer`'s. Raises SignatureMismatch, or ChainUnavailable if only
    the node could tell (a contract wallet) and it does not answer.

    The returned signature is in the form the vault takes: a key's has v 27 or 28 (wallets that give 0 or 1 are heard).
    """
    chain_id = message.get("domain", {}).get("chainId")
    return _verify(bytes.fromhex(digest_of(message)[2:]), signature, signer, chain_id)


def verify_text(text: str, signature: str, signer: str) -> VerifiedSignature:
    """A signature over a text as wallets show it (EIP-191 personal_sign), if it is `signer`'s. Raises as `verify`."""
    return _verify(_hash_eip191_message(encode_defunct(text=text)), signature, signer, None)


def _verify(digest: bytes, signature: str, signer: str, chain_id: int | None) -> VerifiedSignature:
    if not is_address(signer):
        raise SignatureMismatch("the signer is not an address", signer=signer)
    address = to_checksum_address(signer)
    raw = _bytes_of(signature)
    by_key = _canonical(raw)
    if by_key is not None and _recover(digest, by_key) == address:
        return VerifiedSignature("0x" + digest.hex(), address, "0x" + by_key.hex())
    # A wallet whose code was set by EIP-7702 has both; the key came first, as in the vault.
    block_number = _accepted_by_contract(digest, raw, address, chain_id)
    if block_number is None:
        raise SignatureMismatch("the signature is not by this wallet over this message", signer=address)
    return VerifiedSignature("0x" + digest.hex(), address, "0x" + raw.hex(), block_number)


def _bytes_of(signature: str) -> bytes:
    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
    except ValueError as error:
        raise SignatureMismatch("a signature is written in hexadecimal digits") from error
    if not 0 < len(raw) <= MAX_SIGNATURE_BYTES:
        raise SignatureMismatch("a signature is neither empty nor that long", length=len(raw))
    return raw


def _canonical(raw: bytes) -> bytes | None:
    """r, s, v as the vault accepts them; None for what is no signature by a key or has a malleable s."""
    if len(raw) != 65:
        return None
    v = raw[64] + 27 if raw[64] < 2 else raw[64]
    if v not in (27, 28) or int.from_bytes(raw[32:64], "big") > HALF_ORDER:
        return None
    return raw[:64] + bytes([v])


def _recover(digest: bytes, signature: bytes) -> str | None:
    try:
        parsed = Signature(signature[:64] + bytes([signature[64] - 27]))
        return parsed.recover_public_key_from_msg_hash(digest).to_checksum_address()
    except (BadSignature, ValidationError):
        return None


def _accepted_by_contract(digest: bytes, raw: bytes, address: str, chain_id: int | None) -> int | None:
    """The block at which the wallet's contract took the signature for its own; None if it did not or there is none."""
    if not configured_chains():
        return None  # without any chain there are no contract wallets either
    w3 = connect(chain_id)
    block_number = w3.eth.block_number
    wallet = to_checksum_address(address)
    if not w3.eth.get_code(wallet, block_number):
        return None
    question = IS_VALID_SIGNATURE + abi_encode(["bytes32", "bytes"], [digest, raw])
    try:
        answer = w3.eth.call({"to": wallet, "data": question, "gas": WALLET_GAS}, block_number)
        accepted = len(answer) >= 32 and abi_decode(["bytes32"], bytes(answer))[0] == MAGIC_VALUE.ljust(32, b"\0")
    except (ContractLogicError, Web3RPCError):
        accepted = False
    return block_number if accepted else None
