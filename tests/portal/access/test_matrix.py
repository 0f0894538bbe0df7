"""Every path × method × kind of caller, as `matrix.md` says; nothing is forgotten in it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.portal.access.matrix import METHODS, TABLE, WHO, Row, World, table, urls

pytestmark = pytest.mark.django_db
ROWS = table()


def part_of(row: Row) -> str:
    """Return where a row is tried: by the first word of its path, the API's by a letter more, so
    that no test takes all the time.
    """
    first, _, rest = row.url.partition("/")
    return f"{first}/{rest[:1]}" if first == "KeyfactorAPI" else first


PARTS = sorted({part_of(row) for row in ROWS})


@pytest.fixture(scope="module")
def world(kept: Path) -> World:
    """One for all cells: what a request changed is undone after it."""
    return World.made()


def test_every_path_has_a_line() -> None:
    known = {row.url for row in ROWS}
    missing = sorted(set(urls()) - known)
    assert not missing, (
        f"New paths without a line in {TABLE.name}: {missing}. Add, for each method that the path "
        "takes, a line with what it sends and the status for each kind of caller ('?' prints what "
        "the portal answers now: read it before you keep it)."
    )
    assert not sorted(known - set(urls())), (
        "matrix.md has lines for paths that are gone: remove them."
    )


def test_every_line_has_a_status_for_every_kind_of_caller() -> None:
    header = next(line for line in TABLE.read_text().splitlines() if line.startswith("| method"))
    assert tuple(c.strip() for c in header.strip("|").split("|"))[3:] == WHO
    assert not [row.name for row in ROWS if len(row.expected) != len(WHO)]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part or "first page")
def test_each_caller_gets_the_status_of_the_table_and_a_refusal_changes_nothing(
    world: World, part: str
) -> None:
    wrong = []
    for row in (row for row in ROWS if part_of(row) == part):
        seen = []
        for who, expected in zip(WHO, row.expected, strict=True):
            status, changed = world.send(row, who, may_change=row.method != "GET")
            seen.append(str(status))
            if row.method == "GET" and who in ("Administrator", "Read only", "not signed in"):
                head, changed_by_head = world.send(replace(row, method="HEAD"), who)
                if (head, changed_by_head) != (status, changed):
                    wrong.append(f"HEAD /{row.url}, {who}: {head}, and GET {status}")
            if seen[-1] != expected:
                wrong.append(f"{row.name}, {who}: {status}, not {expected}")
            if status >= 400 and changed:
                wrong.append(f"{row.name}, {who}: refused with {status}, and yet it changed rows")
        if os.environ.get("SHOW_MATRIX"):
            print(f"@@{row.method}|{row.url}|{row.sends}|{'|'.join(seen)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part or "first page")
def test_a_method_without_a_line_is_refused_to_everybody(world: World, part: str) -> None:
    wrong = []
    for url in sorted({row.url for row in ROWS if part_of(row) == part}):
        taken = {row.method for row in ROWS if row.url == url}
        # HEAD is what GET is, and tried beside it.
        taken |= {"HEAD"} if "GET" in taken else set()
        for method in sorted(set(METHODS) - taken):
            for who in ("Administrator", "not signed in"):
                status, changed = world.send(Row(method, url, "", ()), who)
                if status not in (401, 403, 404, 405) or changed:
                    wrong.append(f"{method} /{url}, {who}: {status}")
    assert not wrong, (
        f"Add a line to {TABLE.name} for each method that a path takes, or refuse it: {wrong}"
    )
