"""Small pieces of HTML that pages and cells are made of: icons, states, times, identifiers.

Owns how each of them looks. No rule is here, and nothing of a template: `templatetags/portal.py`
gives them their names there.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orchestrators.protocol.terms import AgentPlatform

NONE = SafeString('<span class="muted">–</span>')
"""Where there is nothing to show."""
_UNITS = (
    (timedelta(days=365), "year"),
    (timedelta(days=30), "month"),
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
)


# Kept, as `chip` is: the same few on each row of a list. A text that is safe and the same one that
# is not are two.
@lru_cache(maxsize=512, typed=True)
def icon(name: str, label: str = "") -> SafeString:
    """An icon of the sprite; decorative unless it has a label."""
    sprite = static("vendor/tabler-icons/icons.svg")
    if label:
        return format_html(
            '<svg class="icon" role="img" aria-label="{}"><use href="{}#{}"></use></svg>',
            label,
            sprite,
            name,
        )
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', sprite, name
    )


@lru_cache(maxsize=512)
def chip(label: Any) -> SafeString:
    """A state as icon, word and colour; its meaning on hover."""
    return format_html(
        '<span class="chip tone-{}" title="{}">{}<span>{}</span></span>',
        label.tone,
        label.meaning,
        icon(label.icon),
        label.word,
    )


def relative(moment: datetime, now: datetime) -> str:
    """Return "3 minutes ago" or "in 12 days"; whole units, rounded down."""
    gap = abs(moment - now)
    for unit, word in _UNITS:
        count = gap // unit
        if count >= 1:
            # Days stay days for as long as anybody counts in them.
            if word in ("month", "year") and gap < timedelta(days=400):
                continue
            if word == "month":
                continue
            text = f"{count:,} {word}{'' if count == 1 else 's'}"
            return f"in {text}" if moment > now else f"{text} ago"
    return "just now" if moment <= now else "in a moment"


def _local(moment: datetime) -> datetime:
    try:
        return timezone.localtime(moment)
    except OverflowError:
        # RFC 5280 §4.1.2.5: 9999-12-31 is "never", and has no next day in any zone.
        return moment.astimezone(UTC)


def _time(moment: datetime, local: datetime, shown: str) -> SafeString:
    # Several in each row, so the quick way: nothing to escape in digits, names of zones and the
    # words of `relative`, and `isoformat` takes a tenth of `strftime`.
    utc = moment.astimezone(UTC).isoformat()[:19]
    exact = local.isoformat(" ")[:19]
    return SafeString(f'<time datetime="{utc}Z" title="{exact} {local.tzname()}">{shown}</time>')


def when(moment: datetime | None, now: datetime, empty: str = "never") -> SafeString:
    """A moment, relative; the exact time, with its zone, on hover and in ``datetime``."""
    if moment is None:
        return format_html('<span class="muted">{}</span>', empty)
    return _time(moment, _local(moment), relative(moment, now))


def stamp(moment: datetime | None, empty: str = "–") -> SafeString:
    """A moment, exact, with its zone."""
    if moment is None:
        return format_html('<span class="muted">{}</span>', empty)
    local = _local(moment)
    return format_html(
        '<time datetime="{}">{} <span class="zone">{}</span></time>',
        f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"{local:%Y-%m-%d %H:%M:%S}",
        f"{local:%Z}",
    )


def day(moment: datetime | str | None) -> SafeString:
    """The day of a moment, a dash for none; its exact time on hover and in ``datetime``."""
    if not isinstance(moment, datetime):
        return NONE
    local = _local(moment)
    return _time(moment, local, local.date().isoformat())


def days(value: int | None) -> str:
    """Whole days left, rounded down."""
    if value is None:
        return "–"
    if value < 0:
        gone = -value - 1
        return "ended today" if gone == 0 else f"ended {gone:,} day{'' if gone == 1 else 's'} ago"
    return f"{value:,} day{'' if value == 1 else 's'}"


def middle(value: str) -> str:
    """A long identifier, shortened in the middle."""
    return value if len(value) <= 16 else f"{value[:6]}…{value[-6:]}"


def short(value: str, name: str = "value") -> SafeString:
    """A long identifier, shortened in the middle, that copies whole with one click."""
    if not value:
        return NONE
    shown = middle(value)
    return format_html(
        '<span class="copyable"><code title="{}">{}</code>'
        '<button type="button" class="copy" data-copy="{}" aria-label="Copy {} {}" hidden>'
        "{}</button></span>",
        value,
        shown,
        value,
        name,
        shown,
        icon("copy"),
    )


def platform(number: int) -> str:
    """An orchestrator's platform as a word; an unknown one as its number."""
    if number not in set(AgentPlatform):
        return str(number)
    return {"DOTNET": ".NET"}.get(name := AgentPlatform(number).name, name.capitalize())
