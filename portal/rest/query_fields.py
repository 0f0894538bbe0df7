"""The kinds of fields that a query may name, and what each comparison means.

Owns the translation to conditions, and how much of what no index serves one query may ask for.
Which fields there are is each resource's own table, and nothing else of a row can be asked for (T15
in docs/promises.md). Syntax is `query_language.py`'s. Text is compared regardless of case.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Q

from orchestrators.names import canonical
from portal.rest.codes import ErrorCode
from portal.rest.query_language import Comparison, Every, Node, Operator, QueryInvalid

Compare = Callable[[Operator, str | None], Q]
Cost = Callable[[Operator, str | None], int]

EQUAL = frozenset({Operator.EQ, Operator.NE})
ORDERED = EQUAL | {Operator.LT, Operator.LE, Operator.GT, Operator.GE}
TEXT = EQUAL | {
    Operator.CONTAINS,
    Operator.NOT_CONTAINS,
    Operator.STARTS_WITH,
    Operator.ENDS_WITH,
}
_NEGATED = {Operator.NE: Operator.EQ, Operator.NOT_CONTAINS: Operator.CONTAINS}
LOOKUPS = {
    Operator.EQ: "exact",
    Operator.LT: "lt",
    Operator.LE: "lte",
    Operator.GT: "gt",
    Operator.GE: "gte",
    Operator.CONTAINS: "contains",
    Operator.STARTS_WITH: "startswith",
    Operator.ENDS_WITH: "endswith",
}
_DAY_LOOKUPS = {
    Operator.EQ: "exact",
    Operator.LT: "lte",
    Operator.LE: "lte",
    Operator.GT: "gte",
    Operator.GE: "gte",
}
SEARCH = 5
"""What looking for a part of a text costs: each row is converted and searched."""
WALK = 1
"""What a lighter comparison costs that looks at each row all the same."""
MOST_COST = 4 * SEARCH
_SEARCHES = TEXT - EQUAL
_GREATEST_NUMBER = 2**31 - 1
_GREATEST_LARGE_NUMBER = 2**63 - 1
NOTHING = Q(pk__in=[])


class ValueWrong(ValueError):
    """A value is not of the field's type; the message says what is."""


@dataclass(frozen=True)
class Field:
    """One field: its operators, and the condition for an operator that is not negated.

    ``cost`` says what a comparison costs: nothing where an index serves it, or where it compares a
    short column as it stands.
    """

    operators: frozenset[Operator]
    compare: Compare
    cost: Cost = lambda _, value: 0


def condition(node: Node | None, fields: Mapping[str, Field]) -> Q:
    """Return the condition of a tree over fields by their documented names, which are read in
    any case. Raises QueryInvalid.
    """
    found = _condition(node, fields)
    _check_cost(_comparisons(node), fields)
    return found


def _condition(node: Node | None, fields: Mapping[str, Field]) -> Q:
    if node is None:
        return Q()
    if isinstance(node, Comparison):
        return _comparison(node, fields)
    found = [_condition(part, fields) for part in node.parts]
    return Q(*found) if isinstance(node, Every) else Q(*found, _connector=Q.OR)


def _comparisons(node: Node | None) -> list[Comparison]:
    if node is None or isinstance(node, Comparison):
        return [] if node is None else [node]
    return [each for part in node.parts for each in _comparisons(part)]


def _check_cost(asked: Sequence[Comparison], fields: Mapping[str, Field]) -> None:
    costs: dict[str, int] = {}
    for each in asked:
        field = _named(each.field, fields)
        if field is not None and (cost := field.cost(each.operator, each.value)):
            costs[each.field.lower()] = costs.get(each.field.lower(), 0) + cost
    if sum(costs.values()) <= MOST_COST:
        return
    slow = ", ".join(name for name in fields if name.lower() in costs)
    raise QueryInvalid(
        ErrorCode.QUERY_TOO_SLOW,
        f"No index serves the comparisons with {slow}: a query has at most "
        f"{MOST_COST // SEARCH} of them that look for a part of a text, or {MOST_COST} lighter "
        "ones. Ask in several queries.",
    )


def _named(name: str, fields: Mapping[str, Field]) -> Field | None:
    wanted = name.lower()
    return next((each for known, each in fields.items() if known.lower() == wanted), None)


def _comparison(node: Comparison, fields: Mapping[str, Field]) -> Q:
    field = _named(node.field, fields)
    if field is None:
        raise QueryInvalid(
            ErrorCode.QUERY_FIELD_UNKNOWN,
            f"There is no field {node.field[:40]}; there are {', '.join(fields)}.",
        )
    if node.operator not in (EQUAL if node.value is None else field.operators):
        usable = ", ".join(f"-{o}" for o in Operator if o in field.operators)
        raise QueryInvalid(
            ErrorCode.QUERY_OPERATOR_UNKNOWN,
            f"{node.field} has no -{node.operator} for this value; it has {usable}.",
        )
    try:
        found = field.compare(_NEGATED.get(node.operator, node.operator), node.value)
    except ValueWrong as wrong:
        raise QueryInvalid(
            ErrorCode.QUERY_VALUE_INVALID, f"{node.field} is compared with {wrong}."
        ) from None
    return ~found if node.operator in _NEGATED else found


def walked(_: Operator, __: str | None) -> int:
    """The cost of a field each comparison of which looks at each row."""
    return WALK


def searched(_: Operator, value: str | None) -> int:
    """The cost of a field each comparison of which looks for a part of a text."""
    return 0 if value is None else SEARCH


def _text_cost(operator: Operator, value: str | None) -> int:
    if value is None:
        return 0
    return SEARCH if operator in _SEARCHES else WALK


def _indexed_cost(operator: Operator, _: str | None) -> int:
    return SEARCH if operator in _SEARCHES - {Operator.STARTS_WITH} else 0


def text(column: str) -> Field:
    """A text; NULL is the empty one."""

    def compare(operator: Operator, value: str | None) -> Q:
        if value is None:
            return Q(**{column: ""})
        return Q(**{f"{column}__i{LOOKUPS[operator]}": value})

    return Field(TEXT, compare, _text_cost)


def absent() -> Field:
    """A text that no row has."""
    return Field(TEXT, lambda _, value: ~NOTHING if value is None else NOTHING)


def name(column: str) -> Field:
    """A name in its canonical column, which has an index for -eq and -startswith."""

    def compare(operator: Operator, value: str | None) -> Q:
        if value is None:
            return Q(**{column: ""})
        if operator is Operator.EQ:
            return Q(**{column: canonical(value)})
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
        return Q(**{f"{column}__{LOOKUPS[operator]}": folded})

    return Field(TEXT, compare, _indexed_cost)


def related_name(column: str, relation: str) -> Field:
    """The canonical name of something that a row may be without; NULL is without."""
    plain = name(column)

    def compare(operator: Operator, value: str | None) -> Q:
        return (
            Q(**{f"{relation}__isnull": True}) if value is None else plain.compare(operator, value)
        )

    return Field(TEXT, compare, _indexed_cost)


def related_text(column: str, relation: str) -> Field:
    """A text of something that a row may be without; NULL is without."""
    plain = text(column)

    def compare(operator: Operator, value: str | None) -> Q:
        if value is None:
            return Q(**{f"{relation}__isnull": True})
        return plain.compare(operator, value)

    return Field(TEXT, compare, _text_cost)


def thumbprint(column: str) -> Field:
    """Hexadecimal digits in capitals, however they were copied."""

    def compare(operator: Operator, value: str | None) -> Q:
        return Q(**{f"{column}__{LOOKUPS[operator]}": _digits(value).upper()})

    return Field(TEXT, compare, _indexed_cost)


def hexadecimal(column: str) -> Field:
    """Hexadecimal digits in small letters, however they were copied."""

    def compare(operator: Operator, value: str | None) -> Q:
        return Q(**{f"{column}__{LOOKUPS[operator]}": _digits(value).lower()})

    return Field(TEXT, compare, _indexed_cost)


def _digits(value: str | None) -> str:
    # Tools print thumbprints and serial numbers in groups.
    return (value or "").replace(" ", "").replace(":", "")


def guid(column: str) -> Field:
    """A GUID; NULL is none."""

    def compare(operator: Operator, value: str | None) -> Q:
        if value is None:
            return NOTHING if column == "pk" else Q(**{f"{column}__isnull": True})
        try:
            return Q(**{column: UUID(value)})
        except ValueError:
            raise ValueWrong("a GUID") from None

    return Field(EQUAL, compare)


def number(column: str, names: Mapping[str, int] | None = None, *, is_large: bool = False) -> Field:
    """A whole number that is never null, also by a name in lower case."""
    greatest = _GREATEST_LARGE_NUMBER if is_large else _GREATEST_NUMBER

    def compare(operator: Operator, value: str | None) -> Q:
        if value is None:
            return NOTHING
        return Q(**{f"{column}__{LOOKUPS[operator]}": min(whole_number(value, names), greatest)})

    return Field(ORDERED, compare)


def whole_number(value: str, names: Mapping[str, int] | None = None) -> int:
    """Return the number that a value is or names. Raises ValueWrong."""
    named = (names or {}).get(value.lower())
    if named is not None:
        return named
    if not (value.isascii() and value.isdecimal() and len(value) <= 19):
        also = f" or one of {', '.join(names)}" if names else ""
        raise ValueWrong(f"a whole number{also}")
    return int(value)


def one_of(conditions: Callable[[], Mapping[str, Q]], names: tuple[str, ...]) -> Field:
    """A word of a few, each with the condition that it stands for; never null."""

    def compare(operator: Operator, value: str | None) -> Q:
        if value is None:
            return NOTHING
        if value.lower() not in names:
            raise ValueWrong(f"one of {', '.join(names)}")
        return conditions()[value.lower()]

    return Field(EQUAL, compare, walked)


def moment(column: str) -> Field:
    """A date or time, UTC unless it says otherwise; NULL is none."""

    def compare(operator: Operator, value: str | None) -> Q:
        if value is None:
            return Q(**{f"{column}__isnull": True})
        return Q(**{f"{column}__{LOOKUPS[operator]}": moment_of(value)})

    return Field(ORDERED, compare)


def moment_with_day(column: str, day: str) -> Field:
    """A moment that no index has, with a column of its day (UTC) that one has."""
    plain = moment(column)

    def compare(operator: Operator, value: str | None) -> Q:
        found = plain.compare(operator, value)
        if value is None:
            return found & Q(**{f"{day}__isnull": True})
        # Says nothing new: it bounds what is read.
        return found & Q(**{f"{day}__{_DAY_LOOKUPS[operator]}": moment_of(value).date()})

    return Field(ORDERED, compare)


def moment_of(value: str) -> datetime:
    """Return the moment that a value names. Raises ValueWrong."""
    try:
        found = datetime.fromisoformat(value)
        aware = found if found.tzinfo else found.replace(tzinfo=UTC)
        return aware.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueWrong("a date or time such as 2026-06-01T12:00:00Z") from None
