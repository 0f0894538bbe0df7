"""The log: lines in the source's shape, on standard error and in a file, and its last part.

Owns the format ``2021-09-17 12:45:59.7927 <logger> [Warn] - <message>`` and the three messages of
a refused registration (S15, S16 in docs/promises.md). Times are local, as in existing agents'
logs. Secrets are never passed to a logger anywhere in this package.
"""

from __future__ import annotations

import logging
import logging.handlers
from collections import deque
from datetime import datetime
from pathlib import Path

from orchestrators.agent.wire import Result
from orchestrators.protocol.terms import ResultStatus

ROOT = "Keyfactor.Orchestrators"
_LEVELS = {"WARNING": "Warn", "CRITICAL": "Fatal"}
_KEPT_LINES = 5_000
_FILE_BYTES = 10_000_000
_FILES = 5
_BYTES_PER_CHARACTER = 4

session_client = logging.getLogger(f"{ROOT}.JobEngine.SessionClient")
session_executor = logging.getLogger(f"{ROOT}.JobEngine.SessionJobExecutor")


class LineFormatter(logging.Formatter):
    """Writes the shape of the source's log lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one record as text."""
        at = datetime.fromtimestamp(record.created)
        time = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 100:04d}"
        level = _LEVELS.get(record.levelname, record.levelname.capitalize())
        return f"{time} {record.name} [{level}] - {record.getMessage()}"


class RecentLines(logging.Handler):
    """Keeps the last lines, for FetchLogs."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self._lines.append(self.format(record))

    def tail(self, characters: int) -> str:
        """Return the last ``characters`` characters."""
        return last("".join(f"{line}\n" for line in self._lines), characters)


class LogTail:
    """The last part of the log: of the file if there is one, else of this process."""

    def __init__(self, recent: RecentLines, path: Path | None = None) -> None:
        self._recent = recent
        self._path = path

    def read(self, characters: int) -> str:
        """Return the last ``characters`` characters."""
        if self._path is None:
            return self._recent.tail(characters)
        with self._path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - characters * _BYTES_PER_CHARACTER))
            return last(stream.read().decode(errors="replace"), characters)


def last(text: str, characters: int) -> str:
    """Return the last ``characters`` characters of ``text``."""
    return text[-characters:] if characters else ""


def configure(path: Path | None, level: int = logging.INFO) -> LogTail:
    """Send the log to standard error and, if named, to a file; return its tail."""
    recent = RecentLines()
    handlers: list[logging.Handler] = [logging.StreamHandler(), recent]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(
            logging.handlers.RotatingFileHandler(
                path, maxBytes=_FILE_BYTES, backupCount=_FILES, encoding="utf-8"
            )
        )
    root = logging.getLogger(ROOT)
    root.setLevel(level)
    root.propagate = False
    root.handlers = handlers
    for handler in handlers:
        handler.setFormatter(LineFormatter())
    return LogTail(recent, path)


def report_reply(url: str, result: Result, *, session: bool) -> None:
    """Log a reply to Register that has a remark, in the source's words."""
    if result.is_ok:
        if result.code_text:
            session_client.info("%s", _remark(url, result))
        return
    is_error = result.status == ResultStatus.ERROR
    session_client.log(logging.ERROR if is_error else logging.WARNING, "%s", _remark(url, result))
    if is_error and not session:
        # The second line has no time of its own: it is the text of the error.
        session_executor.error(
            "Error in SessionManager: Unable to register session.\nError: %s %s",
            result.code_text,
            result.message,
        )


def _remark(url: str, result: Result) -> str:
    return f"Remote CMS call '{url}' returned: {result.message} ({result.code_text})"
