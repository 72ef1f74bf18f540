"""Who a seller is: the profile, the documents that prove it, and a reviewer's decision. All under row locks."""

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction as db_transaction

from common.clock import utc_now
from common.errors import NotFound
from documents.models import Document
from outbox.publish import publish_fact
from users.errors import InvalidProfile, NotAReviewer, ProfileLocked, VerificationNotPossible
from users.models import SellerProfile, User, VerificationRequest

Status = SellerProfile.Status
Decision = VerificationRequest.Decision
FACTS = {Decision.VERIFIED: "seller.verified", Decision.REJECTED: "seller.rejected"}
SKILLS_AT_MOST = 30
SKILL_LENGTH = 40


def save_profile(
    *,
    user: User,
    legal_name: str | None = None,
    kind: str | None = None,
    headline: str | None = None,
    skills: Sequence[str] | None = None,
) -> SellerProfile:
    """Create or change what a seller shows; what is not given stays. Raises InvalidProfile, ProfileLocked.

    Name and kind are what a reviewer verifies, so they stand still while they are in review or verified.
    """
    with db_transaction.atomic():
        profile = _locked_profile(user)
        is_fixed = profile.verification_status in (Status.PENDING, Status.VERIFIED)
        for field, value in (("legal_name", legal_name), ("kind", kind)):
            if value is None or value == getattr(profile, field):
                continue
            if is_fixed:
                raise ProfileLocked(
                    f"{field} cannot be changed while it is {profile.get_verification_status_display()}",
                    field=field,
                    status=profile.verification_status,
                )
            setattr(profile, field, value.strip())
        if headline is not None:
            profile.headline = headline.strip()
        if skills is not None:
            profile.skills = _clean_skills(skills)
        _validate(profile)
        profile.save()
    return profile


def submit_for_verification(
    *,
    user: User,
    document_ids: Sequence[int],
    legal_name: str | None = None,
    kind: str | None = None,
    headline: str | None = None,
) -> VerificationRequest:
    """Hand in documents that prove who the seller is: PENDING until a reviewer decides.

    Files may still be in their check; only clean ones can be decided on. Raises InvalidProfile,
    VerificationNotPossible (in review or verified already).
    """
    with db_transaction.atomic():
        profile = _locked_profile(user)
        if profile.verification_status not in (Status.UNVERIFIED, Status.REJECTED):
            raise VerificationNotPossible(
                f"the seller is {profile.get_verification_status_display()} already", status=profile.verification_status
            )
        profile = save_profile(user=user, legal_name=legal_name, kind=kind, headline=headline)
        documents = _own_proofs(user, document_ids)
        request = VerificationRequest.objects.create(profile=profile)
        request.documents.set(documents)
        profile.verification_status = Status.PENDING
        profile.save(update_fields=["verification_status", "updated_at"])
        _publish("seller.verification_submitted", request, profile)
    return request


def decide_verification(*, request_id: int, reviewer: User, decision: str, reason: str = "") -> VerificationRequest:
    """A reviewer's decision, VERIFIED or REJECTED (with a reason that the seller reads), once per request.

    Raises NotAReviewer, NotFound, InvalidProfile (what is wrong with the decision), VerificationNotPossible.
    """
    if not reviewer.is_reviewer:
        raise NotAReviewer("only people whom an operator appointed review sellers")
    reason = reason.strip()
    if decision not in FACTS:
        raise InvalidProfile("the decision is VERIFIED or REJECTED", field="decision")
    if decision == Decision.REJECTED and not reason:
        raise InvalidProfile("say what is missing, so that the seller can send it", field="reason")
    with db_transaction.atomic():
        found = VerificationRequest.objects.filter(pk=request_id).first()
        if found is None:
            raise NotFound(f"there is no verification request {request_id}", request_id=request_id)
        # The profile first, as when documents are handed in; then what is about to be decided.
        profile = SellerProfile.objects.select_for_update().get(pk=found.profile_id)
        request = VerificationRequest.objects.select_for_update(of=("self",)).get(pk=request_id)
        if profile.user_id == reviewer.pk:
            raise NotAReviewer("nobody reviews himself")
        if request.decision != Decision.PENDING:
            raise VerificationNotPossible("this request was decided before", status=request.decision)
        if decision == Decision.VERIFIED:
            _refuse_unchecked(request)
        now = utc_now()
        request.decision, request.reason = decision, reason
        request.decided_by, request.decided_at = reviewer, now
        request.save(update_fields=["decision", "reason", "decided_by", "decided_at"])
        profile.verification_status = decision
        profile.verified_at = now if decision == Decision.VERIFIED else None
        profile.save(update_fields=["verification_status", "verified_at", "updated_at"])
        _publish(FACTS[Decision(decision)], request, profile)
    return request


def _locked_profile(user: User) -> SellerProfile:
    SellerProfile.objects.get_or_create(user=user, defaults={"legal_name": user.display_name})
    return SellerProfile.objects.select_for_update(of=("self",)).get(user=user)


def _own_proofs(user: User, document_ids: Sequence[int]) -> list[Document]:
    wanted = set(document_ids)
    documents = list(Document.objects.filter(pk__in=wanted, owner=user, purpose=Document.Purpose.VERIFICATION))
    if not wanted or len(documents) != len(wanted):
        raise InvalidProfile(
            "hand in at least one file that you uploaded yourself for the verification", field="document_ids"
        )
    refused = [document.filename for document in documents if document.state == Document.State.REJECTED]
    if refused:
        raise InvalidProfile("these files were refused: " + ", ".join(refused), field="document_ids")
    return documents


def _refuse_unchecked(request: VerificationRequest) -> None:
    unchecked = request.documents.exclude(state=Document.State.CLEAN)
    names = ", ".join(unchecked.values_list("filename", flat=True))
    if names:
        raise VerificationNotPossible(f"these files have not passed their check: {names}", status=request.decision)


def _clean_skills(skills: Sequence[str]) -> list[str]:
    cleaned = list(dict.fromkeys(skill.strip() for skill in skills if skill.strip()))
    if len(cleaned) > SKILLS_AT_MOST or any(len(skill) > SKILL_LENGTH for skill in cleaned):
        raise InvalidProfile(
            f"at most {SKILLS_AT_MOST} skills of at most {SKILL_LENGTH} characters each", field="skills"
        )
    return cleaned


def _validate(profile: SellerProfile) -> None:
    try:
        profile.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidProfile(f"{field}: {messages[0]}", field=field) from error


def _publish(fact: str, request: VerificationRequest, profile: SellerProfile) -> None:
    publish_fact(fact, key=f"{fact}:{request.pk}", data={"user_id": profile.user_id, "request_id": request.pk})
