"""Refusals in the log: the same one once in ten minutes, whoever comes at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import pytest
from django.db import connections
from django.utils import timezone

from portal.audit import refusals
from portal.audit.models import AuditEntry, NotedRefusal
from portal.audit.trail import Actor

BOB = Actor("bob")


def note(now: datetime, key: str = "7:auditing_read") -> None:
    refusals.note(
        BOB, "page_refused", object_type="permission", object_id=key, message="no", now=now
    )


def rows() -> int:
    return AuditEntry.objects.filter(action="page_refused").count()


@pytest.mark.django_db
@pytest.mark.both_databases
def test_the_same_refusal_is_a_row_once_in_ten_minutes() -> None:
    now = timezone.now()
    for minutes, expected in ((0, 1), (1, 1), (9, 1), (10, 2), (15, 2), (20, 3)):
        note(now + timedelta(minutes=minutes))
        assert rows() == expected, minutes
    note(now + timedelta(minutes=20), "7:security_read")
    assert rows() == 4


@pytest.mark.django_db
def test_what_bounds_nothing_any_more_is_forgotten() -> None:
    now = timezone.now()
    note(now - timedelta(days=2), "old")
    note(now, "new")
    refusals.forget(now=now)
    assert list(NotedRefusal.objects.values_list("object_id", flat=True)) == ["new"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("on_postgresql")
@pytest.mark.parametrize("is_known", [False, True], ids=["never noted", "noted long ago"])
def test_of_many_refused_at_one_moment_one_is_a_row(is_known: bool) -> None:
    now = timezone.now()
    if is_known:
        note(now - timedelta(hours=1))
    before, barrier = rows(), Barrier(8)

    def call(_: int) -> None:
        try:
            barrier.wait()
            note(now)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(8)))
    assert rows() == before + 1
