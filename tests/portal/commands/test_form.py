"""The form of every set-up command: one JSON object, stable codes, no traceback, known statuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import load_command_class

from portal.management.base import FOUND, JSONCommand

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = sorted(
    path.stem
    for path in (ROOT / "portal" / "management" / "commands").glob("*.py")
    if "JSONCommand" in path.read_text()
)


def manage(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env={
            **environment,
            "PORTAL_DATA_DIR": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "portal.settings",
        },
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["user"], "usage", id="a flag that is missing"),
        pytest.param(["user", "--wrong"], "usage", id="a flag that does not exist"),
        pytest.param(["user", "--user", "x"], "usage", id="a flag that is cut short"),
        pytest.param(
            ["token", "--username", "a", "--name", "b", "--days", "0"], "usage", id="days"
        ),
        pytest.param(["setting", "--list"], "database", id="a database without tables"),
        pytest.param(["orchestrator", "--name", "a", "--certificate", "/no"], "file", id="no file"),
    ],
)
def test_a_refusal_is_json_on_stderr_with_status_1_and_no_traceback(
    tmp_path: Path, arguments: list[str], code: str
) -> None:
    done = manage(tmp_path, *arguments)

    assert (done.returncode, done.stdout) == (1, "")
    assert set(json.loads(done.stderr)) == {"error", "message"}
    assert json.loads(done.stderr)["error"] == code


def test_traceback_shows_where_a_refusal_came_from(tmp_path: Path) -> None:
    assert "Traceback" in manage(tmp_path, "setting", "--list", "--traceback").stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_is_for(name: str) -> None:
    command = load_command_class("portal", name)

    assert isinstance(command, JSONCommand)
    assert command.help.endswith(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_takes_a_secret_as_an_argument(name: str) -> None:
    command = load_command_class("portal", name)
    parser = command.create_parser("manage.py", name)

    for action in parser._actions:
        if re.search(r"password|secret|passphrase", " ".join(action.option_strings)):
            assert action.nargs == 0, f"{action.option_strings} takes a value"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "commands.md").read_text()


def test_the_document_names_each_command_that_only_reads() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    (told,) = re.findall(r"^- has no `changed` if it only reads: ([^,]+(?:,\s+`\w+`)+)", text, re.M)
    folder = ROOT / "portal" / "management" / "commands"
    reading = [name for name in COMMANDS if '"changed"' not in (folder / f"{name}.py").read_text()]
    assert re.findall(r"`(\w+)`", told) == reading


def test_the_table_of_exit_statuses_names_each_command_that_finds_something() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    (told,) = re.findall(r"^\| 2 \|.*\| (.*) \|$", text, re.MULTILINE)
    finding = [
        name
        for name in COMMANDS
        if type(load_command_class("portal", name)).has_findings is not JSONCommand.has_findings
    ]
    assert re.findall(r"`(\w+)`", told) == finding
    assert FOUND == 2
