# pragma version ==0.4.3
# pragma evm-version cancun
"""
@title OddToken
@license MIT
@notice A test double: an ERC-20 that misbehaves as told.
"""

decimals: public(immutable(uint8))
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])

fee: public(uint256)  # base units kept from every transferFrom
answer: public(bool)  # what transfer and transferFrom return
paused: public(bool)
eats_gas: public(bool)  # transfer uses up all it is given
blocked: public(HashMap[address, bool])  # transfers to or from it revert

# A call that is tried during every transfer, as a token with hooks would let its receiver do
hook_target: address
hook_data: Bytes[4096]
hook_succeeded: public(bool)
hook_calls: public(uint256)


@deploy
def __init__(_decimals: uint8):
    decimals = _decimals
    self.answer = True


@external
def mint(to: address, amount: uint256):
    self.balanceOf[to] += amount


@external
def behave(fee: uint256, answer: bool, paused: bool, eats_gas: bool):
    self.fee = fee
    self.answer = answer
    self.paused = paused
    self.eats_gas = eats_gas


@external
def block(account: address, blocked: bool):
    self.blocked[account] = blocked


@external
def hook(target: address, data: Bytes[4096]):
    self.hook_target = target
    self.hook_data = data


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    return True


@external
def transfer(to: address, amount: uint256) -> bool:
    if self.eats_gas:
        for i: uint256 in range(10_000_000):
            self.hook_calls = i
    self._move(msg.sender, to, amount)
    return self.answer


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    self.allowance[sender][msg.sender] -= amount
    self._move(sender, receiver, amount)
    self.balanceOf[receiver] -= self.fee
    return self.answer


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
    @dev Asks for no signature: what it moves is only test money.
    """
    self._move(sender, to, amount)


@internal
def _move(sender: address, receiver: address, amount: uint256):
    assert not self.paused, "odd: paused"
    assert not self.blocked[sender] and not self.blocked[receiver], "odd: blocked"
    if self.hook_target != empty(address):
        self.hook_calls += 1
        self.hook_succeeded = raw_call(self.hook_target, self.hook_data, revert_on_failure=False)
    if not self.answer:
        return
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
