"""Rows of the audit log that belong together, as one entry of its list.

Owns what is folded into what: rows of one request that tell the same, and all rows of one bulk job,
which are told by one sentence. The words of a single row are `timeline.py`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from portal.audit import authorship
from portal.audit.acts import BULK_GROUP, BULK_JOB
from portal.audit.chain import FORGED
from portal.audit.models import AuditEntry, AuditSeal
from portal.pages.bulk_words import JOB_LABELS, all_of
from portal.pages.timeline import Told, told
from renewal.rules.acts import Act
from renewal.rules.bulk_lifecycle import BulkState
from renewal.selectors.states import Label

_COUNTS = ("changed", "unchanged", "skipped", "failed")


@dataclass(frozen=True)
class JobTold:
    """A bulk job as its own rows tell it, the newest first."""

    steps: tuple[Told, ...]
    page: str = ""
    """Number of the job's page, if the reader may open it."""

    @property
    def group(self) -> str:
        return str(self.steps[0].entry.request_id)

    @property
    def title(self) -> str:
        """What was done to how many: ``Request renewal of 500 orchestrators``."""
        after = self.steps[0].entry.after
        try:
            return all_of(Act(after.get("act")), int(after.get("total")))
        except (TypeError, ValueError):
            return self.steps[0].title

    @property
    def label(self) -> Label | None:
        """The state that the newest row tells."""
        try:
            return JOB_LABELS[BulkState(self.steps[0].entry.after.get("state"))]
        except ValueError:
            return None

    @property
    def counts(self) -> list[tuple[int, str]]:
        """What came of it, as far as the newest row knows: number and word."""
        after = self.steps[0].entry.after
        found = [(_number(after, name), name) for name in _COUNTS]
        found.append((_number(after, "left"), "left untouched"))
        return [(number, word) for number, word in found if number]

    @property
    def has_rows(self) -> bool:
        """It did something to an orchestrator, or may have: it is not over yet."""
        after = self.steps[0].entry.after
        return "changed" not in after or _number(after, "changed") > 0

    @property
    def by(self) -> str:
        """Who submitted it."""
        return str(self.steps[0].entry.after.get("submitted_by") or self.steps[-1].by)

    @property
    def reason(self) -> str:
        return str(self.steps[-1].entry.message)


@dataclass
class Group:
    """Rows that stand together: the first is shown, the others unfold."""

    first: Told
    others: list[Told] = field(default_factory=list)
    job: JobTold | None = None

    @property
    def rows(self) -> list[Told]:
        """What the job did row by row, as far as it is on this page."""
        return [each for each in (self.first, *self.others) if not _is_of_job(each)]

    @property
    def same(self) -> str:
        """What all of these rows tell, if it is the same."""
        titles = {row.title for row in self.rows}
        return titles.pop() if len(titles) == 1 else ""


def grouped(entries: Iterable[AuditEntry], jobs: Mapping[str, JobTold]) -> list[Group]:
    """Fold rows of one act into the first of them. ``jobs``: by the request id of their rows."""
    groups: list[Group] = []
    of_act: dict[tuple[str, str], Group] = {}
    for event in map(told, entries):
        request = str(event.entry.request_id)
        job = jobs.get(request)
        act = (request, "" if job is not None else event.title)
        if request and act in of_act:
            of_act[act].others.append(event)
            continue
        of_act[act] = group = Group(event, job=job)
        groups.append(group)
    return groups


def jobs_told(
    entries: Iterable[AuditEntry], rows: QuerySet[AuditEntry], pages: QuerySet[Any]
) -> dict[str, JobTold]:
    """Return the bulk jobs that entries are of: two queries at most, none where there is none.

    ``rows``: what the reader may read. ``pages``: the jobs whose page the reader may open.
    """
    wanted = {str(e.request_id) for e in entries if str(e.request_id).startswith(BULK_GROUP)}
    if not wanted:
        return {}
    found: dict[str, list[AuditEntry]] = {}
    for row in rows.filter(request_id__in=wanted, object_type=BULK_JOB).order_by("-id"):
        found.setdefault(str(row.request_id), []).append(row)
    known = _opened(pages, found)
    return {
        request: JobTold(tuple(map(told, own)), _key(request) if _key(request) in known else "")
        for request, own in found.items()
    }


def doubts(entries: Iterable[AuditEntry], jobs: Mapping[str, JobTold]) -> dict[str, set[int]]:
    """Return which rows that are told are not sealed yet, and which the portal did not write."""
    told_of = {row.pk for row in entries}
    told_of |= {step.entry.pk for job in jobs.values() for step in job.steps}
    seals = dict(AuditSeal.objects.filter(entry_id__in=told_of).values_list("entry_id", "verdict"))
    noted = {pk for pk, verdict in seals.items() if verdict == FORGED}
    return {"unsealed": told_of - seals.keys(), "forged": noted - authorship.cleared(noted)}


def _opened(pages: QuerySet[Any], requests: Collection[str]) -> set[str]:
    keys = [int(key) for request in requests if (key := _key(request)).isdecimal()]
    return {str(pk) for pk in pages.filter(pk__in=keys).values_list("pk", flat=True)}


def _key(request: str) -> str:
    return request.removeprefix(BULK_GROUP)[:18]


def _is_of_job(event: Told) -> bool:
    return bool(event.entry.object_type == BULK_JOB)


def _number(after: Mapping[str, Any], name: str) -> int:
    value = after.get(name)
    return value if isinstance(value, int) else 0
