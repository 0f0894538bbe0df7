"""Whether everything stands ready for a service account's renewals, and what to do if not (S50).

Owns the checks, in the order in which a renewal meets them, and the test call of the portal's own
credential at a CA: on demand, bounded, its result kept on the CA's row with its time. Decides
nothing: the same questions are asked again by `enrollment/door.py` when a CSR comes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Min, OuterRef, Q, QuerySet, Subquery

from orchestrators.models import Orchestrator
from orchestrators.reach import lacking_for, reachable, within
from portal.access.catalogue import Permission, entry_for
from portal.access.models import User
from portal.access.reach import NOTHING, Reach, grants_of_each, reach
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from portal.preferences.store import Preferences
from renewal import issuers
from renewal.ca.base import CABackend, CAError, Health, ReportsHealth
from renewal.configuration import Chosen, NotConfigured, choose
from renewal.models import CertificateAuthority, GroupIssuance, Template

Answer = TypeVar("Answer")

LONGEST_CALL_SECONDS = 10
_MOST_ACCOUNTS = 20
_FOR_A_RENEWAL = (Permission.ENROLL_CSR, Permission.CERTIFICATES_READ)
_NEEDED = (
    (Permission.ENROLL_CSR, "no renewal works"),
    (Permission.CERTIFICATES_READ, "no renewal works"),
    (Permission.CERTIFICATES_REVOKE, "old certificates are not revoked by themselves"),
)


@dataclass(frozen=True)
class Check:
    """One line of the panel; ``ok`` is None for what was never tried."""

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""
    authority: CertificateAuthority | None = None
    """The CA that a button may test."""

    @property
    def word(self) -> str:
        return {True: "Ready", False: "Missing", None: "Not tested"}[self.ok]

    @property
    def tone(self) -> str:
        return {True: "healthy", False: "failed", None: "waiting"}[self.ok]

    @property
    def icon(self) -> str:
        return {True: "circle-check", False: "circle-x", None: "hourglass"}[self.ok]


def of_orchestrator(orchestrator: Orchestrator, preferences: Preferences) -> list[Check]:
    """Return what the service account of an orchestrator needs for it."""
    account = orchestrator.service_account
    checks = _permissions(account, lambda each: not lacking_for(orchestrator, each))
    try:
        chosen = choose(preferences, group_id=orchestrator.group_id)
    except NotConfigured as problem:
        return [*checks, _not_configured(problem)]
    return [*checks, *_at(account, [chosen])]


def everywhere(account: User, preferences: Preferences) -> list[Check]:
    """Return what an account needs for all its orchestrators, whatever CA their groups choose."""
    own = Orchestrator.objects.filter(service_account=account, group__isnull=False)
    # One group for each CA and template that are chosen: the others say nothing more.
    groups = (
        GroupIssuance.objects.filter(group__in=own.values("group"))
        .values("authority", "template")
        .annotate(chosen_by=Min("group"))
        .order_by("chosen_by")
    )
    chosen: list[Chosen] = []
    problems: list[Check] = []
    for group_id in (None, *(each["chosen_by"] for each in groups)):
        try:
            chosen.append(choose(preferences, group_id=group_id))
        except NotConfigured as problem:
            problems.append(_not_configured(problem))
    held = _permissions(account, lambda each: _reaches_all(account, each))
    return [*held, *problems, *_at(account, chosen)]


def _reaches_all(account: User, permission: Permission) -> bool:
    """Say whether an account holds a permission for each orchestrator of its own."""
    far = reach(account, permission)
    if far.everything or far.is_nothing:
        return far.everything
    own = Orchestrator.objects.filter(service_account=account)
    return not own.exclude(pk__in=within(own, far).values("pk")).exists()


@dataclass(frozen=True)
class Lacking:
    """Orchestrators that cannot renew, because their service account may not."""

    account: User
    number: int
    missing: str
    """The permissions, in words."""


def lacking_among(rows: QuerySet[Orchestrator]) -> list[Lacking]:
    """Return for whom of some records no CSR leads to a certificate, by service account: at most
    `_MOST_ACCOUNTS` of them, those with the most records.
    """
    counted = rows.filter(cannot_renew()).order_by().values_list("service_account")
    numbered = counted.annotate(number=Count("pk")).order_by("-number", "service_account")
    most = sorted(numbered[:_MOST_ACCOUNTS])
    accounts = User.objects.in_bulk([key for key, _ in most])
    reaches = _reaches_of(accounts.values())
    return [Lacking(accounts[key], number, _missing(reaches[key])) for key, number in most]


def cannot_renew() -> Q:
    """Return the condition of the orchestrators for which no CSR leads to a certificate, because
    their service account may not. Two queries.
    """
    # For an EXISTS the planner reads the account of every record; the first one from an account's
    # number on is looked up in the index.
    from_it_on = Orchestrator.objects.filter(service_account__gte=OuterRef("pk"))
    first = from_it_on.order_by("service_account_id").values("service_account")[:1]
    lacking, limited = _unable(User.objects.filter(pk=Subquery(first)))
    found = Q(service_account__in=lacking)
    for reaches, accounts in limited.items():
        outside = Q()
        for far in reaches:
            inside = within(Orchestrator.objects.order_by(), far).values("pk")
            # By the group alone, which stands in the row, wherever that says it.
            outside |= ~Q(pk__in=inside) if far.labels else ~Q(group__in=sorted(far.groups))
        found |= Q(service_account__in=accounts) & outside
    return found


def unable_among(records: Iterable[Orchestrator]) -> set[UUID]:
    """Return which of some records `cannot_renew` holds for; read with their service accounts.

    One query, and one more for each limit that a service account's roles have.
    """
    by_account: dict[int, list[UUID]] = {}
    accounts: dict[int, User] = {}
    for each in records:
        by_account.setdefault(each.service_account_id, []).append(each.pk)
        accounts[each.service_account_id] = each.service_account
    lacking, limited = _unable(accounts.values())
    found = {pk for account in lacking for pk in by_account[account]}
    for reaches, some in limited.items():
        ids = [pk for account in some for pk in by_account[account]]
        found |= set(ids) - reachable(ids, *reaches)
    return found


def _unable(accounts: Iterable[User]) -> tuple[list[int], dict[tuple[Reach, ...], list[int]]]:
    """Return which accounts may renew for nobody, and which only for what lies within reaches."""
    lacking: list[int] = []
    limited: dict[tuple[Reach, ...], list[int]] = {}
    for pk, reaches in _reaches_of(accounts).items():
        if any(far.is_nothing for far in reaches):
            lacking.append(pk)
        elif limits := tuple(far for far in reaches if not far.everything):
            limited.setdefault(limits, []).append(pk)
    return lacking, limited


def _missing(reaches: Sequence[Reach]) -> str:
    """Return the permissions that an account lacks, or else those that it holds with a limit."""
    held = list(zip(_FOR_A_RENEWAL, reaches, strict=True))
    lacks = [p for p, far in held if far.is_nothing] or [p for p, far in held if not far.everything]
    return " and ".join(entry_for(p).older_name for p in lacks)


def _reaches_of(accounts: Iterable[User]) -> dict[int, tuple[Reach, ...]]:
    """Return how far each account holds what a renewal needs."""
    listed = list(accounts)
    held = grants_of_each(listed)
    return {
        account.pk: tuple(held.get(account.pk, {}).get(p, NOTHING) for p in _FOR_A_RENEWAL)
        for account in listed
    }


def test_call(authority: CertificateAuthority, *, actor: Actor, now: datetime) -> Health:
    """Ask a CA with the portal's own credential whether it would answer, and keep the result.

    Bounded to 10 s; no transaction is open meanwhile.
    """
    health = _asked(lambda: issuers.backend(authority), now)
    with transaction.atomic():
        CertificateAuthority.objects.filter(pk=authority.pk).update(
            tested_at=now, test_passed=health.is_ok, test_message=health.message[:500]
        )
        record(
            actor,
            Category.AUTHORITY,
            "authority_tested",
            object_type="authority",
            object_id=authority.pk,
            object_name=authority.name,
            after={"passed": health.is_ok, "answer": health.message[:500]},
        )
    return health


def trial(
    name: str,
    alias: str,
    options: Mapping[str, Any],
    *,
    known: CertificateAuthority | None,
    actor: Actor,
    now: datetime,
) -> Health:
    """Ask a CA, as it would be with these options, whether it would answer; save nothing of it.

    What the options leave out is the ``known`` row's, secrets too. Bounded as `test_call` is.
    """
    health = _asked(lambda: issuers.unsaved(alias, options, known), now)
    record(
        actor,
        Category.AUTHORITY,
        "authority_tried",
        object_type="authority",
        object_id=known.pk if known else "",
        object_name=name,
        after={"type": alias, "passed": health.is_ok, "answer": health.message[:500]},
    )
    return health


def anchors(authority: CertificateAuthority) -> tuple[bytes, ...] | Health:
    """Return the roots (DER) of a CA; or, if it does not name them in time, why not."""
    return _bounded(lambda: issuers.backend(authority).trust_anchors())


def test_result(authority: CertificateAuthority) -> Check:
    """Return the kept result of the last test call."""
    name = f"Test call at the CA {authority.name}"
    if authority.tested_at is None:
        return Check(
            name, None, "It was not tried since it was made or changed.", "Test it.", authority
        )
    remedy = "" if authority.test_passed else "Mend the CA or its options, and test again."
    return Check(name, authority.test_passed, authority.test_message, remedy, authority)


def _not_configured(problem: NotConfigured) -> Check:
    return Check("CA and template", False, str(problem), problem.remedy)


def _permissions(account: User, is_held: Callable[[Permission], bool]) -> list[Check]:
    found = []
    for permission, without in _NEEDED:
        entry = entry_for(permission)
        held = is_held(permission)
        found.append(
            Check(
                entry.older_name,
                held,
                f"{entry.access_string}" + ("" if held else f" is missing: {without}"),
                ""
                if held
                else f"Give {account.username} a role that grants it and is not limited to others.",
            )
        )
    return found


def _at(account: User, chosen: Iterable[Chosen]) -> list[Check]:
    rows: dict[tuple[str, int], CertificateAuthority | Template] = {}
    for each in chosen:
        rows["CA", each.authority.pk] = each.authority
        rows["template", each.template.pk] = each.template
    found = []
    for (what, _), row in rows.items():
        allowed = {user.pk for user in row.allowed_requesters.all()}
        ok = not allowed or account.pk in allowed
        detail = "everybody may" if not allowed else ("is listed" if ok else "is not listed")
        found.append(
            Check(
                f"Allowed requester of the {what} {row.name}",
                ok,
                f"{account.username}: {detail}",
                "" if ok else f"Add {account.username} to the requesters of {row.name}.",
            )
        )
    return found + [
        test_result(row) for row in rows.values() if isinstance(row, CertificateAuthority)
    ]


def _asked(backend: Callable[[], CABackend], now: datetime) -> Health:
    return _bounded(lambda: _health(backend(), now))


def _bounded(ask: Callable[[], Answer]) -> Answer | Health:
    """Return what a CA answers; a Health that says what went wrong, if it does not."""
    answers: queue.Queue[Answer | Health] = queue.Queue()

    def asking() -> None:
        try:
            answers.put(ask())
        except CAError as error:
            answers.put(Health(False, f"{error}.".replace("..", ".")))
        except Exception as error:
            # A CA type of the deployment's own may fail in any way; the page says so.
            answers.put(Health(False, f"The CA's code failed: {type(error).__name__}."))

    # A thread that is left behind must not keep the process from ending.
    threading.Thread(target=asking, daemon=True, name="ca-test").start()
    try:
        return answers.get(timeout=LONGEST_CALL_SECONDS)
    except queue.Empty:
        return Health(False, f"The CA did not answer within {LONGEST_CALL_SECONDS} s.")


def _health(backend: CABackend, now: datetime) -> Health:
    if isinstance(backend, ReportsHealth):
        return backend.health(now)
    return Health(True, f"It answered with {len(backend.trust_anchors())} issuing certificates.")
