"""A message as a mail: plain text and HTML with the same words. The HTML loads nothing from anywhere."""

from dataclasses import dataclass

from django.template.loader import render_to_string

from notifications.message import Message, one_line

BRAND = "Escrow"


@dataclass(frozen=True)
class RenderedMail:
    subject: str
    body_text: str
    body_html: str


def render(message: Message) -> RenderedMail:
    """The mail for one message."""
    return RenderedMail(one_line(message.subject), _text(message), _html(message))


def render_verbatim(*, subject: str, text: str) -> RenderedMail:
    """A mail whose plain text is exactly `text`; the HTML shows its paragraphs in the common layout."""
    paragraphs = tuple(part.strip() for part in text.replace("\r\n", "\n").split("\n\n") if part.strip())
    message = Message(subject=subject, heading=one_line(subject), lines=paragraphs, reason="")
    return RenderedMail(one_line(subject), text, _html(message))


def _html(message: Message) -> str:
    preview = message.lines[0] if message.lines else message.heading
    return render_to_string("notifications/email/layout.html", {"message": message, "brand": BRAND, "preview": preview})


def _text(message: Message) -> str:
    blocks: list[str] = [message.heading, *message.lines]
    if message.facts:
        width = max(len(label) for label, _ in message.facts) + 1
        blocks.append("\n".join(f"{label + ':':<{width}} {value}" for label, value in message.facts))
    if message.quote:
        who, words = message.quote
        blocks.append("\n".join([f"{who}:", *(f"> {line}" for line in words.splitlines())]))
    for item in message.items:
        todo = [f"  → {text}" for text in item.todo]
        blocks.append("\n".join([item.title, *(f"  {text}" for text in item.details), *todo, f"  {item.url}"]))
    if message.action_url:
        blocks.append(f"{message.action_label}:\n{message.action_url}")
    if message.reason:
        blocks.append(f"-- \n{message.reason}")
    return "\n\n".join(blocks) + "\n"
