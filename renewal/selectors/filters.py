"""What a list of orchestrators is narrowed to: from a URL, as a URL, as rows.

Owns the filters, their canonical query and their translation into rows, so that list, counts,
export and bulk actions mean the same records. Which state a record is in is `states.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

from django.db.models import Q, QuerySet

from orchestrators.labels import bearers
from orchestrators.models import Orchestrator, OrchestratorGroup
from orchestrators.names import canonical
from orchestrators.parameters import sent
from orchestrators.protocol.terms import AgentPlatform
from orchestrators.reach import within
from orchestrators.records import parse_agent_id
from portal.access.models import User
from portal.access.reach import Reach
from renewal.models import Certificate
from renewal.rules.periods import Periods
from renewal.selectors.marks import Mark, marked
from renewal.selectors.spans import Ends, Silence, ends_of, silence_of
from renewal.selectors.states import RenewalState, having

E = TypeVar("E", bound=StrEnum)
V = TypeVar("V")
NAMES = (
    *("state", "mark", "q", "sort", "fleet", "group", "label", "parameter", "ends"),
    *("platform", "version", "account", "answer", "seen"),
)
"""The parameters that name a filter or the order."""
NO_CODE = "none"
_FLEETS = {"real": False, "demonstration": True}
_LEAST_HEX = 6
_MOST_HOLDERS = 1000
"""Six hex digits name one certificate of sixteen million: more holders are no search's aim."""


class FilterInvalid(ValueError):
    """A filter cannot be read; the message says which. Left out, it would show everything."""


class Sort(StrEnum):
    """An order that an index has."""

    URGENT = ""
    LATEST = "-ends"
    NAME = "name"
    NAME_DOWN = "-name"
    SEEN = "seen"
    """By the day of the last contact, then by name; who never called comes first."""
    SEEN_DOWN = "-seen"


@dataclass(frozen=True)
class Filters:
    """What a list shows, and in which order; every member comes from the URL."""

    state: RenewalState | None = None
    mark: Mark | None = None
    query: str = ""
    sort: Sort = Sort.URGENT
    demonstration: bool | None = None
    group: str = ""
    label: str = ""
    """``key=value``, or ``key`` alone for any value."""
    parameter: str = ""
    """A client parameter: ``name=value``, or ``name`` alone for any value."""
    ends: Ends | None = None
    platform: AgentPlatform | None = None
    version: str = ""
    account: str = ""
    """The name of a service account."""
    answer: str = ""
    """A code of the agent protocol, or ``none``: the last request had neither warning nor error."""
    seen: Silence | None = None

    @property
    def is_narrowed(self) -> bool:
        return bool(query_of(self))


def filters_from(given: Mapping[str, str]) -> Filters:
    """Return the filters of a query's parameters. Raises FilterInvalid for a value of no meaning.

    Other parameters are the page's matter.
    """
    platforms = {name.lower(): platform for name, platform in AgentPlatform.__members__.items()}
    return Filters(
        state=member_of(given, "state", RenewalState),
        mark=member_of(given, "mark", Mark),
        query=text_of(given, "q", 200),
        sort=member_of(given, "sort", Sort) or Sort.URGENT,
        demonstration=_known(given, "fleet", _FLEETS),
        group=text_of(given, "group", 100),
        label=text_of(given, "label", 127),
        parameter=text_of(given, "parameter", 300),
        ends=ends_in(given, "ends"),
        platform=_known(given, "platform", platforms),
        version=text_of(given, "version", 64),
        account=text_of(given, "account", 150),
        answer=_answer_in(given),
        seen=_silence_in(given),
    )


def filters_of_query(query: str) -> Filters:
    """Return the filters of a query string; all of them: one less would mean more orchestrators.

    Raises FilterInvalid for one that is not known, or is there twice.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    if unknown := set(given) - set(NAMES):
        raise FilterInvalid(f"There is no filter {min(unknown)[:60]!r}.")
    if len(given) < len(pairs):
        raise FilterInvalid("A filter is there twice.")
    return filters_from(given)


def query_of(filters: Filters, *, with_order: bool = False) -> str:
    """Return the canonical query of filters: one order, nothing that narrows nothing."""
    belongs = {value: name for name, value in _FLEETS.items()}
    fleet = "" if filters.demonstration is None else belongs[filters.demonstration]
    parts = (
        ("state", filters.state or ""),
        ("mark", filters.mark or ""),
        ("q", filters.query),
        ("fleet", fleet),
        ("group", filters.group),
        ("label", filters.label),
        ("parameter", filters.parameter),
        ("ends", filters.ends or ""),
        ("platform", filters.platform.name.lower() if filters.platform is not None else ""),
        ("version", filters.version),
        ("account", filters.account),
        ("answer", filters.answer),
        ("seen", filters.seen or ""),
        ("sort", filters.sort if with_order else ""),
    )
    return urlencode([(name, str(value)) for name, value in parts if value])


def matching(
    filters: Filters, periods: Periods, *, reach: Reach, now: datetime
) -> QuerySet[Orchestrator]:
    """Return the records within the reach that the filters name, in no order.

    A search for hex digits costs one query here: an ``OR`` over a subquery would read the fleet.
    """
    rows = narrowed(filters, periods, reach=reach, now=now)
    if filters.state is not None:
        rows = rows.filter(having(filters.state, periods, now=now))
    return rows


def narrowed(
    filters: Filters, periods: Periods, *, reach: Reach, now: datetime
) -> QuerySet[Orchestrator]:
    """Return what `matching` does, whatever the state."""
    rows = within(Orchestrator.objects.select_related("group", "service_account"), reach)
    if filters.group:
        # By its number, which the indexes of the lists begin with: a join would walk the fleet. And
        # looked up before: of a number that it does not know the planner expects the usual many.
        named = OrchestratorGroup.objects.filter(name_key=canonical(filters.group))
        number = named.values_list("pk", flat=True).first()
        rows = rows.none() if number is None else rows.filter(group=number)
    if filters.label:
        rows = rows.filter(pk__in=bearers(filters.label))
    if filters.parameter:
        rows = rows.filter(sent(filters.parameter))
    if filters.mark is not None:
        rows = rows.filter(marked(filters.mark, periods, now=now))
    if filters.demonstration is not None:
        rows = rows.filter(demonstration=filters.demonstration)
    if filters.ends is not None:
        rows = rows.filter(filters.ends.condition(now))
    if filters.platform is not None:
        rows = rows.filter(platform=filters.platform)
    if filters.version:
        rows = rows.filter(version=filters.version)
    if filters.account:
        # By number, as groups. Two accounts may have names that differ by case alone.
        accounts = User.objects.filter(username__iexact=filters.account)
        rows = rows.filter(service_account__in=list(accounts.values_list("pk", flat=True)))
    if filters.answer:
        rows = rows.filter(last_error_code="" if filters.answer == NO_CODE else filters.answer)
    if filters.seen is not None:
        rows = rows.filter(filters.seen.condition(now))
    if filters.query:
        rows = rows.filter(_found_by(filters.query))
    return rows


_LABELS = re.compile(
    r"(?:(?:(?:sha-?(?:1|256)\s*)?(?:fingerprint|thumbprint)|serial(?:\s*number)?"
    r"|subject|cn|dns|uri|ip(?:\s*address)?|email)\s*[=:]\s*)+",
    re.IGNORECASE,
)


def without_label(text: str) -> str:
    """Return what was copied with its label without it: ``subject=CN = web01`` is ``web01``.

    As `openssl x509` prints subject, serial number, fingerprint and alternative names.
    """
    text = text.strip()
    label = _LABELS.match(text)
    return text[label.end() :] if label else text


def hex_of(text: str) -> str:
    """Return a thumbprint or serial number in lower-case hex, whatever it was copied from.

    Colons, spaces, dashes and the invisible mark that Windows' certificate dialog puts first are
    left out; empty if anything else is in it.
    """
    plain = without_label(text)
    plain = re.sub(r"[\s:\-\u200e\u200f\u202a-\u202e\ufeff]", "", plain).lower()
    plain = plain.removeprefix("0x")
    return plain if re.fullmatch(r"[0-9a-f]+", plain) else ""


def _found_by(query: str) -> Q:
    """By id, beginning of the name, or beginning of a thumbprint that it has or ever had."""
    query = without_label(query)
    condition = Q(name_key__startswith=canonical(query))
    if (agent_id := parse_agent_id(query.strip())) is not None:
        condition |= Q(pk=agent_id)
    if len(digits := hex_of(query)) >= _LEAST_HEX:
        held = Certificate.objects.filter(orchestrator__isnull=False)
        if len(digits) == 64:
            held = held.filter(fingerprint_sha256=digits)
        else:
            held = held.filter(thumbprint__startswith=digits.upper())
        holders = held.order_by("thumbprint").values_list("orchestrator_id", flat=True)
        condition |= Q(pk__in=set(holders[:_MOST_HOLDERS]))
    return condition


def text_of(given: Mapping[str, str], name: str, longest: int) -> str:
    """Return a text without NUL and outer spaces. Raises FilterInvalid for a longer one."""
    text = given.get(name, "").replace("\x00", "").strip()
    if len(text) > longest:
        raise FilterInvalid(f"{name!r} has at most {longest} characters.")
    return text


def member_of(given: Mapping[str, str], name: str, kind: type[E]) -> E | None:
    """Return the member that a parameter names, if it names one. Raises FilterInvalid."""
    return _known(given, name, {member.value: member for member in kind})


def ends_in(given: Mapping[str, str], name: str) -> Ends | None:
    """Return when something ends, if a parameter says so. Raises FilterInvalid."""
    text = text_of(given, name, 24)
    if text and (found := ends_of(text)) is None:
        raise FilterInvalid(f"{name!r} is written as 30d, 2026-12-01 or 2026-12-01..2026-12-07.")
    return found if text else None


def _answer_in(given: Mapping[str, str]) -> str:
    text = text_of(given, "answer", 8)
    if text.lower() == NO_CODE or not text:
        return text.lower()
    # Also one that is sent no more: records may bear it still.
    if not re.fullmatch(r"[0-9a-f]{8}", text, re.ASCII | re.IGNORECASE):
        raise FilterInvalid("'answer' (last answer) is a code such as A0100008, or none.")
    return text.upper()


def _silence_in(given: Mapping[str, str]) -> Silence | None:
    text = text_of(given, "seen", 8)
    if text and (found := silence_of(text)) is None:
        raise FilterInvalid("'seen' (not seen for) is days, such as 30d (at most 3660d), or never.")
    return found if text else None


def _known(given: Mapping[str, str], name: str, known: Mapping[str, V]) -> V | None:
    value = given.get(name, "")
    if value and value not in known:
        raise FilterInvalid(f"{name!r} is not known with the value {value[:60]!r}.")
    return known.get(value)
