"""Filters and tags of the pages: icons, times, shortened identifiers. No rule is here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django import template
from django.http import QueryDict
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orchestrators.protocol.codes import TEXTS, Code
from portal.pages.fleet_columns import platform_name
from portal.pages.glossary import GLOSSARY
from portal.pages.stylesheet import address

register = template.Library()

_UNITS = (
    (timedelta(days=365), "year"),
    (timedelta(days=30), "month"),
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
)


@register.simple_tag(name="stylesheet")
def stylesheet_address() -> str:
    """The address of the one stylesheet."""
    return address()


# Kept, as `chip` is: the same few on each row of a list. A text that is safe and the same one that
# is not are two.
@register.simple_tag
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


@register.simple_tag
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


@register.simple_tag(takes_context=True)
def when(context: Mapping[str, Any], moment: datetime | None, empty: str = "never") -> SafeString:
    """A moment, relative; the exact time, with its zone, on hover and in ``datetime``."""
    if moment is None:
        return format_html('<span class="muted">{}</span>', empty)
    return _time(moment, _local(moment), relative(moment, context["now"]))


@register.simple_tag
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


@register.simple_tag
def day(moment: datetime | str | None) -> SafeString:
    """The day of a moment, a dash for none; its exact time on hover and in ``datetime``."""
    if not isinstance(moment, datetime):
        return format_html('<span class="muted">{}</span>', "–")
    local = _local(moment)
    return _time(moment, local, local.date().isoformat())


@register.simple_tag(takes_context=True)
def term(context: Mapping[str, Any], word: str, shown: str = "") -> SafeString:
    """A word of the field, with its explanation on hover and on focus."""
    request = context["request"]
    request.terms_shown = number = getattr(request, "terms_shown", 0) + 1
    return format_html(
        '<span class="term" tabindex="0" aria-describedby="term-{}">{}'
        '<span class="term-text" role="tooltip" id="term-{}">{}</span></span>',
        number,
        shown or (word if word[0].isupper() else word[0].upper() + word[1:]),
        number,
        GLOSSARY[word],
    )


@register.filter
def middle(value: str) -> str:
    """A long identifier, shortened in the middle."""
    return value if len(value) <= 16 else f"{value[:6]}…{value[-6:]}"


@register.filter
def dangerous(acts: Iterable[Any]) -> list[Any]:
    """Of the acts those that stand apart."""
    return [act for act in acts if act.is_dangerous]


@register.simple_tag
def short(value: str, name: str = "value") -> SafeString:
    """A long identifier, shortened in the middle, that copies whole with one click."""
    if not value:
        return format_html('<span class="muted">{}</span>', "–")
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


@register.simple_tag
def lifetime(seconds: int) -> str:
    """A length of time in its greatest whole unit."""
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds % size == 0 and seconds >= size:
            count = seconds // size
            return f"{count:,} {word}{'' if count == 1 else 's'}"
    return "0 seconds"


@register.filter
def commas(value: int) -> str:
    """A whole number with its thousands set apart."""
    return f"{value:,}"


@register.filter
def brief(value: int) -> str:
    """A number in at most four characters, rounded down; nothing for none."""
    if value < 1000:
        return str(value) if value else ""
    if value < 10_000:
        return f"{value // 100 / 10:.1f}k"
    return f"{value // 1000}k" if value < 1_000_000 else f"{value // 1_000_000}M"


@register.filter
def days(value: int | None) -> str:
    """Whole days left, rounded down."""
    if value is None:
        return "–"
    if value < 0:
        gone = -value - 1
        return "ended today" if gone == 0 else f"ended {gone:,} day{'' if gone == 1 else 's'} ago"
    return f"{value:,} day{'' if value == 1 else 's'}"


@register.filter
def sentence_of(code: str) -> str:
    """The sentence of a reply's code, as in the orchestrator's log."""
    try:
        return TEXTS[Code(code)].sentence
    except ValueError:
        return ""


@register.filter
def remedy_of(code: str) -> str:
    """What a person can do about a reply's code."""
    try:
        return TEXTS[Code(code)].remedy
    except ValueError:
        return ""


@register.filter
def platform(number: int) -> str:
    """An orchestrator's platform as a word."""
    return platform_name(number)


@register.filter
def colons(value: str) -> str:
    """Hex in pairs."""
    return ":".join(value[i : i + 2] for i in range(0, len(value), 2))


@register.simple_tag(takes_context=True)
def query(context: Mapping[str, Any], **changes: Any) -> str:
    """The page's own query string with members changed; an empty value removes one."""
    parameters: QueryDict = context["request"].GET.copy()
    for name, value in changes.items():
        if value in (None, ""):
            parameters.pop(name, None)
        else:
            parameters[name] = str(value)
    return f"?{parameters.urlencode()}"


@register.simple_tag(takes_context=True)
def query_without(context: Mapping[str, Any], name: str) -> str:
    """The page's own query string without one member, from its first page on."""
    changes: dict[str, Any] = {name: None, "cursor": None}
    return query(context, **changes)
