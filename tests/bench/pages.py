"""Measures pages and REST calls in a large fleet against the same in one of 1,000.

``python -m tests.bench.pages [orchestrators]``, on a private PostgreSQL. Owns two synthetic fleets
and what is said of each call: the median of the server's time in both, the ratio of the fastest,
and the number of statements. Milliseconds depend on the machine and are shown only; what must hold
is the ratio, and that a large fleet costs no statement more. Also the 404 of what lies outside
one's reach against the 404 of what does not exist.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.bench.calls import AGENTS, ALL, GROUP, LABEL, Call, calls
from tests.services.portal import environment, manage
from tests.services.postgresql import private_server

ORCHESTRATORS = 100_000
FEW = 1_000
ROUNDS = 4
TIMES_404 = 500
MUST = 1.5
"""A call in the large fleet costs at most that many times what it costs among 1,000."""
_NOISE_MS = 5.0
"""Calls that differ by less are not told apart."""


@dataclass
class Fleet:
    """One database, who asks there, and what its paths are filled with."""

    url: str
    connection: Any = None
    clients: dict[str, Any] = field(default_factory=dict)
    filling: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def chosen(self) -> Iterator[None]:
        """Let this process use this database."""
        from django.db import connections

        connections["default"] = self.connection
        yield

    def get(self, call: Call) -> tuple[float, int]:
        """Return milliseconds and statements of one call."""
        path = call.path.format_map(self.filling)
        counted = 0

        def count(execute: Any, sql: str, *rest: Any) -> Any:
            nonlocal counted
            counted += 1
            return execute(sql, *rest)

        with self.chosen(), self.connection.execute_wrapper(count):
            began = time.perf_counter()
            response = self.clients[call.who].get(path)
            spent = 1000 * (time.perf_counter() - began)
        assert response.status_code == call.status, (path, response.status_code, response.content)
        return spent, counted


@dataclass(frozen=True)
class Measured:
    """One call in both fleets: milliseconds of each round, statements of the last."""

    call: Call
    few: tuple[float, ...]
    many: tuple[float, ...]
    statements: tuple[int, int]

    @property
    def ratio(self) -> float:
        """Of the fastest rounds: what else a machine does makes none of them faster."""
        return min(self.many) / min(self.few)

    @property
    def is_over(self) -> bool:
        slower = min(self.many) > min(self.few) * MUST + _NOISE_MS
        return self.call.is_proportional and (slower or self.statements[0] < self.statements[1])


def prepare(fleet: Fleet) -> None:
    """Connect, make who asks, take a census, look up what the paths name."""
    import environ
    from django.contrib.auth.models import Group
    from django.db import connections
    from django.db.utils import load_backend
    from django.test import Client
    from django.utils import timezone

    from orchestrators.models import Orchestrator, OrchestratorGroup
    from portal.access.catalogue import Permission
    from portal.access.models import User
    from portal.access.reach import Reach
    from portal.access.role_changes import save_role
    from portal.audit.trail import Actor
    from renewal import census
    from renewal.models import Certificate
    from renewal.synthetic.load import NAME

    known = connections.settings["default"] | environ.Env.db_url_config(fleet.url)
    backend = load_backend(known["ENGINE"])
    fleet.connection = backend.DatabaseWrapper(known, "default")
    with fleet.chosen():
        group = OrchestratorGroup.objects.get(name=f"{NAME} ber")
        limits = {
            ALL: None,
            GROUP: Reach(groups=frozenset({group.pk})),
            LABEL: Reach(labels=frozenset({("site", "ber")})),
        }
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
            fleet.clients[who] = Client(
                headers={"x-keyfactor-requested-with": "APIClient"}, SERVER_NAME="127.0.0.1"
            )
            fleet.clients[who].force_login(user)
            fleet.get(Call("/", 0, who))
        census.take_due(now=timezone.now())
        few, _ = User.objects.get_or_create(username="bench-few", is_service_account=True)
        some = Orchestrator.objects.order_by("pk").values("pk")[:20]
        Orchestrator.objects.filter(pk__in=list(some.values_list("pk", flat=True))).update(
            service_account=few
        )
        with fleet.connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        approved = Orchestrator.objects.filter(certificate_not_after__isnull=False)
        one = approved.filter(group=group).order_by("pk")[0]
        held = Certificate.objects.filter(orchestrator=one).order_by("pk")[0]
        other = Orchestrator.objects.exclude(group=group).order_by("pk")[0]
        fleet.filling = {
            "group": group.name,
            "version": one.version,
            "account": NAME,
            "name": one.client_machine[:12],
            "thumbprint": one.thumbprint,
            "id": str(one.pk),
            "certificate": str(held.pk),
            "serial": held.serial_number,
            "issuer": str(held.authority_id or 1),
            "soon": f"{timezone.now():%Y-%m-%d}",
            "outside": str(other.pk),
            "absent": str(uuid4()),
            "halfway": _halfway(fleet, Orchestrator.objects.count()),
        }


def _halfway(fleet: Fleet, count: int) -> str:
    """Walk through the REST list by its cursor, up to half of the fleet; return the cursor."""
    cursor, left = "", count // 2
    while left:
        limit = min(left, 1000)
        answer = fleet.clients[ALL].get(
            AGENTS, {"ReturnLimit": limit, **({"cursor": cursor} if cursor else {})}
        )
        cursor, left = answer.headers["X-Next-Cursor"], left - limit
    return cursor


def measure(few: Fleet, many: Fleet) -> Iterator[Measured]:
    """Measure each call in both fleets, in turns, after a round that warms."""
    for call in calls():
        rounds = [(few.get(call), many.get(call)) for _ in range(ROUNDS + 1)][1:]
        yield Measured(
            call,
            tuple(one[0] for one, _ in rounds),
            tuple(one[0] for _, one in rounds),
            (rounds[-1][0][1], rounds[-1][1][1]),
        )


def told_apart(fleet: Fleet) -> float:
    """Return milliseconds between the medians of the two kinds of 404."""
    outside, absent = (
        Call(f"{AGENTS}/{{{name}}}", 0, GROUP, status=404) for name in ("outside", "absent")
    )
    pairs = [(fleet.get(outside)[0], fleet.get(absent)[0]) for _ in range(TIMES_404)]
    one, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    return abs(one - other)


def bench(few: Fleet, many: Fleet) -> int:
    """Measure and print; return 1 if a ratio is over what it must be."""
    for fleet in (few, many):
        prepare(fleet)
    status = 0
    print(f"{'1,000':>8} {'large':>8} {'ratio':>6}  {'SQL':>3}  call (ms, medians)")
    for each in measure(few, many):
        few_ms, many_ms = statistics.median(each.few), statistics.median(each.many)
        late = "  over" if each.is_over else "  slow" if many_ms > each.call.most else ""
        print(
            f"{few_ms:8.1f} {many_ms:8.1f} {each.ratio:6.2f}  "
            f"{each.statements[1]:3}  {each.call.name}{late}",
            flush=True,
        )
        status |= each.is_over
    apart = told_apart(many)
    print(f"404 outside one's reach and 404 of nothing: medians {apart:.2f} ms apart (must: 5)")
    return int(status or apart > 5)


def load(url: str, folder: Path, orchestrators: int) -> None:
    """Fill a database, in processes of their own: its CA has a folder of its own."""
    known = environment(folder, url)
    manage(known, "migrate", "-v0")
    began = time.perf_counter()
    numbers: Mapping[str, int] = {
        "--orchestrators": orchestrators,
        "--certificates": 3 * orchestrators,
    }
    manage(known, "load_fleet", *(str(part) for pair in numbers.items() for part in pair))
    print(f"{orchestrators:,} orchestrators loaded in {time.perf_counter() - began:.0f} s")


def set_up(url: str, folder: Path) -> None:
    """Let this process be a portal. The settings of the tests have no limit on calls."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PORTAL_DATA_DIR": str(folder),
        "DATABASE_URL": url,
    }
    import django

    django.setup()


def main(arguments: list[str]) -> int:
    count = int(arguments[0]) if arguments else ORCHESTRATORS
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as name, private_server() as server:
        folder = Path(name)
        urls = [server.url(server.create_database()) for _ in range(2)]
        for url, number in zip(urls, (FEW, count), strict=True):
            load(url, folder / str(number), number)
        set_up(urls[0], folder / str(FEW))
        return bench(*(Fleet(url) for url in urls))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
