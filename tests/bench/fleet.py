"""One synthetic fleet in a process of its own, as a portal has it: who asks there, what calls cost.

Owns that process. A portal keeps in memory what it prepared for its one database; two fleets in one
process would throw away each other's at every turn.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.bench.calls import AGENTS, ALL, GROUP, LABEL, Call


@dataclass(frozen=True)
class Answer:
    """What one call cost, and showed."""

    ms: float
    statements: int
    rows: int
    is_refused: bool = False
    """The database was stopped: the call is one that no index serves."""


class Fleet:
    """A portal on one database, to be asked one call at a time."""

    def __init__(self, process: ProcessPoolExecutor) -> None:
        self._process = process

    def get(self, call: Call) -> Answer:
        """Measure one call."""
        return self._process.submit(_get, call).result()


@contextmanager
def running(url: str, folder: Path) -> Iterator[Fleet]:
    """Let a process be a portal on that database, with its files in ``folder``; end it."""
    with ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=_begin, initargs=(url, folder)
    ) as process:
        yield Fleet(process)


class _Site:
    """In the fleet's process: who asks, and what the paths are filled with."""

    clients: dict[str, Any]
    filling: Mapping[str, str]


_site = _Site()


def _begin(url: str, folder: Path) -> None:
    # The settings of the tests have no limit on calls.
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PORTAL_DATA_DIR": str(folder),
        "DATABASE_URL": url,
    }
    import django

    django.setup()
    _site.filling = {}
    _site.clients = _who_asks()
    _site.filling = _filling()


def _get(call: Call) -> Answer:
    from django.db import connection

    path = call.path.format_map(_site.filling)
    counted = 0

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        nonlocal counted
        counted += 1
        return execute(sql, *rest)

    with connection.execute_wrapper(count):
        began = time.perf_counter()
        response = _site.clients[call.who].get(path)
        spent = 1000 * (time.perf_counter() - began)
    is_refused = b'"ErrorCode":"query_too_slow"' in response.content
    assert is_refused or response.status_code == call.status, (path, response.content)
    is_page = response.headers["Content-Type"].startswith("text/html")
    mark = b"<tr" if is_page else b'"Thumbprint"'
    return Answer(spent, counted, response.content.count(mark), is_refused)


def _who_asks() -> dict[str, Any]:
    """Sign in one for each reach; each has seen the first page, so a census of it is wanted."""
    from django.contrib.auth.models import Group
    from django.test import Client
    from django.utils import timezone

    from orchestrators.models import OrchestratorGroup
    from portal.access.catalogue import Permission
    from portal.access.models import User
    from portal.access.reach import Reach
    from portal.access.role_changes import save_role
    from portal.audit.trail import Actor
    from renewal import census
    from renewal.synthetic.load import NAME

    group = OrchestratorGroup.objects.get(name=f"{NAME} ber")
    limits = {
        ALL: None,
        GROUP: Reach(groups=frozenset({group.pk})),
        LABEL: Reach(labels=frozenset({("site", "ber")})),
    }
    found = {}
    for who, limit in limits.items():
        user, _ = User.objects.get_or_create(username=f"bench-{who}")
        role = Group.objects.get(name="Administrator")
        if limit is not None:
            role, _ = save_role(
                f"bench-{who}",
                permissions=list(Permission),
                limit=limit,
                giver=None,
                actor=Actor("bench"),
            )
        user.groups.set([role])
        found[who] = Client(
            headers={"x-keyfactor-requested-with": "APIClient"}, SERVER_NAME="127.0.0.1"
        )
        found[who].force_login(user)
        assert found[who].get("/").status_code == 200
    census.take_due(now=timezone.now())
    return found


def _filling() -> dict[str, str]:
    """Return rows of this fleet by the names that paths have for them."""
    from django.db import connection
    from django.utils import timezone

    from orchestrators.models import Orchestrator, OrchestratorGroup
    from portal.access.models import User
    from renewal.models import Certificate
    from renewal.synthetic.load import NAME

    few, _ = User.objects.get_or_create(username="bench-few", is_service_account=True)
    some = Orchestrator.objects.order_by("pk").values_list("pk", flat=True)[:20]
    Orchestrator.objects.filter(pk__in=list(some)).update(service_account=few)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    group = OrchestratorGroup.objects.get(name=f"{NAME} ber")
    approved = Orchestrator.objects.filter(certificate_not_after__isnull=False)
    one = approved.filter(group=group).order_by("pk")[0]
    held = Certificate.objects.filter(orchestrator=one).order_by("pk")[0]
    other = Orchestrator.objects.exclude(group=group).order_by("pk")[0]
    return {
        "group": group.name,
        "version": one.version,
        "account": NAME,
        "name": _beginning(one.client_machine),
        "thumbprint": one.thumbprint,
        "digits": one.thumbprint[:6],
        "id": str(one.pk),
        "certificate": str(held.pk),
        "serial": held.serial_number,
        "issuer": str(held.authority_id or 1),
        "soon": f"{timezone.now():%Y-%m-%d}",
        "outside": str(other.pk),
        "absent": str(uuid4()),
        "halfway": _halfway(Orchestrator.objects.count()),
    }


def _beginning(name: str) -> str:
    """Return as much of a name as a whole page of names begins with."""
    from orchestrators.models import Orchestrator
    from renewal.selectors.fleet import PAGE_SIZE

    found = name
    while Orchestrator.objects.filter(name_key__startswith=found).count() <= PAGE_SIZE:
        found = found[:-1]
    return found


def _halfway(count: int) -> str:
    """Walk through the REST list by its cursor, up to half of the fleet; return the cursor."""
    cursor, left = "", count // 2
    while left:
        limit = min(left, 1000)
        answer = _site.clients[ALL].get(
            AGENTS, {"ReturnLimit": limit, **({"cursor": cursor} if cursor else {})}
        )
        cursor, left = answer.headers["X-Next-Cursor"], left - limit
    return cursor
