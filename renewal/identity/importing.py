"""Taking in a fleet that another system knows, so that nobody is a stranger on the first day.

Owns what each row of a list leads to. With its certificate a row becomes an Approved record at once
(`entry.py`). With a thumbprint alone it becomes a New record that waits for it: whoever comes
forward with a trusted certificate of that thumbprint is approved in that moment
(`first_registration.py`), and nobody else is. Nothing is taken from a record that exists. A dry run
does the same and rolls back slice by slice: it cannot say anything else, and nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import chain, islice
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from orchestrators import labels
from orchestrators.fleet_file import Listed, Unreadable
from orchestrators.models import Orchestrator, Status
from orchestrators.names import canonical, claim_key
from portal.access.accounts import may_give
from portal.access.catalogue import Permission
from portal.access.models import User
from portal.access.reach import reach
from portal.access.roles import SHARED_SERVICE_ACCOUNT
from portal.audit.trail import Actor
from renewal.identity import newcomers
from renewal.identity.acting import ActRefused
from renewal.identity.earlier_rows import EarlierRows
from renewal.identity.entry import (
    Entry,
    came_with,
    check_certificate,
    check_names,
    enter,
    returning,
)
from renewal.identity.listed_certificates import certificate_of, others_of
from renewal.identity.newcomers import Coming
from renewal.identity.resumption import resume
from renewal.models import Certificate
from renewal.rules.standing import Standing


class Outcome(StrEnum):
    """What became of a row."""

    ENTERED = "entered"
    """Approved, with its certificate."""
    ANNOUNCED = "announced"
    """New; approved when its certificate is shown."""
    UNCHANGED = "unchanged"
    LEFT_OUT = "left out"
    """Not approved where it comes from."""
    REFUSED = "refused"


@dataclass(frozen=True)
class Result:
    """What became of one row, and why."""

    place: str
    name: str
    outcome: Outcome
    agent_id: UUID | None = None
    reason: str = ""
    """Stable code of a refusal."""
    message: str = ""
    """Why it was refused, or what of the row was not taken over."""


SLICE = 50
"""Rows of one transaction: what it locks is let go soon."""


def take_in(
    rows: Iterable[Listed | Unreadable],
    *,
    actor: Actor,
    now: datetime,
    dry_run: bool = False,
    author: User | None = None,
) -> list[Result]:
    """Take in rows, a slice of them in each transaction; a dry run leaves nothing behind.

    What a slice did stays if a later one breaks off: sent again, the list goes on from there.
    ``author`` (None: whoever runs the host) gives no group and label that one of his own roles is
    limited to, and no service account that he may not give.
    """
    left = iter(rows)
    slices = iter(lambda: list(islice(left, SLICE)), [])
    if dry_run:
        earlier = EarlierRows()
        judged = (_rehearsed(some, earlier, author, actor=actor, now=now) for some in slices)
    else:
        judged = (_taken_together(some, author, actor=actor, now=now) for some in slices)
    return list(chain.from_iterable(judged))


@transaction.atomic
def _taken_together(
    rows: Sequence[Listed | Unreadable], author: User | None, *, actor: Actor, now: datetime
) -> list[Result]:
    return _slice(rows, author, actor=actor, now=now)


def _rehearsed(
    rows: Sequence[Listed | Unreadable],
    earlier: EarlierRows,
    author: User | None,
    *,
    actor: Actor,
    now: datetime,
) -> list[Result]:
    """Take in a slice and take it back: what it locks is let go as soon as an import's.

    Rows of one list may contradict each other, so those of ``earlier`` that these may meet come
    first; where they are too many for one transaction, the slice is judged in halves.
    """
    accounts = _accounts(rows, author)
    read = [_read(row, accounts) for row in rows]
    coming = {each.row.place: each for each in read if isinstance(each, Coming)}
    before = earlier.met_by(coming.values())
    if len(before) + len(rows) > SLICE and len(rows) > 1:
        half = len(rows) // 2
        return [
            result
            for some in (rows[:half], rows[half:])
            for result in _rehearsed(some, earlier, author, actor=actor, now=now)
        ]
    again = [*before, *rows]
    with transaction.atomic():
        results = _slice(again, author, actor=actor, now=now)
        results = _without_made_up_ids(results, again, now)[len(before) :]
        transaction.set_rollback(True)
    for result in results:
        if result.outcome in (Outcome.ENTERED, Outcome.ANNOUNCED):
            earlier.keep(coming[result.place])
    return results


def _without_made_up_ids(
    results: Sequence[Result], rows: Sequence[Listed | Unreadable], now: datetime
) -> list[Result]:
    """Return results without the ids of records that are made now: no row of the list gave them."""
    given = {row.agent_id for row in rows if isinstance(row, Listed)}
    found = {result.agent_id for result in results if result.agent_id} - given
    made = set(
        Orchestrator.objects.filter(pk__in=found, created_at=now).values_list("pk", flat=True)
    )
    return [replace(each, agent_id=None) if each.agent_id in made else each for each in results]


def _slice(
    rows: Sequence[Listed | Unreadable], author: User | None, *, actor: Actor, now: datetime
) -> list[Result]:
    accounts = _accounts(rows, author)
    read = [_read(row, accounts) for row in rows]
    fresh = newcomers.strangers([each for each in read if isinstance(each, Coming)])
    made: Mapping[str, Orchestrator] = {}
    try:
        with transaction.atomic():
            made = newcomers.make(fresh, author=author, actor=actor, now=now)
    except (labels.GroupingRefused, IntegrityError):
        # One of them cannot be made; which one, each says for itself.
        made = {}
    return [
        each
        if isinstance(each, Result)
        else _became(each, made[each.row.place], is_new=True)
        if each.row.place in made
        else _one(each, author, actor=actor, now=now)
        for each in read
    ]


def _accounts(rows: Iterable[Listed | Unreadable], author: User | None) -> Mapping[str, User]:
    """Return by name the service accounts that rows name and ``author`` may give; the shared one.

    One that he may not give is as unknown to him as one that is not there.
    """
    shared = User.objects.get(username=SHARED_SERVICE_ACCOUNT)
    if author is not None and not reach(author, Permission.AGENTS_MODIFY).everything:
        return {shared.username: shared}
    named = {name for row in rows if isinstance(row, Listed) for name in _account_names(row)}
    found = User.objects.filter(username__in=named - {shared.username}, is_service_account=True)
    given = {user.username: user for user in found if may_give(author, user)}
    return given | {shared.username: shared}


def _account_names(row: Listed) -> tuple[str, str]:
    """Return the names under which a row's account is looked for, as everywhere."""
    return row.username, row.username.rpartition("\\")[2]


def _read(row: Listed | Unreadable, accounts: Mapping[str, User]) -> Coming | Result:
    if isinstance(row, Unreadable):
        return Result(row.place, row.name, Outcome.REFUSED, None, "row_unreadable", row.message)
    if row.status != Status.APPROVED:
        label = Status(row.status).label
        return Result(
            row.place, row.client_machine, Outcome.LEFT_OUT, row.agent_id, "", f"It is {label}."
        )
    own = next((accounts[name] for name in _account_names(row) if name in accounts), None)
    try:
        facts = certificate_of(row)
        others = others_of(row, facts)
        check_names(Entry(name=row.client_machine))
        for each in (facts, *others.values()):
            if each is not None:
                check_certificate(each)
    except ActRefused as refused:
        return _refused(row, refused.reason, str(refused))
    return Coming(row, facts, own or accounts[SHARED_SERVICE_ACCOUNT], others)


def _one(each: Coming, author: User | None, *, actor: Actor, now: datetime) -> Result:
    try:
        with transaction.atomic():
            orchestrator, is_new, changed = _taken_in(each, author, actor=actor, now=now)
    except ActRefused as refused:
        return _refused(each.row, refused.reason, str(refused))
    except labels.GroupingRefused as refused:
        return _refused(each.row, refused.reason, str(refused))
    except IntegrityError:
        # Another import, or the orchestrator itself, was faster.
        return _refused(each.row, "changed", "It changed meanwhile: try again.")
    return _became(each, orchestrator, is_new=is_new, changed=changed)


def _refused(row: Listed, reason: str, message: str) -> Result:
    return Result(row.place, row.client_machine, Outcome.REFUSED, row.agent_id, reason, message)


def _became(
    each: Coming, orchestrator: Orchestrator, *, is_new: bool, changed: bool = True
) -> Result:
    row = each.row
    outcome = Outcome.ENTERED if each.facts is not None else Outcome.ANNOUNCED
    said = []
    account = orchestrator.service_account.username
    if not is_new and row.username and account not in _account_names(row):
        said.append("Its Username was not taken over: the record is here.")
    elif is_new and row.username and row.username != account:
        said.append(
            f"It runs under the service account {account!r}."
            if account != SHARED_SERVICE_ACCOUNT
            else f"Its Username {row.username[:80]!r} is no service account that you may give: it "
            f"runs under {account!r}."
        )
    if not is_new and row.flag != orchestrator.flag:
        said.append("Its AuthCertificateReenrollment was not taken over: the record is here.")
    return Result(
        row.place,
        row.client_machine,
        outcome if changed else Outcome.UNCHANGED,
        orchestrator.pk,
        message=" ".join(said),
    )


def _taken_in(
    each: Coming, author: User | None, *, actor: Actor, now: datetime
) -> tuple[Orchestrator, bool, bool]:
    """Return the record of a row, whether it was made, and whether it changed."""
    may_override = author is None or reach(author, Permission.APPROVALS_OVERRIDE).everything
    if each.facts is None:
        existing = _announced(each.row, may_override)
        if existing is not None:
            return existing, False, False
        made = newcomers.make([each], author=author, actor=actor, now=now)
        return made[each.row.place], True, True
    entry = Entry(
        name=each.row.client_machine,
        id=each.row.agent_id,
        certificate=each.facts,
        beside=tuple(each.others.values()),
        account_if_new=each.account,
        may_override=may_override,
    )
    known = set(_records_of(each.row).values_list("pk", flat=True))
    orchestrator, changed = enter(entry, actor=actor, now=now)
    # Beside a New record of its name: it called before it was imported.
    is_new = orchestrator.pk not in known
    if changed and each.others:
        resume(orchestrator, each.others, actor=actor, now=now)
    if is_new:
        newcomers.describe(orchestrator, each.row)
        orchestrator.save(update_fields=newcomers.DESCRIBED)
        newcomers.furnish([(orchestrator, each.row)], author=author, actor=actor)
    return orchestrator, is_new, changed


def _records_of(row: Listed) -> QuerySet[Orchestrator]:
    key = canonical(row.client_machine)
    named = Q(status=Status.APPROVED, name_key=key) | Q(
        status__in=[Status.NEW, Status.DISAPPROVED], claim_key=claim_key(row.client_machine)
    )
    wanted = named if row.agent_id is None else named | Q(pk=row.agent_id)
    return (
        Orchestrator.objects.select_for_update(of=("self",)).filter(wanted).order_by("created_at")
    )


def _announced(row: Listed, may_override: bool) -> Orchestrator | None:
    """Return the record that waits for the row's thumbprint or has it; None if it may be made.

    Raises ActRefused.
    """
    existing = list(_records_of(row).select_related("service_account")[:10])
    for found in existing:
        if row.thumbprint in (found.thumbprint, found.announced_thumbprint):
            return found
    if existing:
        other = existing[0]
        raise ActRefused(
            "exists",
            f"The orchestrator {other.pk}, {other.client_machine!r}, exists and is "
            f"{other.get_status_display()}; nothing is taken from it.",
        )
    held = Certificate.objects.filter(thumbprint=row.thumbprint, orchestrator__isnull=False)
    if held.exclude(standing=Standing.SEEN).exists():
        raise ActRefused(
            "certificate_of_another", "The certificate of this thumbprint is another one's."
        )
    if not may_override and returning().filter(came_with(Q(thumbprint=row.thumbprint))).exists():
        raise ActRefused(
            "not_approved",
            "An orchestrator that was Reset or disapproved came with the certificate of this "
            "thumbprint: approve its return.",
        )
    if Orchestrator.objects.filter(announced_thumbprint=row.thumbprint).exists():
        raise ActRefused("announced_twice", "This thumbprint was announced for another one.")
    return None
