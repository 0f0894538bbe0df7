"""What a page takes: the fields of its form, and the parameters of its address.

Owns the declaration, which stands beside the view, and the refusal of all that is not declared:
nothing that somebody sends is silently dropped, and no filter that is not known shows everything.
What a value may be is the form's or the view's matter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import BadRequest
from django.forms import FileField, Form, ModelMultipleChoiceField, MultipleChoiceField
from django.http import HttpRequest, QueryDict
from django.utils.datastructures import MultiValueDict

Given = QueryDict | MultiValueDict[str, Any]
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
_TOKEN = "csrfmiddlewaretoken"  # noqa: S105 - the field's name


@dataclass(frozen=True)
class Fields:
    """Names that a page takes."""

    once: frozenset[str] = frozenset()
    many: frozenset[str] = frozenset()
    """May come several times."""
    files: frozenset[str] = frozenset()
    each: tuple[tuple[str, str], ...] = ()
    """A prefix and a field: one of ``prefix-value`` may come for each value of the field."""

    def names(self, given: QueryDict) -> frozenset[str]:
        """Return the names that these values may have."""
        rows = {f"{prefix}-{value}" for prefix, name in self.each for value in given.getlist(name)}
        return self.once | self.many | rows


NOTHING = Fields()


def fields(
    *once: str,
    many: Collection[str] = (),
    each: Mapping[str, str] | None = None,
    form: type[Form] | None = None,
) -> Fields:
    """Return what a page takes: a form's fields, and others by name.

    ``many``: may come several times. ``each``: for each value of a field (``{"shown": "ids"}``)
    one whose name ends in it.
    """
    known = form.base_fields if form else {}
    several = {
        name
        for name, field in known.items()
        if isinstance(field, (MultipleChoiceField, ModelMultipleChoiceField))
    }
    files = frozenset(name for name, field in known.items() if isinstance(field, FileField))
    return Fields(
        once=(frozenset(known) | frozenset(once)) - several - files,
        many=frozenset(several) | frozenset(many),
        files=files,
        each=tuple((each or {}).items()),
    )


def check_form(request: HttpRequest, taken: Fields) -> None:
    """Raise BadRequest for what a form sends and the page does not take."""
    if request.content_type not in _FORM_TYPES:
        # Django reads nothing from such a body, and it would be dropped as a whole.
        raise BadRequest("A page takes forms alone.")
    # A browser sends a part without a file name for a file that nobody chose; Django reads a field.
    unchosen = {name for name in taken.files if request.POST.get(name) == ""}
    known = taken.names(request.POST) | {_TOKEN} | unchosen
    _check(request.POST, known, taken.many, "The form has no field")
    _check(request.FILES, taken.files, frozenset(), "The form has no file")


def check_query(request: HttpRequest, taken: Fields) -> None:
    """Raise BadRequest for what an address asks for and the page does not know."""
    _check(request.GET, taken.names(request.GET), taken.many, "This page has no parameter")


def _check(given: Given, known: Collection[str], many: Collection[str], unknown: str) -> None:
    for name in given:
        if name not in known:
            raise BadRequest(f"{unknown} {name[:60]!r}.")
        if name not in many and len(given.getlist(name)) > 1:
            raise BadRequest(f"{name[:60]!r} was sent more than once.")


def one_of(given: QueryDict, name: str, known: Collection[str]) -> str:
    """Return a value that is one of those known, or empty. Raises BadRequest for another."""
    value = given.get(name, "")
    if value and value not in known:
        raise BadRequest(f"{name!r} is not known with the value {value[:60]!r}.")
    return value
