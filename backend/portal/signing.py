"""From "I want to" to a signed request: what was entered waits in the session, is shown as the message, is signed.

A sandbox wallet signs on the server when its owner presses the button; an own wallet signs in the browser (or
elsewhere: the signature can be pasted). Either way the signature is verified here, before the lifecycle is called.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.http import HttpRequest

from chain import sandbox
from common.clock import from_epoch, to_epoch, utc_now
from transactions import terms
from transactions.errors import SignatureMismatch
from transactions.lifecycle import ActionInputs
from transactions.models import EscrowTransaction, Milestone
from transactions.rules import Action
from users.models import User

SIGNATURE_LIFETIME = timedelta(hours=24)
RENEW_BELOW = timedelta(hours=12)  # a page left open over night must not end in a signature about to be void


@dataclass(frozen=True)
class Entered:
    """What somebody entered for an action, and until when the signature shall be good (aware UTC)."""

    inputs: ActionInputs
    deadline: datetime


def keep(
    request: HttpRequest, action: Action, deal: EscrowTransaction, milestone: Milestone | None, inputs: ActionInputs
) -> None:
    """Keep what was entered until it is signed. A second tab's entry for the same action replaces the first one's."""
    request.session[_key(action, deal, milestone)] = {
        "positions": list(inputs.positions),
        "note": inputs.note,
        "document_ids": list(inputs.document_ids),
        "reason": inputs.reason,
        "seller_units": None if inputs.seller_units is None else str(inputs.seller_units),
        "until": to_epoch(inputs.until) if inputs.until else None,
        "deadline": to_epoch(utc_now() + SIGNATURE_LIFETIME),
    }


def kept(request: HttpRequest, action: Action, deal: EscrowTransaction, milestone: Milestone | None) -> Entered | None:
    """What was entered before, None if nothing was."""
    data = request.session.get(_key(action, deal, milestone))
    if data is None:
        return None
    inputs = ActionInputs(
        positions=tuple(data["positions"]),
        note=data["note"],
        document_ids=tuple(data["document_ids"]),
        reason=data["reason"],
        seller_units=None if data["seller_units"] is None else int(data["seller_units"]),
        until=from_epoch(data["until"]) if data["until"] else None,
    )
    deadline = from_epoch(data["deadline"])
    if deadline - utc_now() < RENEW_BELOW:
        keep(request, action, deal, milestone, inputs)
        return kept(request, action, deal, milestone)
    return Entered(inputs, deadline)


def forget(request: HttpRequest, action: Action, deal: EscrowTransaction, milestone: Milestone | None) -> None:
    """Drop what was entered: it is signed."""
    request.session.pop(_key(action, deal, milestone), None)


def sign(
    *, user: User, message: terms.TypedData, signer: str, shown_digest: str, signature: str
) -> terms.VerifiedSignature:
    """The verified signature of `signer` over `message`; `signature` is 0x-hex, empty for a sandbox wallet.

    Raises SignatureMismatch, also when the page showed another message than would be signed now (`shown_digest`).
    """
    if shown_digest != terms.digest_of(message):
        raise SignatureMismatch("the page showed another message than the one to sign now: please look at it again")
    return sandbox.signed_or_given(user, message=message, signer=signer, signature=signature)


def as_text(message: terms.TypedData) -> str:
    """Domain and message for people who want to read what they sign."""
    shown = terms.for_wallet(message)
    return json.dumps(
        {"signing": shown["primaryType"], "domain": shown["domain"], "message": shown["message"]}, indent=2
    )


def _key(action: Action, deal: EscrowTransaction, milestone: Milestone | None) -> str:
    return f"entered:{deal.pk}:{milestone.position if milestone else '-'}:{action}"
