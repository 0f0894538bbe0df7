"""A demonstration that cannot begin says why in one line, and its report says so too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest

from tests.demo import __main__ as demo


def test_a_set_up_that_fails_is_one_line_and_a_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> NoReturn:
        raise AssertionError(
            "manage.py migrate ended with 1:\nTraceback\n  File x\nNo space left on device.\n"
        )

    monkeypatch.setattr(demo, "portal_under_test", fails)
    monkeypatch.chdir(tmp_path)
    assert demo.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "The portal could not be set up: manage.py migrate ended with 1: … No space left on "
        "device. See demo-report.json."
    )
    report = json.loads((tmp_path / "demo-report.json").read_text())
    assert (report["failed"], report["observed"]) == (1, 0)
    assert report["set_up_failed"].endswith("No space left on device.")
    assert "  File x" in report["said"]
