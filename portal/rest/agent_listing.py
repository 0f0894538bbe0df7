"""What GET /Agents can be filtered and sorted by.

Owns the allow-list of names (T15 in docs/promises.md). How urgent a renewal is, and the word for
it, are `renewal/selectors/states.py`'s. The periods are read only where they are needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import cache

from django.db.models import CharField, Exists, F, OuterRef, Q, Subquery, TextField, Value
from django.db.models.functions import Cast, Coalesce
from django.db.models.lookups import IContains

from orchestrators import labels
from orchestrators.models import Orchestrator, OrchestratorLabel, Reenrollment, Status
from orchestrators.parameters import sent
from portal.preferences import store
from portal.rest import query_fields as kinds
from portal.rest import sort_keys as sort
from portal.rest.paging import Listing
from portal.rest.query_fields import EQUAL, NOTHING, ORDERED, Field
from portal.rest.query_language import Operator
from portal.rest.sort_keys import SortKey
from renewal.configuration import periods
from renewal.rules.periods import Level, Periods
from renewal.selectors.marks import Mark, marked
from renewal.selectors.states import RenewalState, at_level, having

_STATUS = {status.name.lower(): int(status) for status in Status}
_FLAG = {flag.name.lower(): int(flag) for flag in Reenrollment}
_LEVEL = {level.name.lower(): int(level) for level in Level}
_STATES = tuple(state.value for state in RenewalState)


def current_periods() -> Periods:
    """Return the periods of renewal as the settings have them (one query)."""
    return periods(store.load())


def agent_listing(
    now: datetime, rules: Callable[[], Periods] = current_periods
) -> Listing[Orchestrator]:
    """Return the table as it stands at ``now``; ``rules`` is asked only if it is needed."""
    known = cache(rules)

    @cache
    def levels() -> dict[int, Q]:
        return {int(level): at_level(level, known(), now=now) for level in Level}

    @cache
    def states() -> dict[str, Q]:
        return {state.value: having(state, known(), now=now) for state in RenewalState}

    @cache
    def offline() -> dict[str, Q]:
        found = marked(Mark.OFFLINE, known(), now=now)
        return {"true": found, "false": ~found}

    def level(operator: Operator, value: str | None) -> Q:
        if value is None:
            return NOTHING
        wanted = kinds.whole_number(value, _LEVEL)
        found = [
            condition for number, condition in levels().items() if _HOLDS[operator](number, wanted)
        ]
        return Q(*found, _connector=Q.OR) if found else NOTHING

    flag = kinds.number("flag", _FLAG)
    account = kinds.text("service_account__username")
    platform = kinds.number("platform")
    expiry = kinds.moment("certificate_not_after")
    by_account = sort.column("service_account__username", sort.TEXT)
    by_platform = sort.column("platform", sort.SMALL)
    by_flag = sort.column("flag", sort.SMALL)
    return Listing(
        fields={
            "AgentId": kinds.guid("pk"),
            "ClientMachine": kinds.name("name_key"),
            "Identity": account,
            "Username": account,
            "Platform": platform,
            "AgentPlatform": platform,
            "Version": kinds.text("version"),
            "Status": kinds.number("status", _STATUS),
            "LastSeen": kinds.moment_with_day("last_seen", "seen_on"),
            "Capabilities": Field(
                EQUAL | {Operator.CONTAINS, Operator.NOT_CONTAINS},
                _capabilities,
                kinds.searched,
            ),
            "Thumbprint": kinds.thumbprint("thumbprint"),
            "LegacyThumbprint": kinds.thumbprint("legacy_thumbprint"),
            "LastThumbprintUsed": kinds.thumbprint("last_thumbprint_used"),
            "AuthCertificateReenrollment": flag,
            "LastErrorCode": Field(EQUAL, _error_code),
            "LastErrorMessage": kinds.text("last_error_message"),
            "CertificateNotAfter": expiry,
            "Level": Field(ORDERED, level, kinds.walked),
            "RenewalState": kinds.one_of(states, _STATES),
            "Offline": kinds.one_of(offline, ("true", "false")),
            "Group": kinds.related_name("group__name_key", "group"),
            "Label": Field(EQUAL, _label, _label_cost),
            "ClientParameter": Field(EQUAL, _parameter, kinds.walked),
        },
        sort={
            "AgentId": sort.BY_IDENTITY,
            "ClientMachine": sort.column("name_key", sort.TEXT, is_indexed=True),
            "Identity": by_account,
            "Username": by_account,
            "Platform": by_platform,
            "AgentPlatform": by_platform,
            "Version": sort.column("version", sort.TEXT),
            "Status": sort.column("status", sort.SMALL),
            "LastSeen": sort.moment_or_never("last_seen"),
            "Thumbprint": sort.column("thumbprint", sort.TEXT, is_indexed=True),
            "AuthCertificateReenrollment": by_flag,
            "CertificateNotAfter": sort.moment_then_none("certificate_not_after"),
            "Level": sort.in_groups(lambda: [levels()[int(each)] for each in Level]),
            "RenewalState": sort.in_groups(lambda: [states()[each] for each in _STATES]),
            "Group": sort.text_or_none("group__name_key"),
            "Label:": SortKey(named=_by_label),
        },
        default="AgentId",
        identity=sort.GUID,
    )


_HOLDS = {
    Operator.EQ: int.__eq__,
    Operator.LT: int.__lt__,
    Operator.LE: int.__le__,
    Operator.GT: int.__gt__,
    Operator.GE: int.__ge__,
}


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


def _label(operator: Operator, value: str | None) -> Q:
    """``key=value``, or ``key`` with any value; NULL is an orchestrator without labels."""
    if value is None:
        # An anti-join; NOT IN would search all labels anew for each record.
        return ~Q(Exists(OrchestratorLabel.objects.filter(orchestrator=OuterRef("pk"))))
    return Q(pk__in=labels.bearers(value))


def _label_cost(_: Operator, value: str | None) -> int:
    # Each record is looked up among the labels where NULL is asked for; else their index serves.
    return kinds.MOST_COST // 2 if value is None else kinds.WALK


def _parameter(operator: Operator, value: str | None) -> Q:
    """``name=value``, or ``name`` with any value; NULL is an orchestrator that sent none."""
    return Q(client_parameters={}) if value is None else sent(value)


def _by_label(key: str) -> SortKey | None:
    """Sort by the value of the label with this key; those without it come first."""
    try:
        labels.parse(f"{key}=any")
    except labels.GroupingRefused:
        return None
    value = OrchestratorLabel.objects.filter(orchestrator=OuterRef("pk"), key=key).values("value")
    return SortKey(Coalesce(Subquery(value[:1]), Value(""), output_field=CharField()), sort.TEXT)
