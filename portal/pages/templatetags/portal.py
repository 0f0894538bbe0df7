"""Filters and tags of the pages. No rule is here.

What icons, states and times look like is `pieces.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django import template
from django.http import QueryDict
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orchestrators.protocol.codes import TEXTS, Code
from portal.pages import pieces
from portal.pages.glossary import GLOSSARY
from portal.pages.stylesheet import address

register = template.Library()
for tag in (pieces.icon, pieces.chip, pieces.stamp, pieces.day, pieces.short):
    register.simple_tag(tag)
for as_filter in (pieces.days, pieces.middle, pieces.platform):
    register.filter(as_filter)


@register.simple_tag(name="stylesheet")
def stylesheet_address() -> str:
    """The address of the one stylesheet."""
    return address()


@register.simple_tag(takes_context=True)
def when(context: Mapping[str, Any], moment: datetime | None, empty: str = "never") -> SafeString:
    """A moment, relative to the page's; the exact time on hover."""
    return pieces.when(moment, context["now"], empty)


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
def dangerous(acts: Iterable[Any]) -> list[Any]:
    """Of the acts those that stand apart."""
    return [act for act in acts if act.is_dangerous]


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
