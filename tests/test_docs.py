"""The documents say what the code does: promises with their tests, diagrams, codes, links."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from orchestrators.protocol.codes import TEXTS
from portal.preferences.definitions import DEFINITIONS
from renewal.rules.approval import APPROVAL
from renewal.rules.bulk_lifecycle import BULK
from renewal.rules.decision import Decision
from renewal.rules.lifecycle import ENROLLMENT, REVOCATION, diagram

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PROMISES = DOCS / "promises.md"
PROTOCOL = DOCS / "agent-protocol.md"
ARCHITECTURE = DOCS / "architecture.md"
DOCUMENTS = [README, *sorted(DOCS.glob("*.md"))]

SOURCE_ROWS = [*(f"S{n}" for n in range(1, 58)), *(f"C{n}" for n in range(1, 15))]
README_MOST_LINES = 90
ARCHITECTURE_MOST_LINES = 150
TOP_LEVEL = {
    "manage.py", "portal", "orchestrators", "renewal", "templates", "static", "tests",
    "requirements.txt",
}  # fmt: skip

_CITED = re.compile(r"`(tests/[^`]*?\.py[^`]*)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ROW_OF_THE_CODE = re.compile(r'"(\d{1,2}[ab]?)"')


def rows_of(path: Path, first_cell: str) -> list[list[str]]:
    """Return the cells of each table row of a document whose first cell matches."""
    rows = []
    for line in path.read_text().splitlines():
        if line.startswith("| "):
            cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
            if re.fullmatch(first_cell, cells[0]):
                rows.append([cell.strip() for cell in cells])
    return rows


@cache
def defined_in(path: Path) -> frozenset[str]:
    """Return the tests that a file defines: ``test_name`` and ``Class::test_name``."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}::{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef) and inner.name.startswith("test_")
            }
    return frozenset(found)


def is_a_test(cited: str) -> bool:
    """Say whether ``tests/path.py::name`` is there; without a name, whether the file has any."""
    file, _, name = cited.partition("::")
    path = ROOT / file
    if not path.is_file():
        return False
    return name in defined_in(path) if name else bool(defined_in(path))


def blocks_of(path: Path) -> list[str]:
    """Return the state diagrams of a document."""
    found = re.findall(r"```mermaid\n(.*?)\n```", path.read_text(), re.DOTALL)
    return [block for block in found if block.startswith("stateDiagram")]


def anchors_of(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize(
    "cited",
    sorted(set(_CITED.findall(PROMISES.read_text()))),
)
def test_every_test_that_promises_name_exists(cited):
    assert is_a_test(cited), f"docs/promises.md names {cited}"


@pytest.mark.parametrize(
    "cited",
    [
        "tests/no_such_file.py",
        "tests/no_such_file.py::test_a",
        "tests/test_docs.py::test_no_such_test",
        "tests/test_docs.py::is_a_test",
        "tests/test_docs.py::NoSuchClass::test_a",
        "tests/pki.py",
    ],
)
def test_a_name_of_no_test_is_found_out(cited):
    assert not is_a_test(cited)


def test_every_promise_stands_there_once_and_has_a_test_or_says_not_yet():
    rows = rows_of(PROMISES, r"[SC]\d+")
    assert [row[0] for row in rows] == SOURCE_ROWS
    bare = [
        row[0]
        for row in rows
        if len(row) != 3
        or not row[1]
        or not (_CITED.search(row[2]) or "`make demo`" in row[2] or "not yet: " in row[2])
    ]
    assert not bare


def test_every_row_that_code_and_documents_name_is_explained():
    said = {row[0] for row in rows_of(PROMISES, r"[SCITF]\d+")}
    named = set()
    for folder in ("portal", "orchestrators", "renewal", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md"} and path != PROMISES:
                for group in re.findall(r"\(([^()]*?)(?:\s+in\s+docs/promises\.md)?\)",
                                        path.read_text()):  # fmt: skip
                    if re.fullmatch(r"[SCITF]\d{1,2}(?:(?:, | and |-| to )[SCITF]\d{1,2})*", group):
                        named |= set(re.findall(r"[SCITF]\d{1,2}", group))
    assert len(named) > 20
    assert sorted(named - said) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    dead = []
    for target in _LINK.findall(document.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (document.parent / file).resolve() if file else document
        if not path.exists() or (
            anchor and path.suffix == ".md" and anchor not in anchors_of(path)
        ):
            dead.append(target)
    assert not dead


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_variable_that_an_example_reads_is_set_by_one(document):
    text = "\n".join(re.findall(r"```sh\n(.*?)\n```", document.read_text(), re.DOTALL))
    read = set(re.findall(r"\$\{?([A-Za-z_]\w*)", text))
    made = re.findall(r"(?:^|[\s;(]|\bfor )([A-Za-z_]\w*)(?==| in )", text)
    assert read <= set(made)


def test_the_life_cycles_are_those_of_the_code():
    assert blocks_of(ARCHITECTURE) == [diagram(ENROLLMENT), diagram(REVOCATION)]
    assert blocks_of(ARCHITECTURE.with_name("bulk-jobs.md")) == [diagram(BULK)]


def test_the_life_cycle_of_a_request_for_approval_is_that_of_the_code():
    assert blocks_of(DOCS / "approvals.md") == [diagram(APPROVAL)]


def test_the_policies_of_approval_are_the_settings_and_their_defaults():
    rows = rows_of(DOCS / "approvals.md", r"`Appro\w+`")
    settings = [d for d in DEFINITIONS if d.group == "Approvals"]
    assert [(row[0].strip("`"), row[1]) for row in rows] == [
        (d.name, d.default or "none") for d in settings
    ]


def test_the_codes_are_those_of_the_code():
    rows = rows_of(PROTOCOL, r"A0[01][0-9A-F]{5}|A01F[0-9A-F]{4}")
    assert [tuple(row) for row in rows] == [
        (code.value, text.sentence, text.remedy) for code, text in TEXTS.items()
    ]


def test_the_rows_of_the_decision_table_are_those_that_the_code_names():
    rules = ROOT / "renewal" / "rules"
    files = ("decision.py", "strangers.py", "replies.py")
    source = "".join((rules / name).read_text() for name in files)
    named = set(_ROW_OF_THE_CODE.findall(source))
    said = [row[0] for row in rows_of(PROTOCOL, r"\d{1,2}[ab]?")]
    assert "row" in Decision.__dataclass_fields__
    assert len(said) == len(set(said)) == 24
    # Row 15 shows as the row that it comes to.
    assert set(said) - named - {"15"} == set()
    assert named - set(said) == set()


def test_the_documents_stay_short():
    assert len(README.read_text().splitlines()) <= README_MOST_LINES
    assert len(ARCHITECTURE.read_text().splitlines()) <= ARCHITECTURE_MOST_LINES


def test_the_top_level_is_the_one_that_was_designed():
    assert {path.name for path in ROOT.iterdir()} >= TOP_LEVEL
