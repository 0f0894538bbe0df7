"""Two operators on the rules at once: the second one is told, and nothing is lost.

On PostgreSQL only: SQLite lets one writer in at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import connection

from orchestrators.registration import editing
from orchestrators.registration.contents import Contents, RuleRefused
from portal.audit.models import AuditEntry
from portal.audit.trail import Actor

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
ADA = Actor("ada")


def at_once(*acts: Callable[[], object]) -> list[str]:
    """Run the acts in threads that start together; return what each came to."""
    barrier = threading.Barrier(len(acts))
    outcomes: list[str] = []

    def run(act: Callable[[], object]) -> None:
        barrier.wait(10)
        try:
            act()
        except RuleRefused as refused:
            outcomes.append(refused.reason)
        else:
            outcomes.append("done")
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return sorted(outcomes)


def test_of_two_moves_from_one_page_the_later_is_refused() -> None:
    rows = [editing.save(name, Contents(), actor=ADA, now=NOW)[0] for name in "abcd"]
    shown = editing.revision(editing.ordered())

    def move(pk: int, position: int) -> Callable[[], object]:
        return lambda: editing.move(pk, position, expected=shown, actor=ADA, now=NOW)

    assert at_once(move(rows[3].pk, 1), move(rows[0].pk, 4)) == ["done", "rules_changed"]
    order = [row.name for row in editing.ordered()]
    assert order in (["d", "a", "b", "c"], ["b", "c", "d", "a"])
    assert AuditEntry.objects.filter(action="rule_moved").count() == 1


def test_of_two_rules_of_one_name_there_is_one() -> None:
    def add() -> object:
        return editing.save("a", Contents(), actor=ADA, now=NOW)

    assert at_once(add, add) == ["done", "name_taken"]
    assert [row.name for row in editing.ordered()] == ["a"]
    assert AuditEntry.objects.filter(action="rule_added").count() == 1


def test_of_two_changes_of_one_version_the_later_is_refused() -> None:
    row, _ = editing.save("a", Contents(), actor=ADA, now=NOW)

    def change(outcome: str) -> Callable[[], object]:
        return lambda: editing.save(
            "a", Contents(outcome), actor=ADA, now=NOW, pk=row.pk, version=row.version
        )

    assert at_once(change("allow"), change("deny")) == ["done", "rule_changed"]
    row.refresh_from_db()
    assert row.version == 2
