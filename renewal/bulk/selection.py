"""Which orchestrators a bulk action means, and what is foreseen for each of them.

Owns the frozen selection: its canonical query, its digest, and the facts of each record. The
verdict itself is `renewal/rules/acts.py`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from django.db.models import QuerySet

from orchestrators.models import Orchestrator, Status
from orchestrators.names import canonical
from orchestrators.reach import within
from portal.access.reach import Reach
from portal.preferences import store
from renewal.identity import approval_requests, claimants
from renewal.models import ApprovalRequest, Certificate, Claimant
from renewal.rules.acts import Act, ActFacts, Verdict, foresee
from renewal.rules.approval import Policies, RequestKind, RequestState
from renewal.rules.periods import Periods
from renewal.rules.standing import ACCEPTED
from renewal.selectors import fleet, history
from renewal.selectors.fleet import Filters
from renewal.selectors.marks import Mark
from renewal.selectors.states import RenewalState

CHUNK = 1000
_FLEETS = {"real": False, "demonstration": True}
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True)
class Selection:
    """All that match the filters of a list, or the ids that somebody ticked."""

    filters: Filters | None = None
    ids: tuple[UUID, ...] = ()

    @property
    def query(self) -> str:
        return query_of(self.filters) if self.filters else ""


@dataclass(frozen=True)
class Foreseen:
    """One record of a selection, with whom an approval would name."""

    pk: UUID
    verdict: Verdict
    claimant: int | None = None
    fingerprint: str = ""
    mark: str = ""
    """`claimants.mark_of` it: certificate or credential, and name."""


def filters_from(given: Mapping[str, str]) -> Filters:
    """Return the filters of a query's parameters; what is not known narrows nothing."""

    def text(name: str, longest: int) -> str:
        return given.get(name, "").replace("\x00", "").strip()[:longest]

    return Filters(
        state=_member(RenewalState, given.get("state", "")),
        mark=_member(Mark, given.get("mark", "")),
        query=text("q", 200),
        by_name=given.get("sort") == "name",
        demonstration=_FLEETS.get(given.get("fleet", "")),
        group=text("group", 100),
        label=text("label", 127),
    )


def filters_of_query(query: str) -> Filters:
    """Return the filters of a query string."""
    return filters_from(dict(parse_qsl(query[:2000])))


def query_of(filters: Filters) -> str:
    """Return the canonical query of filters: one order, nothing that narrows nothing."""
    belongs = {value: name for name, value in _FLEETS.items()}
    parts = (
        ("state", filters.state or ""),
        ("mark", filters.mark or ""),
        ("q", filters.query),
        ("fleet", belongs.get(bool(filters.demonstration), ""))
        if filters.demonstration is not None
        else ("fleet", ""),
        ("group", filters.group),
        ("label", filters.label),
    )
    return urlencode([(name, str(value)) for name, value in parts if value])


def chosen(
    selection: Selection, periods: Periods, *reaches: Reach, now: datetime
) -> QuerySet[Orchestrator]:
    """Return the records of a selection within the reaches, in the order of their ids."""
    if selection.filters is not None:
        rows = fleet.matching(selection.filters, periods, reach=reaches[0], now=now)
    else:
        rows = Orchestrator.objects.filter(pk__in=selection.ids)
    return within(rows, *reaches).select_related(None).order_by("pk")


def foreseen(
    act: Act, rows: QuerySet[Orchestrator], *, approver: str, now: datetime
) -> Iterator[Foreseen]:
    """Yield what the act would do to each record, in the order of the ids.

    ``approver``: `approval_requests.key_of` who acts, for the policies.
    """
    if act is Act.APPROVE:
        policies = approval_requests.policies(store.load())
        ids = list(rows.values_list("pk", flat=True))
        taken: set[str] = set()
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            yield from _approvals(some, taken, policies, approver, now=now)
        return
    asked: set[UUID] = set()
    if act is Act.DISAPPROVE:
        requests = ApprovalRequest.objects.filter(state=RequestState.OPEN)
        asked = set(requests.values_list("orchestrator_id", flat=True))
    facts = rows.values_list("pk", "status", "flag")
    for pk, status, flag in facts.iterator(chunk_size=10 * CHUNK):
        found = ActFacts(status=status, flag=flag, is_asked=pk in asked)
        yield Foreseen(pk, foresee(act, found))


def shown_as(pk: UUID, verdict: Verdict, claimant: Claimant | None) -> Foreseen:
    """Return a record with whom a page shows for it."""
    if claimant is None:
        return Foreseen(pk, verdict)
    certificate = claimant.certificate
    fingerprint = certificate.fingerprint_sha256 if certificate else ""
    return Foreseen(pk, verdict, claimant.pk, fingerprint, claimants.mark_of(claimant))


def digest(entries: Iterable[Foreseen]) -> str:
    """Return the hash of a selection: of the ids, and of what an approval names for each."""
    found = hashlib.sha256()
    for entry in entries:
        found.update(f"{entry.pk}:{entry.claimant or ''}:{entry.mark}\n".encode())
    return found.hexdigest()


def _open_requests(ids: Sequence[UUID]) -> dict[UUID, ApprovalRequest]:
    rows = ApprovalRequest.objects.filter(orchestrator__in=ids, state=RequestState.OPEN)
    return {row.orchestrator_id: row for row in rows}


def _is_barred(
    record: Orchestrator, request: ApprovalRequest | None, policies: Policies, approver: str
) -> bool:
    if request is None:
        # Approving would open it, in the approver's name.
        kind = RequestKind.FIRST if record.reset_at is None else RequestKind.AFTER_RESET
        return policies.bars(kind, caused_by=approver, approver=approver)
    kind = RequestKind(request.kind)
    return policies.bars(kind, caused_by=request.caused_by_key, approver=approver)


def _approvals(
    ids: Sequence[UUID], taken: set[str], policies: Policies, approver: str, *, now: datetime
) -> Iterator[Foreseen]:
    records = list(Orchestrator.objects.filter(pk__in=ids).order_by("pk"))
    seen = history.usable_claimants(records, now=now)
    requests = _open_requests(ids)
    held = set(
        Certificate.objects.filter(orchestrator__in=ids, standing__in=sorted(ACCEPTED)).values_list(
            "orchestrator_id", flat=True
        )
    )
    named = {record.pk: _named(seen[record.pk]) for record in records}
    names = {record.pk: _name_after(record, named[record.pk][0]) for record in records}
    taken |= set(
        Orchestrator.objects.filter(
            status=Status.APPROVED, name_key__in=set(names.values()) - {""}
        ).values_list("name_key", flat=True)
    )
    for record in records:
        claimant, refusal = named[record.pk]
        if _is_barred(record, requests.get(record.pk), policies, approver):
            refusal = "policy"
        is_restored = record.status == Status.DISAPPROVED and record.pk in held
        name = record.name_key if is_restored else names[record.pk]
        facts = ActFacts(
            status=record.status,
            holds_accepted=record.pk in held,
            refusal=refusal,
            is_name_taken=name in taken,
        )
        verdict = foresee(Act.APPROVE, facts)
        if verdict.outcome == "change" and name:
            taken.add(name)
        yield shown_as(record.pk, verdict, None if is_restored else claimant)


def _named(candidates: Sequence[Claimant]) -> tuple[Claimant | None, str]:
    try:
        return claimants.choose(candidates, expected=None, fingerprint=None), ""
    except claimants.NobodyCameForward:
        return None, "nobody_seen"
    except claimants.ClaimantConflict:
        return None, "conflict"


def _name_after(record: Orchestrator, claimant: Claimant | None) -> str:
    if claimant is not None and claimant.client_machine and record.reset_at is None:
        return canonical(claimant.client_machine)
    return record.name_key


def _member(kind: type[E], value: Any) -> E | None:
    try:
        return kind(value)
    except ValueError:
        return None
