"""The fields that a query on orchestrators may name, and what each comparison means.

Owns the allow-list (T15 in docs/promises.md): nothing else of a record can be asked for. Syntax
is `query_language.py`'s. Text is compared regardless of case.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import F, Q, TextField
from django.db.models.functions import Cast
from django.db.models.lookups import IContains

from orchestrators.models import Reenrollment, Status
from orchestrators.names import canonical
from portal.rest.codes import ErrorCode
from portal.rest.query_language import Comparison, Every, Node, Operator, QueryInvalid

Compare = Callable[[Operator, str | None], Q]

_EQUAL = frozenset({Operator.EQ, Operator.NE})
_ORDERED = _EQUAL | {Operator.LT, Operator.LE, Operator.GT, Operator.GE}
_TEXT = _EQUAL | {
    Operator.CONTAINS,
    Operator.NOT_CONTAINS,
    Operator.STARTS_WITH,
    Operator.ENDS_WITH,
}
_NEGATED = {Operator.NE: Operator.EQ, Operator.NOT_CONTAINS: Operator.CONTAINS}
_LOOKUPS = {
    Operator.EQ: "exact",
    Operator.LT: "lt",
    Operator.LE: "lte",
    Operator.GT: "gt",
    Operator.GE: "gte",
    Operator.CONTAINS: "contains",
    Operator.STARTS_WITH: "startswith",
    Operator.ENDS_WITH: "endswith",
}
_GREATEST_NUMBER = 2**31 - 1
_NONE = Q(pk__in=[])


class _ValueWrong(ValueError):
    """A value is not of the field's type; the message says what is."""


@dataclass(frozen=True)
class Field:
    """One field: its operators, and the condition for an operator that is not negated."""

    operators: frozenset[Operator]
    compare: Compare


def condition(node: Node | None, fields: Mapping[str, Field] | None = None) -> Q:
    """Return the condition of a tree. Raises QueryInvalid."""
    if node is None:
        return Q()
    known = FIELDS if fields is None else fields
    if isinstance(node, Comparison):
        return _comparison(node, known)
    found = [condition(part, known) for part in node.parts]
    return Q(*found) if isinstance(node, Every) else Q(*found, _connector=Q.OR)


def _comparison(node: Comparison, fields: Mapping[str, Field]) -> Q:
    field = fields.get(node.field.lower())
    if field is None:
        raise QueryInvalid(
            ErrorCode.QUERY_FIELD_UNKNOWN,
            f"There is no field {node.field[:40]}; there are {', '.join(FIELD_NAMES)}.",
        )
    if node.operator not in (_EQUAL if node.value is None else field.operators):
        usable = ", ".join(f"-{o}" for o in Operator if o in field.operators)
        raise QueryInvalid(
            ErrorCode.QUERY_OPERATOR_UNKNOWN,
            f"{node.field} has no -{node.operator} for this value; it has {usable}.",
        )
    try:
        found = field.compare(_NEGATED.get(node.operator, node.operator), node.value)
    except _ValueWrong as wrong:
        raise QueryInvalid(
            ErrorCode.QUERY_VALUE_INVALID, f"{node.field} is compared with {wrong}."
        ) from None
    return ~found if node.operator in _NEGATED else found


def _text(column: str) -> Field:
    def compare(operator: Operator, value: str | None) -> Q:
        if value is None:
            return Q(**{column: ""})
        return Q(**{f"{column}__i{_LOOKUPS[operator]}": value})

    return Field(_TEXT, compare)


def _name(column: str) -> Field:
    """A name in its canonical column, which has an index for -eq and -startswith."""

    def compare(operator: Operator, value: str | None) -> Q:
        if value is None:
            return Q(**{column: ""})
        if operator is Operator.EQ:
            return Q(**{column: canonical(value)})
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
        return Q(**{f"{column}__{_LOOKUPS[operator]}": folded})

    return Field(_TEXT, compare)


def _thumbprint(column: str) -> Field:
    def compare(operator: Operator, value: str | None) -> Q:
        # Tools print thumbprints in groups.
        plain = (value or "").replace(" ", "").replace(":", "").upper()
        return Q(**{f"{column}__{_LOOKUPS[operator]}": plain})

    return Field(_TEXT, compare)


def _guid(operator: Operator, value: str | None) -> Q:
    if value is None:
        return _NONE
    try:
        return Q(pk=UUID(value))
    except ValueError:
        raise _ValueWrong("a GUID") from None


def _number(column: str, names: Mapping[str, int] | None = None) -> Compare:
    def compare(operator: Operator, value: str | None) -> Q:
        if value is None:
            return _NONE
        number = (names or {}).get(value.lower())
        if number is None:
            if not (value.isascii() and value.isdecimal() and len(value) <= 10):
                also = f" or one of {', '.join(names)}" if names else ""
                raise _ValueWrong(f"a whole number{also}")
            number = min(int(value), _GREATEST_NUMBER)
        return Q(**{f"{column}__{_LOOKUPS[operator]}": number})

    return compare


def _moment(column: str) -> Compare:
    def compare(operator: Operator, value: str | None) -> Q:
        if value is None:
            return Q(**{f"{column}__isnull": True})
        try:
            moment = datetime.fromisoformat(value)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return Q(**{f"{column}__{_LOOKUPS[operator]}": aware.astimezone(UTC)})
        except (ValueError, OverflowError):
            raise _ValueWrong("a date or time such as 2026-06-01T12:00:00Z") from None

    return compare


def _capabilities(operator: Operator, value: str | None) -> Q:
    if value is None:
        return Q(capabilities=[])
    # Stored as a JSON array; a whole element stands there with its quotes.
    wanted = json.dumps(value) if operator is Operator.EQ else json.dumps(value)[1:-1]
    return Q(IContains(Cast(F("capabilities"), TextField()), wanted))


def _error_code(operator: Operator, value: str | None) -> Q:
    if value is None:
        return Q(last_error_code="")
    if value.isascii() and value.isdecimal() and len(value) <= 19:
        return Q(last_error_code=f"{int(value):08X}")
    return Q(last_error_code=value.upper())


_STATUS = {status.name.lower(): int(status) for status in Status}
_FLAG = {flag.name.lower(): int(flag) for flag in Reenrollment}

_NAMED: dict[str, Field] = {
    "AgentId": Field(_EQUAL, _guid),
    "ClientMachine": _name("name_key"),
    "Identity": _text("service_account__username"),
    "Username": _text("service_account__username"),
    "Platform": Field(_ORDERED, _number("platform")),
    "AgentPlatform": Field(_ORDERED, _number("platform")),
    "Version": _text("version"),
    "Status": Field(_ORDERED, _number("status", _STATUS)),
    "LastSeen": Field(_ORDERED, _moment("last_seen")),
    "Capabilities": Field(_EQUAL | {Operator.CONTAINS, Operator.NOT_CONTAINS}, _capabilities),
    "Thumbprint": _thumbprint("thumbprint"),
    "LegacyThumbprint": _thumbprint("legacy_thumbprint"),
    "LastThumbprintUsed": _thumbprint("last_thumbprint_used"),
    "AuthCertificateReenrollment": Field(_ORDERED, _number("flag", _FLAG)),
    "LastErrorCode": Field(_EQUAL, _error_code),
    "LastErrorMessage": _text("last_error_message"),
}
FIELD_NAMES = tuple(_NAMED)
FIELDS: dict[str, Field] = {name.lower(): field for name, field in _NAMED.items()}
