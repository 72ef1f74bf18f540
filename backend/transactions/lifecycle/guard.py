"""Asking the rules on behalf of a person, and saying no in one way."""

from datetime import datetime

from common.clock import to_epoch, utc_now
from transactions import queries, rules
from transactions.errors import ActionNotAllowed, NotAParty, SignatureExpired, SignatureMismatch
from transactions.models import EscrowTransaction, Milestone
from transactions.terms import TypedData, VerifiedSignature, digest_of
from users.models import User


def role_of(deal: EscrowTransaction, actor: User) -> rules.Role:
    """The actor's role in this deal; raises NotAParty."""
    roles = deal.roles_of(actor)
    if not roles:
        raise NotAParty("only the buyer, the seller and the arbiter act on a transaction", transaction_id=deal.pk)
    return roles[0]


def check_allowed(
    action: rules.Action, deal: EscrowTransaction, actor: User, milestone: Milestone | None = None
) -> rules.Role:
    """The actor's role if the rules let him take this action now; raises NotAParty or ActionNotAllowed."""
    role = role_of(deal, actor)
    now = utc_now()
    situation = queries.situation_of(deal, user=actor, milestone=milestone, now=now)
    refusal = rules.check(action, role, situation, now=to_epoch(now))
    if refusal is not None:
        raise ActionNotAllowed(
            refusal.reason,
            rule=refusal.code,
            action=str(action),
            allowed=[str(a) for a in queries.available_actions(deal, actor, milestone)],
        )
    return role


def check_signature(
    signature: VerifiedSignature, message: TypedData, *, signer: str, deadline: datetime, now: datetime
) -> str:
    """The digest, if the signature is the expected signer's over exactly this message and still good."""
    digest = digest_of(message)
    if signature.digest != digest:
        raise SignatureMismatch("the signature is over another message than the one asked for", expected=digest)
    if signature.signer.lower() != signer.lower():
        raise SignatureMismatch("the signature is not by the wallet that the terms name", expected_signer=signer)
    if deadline <= now:
        raise SignatureExpired("the signature's deadline has passed; sign again", deadline=deadline.isoformat())
    return digest
