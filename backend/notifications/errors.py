"""What can be wrong with telling somebody something. `code` is stable."""

from collections.abc import Iterable


class NotificationError(Exception):
    code = "notification_refused"


class UnknownNotificationType(NotificationError, ValueError):
    """No such type. The message lists those there are."""

    code = "unknown_notification_type"

    @classmethod
    def among(cls, name: object, known: Iterable[str]) -> "UnknownNotificationType":
        # Not in __init__: a result backend rebuilds an error from its message alone.
        return cls(f"there is no notification type {name!r}; there are: {', '.join(sorted(known))}")


class UnknownUser(NotificationError, ValueError):
    """No account has this id."""

    code = "unknown_user"


class NothingToTell(NotificationError, ValueError):
    """The platform's own record contradicts the message: it has not happened, or not to this object."""

    code = "nothing_to_tell"


class InvalidMessage(NotificationError, ValueError):
    """A subject, text or address that no mail can carry."""

    code = "invalid_message"


class DeliveryDeferred(NotificationError):
    """The mail server could not take some messages now. They are kept and tried again."""

    code = "delivery_deferred"
