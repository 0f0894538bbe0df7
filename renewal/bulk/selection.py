"""Which orchestrators a bulk action means, and what is foreseen for each of them.

Owns the frozen selection: its canonical query, its digest, and the facts of each record. The
verdict itself is `renewal/rules/acts.py`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from orchestrators import jobs
from orchestrators.models import Orchestrator
from orchestrators.reach import within
from portal.access.reach import Reach
from portal.audit.trail import Actor
from renewal.identity import claimants, prospects
from renewal.identity.naming import Shown
from renewal.models import ApprovalRequest, Claimant
from renewal.rules.acts import Act, ActFacts, Verdict, foresee
from renewal.rules.approval import RequestState
from renewal.rules.periods import Periods
from renewal.selectors.filters import Filters, matching, query_of

CHUNK = 1000
BY_GENERATION = frozenset({Act.APPROVE, Act.RESET, Act.DISAPPROVE})
"""Acts that mean a record as it was shown: what was Reset or disapproved since is not meant."""


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
    generation: int | None = None
    """The record's, of an act of `BY_GENERATION`."""

    @property
    def as_shown(self) -> Shown:
        """What an approval is held against: an entry without a claimant showed nobody."""
        return Shown(
            self.claimant,
            self.fingerprint or None,
            self.mark or None,
            generation=self.generation,
            nobody=self.claimant is None,
        )


def chosen(
    selection: Selection, periods: Periods, *reaches: Reach, now: datetime
) -> QuerySet[Orchestrator]:
    """Return the records of a selection within the reaches, in the order of their ids."""
    if selection.filters is not None:
        rows = matching(selection.filters, periods, reach=reaches[0], now=now)
    else:
        rows = Orchestrator.objects.filter(pk__in=selection.ids)
    return within(rows, *reaches).select_related(None).order_by("pk")


def foreseen(
    act: Act, rows: QuerySet[Orchestrator], *, actor: Actor, now: datetime
) -> Iterator[Foreseen]:
    """Yield what the act would do to each record, in the order of the ids.

    ``actor``: who acts, for the policies.
    """
    if act is Act.APPROVE:
        ids = list(rows.values_list("pk", flat=True))
        approver = prospects.under_policies(actor)
        taken: set[str] = set()
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            records = list(Orchestrator.objects.filter(pk__in=some).order_by("pk"))
            for found in prospects.of(records, approver, taken=taken, now=now):
                yield shown_as(found.record, found.verdict, found.claimant)
        return
    if act is Act.LOGS:
        yield from _foreseen_logs(rows)
        return
    asked: set[UUID] = set()
    if act is Act.DISAPPROVE:
        requests = ApprovalRequest.objects.filter(state=RequestState.OPEN)
        asked = set(requests.values_list("orchestrator_id", flat=True))
    facts = rows.values_list("pk", "status", "flag", "generation")
    for pk, status, flag, generation in facts.iterator(chunk_size=10 * CHUNK):
        known = ActFacts(status=status, flag=flag, is_asked=pk in asked)
        shown = generation if act in BY_GENERATION else None
        yield Foreseen(pk, foresee(act, known), generation=shown)


def _foreseen_logs(rows: QuerySet[Orchestrator]) -> Iterator[Foreseen]:
    asked = jobs.asked_for_logs(rows)
    some = rows.only("pk", "status", "capabilities", "had_session")
    for each in some.iterator(chunk_size=10 * CHUNK):
        offers = jobs.offers_logs(each)
        known = ActFacts(status=each.status, is_asked=each.pk in asked, offers_logs=offers)
        yield Foreseen(each.pk, foresee(Act.LOGS, known))


def shown_as(record: Orchestrator, verdict: Verdict, claimant: Claimant | None) -> Foreseen:
    """Return a record with whom a page shows for its approval."""
    if claimant is None:
        return Foreseen(record.pk, verdict, generation=record.generation)
    certificate = claimant.certificate
    fingerprint = certificate.fingerprint_sha256 if certificate else ""
    mark = claimants.mark_of(claimant)
    return Foreseen(record.pk, verdict, claimant.pk, fingerprint, mark, record.generation)


def digest(meaning: str, entries: Iterable[Foreseen]) -> str:
    """Return the hash of a selection: of what is to be done, of the ids, and of what each means.

    ``meaning``: the act with all that it was asked with, so that no other one is confirmed by it.
    """
    found = hashlib.sha256(f"{meaning}\n".encode())
    for entry in entries:
        shown = "" if entry.generation is None else entry.generation
        found.update(f"{entry.pk}:{entry.claimant or ''}:{entry.mark}:{shown}\n".encode())
    return found.hexdigest()
