"""Checkpoints: each signed block's head, told outside the database.

Owns the file (one JSON object a line, append-only) and the message to syslog. With it a log that
was cut off at its end, which no chain can show by itself, is found. The database stays the truth:
what the file lacks is written again.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import re
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from portal.audit import blocks, chain, signing
from portal.audit.columns import numbered
from portal.audit.models import AuditBlock

AT_LATEST = timedelta(minutes=1)
"""A block is told to the file in the run that seals it."""

_TAIL_BYTES = 4096
_MEMBERS = {
    "number": int,
    "first": int,
    "last": int,
    "highest": int,
    "link": str,
    "sealed_at": str,
    "key": str,
    "signature": str,
}
"""The members of a checkpoint."""
_APP_NAME = "orchestrator-certificate-portal"
_MESSAGE_ID = "AUDITCHECKPOINT"


def tell(file: Path, syslog: str, *, keys: Mapping[str, Ed25519PublicKey]) -> int:
    """Append what the file lacks; return how many blocks were told."""
    known = _last_number(file, keys)
    rows = numbered(AuditBlock.objects.filter(number__gt=known), "number")
    # One that is not signed as it stands was written by somebody else.
    found = [block for block in rows.order_by("number") if blocks.is_genuine(block, keys)]
    if not found:
        return 0
    lines = [json.dumps(as_checkpoint(block), separators=(",", ":")) for block in found]
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        # Behind a line that a crash tore, on a line of their own.
        stream.write("".join(f"{line}\n" for line in ([""] if _is_torn(file) else []) + lines))
        stream.flush()
        os.fsync(stream.fileno())
    if syslog:
        told = zip(found, lines, strict=True)
        _to_syslog(syslog, [as_syslog(block, line) for block, line in told])
    return len(found)


def as_checkpoint(block: AuditBlock) -> dict[str, Any]:
    """Return a block as a checkpoint tells it."""
    return {
        "number": block.number,
        "first": block.first_sequence,
        "last": block.last_sequence,
        "highest": block.highest_entry_id,
        "link": block.link,
        "sealed_at": block.sealed_at.isoformat(),
        "key": block.key_id,
        "signature": block.signature,
    }


def read(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the checkpoints of a file, in their order; a torn last line is passed over."""
    if not file.exists():
        return
    with file.open(errors="replace") as stream:
        for line in stream:
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict):
                yield found


def is_complete(told: Mapping[str, Any]) -> bool:
    """Say whether a line is a checkpoint by its form, whoever wrote it."""
    return all(type(told.get(name)) is kind for name, kind in _MEMBERS.items())


class Numbers:
    """Which numbers a file tells of: mostly one after the other, so that runs of them are few."""

    def __init__(self) -> None:
        self._runs: list[list[int]] = []

    def add(self, number: int) -> None:
        if self._runs and self._runs[-1][0] <= number <= self._runs[-1][1] + 1:
            self._runs[-1][1] = max(self._runs[-1][1], number)
        else:
            self._runs.append([number, number])

    def gaps(self, *, up_to: int) -> Iterator[int]:
        """Yield the first number of each run from 1 to ``up_to`` that is not told of."""
        expected = 1
        for first, last in sorted(self._runs):
            if first > expected:
                yield expected
            expected = max(expected, last + 1)
        if expected <= up_to:
            yield expected


def is_genuine(told: Mapping[str, Any], keys: Mapping[str, Ed25519PublicKey]) -> bool:
    """Say whether a checkpoint is signed: anybody can write a line into a file."""
    if not is_complete(told):
        return False
    try:
        message = chain.block_bytes(
            number=told["number"],
            first=told["first"],
            last=told["last"],
            highest=told["highest"],
            link=told["link"],
            sealed_at=datetime.fromisoformat(told["sealed_at"]),
        )
        return signing.is_signed(keys.get(told["key"]), told["signature"], message)
    except (KeyError, TypeError, ValueError, OverflowError):
        return False


def _last_number(file: Path, keys: Mapping[str, Ed25519PublicKey]) -> int:
    """Return the number of the last line that is signed; 0 for none."""
    if not file.exists():
        return 0
    with file.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        size = stream.tell()
        stream.seek(max(0, size - _TAIL_BYTES))
        tail = stream.read().decode("utf-8", "replace")
    for line in reversed(tail.splitlines()):
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(told, dict) and is_genuine(told, keys):
            return int(told["number"])
    return 0


def _is_torn(file: Path) -> bool:
    with file.open("rb") as stream:
        if not stream.seek(0, os.SEEK_END):
            return False
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) != b"\n"


def as_syslog(block: AuditBlock, line: str) -> str:
    """Return a checkpoint as a message of syslog, without its priority (RFC 5424 §6)."""
    at = block.sealed_at.astimezone(UTC).isoformat(timespec="microseconds")
    header = f"1 {at.removesuffix('+00:00')}Z {_host()} {_APP_NAME} {os.getpid()} {_MESSAGE_ID}"
    return f"{header} - {line}"


def _host() -> str:
    """Return this host's name as HOSTNAME of RFC 5424 §6.2.4: printable ASCII, or nil."""
    return re.sub(r"[^!-~]", "", socket.gethostname())[:255] or "-"


def _to_syslog(address: str, messages: list[str]) -> None:
    """Send each message to a syslog server (``host:port`` over UDP, RFC 5426, or a socket's path).

    A server that is not there gets them later from the file alone.
    """
    host, colon, port = address.rpartition(":")
    target: str | tuple[str, int] = (host, int(port)) if colon and port.isdigit() else address
    try:
        handler = logging.handlers.SysLogHandler(
            address=target, facility=logging.handlers.SysLogHandler.LOG_AUTH
        )
    except OSError as error:
        logging.getLogger(__name__).error("syslog at %s is not there: %s", address, error)
        return
    # The handler puts the priority before the message; the old protocol's NUL is not of this one.
    handler.append_nul = False
    try:
        for message in messages:
            handler.emit(logging.makeLogRecord({"msg": message, "levelname": "INFO"}))
    finally:
        handler.close()
