"""The embedded mail server: takes every message on 127.0.0.1 and keeps it in a Maildir; sends nothing on."""

import sys
from email.message import Message
from pathlib import Path

from aiosmtpd.handlers import Mailbox

PREFERRED_PORT = 1025


class LoggedMailbox(Mailbox):
    """aiosmtpd's Maildir handler that also says what came in."""

    def handle_message(self, message: Message) -> None:
        super().handle_message(message)
        print(f"to {message['X-RcptTo']}: {message['Subject']}", flush=True)


def command(var: Path, *, port: int) -> list[str]:
    """The command that runs the server in the foreground (from `backend/`)."""
    mailbox = folder(var)
    mailbox.parent.mkdir(parents=True, exist_ok=True)
    handler = f"{__name__}.{LoggedMailbox.__name__}"
    return [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}", "-c", handler, str(mailbox)]


def folder(var: Path) -> Path:
    """The Maildir."""
    return var / "mailbox"


def url(*, port: int) -> str:
    """The value of EMAIL_URL."""
    return f"smtp://127.0.0.1:{port}"
