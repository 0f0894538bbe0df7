"""The log's lines, compared with golden texts in the source's shape."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path

import pytest

from orchestrators.agent import logs
from orchestrators.agent.logs import LogTail, RecentLines, last
from orchestrators.agent.service import attempt
from orchestrators.protocol.codes import Code
from tests.agent.conftest import MakeHome, orchestrator_of
from tests.agent.portal_double import PortalDouble, must, refuse, warn

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{4}"
URL = r"https://127\.0\.0\.1:\d+/KeyfactorAgents/Session/Register"

WARNING = (
    r"{time} Keyfactor\.Orchestrators\.JobEngine\.SessionClient \[Warn\] - Remote CMS call '{url}' "
    r"returned: Agent certificate is approaching expiration and should be renewed\. \(A0100007\)\n"
)
ERROR = (
    r"{time} Keyfactor\.Orchestrators\.JobEngine\.SessionClient \[Error\] - Remote CMS call '{url}'"
    r" returned: Agent certificate is approaching expiration and must be renewed\. \(A0100008\)\n"
    r"{time} Keyfactor\.Orchestrators\.JobEngine\.SessionJobExecutor \[Error\] - "
    r"Error in SessionManager: Unable to register session\.\n"
    r"Error: A0100008 Agent certificate is approaching expiration and must be renewed\.\n"
)


def golden(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.format(time=TIME, url=URL))


def test_the_line_of_a_warning(make_home: MakeHome, portal: PortalDouble, log: io.StringIO) -> None:
    portal.registers.extend([warn, refuse(Code.BUSY)])
    attempt(orchestrator_of(make_home()))
    assert golden(f"^{WARNING}").search(_lines_of_the_session(log))


def test_the_three_messages_of_a_refusal(
    make_home: MakeHome, portal: PortalDouble, log: io.StringIO
) -> None:
    portal.registers.extend([must, must])
    attempt(orchestrator_of(make_home()))
    assert golden(f"^{ERROR}{ERROR}$").match(_lines_of_the_session(log))


def test_the_shape_is_that_of_the_documented_samples() -> None:
    document = (Path(__file__).parents[2] / "docs/orchestrator.md").read_text()
    url = r"https://portal:8443/KeyfactorAgents/Session/Register"
    for pattern in (WARNING, ERROR):
        assert re.search(pattern.format(time=TIME, url=url), document)


def test_levels_have_the_sources_names(log: io.StringIO) -> None:
    logger = logging.getLogger(f"{logs.ROOT}.Test")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logger.log(level, "x")
    found = re.findall(r"\[(\w+)\] - x", log.getvalue())
    assert found == ["Debug", "Info", "Warn", "Error", "Fatal"]


@pytest.mark.parametrize("count", [0, 1, 12, 10_000])
def test_the_tail_of_file_and_memory_is_cut_to_characters(tmp_path: Path, count: int) -> None:
    text = "Zeile äöü €\n" * 500
    (tmp_path / "log").write_text(text, "utf-8")
    assert LogTail(RecentLines(), tmp_path / "log").read(count) == last(text, count)
    recent = RecentLines()
    for line in text.splitlines():
        recent.emit(logging.LogRecord("x", logging.INFO, "", 0, line, None, None))
    assert LogTail(recent).read(count) == last(text, count)


def _lines_of_the_session(log: io.StringIO) -> str:
    lines = log.getvalue().splitlines(keepends=True)
    return "".join(line for line in lines if "JobEngine.Session" in line or line[:6] == "Error:")
