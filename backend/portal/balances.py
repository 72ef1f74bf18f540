"""What a wallet holds, so that nobody signs a payment that cannot be made."""

from web3.exceptions import BadFunctionCallOutput, ContractLogicError, Web3RPCError

from chain.bindings import TEST_TOKEN, contract_at
from chain.client import connect
from transactions.errors import ChainUnavailable
from transactions.models import Token


def balance_units(token: Token, address: str) -> int | None:
    """Token base units that this address holds now; None if the chain cannot say (a page goes on without)."""
    try:
        # Only `balanceOf` is called, which every ERC-20 has; the test token's interface serves for all of them.
        contract = contract_at(connect(token.chain_id), TEST_TOKEN, token.address)
        return int(contract.functions.balanceOf(address).call())
    except (ChainUnavailable, BadFunctionCallOutput, ContractLogicError, Web3RPCError):
        return None
