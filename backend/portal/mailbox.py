"""What the embedded mail server received, to be read in the browser. Development only: elsewhere there is no such page.

The messages lie in a Maildir (`settings.MAILBOX_DIR`). They were written by our own templates, but they quote what
people typed, so their HTML is shown in a sandboxed frame under a policy that runs and loads nothing.
"""

import mailbox
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import getaddresses, parsedate_to_datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.html import escape
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from common.clock import from_epoch

SHOWN_AT_MOST = 200
KEY = re.compile(r"^[A-Za-z0-9._=,+-]{1,200}$")
HEAD = re.compile(r"<head[^>]*>", re.IGNORECASE)
NEW_TAB = '<base target="_blank">'
FRAME_DIRECTIVES = (
    "sandbox allow-popups allow-popups-to-escape-sandbox",
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    "img-src data:",
    "frame-ancestors 'self'",
)
FRAME_POLICY = "; ".join(FRAME_DIRECTIVES)
View = Callable[..., HttpResponse]


@dataclass(frozen=True)
class Mail:
    """One message of the Maildir."""

    key: str
    received_at: datetime
    message: EmailMessage

    @property
    def to(self) -> list[str]:
        """The addresses it was for, in lower case."""
        headers = [str(value) for name in ("To", "Cc") for value in self.message.get_all(name, [])]
        return [address.lower() for _, address in getaddresses(headers) if address]

    @property
    def sender(self) -> str:
        return str(self.message.get("From", ""))

    @property
    def subject(self) -> str:
        return str(self.message.get("Subject", "(no subject)"))

    @property
    def sent_at(self) -> datetime | None:
        try:
            return parsedate_to_datetime(str(self.message.get("Date", "")))
        except ValueError:
            return None

    def part(self, kind: str) -> str:
        """The text of the "plain" or "html" part, empty if there is none."""
        body = self.message.get_body(preferencelist=(kind,))
        if body is None:
            return ""
        content = body.get_content()
        return content if isinstance(content, str) else ""


def in_development(view: View) -> View:
    """404 with DEBUG off, looked up at call time."""

    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not settings.DEBUG:
            raise Http404
        return view(request, *args, **kwargs)

    return guarded


def read_all() -> Iterator[Mail]:
    """All messages, the newest first."""
    for path in sorted(_files(), key=lambda found: (found.stat().st_mtime, found.name), reverse=True):
        yield _read(path)


@in_development
@require_safe
def list_messages(request: HttpRequest) -> HttpResponse:
    wanted = request.GET.get("to", "").strip().lower()
    found = [mail for mail in read_all() if not wanted or wanted in mail.to]
    context = {"mails": found[:SHOWN_AT_MOST], "count": len(found), "to": wanted}
    return render(request, "portal/mailbox/list.html", context)


@in_development
@require_safe
def messages_json(request: HttpRequest) -> HttpResponse:
    """The messages for one address (`?to=`), or all of them, the newest first: for programs such as the demo."""
    wanted = request.GET.get("to", "").strip().lower()
    found = [mail for mail in read_all() if not wanted or wanted in mail.to]
    listed = [
        {
            "key": mail.key,
            "to": mail.to,
            "from": mail.sender,
            "subject": mail.subject,
            "received_at": mail.received_at.isoformat(),
            "message_id": str(mail.message.get("Message-ID", "")).strip(),
            "text": mail.part("plain"),
            "has_html": bool(mail.part("html")),
        }
        for mail in found
    ]
    return JsonResponse({"count": len(listed), "messages": listed})


@in_development
@require_safe
def message(request: HttpRequest, key: str) -> HttpResponse:
    mail = _get(key)
    return render(request, "portal/mailbox/message.html", {"mail": mail, "text": mail.part("plain")})


@in_development
@require_safe
@xframe_options_sameorigin
def message_html(request: HttpRequest, key: str) -> HttpResponse:
    """The HTML part as it is, for the frame."""
    mail = _get(key)
    html = mail.part("html") or f"<pre>{escape(mail.part('plain'))}</pre>"
    # Links open beside the mailbox: inside the frame every other page refuses to be shown.
    response = HttpResponse(HEAD.sub(r"\g<0>" + NEW_TAB, html, count=1) if HEAD.search(html) else NEW_TAB + html)
    response.headers["Content-Security-Policy"] = FRAME_POLICY
    return response


def _files() -> Iterator[Path]:
    for folder in ("new", "cur"):
        directory = Path(settings.MAILBOX_DIR) / folder
        if directory.is_dir():
            yield from (path for path in directory.iterdir() if path.is_file())


def _key(path: Path) -> str:
    # A Maildir name carries flags after a colon; they change, the rest does not.
    return path.name.partition(mailbox.Maildir.colon)[0]


def _get(key: str) -> Mail:
    if KEY.match(key):
        for path in _files():
            if _key(path) == key:
                return _read(path)
    raise Http404


def _read(path: Path) -> Mail:
    with path.open("rb") as source:
        parsed = BytesParser(policy=policy.default).parse(source)
    assert isinstance(parsed, EmailMessage)
    return Mail(key=_key(path), received_at=from_epoch(int(path.stat().st_mtime)), message=parsed)
