"""The filters of the list of orchestrators as a query of the REST API.

Owns the translation: where the API has no word for a filter there is no query, never one that finds
more. What the words mean is `portal/rest`'s.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestrators.models import Status
from orchestrators.names import canonical
from orchestrators.records import parse_agent_id
from renewal.rules.periods import whole_second
from renewal.selectors.filters import NO_CODE, Filters, hex_of
from renewal.selectors.marks import Mark


def query_string(filters: Filters, *, now: datetime) -> str | None:
    """Return filters in the API's query language; None where one of them cannot be said in it."""
    is_said = filters.mark in (None, Mark.OFFLINE)
    if not is_said or filters.demonstration is not None or filters.version:
        # A version is compared regardless of case there, and exactly here.
        return None
    parts: list[tuple[str, str, object]] = []
    if filters.state is not None:
        parts.append(("RenewalState", "eq", filters.state.value))
    if filters.group:
        parts.append(("Group", "eq", filters.group))
    if filters.label:
        parts.append(("Label", "eq", filters.label))
    if filters.parameter:
        parts.append(("ClientParameter", "eq", filters.parameter))
    if filters.platform is not None:
        parts.append(("Platform", "eq", int(filters.platform)))
    if filters.ends is not None:
        days, begin = filters.ends.on, whole_second(now)
        first, last = (days.begin, days.end) if days else (begin, begin + _days(filters.ends.days))
        parts += [
            ("Status", "eq", int(Status.APPROVED)),
            ("CertificateNotAfter", "ge", _moment(first)),
            ("CertificateNotAfter", "lt" if days else "le", _moment(last)),
        ]
    if filters.mark is Mark.OFFLINE:
        parts.append(("Offline", "eq", "true"))
    if filters.account:
        parts.append(("Identity", "eq", filters.account))
    if filters.answer:
        code = None if filters.answer == NO_CODE else filters.answer
        parts.append(("LastErrorCode", "eq", code))
    if filters.seen is not None:
        begin_of = filters.seen.begin(now)
        parts.append(("LastSeen", "eq" if begin_of is None else "lt", begin_of))
    if filters.query:
        if hex_of(filters.query) or parse_agent_id(filters.query.strip()) is not None:
            return None
        parts.append(("ClientMachine", "startswith", canonical(filters.query)))
    return " AND ".join(f"{name} -{operator} {_value(v)}" for name, operator, v in parts)


def _value(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    doubled = str(value).replace('"', '""')
    return f'"{doubled}"'


def _days(count: int) -> timedelta:
    return timedelta(days=count)


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
