"""Measures pages and REST calls in a large fleet against the same in one of 1,000.

``python -m tests.bench.pages [orchestrators]``, on a private PostgreSQL. Owns two synthetic fleets
and what is said of each call: the median of the server's time in both, the ratio of the fastest,
the number of statements and of rows shown. Milliseconds depend on the machine and are shown only;
what must hold is the ratio, and that a large fleet costs no statement more. A page that shows few
rows among 1,000 and is full in the large fleet is compared with a full one of the same list among
1,000: to write down rows takes its time in either. Also the 404 of what lies outside one's reach
against the 404 of what does not exist.
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
_FULLER = 10
"""A page that shows so many rows more than another takes its time to write them down."""


@dataclass(frozen=True)
class Answer:
    """What one call cost, and showed."""

    ms: float
    statements: int
    rows: int
    is_refused: bool = False
    """The database was stopped: the call is one that no index serves."""


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

    def get(self, call: Call) -> Answer:
        """Measure one call."""
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
        is_refused = b'"ErrorCode":"query_too_slow"' in response.content
        assert is_refused or response.status_code == call.status, (path, response.content)
        mark = (
            b"<tr" if response.headers["Content-Type"].startswith("text/html") else b'"Thumbprint"'
        )
        return Answer(spent, counted, response.content.count(mark), is_refused)


@dataclass(frozen=True)
class Measured:
    """One call in both fleets, and the list's first page among 1,000; of each, all rounds."""

    call: Call
    few: tuple[Answer, ...]
    many: tuple[Answer, ...]
    plain: tuple[Answer, ...]

    @property
    def is_fuller(self) -> bool:
        """There is more to write down in the large fleet."""
        rows = self.many[-1].rows - _FULLER
        return self.few[-1].rows <= rows < self.plain[-1].rows

    @property
    def baseline(self) -> float:
        """Milliseconds among 1,000, where as many rows are shown.

        Of the fastest round, as in the large fleet: what else a machine does makes none faster.
        """
        known = self.plain if self.is_fuller else self.few
        return min(answer.ms for answer in known)

    @property
    def ratio(self) -> float:
        return min(answer.ms for answer in self.many) / self.baseline

    @property
    def is_over(self) -> bool:
        if not self.call.is_proportional:
            return False
        slower = min(answer.ms for answer in self.many) > self.baseline * MUST + _NOISE_MS
        most = max(self.few[-1].statements, self.plain[-1].statements if self.is_fuller else 0)
        return slower or most < self.many[-1].statements or self.many[-1].is_refused

    @property
    def remark(self) -> str:
        if self.many[-1].is_refused:
            return "  refused: no index serves it"
        if self.is_over:
            return "  over"
        return "  slow" if median_ms(self.many) > self.call.most else ""


def median_ms(answers: tuple[Answer, ...]) -> float:
    return statistics.median(answer.ms for answer in answers)


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
            "digits": one.thumbprint[:6],
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
        plain = Call(call.path.partition("?")[0], call.most, call.who)
        asked = ((few, call), (many, call), (few, plain))
        rounds = [[fleet.get(each) for fleet, each in asked] for _ in range(ROUNDS + 1)][1:]
        yield Measured(call, *zip(*rounds, strict=True))


def told_apart(fleet: Fleet) -> float:
    """Return milliseconds between the medians of the two kinds of 404."""
    outside, absent = (
        Call(f"{AGENTS}/{{{name}}}", 0, GROUP, status=404) for name in ("outside", "absent")
    )
    pairs = [(fleet.get(outside).ms, fleet.get(absent).ms) for _ in range(TIMES_404)]
    one, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    return abs(one - other)


def bench(few: Fleet, many: Fleet) -> int:
    """Measure and print; return 1 if a ratio is over what it must be."""
    for fleet in (few, many):
        prepare(fleet)
    status = 0
    print(f"{'1,000':>8} {'large':>8} {'ratio':>6}   {'SQL':>3}  {'rows':>6}  call (ms, medians)")
    for each in measure(few, many):
        fewer, more = each.few[-1], each.many[-1]
        print(
            f"{median_ms(each.few):8.1f} {median_ms(each.many):8.1f} {each.ratio:6.2f}"
            f"{'*' if each.is_fuller else ' '}  {more.statements:3}  {fewer.rows:2}/{more.rows:3}"
            f"  {each.call.name}{each.remark}",
            flush=True,
        )
        status |= each.is_over
    print("* against the first page of the same list among 1,000, which is as full")
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
