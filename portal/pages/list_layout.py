"""Which columns of a list a person sees, in which order, and how dense: kept and read.

Owns the form of the column chooser. Views and layouts belong to the person, whoever's eyes they
look through.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.core.exceptions import BadRequest
from django.http import HttpRequest

from portal.pages.fields import fields, one_of
from portal.pages.list_columns import Columns, Shown
from portal.preferences import personal

R = TypeVar("R")

FORM = fields("query", "move", "density", "default", many=("columns",))
"""What the column chooser sends."""


def person_of(request: HttpRequest) -> Any:
    """Return whose views and layouts these are."""
    return getattr(request, "viewer", request.user)


def shown_to(request: HttpRequest, columns: Columns[R]) -> Shown[R]:
    """Return what the visitor sees of a list."""
    return columns.shown(personal.layout_of(person_of(request), columns.page))


def keep(request: HttpRequest, known: Columns[Any]) -> None:
    """Keep what the column chooser sent. Raises BadRequest for a column that there is not."""
    person = person_of(request)
    if "default" in request.POST:
        personal.forget_layout(person, known.page)
        return
    columns = request.POST.getlist("columns")
    if not set(columns) <= set(known.by_key):
        raise BadRequest("There is no such column.")
    key, _, direction = request.POST.get("move", "").partition(":")
    if key and (key not in known.by_key or direction not in ("up", "down")):
        raise BadRequest("A column is moved up or down.")
    if key in columns:
        at = columns.index(key)
        to = min(max(at + (-1 if direction == "up" else 1), 0), len(columns) - 1)
        columns.insert(to, columns.pop(at))
    is_compact = one_of(request.POST, "density", ("compact",)) == "compact"
    personal.save_layout(person, known.page, columns, is_compact=is_compact)
