"""The chain's tasks: a lock, one call, one log line."""

import logging
from typing import Any

from celery import shared_task
from django.conf import settings

from chain import deployments, indexer, relayer
from chain.client import DEVELOPMENT_CHAIN_ID, chain_of, configured_chains
from chain.errors import ChainRewritten
from transactions.errors import ChainUnavailable

log = logging.getLogger(__name__)

_off: set[str] = set()  # what this process has said about the chain being off


@shared_task(durable=False, queue="chain", ignore_result=True, expires=10, time_limit=120)
def follow_chain(**_: Any) -> dict[str, int]:
    """Read what the vaults said and what became of our transactions. Poked often, and whenever something was sent.

    Idempotent because logs are known by block hash and index and transactions by their hash; a second run at the same
    time finds the lock taken and returns.
    """
    counts: dict[str, int] = {}
    try:
        chain_of()  # raises if the chain is off
        for chain in configured_chains():
            # Receipts first: whoever sees an action done also finds what it cost.
            counts |= relayer.track_transactions(chain.chain_id)
            counts |= indexer.follow_chain(chain.chain_id) or {}
            _say_on()
    except ChainUnavailable as error:
        _say_off(error)
    except ChainRewritten as error:
        _handle_rewritten(error)
    if any(counts.values()):
        log.info("chain: %s", ", ".join(f"{count} {what}" for what, count in counts.items() if count))
    return counts


@shared_task(queue="chain", time_limit=120)
def send_intent(*, intent_id: int, **_: Any) -> str:
    """Send what an intent asks of the vault; follows the fact `action.requested`. Returns the transaction's hash.

    Idempotent because an intent has one chain transaction, and sending that again sends the same bytes. Without a
    chain it returns an empty text: the intent waits, and `send_pending_intents` takes it up.
    """
    try:
        chain_of()
        sent = relayer.send_intent(intent_id)
    except ChainUnavailable as error:
        _say_off(error)
        return ""
    _say_on()
    if sent is None:
        return ""
    follow_chain.delay()
    return sent.tx_hash


@shared_task(durable=False, queue="chain", ignore_result=True, expires=30, time_limit=300)
def send_pending_intents(**_: Any) -> dict[str, int]:
    """Sweep: send intents and signed transactions that a crash or an outage left behind.

    Idempotent because sending is.
    """
    try:
        chain_of()
        counts = relayer.send_pending()
    except ChainUnavailable as error:
        _say_off(error)
        return {}
    if any(counts.values()):
        log.info("relayer: %s", ", ".join(f"{count} {what}" for what, count in counts.items() if count))
    return counts


def _handle_rewritten(error: ChainRewritten) -> None:
    """A real chain that contradicts what was final needs an operator; a development node was only restarted."""
    if settings.DEBUG and settings.CHAIN_ID == DEVELOPMENT_CHAIN_ID:
        log.warning("%s; this is a development chain, so we go along", error)
        deployments.deploy(say=log.info)
    else:
        log.critical("following stops until an operator has looked: %s", error)


def _say_off(error: ChainUnavailable) -> None:
    """Say once, not twice a second, that the chain is off."""
    if error.message not in _off:
        _off.add(error.message)
        log.warning("%s; everything else works, and this is taken up when it is back", error.message)


def _say_on() -> None:
    if _off:
        _off.clear()
        log.info("the chain is back")
