"""Who wants what. Only optional kinds can be switched off."""

from collections.abc import Collection, Iterable

from notifications.catalogue import OPTIONAL_KINDS
from notifications.errors import UnknownNotificationType
from notifications.models import Channel, NotificationPreference


def set_preference(*, user_id: int, kind: str, is_wanted: bool, channel: str = Channel.EMAIL) -> NotificationPreference:
    """Switch an optional kind on or off for one channel. Raises UnknownNotificationType for any other kind."""
    if kind not in OPTIONAL_KINDS:
        raise UnknownNotificationType.among(kind, OPTIONAL_KINDS)
    preference, _ = NotificationPreference.objects.update_or_create(
        user_id=user_id, kind=kind, channel=channel, defaults={"is_wanted": is_wanted}
    )
    return preference


def list_unwilling(*, kinds: Collection[str], user_ids: Iterable[int], channel: str) -> set[tuple[int, str]]:
    """The (user id, kind) pairs among these that were switched off: one query."""
    optional = OPTIONAL_KINDS.intersection(kinds)
    if not optional:
        return set()
    off = NotificationPreference.objects.filter(
        kind__in=optional, user_id__in=list(user_ids), channel=channel, is_wanted=False
    )
    return set(off.values_list("user_id", "kind"))
