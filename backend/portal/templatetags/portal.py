"""Small words and pictures that templates need: badges, amounts, addresses, moments, the money bar."""

from datetime import datetime
from typing import Any

from django import template
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from common.clock import utc_now, words_for_seconds
from portal import prose
from portal.turns import Turn
from transactions.models import EscrowTransaction, Event, Milestone
from transactions.rules import Action, Role

register = template.Library()


@register.simple_tag
def is_development() -> bool:
    """Whether pages that exist in development only may be linked."""
    return bool(settings.DEBUG)


@register.filter
def badge(row: EscrowTransaction | Milestone) -> SafeString:
    """The state of a deal or a milestone as a label."""
    found = prose.transaction_badge(row) if isinstance(row, EscrowTransaction) else prose.milestone_badge(row)
    return format_html('<span class="badge {}">{}</span>', found.tone, found.label)


@register.simple_tag
def money(deal: EscrowTransaction, units: int) -> SafeString:
    """An amount in the deal's token."""
    return format_html('<span class="amount">{}</span>', deal.token.format(units))


@register.filter
def short_hex(text: str) -> SafeString:
    """An address or a hash with its middle left out; the whole of it on hover and for screen readers' copy."""
    if not text:
        return SafeString("")
    short = f"{text[:8]}…{text[-6:]}" if len(text) > 18 else text
    return format_html('<code title="{}">{}</code>', text, short)


@register.filter
def moment(value: datetime | None) -> SafeString:
    """A point in time in the reader's zone, machine-readable as well."""
    if value is None:
        return SafeString("")
    local = timezone.localtime(value)
    shown = date_format(local, "j M Y, H:i")
    return format_html('<time datetime="{}" title="{}">{}</time>', value.isoformat(), local.tzname(), shown)


@register.filter
def until(value: datetime | None) -> str:
    """How long it is until then, roughly: "in 3 days"."""
    if value is None:
        return ""
    seconds = int((value - utc_now()).total_seconds())
    if seconds <= 0:
        return "now over"
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"in {count} {unit}{'' if count == 1 else 's'}"
    return f"in {seconds} seconds"


@register.filter
def duration(seconds: int) -> str:
    """A duration in words."""
    return words_for_seconds(seconds)


@register.simple_tag
def event_words(event: Event, deal: EscrowTransaction) -> str:
    """What happened, in a sentence."""
    return prose.event_words(event, deal)


@register.filter
def intent_verb(intent: Any) -> str:
    """What is being asked of the vault."""
    return prose.INTENT_VERBS.get(Action(intent.action), str(intent.action))


@register.filter
def intent_state(intent: Any) -> str:
    """How far the request has come."""
    return prose.INTENT_STATES.get(intent.status, str(intent.status))


@register.filter
def file_size(size_bytes: int) -> str:
    """12 345 → "12.3 kB", in the units of the SI."""
    if size_bytes < 1_000:
        return f"{size_bytes} bytes"
    for unit, size in (("kB", 1_000), ("MB", 1_000_000)):
        if size_bytes < size * 1_000 or unit == "MB":
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes} bytes"


@register.filter
def percent(basis_points: int) -> str:
    """5000 → "50 %"."""
    return f"{basis_points / 100:g} %"


@register.inclusion_tag("portal/parts/money_bar.html")
def money_bar(deal: EscrowTransaction) -> dict[str, Any]:
    """Where the deal's money is: locked, paid to the seller, returned, not paid in. Widths in thousandths."""
    units = {"released": 0, "locked": 0, "refunded": 0, "unfunded": 0}
    for milestone in deal.milestones.all():
        if milestone.money == "FUNDED":
            units["locked"] += milestone.amount_units
        elif milestone.money == "UNFUNDED":
            units["unfunded"] += milestone.amount_units
        else:
            units["released"] += milestone.seller_units
            units["refunded"] += milestone.buyer_units
    labels = {
        "released": "paid to the seller",
        "locked": "locked in the vault",
        "refunded": "returned to the buyer",
        "unfunded": "not paid in",
    }
    total = sum(units.values()) or 1
    parts, offset = [], 0
    for name, amount in units.items():
        if amount:
            width = max(amount * 1000 // total, 4)
            parts.append(
                {"name": name, "label": labels[name], "text": deal.token.format(amount), "x": offset, "width": width}
            )
            offset += width
    return {"parts": parts, "summary": ", ".join(f"{part['text']} {part['label']}" for part in parts)}


@register.inclusion_tag("portal/parts/field.html")
def field(bound: Any) -> dict[str, Any]:
    """A form field with its label, help and errors, tied together for screen readers."""
    kind = getattr(bound.field.widget, "input_type", "")
    return {"field": bound, "is_checkbox": kind == "checkbox"}


@register.inclusion_tag("portal/parts/field_errors.html")
def form_errors(form: Any) -> dict[str, Any]:
    """What is wrong with the form as a whole."""
    return {"errors": form.non_field_errors()}


@register.simple_tag(takes_context=True)
def nav_link(context: Any, name: str, label: str) -> SafeString:
    """A link of the main navigation, marked where the reader is."""
    url = reverse(name)
    request = context.get("request")
    here = SafeString(' aria-current="page"') if request is not None and request.path == url else ""
    return format_html('<a href="{}"{}>{}</a>', url, here, label)


@register.simple_tag
def whose(deal: EscrowTransaction, turn: Turn) -> str:
    """The name of the person whose turn it is."""
    people = {Role.BUYER: deal.buyer, Role.SELLER: deal.seller, Role.ARBITER: deal.arbiter}
    return str(people[turn.role]) if turn.role in people else ""
