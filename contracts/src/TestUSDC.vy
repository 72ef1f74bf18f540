# pragma version ==0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title TestUSDC
@license MIT
@author The Smart Contracts Escrow Platform authors
@notice A test token that signs like USDC (FiatTokenV2_2): EIP-2612 permit and EIP-3009 authorizations. It is worth
        nothing, and anyone may mint it.
@dev The `bytes` forms of EIP-3009, which contract wallets (ERC-1271) use, share their names with the `v, r, s` forms.
     Vyper has no overloading, so `__default__` answers them by selector; the ABI does not list them.
"""

from ethereum.ercs import IERC20

implements: IERC20


# ------------------------------------------------------------------
#                              EVENTS
# ------------------------------------------------------------------

event AuthorizationUsed:
    authorizer: indexed(address)
    nonce: indexed(bytes32)

event AuthorizationCanceled:
    authorizer: indexed(address)
    nonce: indexed(bytes32)


# ------------------------------------------------------------------
#                             CONSTANTS
# ------------------------------------------------------------------

name: public(constant(String[13])) = "Test USD Coin"
symbol: public(constant(String[5])) = "tUSDC"
decimals: public(constant(uint8)) = 6
version: public(constant(String[1])) = "2"

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
PERMIT_TYPEHASH: public(constant(bytes32)) = keccak256(
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)
TRANSFER_WITH_AUTHORIZATION_TYPEHASH: public(constant(bytes32)) = keccak256(
    "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
RECEIVE_WITH_AUTHORIZATION_TYPEHASH: public(constant(bytes32)) = keccak256(
    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
)
CANCEL_AUTHORIZATION_TYPEHASH: public(constant(bytes32)) = keccak256(
    "CancelAuthorization(address authorizer,bytes32 nonce)"
)
TRANSFER_BY_BYTES: constant(bytes4) = method_id(
    "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)", output_type=bytes4
)
RECEIVE_BY_BYTES: constant(bytes4) = method_id(
    "receiveWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)", output_type=bytes4
)
ERC1271_MAGIC: constant(bytes32) = 0x1626ba7e00000000000000000000000000000000000000000000000000000000
MAX_S: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168


# ------------------------------------------------------------------
#                              STORAGE
# ------------------------------------------------------------------

totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
nonces: public(HashMap[address, uint256])
authorizationState: public(HashMap[address, HashMap[bytes32, bool]])


# ------------------------------------------------------------------
#                              ERC-20
# ------------------------------------------------------------------

@external
def mint(to: address, amount: uint256):
    """
    @notice Makes test money out of nothing, for anyone.
    """
    self.totalSupply += amount
    self.balanceOf[to] += amount
    log IERC20.Transfer(sender=empty(address), receiver=to, value=amount)


@external
def transfer(to: address, amount: uint256) -> bool:
    self._transfer(msg.sender, to, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    self._approve(msg.sender, spender, amount)
    return True


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    allowed: uint256 = self.allowance[sender][msg.sender]
    if allowed != max_value(uint256):
        assert amount <= allowed, "tUSDC: transfer amount exceeds allowance"
        self.allowance[sender][msg.sender] = allowed - amount
    self._transfer(sender, receiver, amount)
    return True


# ------------------------------------------------------------------
#                             EIP-2612
# ------------------------------------------------------------------

@external
def permit(owner: address, spender: address, amount: uint256, deadline: uint256, v: uint8, r: bytes32, s: bytes32):
    assert block.timestamp <= deadline, "tUSDC: permit is expired"
    nonce: uint256 = self.nonces[owner]
    self.nonces[owner] = nonce + 1
    self._check(
        owner,
        keccak256(abi_encode(PERMIT_TYPEHASH, owner, spender, amount, nonce, deadline)),
        concat(r, s, convert(v, bytes1)),
    )
    self._approve(owner, spender, amount)


# ------------------------------------------------------------------
#                             EIP-3009
# ------------------------------------------------------------------

@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    return self._domain()


@external
def transferWithAuthorization(
    sender: address,
    to: address,
    amount: uint256,
    valid_after: uint256,
    valid_before: uint256,
    nonce: bytes32,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    self._move(
        TRANSFER_WITH_AUTHORIZATION_TYPEHASH,
        sender,
        to,
        amount,
        valid_after,
        valid_before,
        nonce,
        concat(r, s, convert(v, bytes1)),
    )


@external
def receiveWithAuthorization(
    sender: address,
    to: address,
    amount: uint256,
    valid_after: uint256,
    valid_before: uint256,
    nonce: bytes32,
    v: uint8,
    r: bytes32,
    s: bytes32,
):
    """
    @dev Only the receiver may send it, so that nobody separates the money from what the receiver does with it.
    """
    assert msg.sender == to, "tUSDC: caller must be the payee"
    self._move(
        RECEIVE_WITH_AUTHORIZATION_TYPEHASH,
        sender,
        to,
        amount,
        valid_after,
        valid_before,
        nonce,
        concat(r, s, convert(v, bytes1)),
    )


@external
def cancelAuthorization(authorizer: address, nonce: bytes32, v: uint8, r: bytes32, s: bytes32):
    assert not self.authorizationState[authorizer][nonce], "tUSDC: authorization is used or canceled"
    self._check(
        authorizer,
        keccak256(abi_encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce)),
        concat(r, s, convert(v, bytes1)),
    )
    self.authorizationState[authorizer][nonce] = True
    log AuthorizationCanceled(authorizer=authorizer, nonce=nonce)


@external
def __default__():
    """
    @dev transferWithAuthorization and receiveWithAuthorization with one `bytes` signature.
    """
    assert len(msg.data) >= 4, "tUSDC: no such function"
    selector: bytes4 = convert(slice(msg.data, 0, 4), bytes4)
    assert selector == TRANSFER_BY_BYTES or selector == RECEIVE_BY_BYTES, "tUSDC: no such function"
    sender: address = empty(address)
    to: address = empty(address)
    amount: uint256 = 0
    valid_after: uint256 = 0
    valid_before: uint256 = 0
    nonce: bytes32 = empty(bytes32)
    sender, to, amount, valid_after, valid_before, nonce = abi_decode(
        slice(msg.data, 4, 192), (address, address, uint256, uint256, uint256, bytes32)
    )
    # Vyper slices call data by constant lengths only, so the signature is gathered word by word.
    start: uint256 = 4 + convert(slice(msg.data, 196, 32), uint256)
    length: uint256 = convert(slice(msg.data, start, 32), uint256)
    words: DynArray[bytes32, 30] = []
    for i: uint256 in range((length + 31) // 32, bound=30):
        words.append(convert(slice(msg.data, start + 32 + 32 * i, 32), bytes32))
    signature: Bytes[1024] = slice(abi_encode(words), 64, length)
    if selector == RECEIVE_BY_BYTES:
        assert msg.sender == to, "tUSDC: caller must be the payee"
        self._move(
            RECEIVE_WITH_AUTHORIZATION_TYPEHASH, sender, to, amount, valid_after, valid_before, nonce, signature
        )
    else:
        self._move(
            TRANSFER_WITH_AUTHORIZATION_TYPEHASH, sender, to, amount, valid_after, valid_before, nonce, signature
        )


# ------------------------------------------------------------------
#                             INTERNAL
# ------------------------------------------------------------------

@internal
def _transfer(sender: address, receiver: address, amount: uint256):
    assert receiver != empty(address), "tUSDC: transfer to the zero address"
    assert amount <= self.balanceOf[sender], "tUSDC: transfer amount exceeds balance"
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    log IERC20.Transfer(sender=sender, receiver=receiver, value=amount)


@internal
def _approve(owner: address, spender: address, amount: uint256):
    self.allowance[owner][spender] = amount
    log IERC20.Approval(owner=owner, spender=spender, value=amount)


@internal
def _move(
    type_hash: bytes32,
    sender: address,
    to: address,
    amount: uint256,
    valid_after: uint256,
    valid_before: uint256,
    nonce: bytes32,
    signature: Bytes[1024],
):
    assert block.timestamp > valid_after, "tUSDC: authorization is not yet valid"
    assert block.timestamp < valid_before, "tUSDC: authorization is expired"
    assert not self.authorizationState[sender][nonce], "tUSDC: authorization is used or canceled"
    self._check(
        sender,
        keccak256(abi_encode(type_hash, sender, to, amount, valid_after, valid_before, nonce)),
        signature,
    )
    self.authorizationState[sender][nonce] = True
    log AuthorizationUsed(authorizer=sender, nonce=nonce)
    self._transfer(sender, to, amount)


@internal
@view
def _check(signer: address, message: bytes32, signature: Bytes[1024]):
    """
    @dev A key's signature, or the word of the contract at `signer` (ERC-1271).
    """
    digest: bytes32 = keccak256(concat(b"\x19\x01", self._domain(), message))
    if not signer.is_contract:
        assert len(signature) == 65, "tUSDC: invalid signature"
        s: uint256 = extract32(signature, 32, output_type=uint256)
        assert s <= MAX_S, "tUSDC: invalid signature"
        recovered: address = ecrecover(
            digest,
            convert(slice(signature, 64, 1), uint256),
            extract32(signature, 0, output_type=uint256),
            s,
        )
        assert recovered == signer and recovered != empty(address), "tUSDC: invalid signature"
        return
    answer: Bytes[32] = raw_call(
        signer,
        abi_encode(digest, signature, method_id=method_id("isValidSignature(bytes32,bytes)")),
        max_outsize=32,
        is_static_call=True,
    )
    assert len(answer) == 32, "tUSDC: invalid signature"
    assert convert(answer, bytes32) == ERC1271_MAGIC, "tUSDC: invalid signature"


@internal
@view
def _domain() -> bytes32:
    return keccak256(
        abi_encode(DOMAIN_TYPE, keccak256(name), keccak256(version), chain.id, self)
    )
