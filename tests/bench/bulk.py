"""Measures a bulk renewal request against a plain UPDATE of the same rows, on a private PostgreSQL.

``python -m tests.bench.bulk [orchestrators]``. Owns a synthetic fleet of its own and what is said
of it: seconds of the whole job, the longest transaction (no lock is held for longer), and how much
slower one orchestrator's contact is written beside it. Seconds depend on the machine and are shown
only; what must hold is a ratio.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import psycopg

from tests.services.portal import SETTINGS
from tests.services.postgresql import Server, private_server

ORCHESTRATORS = 100_000
MUST = 8.0
"""The job takes at most that many times what the plain UPDATE takes."""
_PLAIN = "UPDATE orchestrators_orchestrator SET flag = 1, flag_counter = flag_counter + 1"
_CONTACT = "UPDATE orchestrators_orchestrator SET last_seen = now() WHERE id = %s"


class Contacts:
    """Writes the last contact of one orchestrator after the other, as heartbeats do."""

    def __init__(self, server: Server, database: str, keys: list[Any]) -> None:
        self._where = {"host": str(server.folder), "user": "postgres", "dbname": database}
        self._keys = keys
        self._stop = threading.Event()

    @contextmanager
    def measured(self, seconds: list[float]) -> Iterator[None]:
        self._stop.clear()
        thread = threading.Thread(target=self._run, args=[seconds])
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self, seconds: list[float]) -> None:
        random = Random(5)
        with psycopg.connect(**self._where, autocommit=True) as connection:
            while not self._stop.wait(0.01):
                began = time.perf_counter()
                connection.execute(_CONTACT, [random.choice(self._keys)])
                seconds.append(time.perf_counter() - began)


def bench(server: Server, database: str, count: int) -> int:
    """Measure and print; return 1 if the ratio is over what it must be."""
    from django.contrib.auth.models import Group
    from django.core.management import call_command
    from django.db import connection, transaction
    from django.utils import timezone

    from orchestrators.models import Orchestrator
    from portal.access.models import User
    from portal.audit.trail import Actor
    from renewal.bulk import service, work
    from renewal.bulk.selection import Selection
    from renewal.rules.acts import Act
    from renewal.selectors.filters import Filters
    from renewal.synthetic import load

    call_command("migrate", verbosity=0)
    now, actor = timezone.now(), Actor("bench")
    load.load(load.Order(count, count, 1, now), actor=actor, now=now)
    user = User.objects.create_user("bench")
    user.groups.add(Group.objects.get(name="Administrator"))
    keys = list(Orchestrator.objects.values_list("pk", flat=True)[:5000])

    with transaction.atomic(), connection.cursor() as cursor:
        began = time.perf_counter()
        cursor.execute(_PLAIN)
        plain = time.perf_counter() - began
        transaction.set_rollback(True)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE orchestrators_orchestrator")

    contacts, alone, beside = Contacts(server, database, keys), list[float](), list[float]()
    with contacts.measured(alone):
        time.sleep(5)
    order = service.Order(Act.REQUEST, Selection(filters=Filters()))
    began = time.perf_counter()
    seen = service.preview(order, user=user, now=now)
    job = service.submit(
        order, seen.frozen, user=user, actor=Actor("bench", user.pk), now=timezone.now()
    )
    submitted = time.perf_counter() - began
    batches: list[float] = []
    with contacts.measured(beside):
        assert work._claim(job.pk, "bench", now=now)
        is_more = True
        while is_more:
            started = time.perf_counter()
            is_more = work.batch(job.pk, "bench", now=timezone.now())
            batches.append(time.perf_counter() - started)
    job.refresh_from_db()
    assert job.changed == count, job.changed
    ratio = sum(batches) / plain
    print(f"bulk renewal request of {count:,} orchestrators, audit rows included")
    print(f"  preview and submit     {submitted:8.2f} s")
    print(f"  work                   {sum(batches):8.2f} s")
    print(f"  plain UPDATE           {plain:8.2f} s, work is {ratio:.1f} times that (must: {MUST})")
    print(f"  longest transaction    {max(batches):8.2f} s")
    for name, measured in (("contact alone", alone), ("contact beside", beside)):
        ordered = sorted(measured)
        median, late = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
        print(f"  {name:<22} {1000 * median:8.2f} ms median, {1000 * late:.1f} ms in 99 of 100")
    return int(ratio > MUST)


def main(arguments: list[str]) -> int:
    count = int(arguments[0]) if arguments else ORCHESTRATORS
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder, private_server() as server:
        database = server.create_database()
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "PORTAL_DATA_DIR": folder,
            "DATABASE_URL": server.url(database),
        }
        import django

        django.setup()
        return bench(server, database, count)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
