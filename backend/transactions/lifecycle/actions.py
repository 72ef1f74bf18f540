"""What people ask of the vault: checked, written as an intent, left to the relayer. The status waits for the chain."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError
from django.db import transaction as db_transaction
from django.db.models import Q

from common.clock import to_epoch, utc_now
from documents.models import Document
from transactions import queries, terms
from transactions.errors import ActionPending, DomainError, InvalidTerms, NotFound
from transactions.events import record_event
from transactions.lifecycle.guard import check_allowed, check_signature
from transactions.locks import lock_milestones, lock_transaction
from transactions.models import ActionIntent, ChangeRequest, Dispute, EscrowTransaction, Milestone, Submission
from transactions.rules import Action, Money, Role
from users.models import User


@dataclass(frozen=True)
class ActionInputs:
    """What a person says with an action; each action reads its own fields.

    fund: `positions` (milestone numbers; empty = all that can be funded). submit: `note`, `document_ids`.
    request_changes, dispute: `reason`. resolve: `seller_units` (base units, before the fee) and `reason`.
    extend: `until` (aware UTC).
    """

    positions: tuple[int, ...] = ()
    note: str = ""
    document_ids: tuple[int, ...] = ()
    reason: str = ""
    seller_units: int | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class PreparedAction:
    """A message to sign: EIP-712 typed data, its digest (0x-hex), who signs, and until when it is good."""

    action: Action
    message: terms.TypedData
    digest: str
    signer: str
    deadline_at: datetime
    target: str
    parameters: dict[str, Any]


def prepare_action(
    *,
    action: Action,
    deal: EscrowTransaction,
    actor: User,
    deadline: datetime,
    inputs: ActionInputs | None = None,
    milestone: Milestone | None = None,
) -> PreparedAction:
    """What `actor` has to sign for this action now. Changes nothing. Raises as `request_action` does."""
    inputs = inputs or ActionInputs()
    role = check_allowed(action, deal, actor, milestone)
    version = queries.latest_terms(deal)
    if version is None or action not in (*terms.MESSAGE_OF_ACTION, Action.FUND):
        raise DomainError(f"{action} is not signed for the vault", action=str(action))
    deadline = deadline.replace(microsecond=0)
    signer = version.struct[role.lower()]
    if action is Action.FUND:
        message, target, parameters = _funding(deal, inputs, signer=signer, deadline=deadline)
    else:
        assert milestone is not None  # every other action that is signed is a milestone's, says the rules table
        fields = _fields(action, deal, milestone, inputs)
        signed = dict(fields)
        if action is not Action.RESOLVE:  # the arbiter has no epoch
            signed["epoch"] = deal.buyer_epoch if role is Role.BUYER else deal.seller_epoch
        message = terms.action_message(deal, action, {**signed, "deadline": to_epoch(deadline)})
        target = str(1 << milestone.position)
        parameters = {**fields, **({"party": signer} if action is Action.DISPUTE else {})}
    return PreparedAction(
        action=action,
        message=message,
        digest=terms.digest_of(message),
        signer=signer,
        deadline_at=deadline,
        target=target,
        parameters={name: str(value) for name, value in parameters.items()},
    )


def request_action(
    *,
    action: Action,
    transaction_id: int,
    actor: User,
    deadline: datetime,
    signature: terms.VerifiedSignature,
    inputs: ActionInputs | None = None,
    milestone_id: int | None = None,
) -> ActionIntent:
    """Take a party's signed action: write the intent, tell the relayer. The status moves when the chain has spoken.

    Raises ActionNotAllowed, NotAParty, SignatureMismatch, SignatureExpired, InvalidTerms, and ActionPending if the
    same action waits already. Harmless to repeat: the second call raises ActionPending and changes nothing.
    """
    inputs = inputs or ActionInputs()
    with db_transaction.atomic():
        deal = lock_transaction(transaction_id)
        milestones = {m.pk: m for m in lock_milestones(deal)}
        milestone = None
        if milestone_id is not None:
            milestone = milestones.get(milestone_id)
            if milestone is None:
                raise NotFound(f"transaction {transaction_id} has no milestone {milestone_id}")
        _refuse_if_pending(deal, action, milestone, actor)
        prepared = prepare_action(
            action=action, deal=deal, actor=actor, inputs=inputs, milestone=milestone, deadline=deadline
        )
        check_signature(
            signature, prepared.message, signer=prepared.signer, deadline=prepared.deadline_at, now=utc_now()
        )
        intent = _write_intent(deal, milestone, prepared, actor, signature)
        if milestone is not None:
            _write_words(action, milestone, actor, inputs, prepared)
        record_event(
            "action.requested",
            deal,
            milestone=milestone,
            actor=actor,
            data={"intent_id": intent.pk, "action": str(action)},
        )
    return intent


def request_clock_action(*, action: Action, deal: EscrowTransaction, milestone: Milestone) -> ActionIntent | None:
    """What a passed deadline entitles anyone to do on the vault, on a locked deal. None if it is asked for already."""
    if deal.intents.filter(milestone=milestone, status__in=ActionIntent.OPEN).exists():
        return None
    intent = ActionIntent.objects.create(
        transaction=deal,
        milestone=milestone,
        action=action,
        target=str(1 << milestone.position),
        role=Role.CLOCK,
        parameters={"milestone": str(milestone.position)},
    )
    record_event("action.requested", deal, milestone=milestone, data={"intent_id": intent.pk, "action": str(action)})
    return intent


def mark_intent_sent(*, intent_id: int) -> None:
    """The relayer gave it to the chain. No effect unless it was waiting to be sent."""
    ActionIntent.objects.filter(pk=intent_id, status="REQUESTED").update(status="SENT")


def mark_intent_seen(*, intent_id: int) -> None:
    """A block holds it, not final yet. No effect on an intent that has ended."""
    ActionIntent.objects.filter(pk=intent_id, status__in=["REQUESTED", "SENT"]).update(status="SEEN")


def mark_intent_failed(*, intent_id: int, reason: str) -> None:
    """The chain refused it; the person who asked is told. No effect on an intent that has ended."""
    transaction_id = ActionIntent.objects.values_list("transaction_id", flat=True).get(pk=intent_id)
    with db_transaction.atomic():
        deal = lock_transaction(transaction_id)
        intent = ActionIntent.objects.select_related("milestone", "actor").get(pk=intent_id)
        if intent.status not in ActionIntent.OPEN:
            return
        intent.status = ActionIntent.Status.FAILED
        intent.failure = reason[:300]
        intent.settled_at = utc_now()
        intent.save(update_fields=["status", "failure", "settled_at"])
        if intent.action == Action.DISPUTE:
            Dispute.objects.filter(milestone=intent.milestone, status="REQUESTED").update(status="FAILED")
        record_event(
            "action.failed",
            deal,
            milestone=intent.milestone,
            actor=intent.actor,
            data={"intent_id": intent.pk, "action": intent.action, "reason": intent.failure},
        )


def _funding(
    deal: EscrowTransaction, inputs: ActionInputs, *, signer: str, deadline: datetime
) -> tuple[terms.TypedData, str, dict[str, Any]]:
    now = utc_now()
    fundable = {m.position: m for m in deal.milestones.all() if m.money == Money.UNFUNDED and m.deliver_by > now}
    wanted = sorted(set(inputs.positions)) or sorted(fundable)
    missing = [position for position in wanted if position not in fundable]
    if missing:
        raise InvalidTerms(
            "these milestones cannot be funded: " + ", ".join(str(position + 1) for position in missing),
            field="positions",
            positions=missing,
        )
    bits = terms.bitmap(wanted)
    value = sum(fundable[position].amount_units for position in wanted)
    message = terms.fund_message(
        deal, buyer_address=signer, milestones=bits, value_units=value, valid_before=to_epoch(deadline)
    )
    return message, str(bits), {"milestones": bits, "value_units": value, "valid_before": to_epoch(deadline)}


def _fields(action: Action, deal: EscrowTransaction, milestone: Milestone, inputs: ActionInputs) -> Mapping[str, Any]:
    """The signed message's own fields, by the vault's names; they are the call's arguments as well."""
    one = {"milestone": milestone.position}
    match action:
        case Action.SUBMIT:
            files = [(d.filename, d.sha256) for d in _own_clean_documents(deal.seller, inputs.document_ids)]
            if not files and not inputs.note.strip():
                raise InvalidTerms("a submission needs a note or a file", field="note")
            return {
                **one,
                "round": milestone.round + 1,
                "deliverable": terms.deliverable_hash(note=inputs.note, documents=files),
            }
        case Action.APPROVE | Action.REFUND:
            return {"milestones": 1 << milestone.position}
        case Action.REQUEST_CHANGES | Action.DISPUTE:
            if not inputs.reason.strip():
                raise InvalidTerms("say why: the other party has to understand it", field="reason")
            return {**one, "round": milestone.round, "reason": terms.reason_hash(inputs.reason)}
        case Action.EXTEND:
            if inputs.until is None or inputs.until <= utc_now():
                raise InvalidTerms("the new delivery date lies in the future", field="until")
            return {**one, "round": milestone.round, "until": to_epoch(inputs.until)}
        case Action.RECLAIM:
            return one
        case Action.RESOLVE:
            if inputs.seller_units is None or not 0 <= inputs.seller_units <= milestone.amount_units:
                raise InvalidTerms("the seller's part is between nothing and the whole milestone", field="seller_units")
            if not inputs.reason.strip():
                raise InvalidTerms("a decision gives its reason", field="reason")
            return {**one, "seller_amount": inputs.seller_units, "reason": terms.reason_hash(inputs.reason)}
    raise DomainError(f"{action} is not signed for the vault", action=str(action))


def _own_clean_documents(owner: User, document_ids: tuple[int, ...]) -> list[Document]:
    found = list(Document.objects.filter(pk__in=document_ids, owner=owner))
    if len(found) != len(set(document_ids)):
        raise InvalidTerms("attach only files that you uploaded yourself", field="document_ids")
    waiting = [document.filename for document in found if document.state != Document.State.CLEAN]
    if waiting:
        raise InvalidTerms("these files have not passed the check: " + ", ".join(waiting), field="document_ids")
    return found


def _refuse_if_pending(deal: EscrowTransaction, action: Action, milestone: Milestone | None, actor: User) -> None:
    """One thing at a time for each person. Nobody's request holds up the other party, whose own deadline runs."""
    waiting = deal.intents.filter(milestone=milestone, status__in=ActionIntent.OPEN)
    same = Q(action=action)
    other = waiting.filter(same if milestone is None else same | Q(actor=actor)).first()
    if other is not None:
        raise ActionPending(
            f"{other.action} was requested and waits for the chain", intent_id=other.pk, pending=other.action
        )


def _write_intent(
    deal: EscrowTransaction,
    milestone: Milestone | None,
    prepared: PreparedAction,
    actor: User,
    signature: terms.VerifiedSignature,
) -> ActionIntent:
    try:
        with db_transaction.atomic():
            return ActionIntent.objects.create(
                transaction=deal,
                milestone=milestone,
                action=prepared.action,
                target=prepared.target,
                role=deal.roles_of(actor)[0],
                actor=actor,
                parameters=prepared.parameters,
                signer=signature.signer,
                signature=signature.signature,
                digest=prepared.digest,
                deadline_at=prepared.deadline_at,
            )
    except IntegrityError as error:
        raise ActionPending(f"{prepared.action} was requested and waits for the chain") from error


def _write_words(
    action: Action, milestone: Milestone, actor: User, inputs: ActionInputs, prepared: PreparedAction
) -> None:
    """The words behind the hashes. They count once the vault has confirmed the hash."""
    match action:
        case Action.SUBMIT:
            submission = Submission.objects.create(
                milestone=milestone,
                round=milestone.round + 1,
                note=inputs.note,
                deliverable_hash=prepared.parameters["deliverable"],
            )
            submission.documents.set(inputs.document_ids)
        case Action.REQUEST_CHANGES:
            ChangeRequest.objects.create(
                milestone=milestone,
                round=milestone.round,
                reason=inputs.reason,
                reason_hash=prepared.parameters["reason"],
            )
        case Action.DISPUTE:
            Dispute.objects.create(
                milestone=milestone,
                opened_by=actor,
                reason=inputs.reason,
                reason_hash=prepared.parameters["reason"],
            )
        case Action.RESOLVE:
            Dispute.objects.filter(milestone=milestone, status=Dispute.Status.OPEN).update(
                decision=inputs.reason, decision_hash=prepared.parameters["reason"]
            )
