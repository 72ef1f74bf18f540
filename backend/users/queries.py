"""Reads about people: who can be named in terms, and which verification requests one may see."""

from django.db.models import QuerySet

from users.models import User, VerificationRequest


def find_by_email(email: str) -> User | None:
    """The active account with this address, compared without case."""
    return User.objects.filter(email__iexact=email.strip(), is_active=True).first()


def list_arbiters() -> QuerySet[User]:
    """The people whom agreements may name as arbiter."""
    return User.objects.filter(is_arbiter=True, is_active=True).order_by("display_name", "pk")


def verification_requests_visible_to(user: User) -> QuerySet[VerificationRequest]:
    """All of them for a reviewer, else one's own."""
    requests = VerificationRequest.objects.select_related("profile__user", "decided_by").prefetch_related("documents")
    if not user.is_authenticated:
        return requests.none()
    return requests if user.is_reviewer else requests.filter(profile__user=user)
