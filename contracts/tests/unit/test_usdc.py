"""The test token signs as USDC does."""

import pytest
from support import BEA, FAR_AHEAD, MAX, SOL, advance, fields_of, now, reverts_with, typed_data

NONCE = b"\x05" * 32
AUTHORIZATION = "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"


@pytest.fixture(autouse=True)
def money(token):
    token.mint(BEA.address, 1_000)


def signed(token, primary, kind, message, person=BEA):
    typed = typed_data(token.address, "Test USD Coin", "2", primary, {primary: fields_of(kind)}, message)
    signature = person.sign(typed)
    return signature[64], signature[:32], signature[32:64]


def transfer(token, **changes):
    message = {
        "from": BEA.address,
        "to": SOL.address,
        "value": 400,
        "validAfter": 0,
        "validBefore": FAR_AHEAD,
        "nonce": NONCE,
    } | changes
    return (*message.values(), *signed(token, "TransferWithAuthorization", AUTHORIZATION, message))


def test_an_authorized_transfer_works_once(token):
    call = transfer(token)
    token.transferWithAuthorization(*call, sender=MAX.address)
    assert token.balanceOf(SOL.address) == 400
    assert token.authorizationState(BEA.address, NONCE)
    with reverts_with("tUSDC: authorization is used or canceled"):
        token.transferWithAuthorization(*call, sender=MAX.address)


def test_an_authorized_transfer_has_its_time(token):
    with reverts_with("tUSDC: authorization is not yet valid"):
        token.transferWithAuthorization(*transfer(token, validAfter=now()))
    with reverts_with("tUSDC: authorization is expired"):
        token.transferWithAuthorization(*transfer(token, validBefore=now()))


def test_nobody_else_signs(token):
    call = list(transfer(token))
    call[2] = 401
    with reverts_with("tUSDC: invalid signature"):
        token.transferWithAuthorization(*call)


def test_a_permit_counts_once_and_until_its_deadline(token):
    kind = "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline"
    deadline = now() + 5
    message = {"owner": BEA.address, "spender": SOL.address, "value": 9, "nonce": 0, "deadline": deadline}
    signature = signed(token, "Permit", kind, message)
    advance(6)
    with reverts_with("tUSDC: permit is expired"):
        token.permit(BEA.address, SOL.address, 9, deadline, *signature)
    advance(-6)
    token.permit(BEA.address, SOL.address, 9, deadline, *signature)
    assert (token.allowance(BEA.address, SOL.address), token.nonces(BEA.address)) == (9, 1)
    with reverts_with("tUSDC: invalid signature"):
        token.permit(BEA.address, SOL.address, 9, deadline, *signature)


def test_nobody_spends_more_than_he_has_or_may(token):
    with reverts_with("tUSDC: transfer amount exceeds balance"):
        token.transfer(SOL.address, 1_001, sender=BEA.address)
    with reverts_with("tUSDC: transfer amount exceeds allowance"):
        token.transferFrom(BEA.address, SOL.address, 1, sender=SOL.address)
