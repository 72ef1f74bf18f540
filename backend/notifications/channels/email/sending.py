"""Handing mails to the SMTP server, one recipient each, over one connection that is kept as long as it works."""

import logging
import smtplib
from email.header import Header
from email.message import Message
from email.utils import parseaddr
from enum import StrEnum
from types import TracebackType
from typing import Any, NamedTuple, Self

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection

from notifications.models import Notification

logger = logging.getLogger(__name__)


class Answer(StrEnum):
    """What the server said to one mail."""

    TAKEN = "taken"
    REFUSED = "refused"  # for good: another try would be refused as well
    LATER = "later"  # not this one, not now
    UNREACHABLE = "unreachable"  # the server itself: no use to go on with others


class Outcome(NamedTuple):
    answer: Answer
    error: str = ""


class MailConnection:
    """One connection to the mail server for many mails. Use it as a context manager, outside of database locks."""

    def __init__(self) -> None:
        self._connection: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def send(self, notification: Notification) -> Outcome:
        """Hand over one mail. Never raises for what a server or an address can do."""
        try:
            if self._connection is None:
                connection = get_connection()
                connection.open()
                self._connection = connection
        except (OSError, smtplib.SMTPException) as error:
            return Outcome(Answer.UNREACHABLE, _words(error))
        try:
            self._connection.send_messages([_mail_of(notification)])
        except smtplib.SMTPRecipientsRefused as error:
            code, reason = next(iter(error.recipients.values()))
            if code == 421:  # the server said good-bye
                self._close()
            return _judge(code, _text(reason))
        except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as error:
            # A refused sender is our own setting, not this recipient's fault: it is tried again once that is repaired.
            sender = isinstance(error, smtplib.SMTPSenderRefused)
            self._close()
            words = f"{error.smtp_code} {_text(error.smtp_error)}"
            return Outcome(Answer.LATER, words) if sender else _judge(error.smtp_code, _text(error.smtp_error))
        except (OSError, smtplib.SMTPException) as error:
            # Whether the server had taken the mail is unknown; the next try carries the same Message-ID.
            self._close()
            return Outcome(Answer.LATER, _words(error))
        except (ValueError, UnicodeError) as error:
            return Outcome(Answer.REFUSED, _words(error))  # no mail can be built of it: bad header or address
        return Outcome(Answer.TAKEN)

    def _close(self) -> None:
        if self._connection is not None:
            try:
                self._connection.close()
            except (OSError, smtplib.SMTPException):
                logger.debug("closing the mail connection failed", exc_info=True)
            self._connection = None


class Mail(EmailMultiAlternatives):
    """A mail whose encoded subject begins on the header's own line.

    Django folds after the bare "Subject:", and readers that unfold by the letter then show a leading space.
    """

    def message(self, **options: Any) -> Any:
        message = super().message(**options)  # refuses line breaks in headers
        del message["Subject"]
        Message.__setitem__(message, "Subject", Header(str(self.subject), header_name="Subject"))
        return message


def sender_domain() -> str:
    """The domain in our own address: the right side of our Message-IDs."""
    _, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    return address.rpartition("@")[2] or "localhost"


def _mail_of(notification: Notification) -> Mail:
    mail = Mail(
        subject=notification.subject,
        body=notification.body_text,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[notification.address],
        headers={
            "Message-ID": notification.message_id,
            "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office answers to this
            "X-Notification-Kind": notification.kind,
        },
    )
    if notification.body_html:
        mail.attach_alternative(notification.body_html, "text/html")
    return mail


def _judge(code: int, words: str) -> Outcome:
    return Outcome(Answer.REFUSED if code >= 500 else Answer.LATER, f"{code} {words}")


def _text(words: bytes | str) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else words


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
