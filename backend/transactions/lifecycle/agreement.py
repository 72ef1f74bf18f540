"""From a draft to terms that both have signed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction as db_transaction

from common.clock import utc_now
from documents.models import Document
from transactions import queries, terms
from transactions.errors import InvalidTerms, WalletMissing
from transactions.events import record_event
from transactions.lifecycle.guard import check_allowed, check_signature, role_of
from transactions.locks import lock_milestones, lock_transaction
from transactions.models import EscrowTransaction, Milestone, Terms, TermsSignature, Token
from transactions.rules import Action, MilestoneStatus, Role, TransactionStatus
from users.models import User, Wallet

EDITABLE = (
    "title",
    "description",
    "accept_by",
    "review_seconds",
    "revision_seconds",
    "max_revisions",
    "arbitration_seconds",
    "timeout_seller_bps",
)


@dataclass(frozen=True)
class MilestoneDraft:
    """A milestone as its author writes it. `amount_units` in token base units, `deliver_by` aware UTC."""

    title: str
    amount_units: int
    deliver_by: datetime
    description: str = ""


def draft_transaction(
    *,
    author: User,
    author_role: Role | str,
    counterparty: User,
    arbiter: User,
    title: str,
    token: Token,
    vault_address: str,
    milestones: Sequence[MilestoneDraft],
    accept_by: datetime,
    review_seconds: int,
    revision_seconds: int,
    max_revisions: int,
    arbitration_seconds: int,
    timeout_seller_bps: int = 5_000,
    description: str = "",
    fee_bps: int = 0,
    fee_recipient: str = "",
    attachments: Iterable[Document] = (),
) -> EscrowTransaction:
    """A new DRAFT that only its author sees. Raises InvalidTerms naming the field that is wrong."""
    role = Role(author_role)
    if role not in (Role.BUYER, Role.SELLER):
        raise InvalidTerms("the author is the buyer or the seller", field="author_role")
    buyer, seller = (author, counterparty) if role is Role.BUYER else (counterparty, author)
    if len({buyer.pk, seller.pk, arbiter.pk}) != 3:
        raise InvalidTerms("buyer, seller and arbiter are three different people", field="counterparty")
    if not arbiter.is_arbiter:
        raise InvalidTerms("this person is not an arbiter", field="arbiter")
    with db_transaction.atomic():
        deal = EscrowTransaction(
            author=author,
            buyer=buyer,
            seller=seller,
            arbiter=arbiter,
            title=title,
            description=description,
            token=token,
            chain_id=token.chain_id,
            vault_address=vault_address,
            accept_by=accept_by,
            review_seconds=review_seconds,
            revision_seconds=revision_seconds,
            max_revisions=max_revisions,
            arbitration_seconds=arbitration_seconds,
            timeout_seller_bps=timeout_seller_bps,
            fee_bps=fee_bps,
            fee_recipient=fee_recipient,
        )
        _validate(deal)
        deal.save()
        deal.attachments.set(attachments)
        _replace_milestones(deal, milestones)
        record_event("transaction.created", deal, actor=author)
    return deal


def edit_draft(
    *,
    transaction_id: int,
    actor: User,
    changes: Mapping[str, Any] | None = None,
    milestones: Sequence[MilestoneDraft] | None = None,
    attachments: Iterable[Document] | None = None,
) -> EscrowTransaction:
    """Change a draft's fields (EDITABLE), milestones or attachments; what is not given stays as it is."""
    with db_transaction.atomic():
        deal = lock_transaction(transaction_id)
        check_allowed(Action.EDIT, deal, actor)
        for name, value in (changes or {}).items():
            if name not in EDITABLE:
                raise InvalidTerms(f"{name} cannot be changed", field=name)
            setattr(deal, name, value)
        _validate(deal)
        deal.save()
        if milestones is not None:
            _replace_milestones(deal, milestones)
        if attachments is not None:
            deal.attachments.set(attachments)
        record_event("transaction.edited", deal, actor=actor)
    return deal


def acceptance_message(deal: EscrowTransaction, *, actor: User) -> terms.TypedData:
    """The EIP-712 message that `actor` signs to propose or accept these terms.

    Raises InvalidTerms, WalletMissing or NotAParty.
    """
    milestones = list(deal.milestones.order_by("position"))
    return _message_for(deal, _current_struct(deal, milestones), role_of(deal, actor))


def propose(*, transaction_id: int, actor: User, signature: terms.VerifiedSignature) -> EscrowTransaction:
    """The author signs the draft's terms and sends them to the other party."""
    with db_transaction.atomic():
        deal = lock_transaction(transaction_id)
        role = check_allowed(Action.PROPOSE, deal, actor)
        milestones = lock_milestones(deal)
        now = utc_now()
        terms.check_proposable(deal, milestones, now=now)
        struct = _current_struct(deal, milestones)
        message = _message_for(deal, struct, role)
        check_signature(signature, message, signer=struct[role.lower()], deadline=deal.accept_by, now=now)
        latest = queries.latest_terms(deal)
        version = Terms.objects.create(
            transaction=deal,
            version=latest.version + 1 if latest else 1,
            document=terms.agreement_document(deal, milestones),
            struct=terms.struct_to_json(struct),
            escrow_id=terms.escrow_id(struct),
        )
        _keep_signature(version, deal, role, signature)
        deal.escrow_id = version.escrow_id
        deal.status = TransactionStatus.PENDING_FUNDING
        deal.proposed_at = now
        deal.save(update_fields=["escrow_id", "status", "proposed_at", "updated_at"])
        record_event(
            "transaction.proposed", deal, actor=actor, data={"version": version.version, "escrow": deal.escrow_id}
        )
    return deal


def accept(*, transaction_id: int, actor: User, signature: terms.VerifiedSignature) -> EscrowTransaction:
    """The other party signs the same terms: AWAITING_PAYMENT."""
    with db_transaction.atomic():
        deal = lock_transaction(transaction_id)
        role = check_allowed(Action.ACCEPT, deal, actor)
        version = queries.latest_terms(deal)
        if version is None:
            raise InvalidTerms("there are no proposed terms to accept", field="terms")
        struct = terms.struct_from_json(version.struct)
        now = utc_now()
        message = _message_for(deal, struct, role)
        check_signature(signature, message, signer=struct[role.lower()], deadline=deal.accept_by, now=now)
        _keep_signature(version, deal, role, signature)
        deal.status = TransactionStatus.AWAITING_PAYMENT
        deal.accepted_at = now
        deal.save(update_fields=["status", "accepted_at", "updated_at"])
        record_event("transaction.accepted", deal, actor=actor, data={"version": version.version})
    return deal


def decline(*, transaction_id: int, actor: User, reason: str = "") -> EscrowTransaction:
    """The other party does not want these terms: CANCELLED."""
    return _end_before_money(Action.DECLINE, "transaction.declined", transaction_id, actor, reason)


def cancel(*, transaction_id: int, actor: User, reason: str = "") -> EscrowTransaction:
    """A party calls the agreement off before any money came: CANCELLED."""
    return _end_before_money(Action.CANCEL, "transaction.cancelled", transaction_id, actor, reason)


def _end_before_money(
    action: Action, event_name: str, transaction_id: int, actor: User, reason: str
) -> EscrowTransaction:
    with db_transaction.atomic():
        deal = lock_transaction(transaction_id)
        check_allowed(action, deal, actor)
        end_unfunded(deal, TransactionStatus.CANCELLED)
        record_event(event_name, deal, actor=actor, data={"reason": reason})
    return deal


def end_unfunded(deal: EscrowTransaction, status: TransactionStatus) -> None:
    """Move a locked deal without money to CANCELLED or EXPIRED, with its milestones; nothing waits for it any more."""
    deal.milestones.filter(status=MilestoneStatus.PENDING).update(status=MilestoneStatus.CANCELLED)
    deal.intents.filter(status="REQUESTED").update(status="VOIDED", settled_at=utc_now())
    deal.status = status
    deal.save(update_fields=["status", "updated_at"])


def _validate(deal: EscrowTransaction) -> None:
    try:
        deal.full_clean(exclude=["salt"], validate_constraints=False)
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidTerms(f"{field}: {messages[0]}", field=field) from error


def _replace_milestones(deal: EscrowTransaction, drafts: Sequence[MilestoneDraft]) -> None:
    deal.milestones.all().delete()
    rows = [Milestone(transaction=deal, position=position, **asdict(draft)) for position, draft in enumerate(drafts)]
    for row in rows:
        try:
            row.full_clean(validate_unique=False, validate_constraints=False)
        except ValidationError as error:
            field, messages = next(iter(error.message_dict.items()))
            raise InvalidTerms(
                f"milestone {row.position + 1}, {field}: {messages[0]}", field="milestones", position=row.position
            ) from error
        if row.amount_units <= 0:
            raise InvalidTerms(
                f"milestone {row.position + 1} needs an amount above zero", field="milestones", position=row.position
            )
    Milestone.objects.bulk_create(rows)


def _wallet_of(user: User, who: str) -> str:
    wallet = Wallet.objects.filter(user=user, is_primary=True).first()
    if wallet is None:
        raise WalletMissing(f"the {who} has no wallet yet: link one before the terms are signed", who=who)
    return wallet.address


def _current_struct(deal: EscrowTransaction, milestones: Sequence[Milestone]) -> dict[str, Any]:
    """The struct that was proposed, or for a draft the one that would be proposed now."""
    version = queries.latest_terms(deal)
    if version is not None and deal.status != TransactionStatus.DRAFT:
        return terms.struct_from_json(version.struct)
    return terms.terms_struct(
        deal,
        milestones,
        buyer_address=_wallet_of(deal.buyer, "buyer"),
        seller_address=_wallet_of(deal.seller, "seller"),
        arbiter_address=_wallet_of(deal.arbiter, "arbiter"),
        details=terms.hash_words(terms.agreement_document(deal, milestones)),
    )


def _message_for(deal: EscrowTransaction, struct: Mapping[str, Any], role: Role) -> terms.TypedData:
    epoch = deal.buyer_epoch if role is Role.BUYER else deal.seller_epoch
    return terms.accept_message(deal, struct, epoch=epoch, deadline=struct["accept_by"])


def _keep_signature(version: Terms, deal: EscrowTransaction, role: Role, signature: terms.VerifiedSignature) -> None:
    TermsSignature.objects.create(
        terms=version,
        role=role,
        signer=signature.signer,
        epoch=deal.buyer_epoch if role is Role.BUYER else deal.seller_epoch,
        deadline_at=deal.accept_by,
        digest=signature.digest,
        signature=signature.signature,
    )
