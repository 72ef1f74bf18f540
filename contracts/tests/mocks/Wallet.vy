# pragma version ==0.4.3
# pragma evm-version cancun
"""
@title Wallet
@license MIT
@notice A test double: a contract wallet (ERC-1271) of one owner, whose answers can be bent.
"""

HONEST: constant(uint256) = 0
SAYS_NO: constant(uint256) = 1
REVERTS: constant(uint256) = 2
SAYS_TRUE: constant(uint256) = 3  # a bool where the magic value is due
ANSWERS_SHORT: constant(uint256) = 4  # the magic value, unpadded
MAGIC: constant(bytes4) = 0x1626ba7e

owner: public(address)
manner: public(uint256)


@deploy
def __init__(owner: address):
    self.owner = owner


@external
def behave(manner: uint256):
    self.manner = manner


@external
@view
@raw_return
def isValidSignature(digest: bytes32, signature: Bytes[1024]) -> Bytes[32]:
    """
    @dev An honest wallet takes the owner's 65 bytes with one byte of its own in front, so that the vault cannot
         mistake them for a key's signature.
    """
    assert self.manner != REVERTS
    if self.manner == SAYS_TRUE:
        return abi_encode(convert(1, uint256))
    if self.manner == ANSWERS_SHORT:
        return slice(abi_encode(MAGIC), 0, 4)
    if self.manner == SAYS_NO or len(signature) != 66:
        return abi_encode(empty(bytes4))
    signer: address = ecrecover(
        digest,
        convert(slice(signature, 65, 1), uint256),
        extract32(signature, 1, output_type=uint256),
        extract32(signature, 33, output_type=uint256),
    )
    if signer == self.owner and signer != empty(address):
        return abi_encode(MAGIC)
    return abi_encode(empty(bytes4))


@external
def execute(target: address, data: Bytes[8192]):
    """
    @notice What the owner does through his wallet.
    """
    assert msg.sender == self.owner
    raw_call(target, data)
