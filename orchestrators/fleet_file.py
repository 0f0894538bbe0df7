"""A list of orchestrators that another system knows, read from JSON or CSV. PURE.

Owns the two forms: an array of objects as ``GET /Agents`` of Keyfactor's API answers, and a CSV
file with the same names in its first line (RFC 4180, UTF-8). Both may say more: ``Certificate``
(PEM, or base64 of its DER), with ``LegacyCertificate`` and ``OvertakenCertificate`` in the middle
of a renewal, ``Group`` and ``Labels``. What a row leads to is `renewal/identity/importing.py`'s.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from orchestrators.reenrollment import flag_of

MOST_BYTES = 256 * 1024 * 1024
MOST_ROWS = 500_000

_THUMBPRINT = re.compile(r"[0-9A-F]{40}")
_SEPARATORS = re.compile(r"[\s:\u200e\u200f-]")
_STATUS = {"1": 1, "new": 1, "2": 2, "approved": 2, "3": 3, "disapproved": 3}
_PLATFORMS = range(8)
_LONGEST_VERSION = 64
_MOST_CAPABILITIES = 100
_OURS = ("Certificate", "LegacyCertificate", "OvertakenCertificate", "Group", "Labels")
_READ = ("AgentId", "ClientMachine", "Username", "AgentPlatform", "Version", "Status",
         "Capabilities", "Thumbprint", "AuthCertificateReenrollment", *_OURS)  # fmt: skip
_PASSED_OVER = ("LastSeen", "Blueprint", "LegacyThumbprint", "LastThumbprintUsed",
                "LastErrorCode", "LastErrorMessage", "Renewal",
                "JobTypes", "AgentPoolId", "EnableDiscover", "EnableMonitor")  # fmt: skip
_NAMES = {name.lower(): name for name in (*_READ, *_PASSED_OVER)}


class FleetFileInvalid(ValueError):
    """The file as a whole cannot be read; the message says why."""


class _RowInvalid(ValueError):
    pass


@dataclass(frozen=True)
class Listed:
    """One orchestrator as the file tells it."""

    place: str
    """Where it stands, for a person: ``row 3``."""
    client_machine: str
    agent_id: UUID | None = None
    username: str = ""
    platform: int = 0
    version: str = ""
    status: int = 2
    """1 New, 2 Approved, 3 Disapproved."""
    capabilities: tuple[str, ...] = ()
    thumbprint: str = ""
    """SHA-1 in upper-case hex, or empty."""
    certificate: bytes = b""
    """PEM or DER, or empty."""
    legacy_certificate: bytes = b""
    """The one in use, if ``certificate`` was delivered and is not proven yet; else empty."""
    overtaken_certificate: bytes = b""
    """Delivered before ``certificate`` and not proven either; or empty."""
    flag: int = 0
    """AuthCertificateReenrollment: 0 None, 1 Requested, 2 Required."""
    group: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Unreadable:
    """A row that says nothing that can be used."""

    place: str
    name: str
    message: str


def read(data: bytes) -> Iterator[Listed | Unreadable]:
    """Yield the rows of a file. Raises FleetFileInvalid at once, or while rows are taken."""
    if len(data) > MOST_BYTES:
        raise FleetFileInvalid(f"The file is larger than {MOST_BYTES // 2**20} MiB.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FleetFileInvalid(f"The file is not UTF-8 (byte {error.start}).") from None
    if text.lstrip()[:1] in ("[", "{"):
        return rows_of(_json(text))
    return csv_rows(text)


def rows_of(entries: object) -> Iterator[Listed | Unreadable]:
    """Yield the rows of a JSON array that was read already. Raises FleetFileInvalid."""
    if not isinstance(entries, list):
        raise FleetFileInvalid("The JSON is not an array of orchestrators.")
    if len(entries) > MOST_ROWS:
        raise FleetFileInvalid(f"The file has more than {MOST_ROWS:,} rows.")
    return (_row(f"row {number}", entry) for number, entry in enumerate(entries, start=1))


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FleetFileInvalid(f"The JSON cannot be read: {str(error)[:200]}.") from None


def csv_rows(text: str) -> Iterator[Listed | Unreadable]:
    """Yield the rows of a CSV that was decoded already. Raises FleetFileInvalid."""
    reader = csv.reader(io.StringIO(text), strict=True)
    header = next(_lines(reader), None)
    if not header or "clientmachine" not in {name.strip().lower() for name in header}:
        raise FleetFileInvalid("The first line of the CSV must name the column ClientMachine.")
    columns = [name.strip().lower() for name in header]
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise FleetFileInvalid(f"The first line of the CSV names the column {twice[:40]!r} twice.")
    for number, cells in enumerate(_lines(reader), start=1):
        if number > MOST_ROWS:
            raise FleetFileInvalid(f"The file has more than {MOST_ROWS:,} rows.")
        if len(cells) > len(header):
            yield Unreadable(f"row {number}", "", "It has more cells than the first line.")
        elif any(cell.strip() for cell in cells):
            yield _row(f"row {number}", dict(zip(map(str.strip, header), cells, strict=False)))


def _lines(reader: Any) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise FleetFileInvalid(f"The CSV cannot be read: {error}.") from None


def _row(place: str, entry: object) -> Listed | Unreadable:
    if not isinstance(entry, dict):
        return Unreadable(place, "", "It is not an object.")
    name = ""
    try:
        given = _known(entry)
        name = _text(given, "ClientMachine").strip()
        return Listed(
            place=place,
            client_machine=name,
            agent_id=_guid(_text(given, "AgentId")),
            username=_text(given, "Username").strip(),
            platform=_platform(given.get("AgentPlatform")),
            version=_version(given),
            status=_status(given.get("Status")),
            capabilities=_capabilities(given.get("Capabilities")),
            thumbprint=_thumbprint(_text(given, "Thumbprint")),
            certificate=_certificate(_text(given, "Certificate")),
            legacy_certificate=_certificate(_text(given, "LegacyCertificate")),
            overtaken_certificate=_certificate(_text(given, "OvertakenCertificate")),
            flag=_flag(given.get("AuthCertificateReenrollment")),
            group=_text(given, "Group").strip(),
            labels=_labels(given.get("Labels")),
        )
    except _RowInvalid as problem:
        return Unreadable(place, name, str(problem))


def _known(entry: dict[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in entry.items():
        known = _NAMES.get(str(name).lower())
        if known is None:
            raise _RowInvalid(f"The member {str(name)[:40]!r} is not known.")
        if known in found:
            raise _RowInvalid(f"The member {known} is given twice.")
        found[known] = value
    return found


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _RowInvalid(f"{name} is not a text.")
    return _storable(value, name)


def _storable(value: str, name: str) -> str:
    if any(ch == "\0" or "\ud800" <= ch <= "\udfff" for ch in value):
        raise _RowInvalid(f"{name} has a character that no text has.")
    return value


def _guid(text: str) -> UUID | None:
    if not text.strip():
        return None
    try:
        return UUID(text.strip())
    except ValueError:
        raise _RowInvalid(f"AgentId {text[:40]!r} is not a GUID.") from None


def _version(given: Mapping[str, Any]) -> str:
    text = _text(given, "Version").strip()
    if len(text) > _LONGEST_VERSION:
        raise _RowInvalid(f"Version has more than {_LONGEST_VERSION} characters.")
    return text


def _platform(value: object) -> int:
    number = _number(value)
    if value in (None, ""):
        return 0
    if number not in _PLATFORMS:
        raise _RowInvalid("AgentPlatform is a number from 0 to 7.")
    return number


def _number(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = value.strip() if isinstance(value, str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1


def _status(value: object) -> int:
    if value in (None, ""):
        return 2
    found = _STATUS.get(str(value).strip().lower())
    if found is None or isinstance(value, bool):
        raise _RowInvalid("Status is 1 New, 2 Approved or 3 Disapproved.")
    return found


def _flag(value: object) -> int:
    if value in (None, ""):
        return 0
    found = flag_of(value.strip() if isinstance(value, str) else value)
    if found is None:
        raise _RowInvalid("AuthCertificateReenrollment is 0 None, 1 Requested or 2 Required.")
    return found


def _capabilities(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(";") if part.strip()]
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _RowInvalid("Capabilities is a list of texts.")
    if len(value) > _MOST_CAPABILITIES:
        raise _RowInvalid(f"Capabilities has more than {_MOST_CAPABILITIES} entries.")
    return tuple(_storable(each, "Capabilities") for each in value)


def _thumbprint(text: str) -> str:
    found = _SEPARATORS.sub("", text).upper()
    if found and not _THUMBPRINT.fullmatch(found):
        raise _RowInvalid("Thumbprint is not a SHA-1 in hexadecimal.")
    return found


def _certificate(text: str) -> bytes:
    stripped = text.strip()
    if not stripped or stripped.startswith("-----BEGIN "):
        return stripped.encode("ascii", "replace")
    try:
        return base64.b64decode("".join(stripped.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _RowInvalid("Certificate is neither PEM nor base64.") from None


def _labels(value: object) -> Mapping[str, str]:
    if value in (None, ""):
        return {}
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(";") if part.strip()]
        return {key.strip(): text.strip() for key, _, text in pairs}
    if isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
        return {_storable(str(k), "Labels"): _storable(text, "Labels") for k, text in value.items()}
    raise _RowInvalid('Labels is an object of texts, in CSV "key=value;key=value".')
