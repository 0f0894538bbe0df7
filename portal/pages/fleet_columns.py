"""The columns of the list of orchestrators: what each is called, means and exports.

Owns the table of columns and which of them a person sees. How a cell looks is the template's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrators.protocol.terms import AgentPlatform
from portal.preferences.models import Layout
from renewal.selectors.fleet import FleetRow

PAGE = "orchestrators"
"""The list's name in saved views and layouts."""


@dataclass(frozen=True)
class Column:
    """One column; ``fields`` are its names and values in an export."""

    key: str
    title: str
    meaning: str
    fields: tuple[tuple[str, Callable[[FleetRow], Any]], ...]
    by_default: bool = False
    is_fixed: bool = False


def _of(name: str) -> Callable[[FleetRow], Any]:
    return lambda row: getattr(row.orchestrator, name)


def platform_name(number: int) -> str:
    """Return the platform as a word; an unknown one as its number."""
    if number not in set(AgentPlatform):
        return str(number)
    return {"DOTNET": ".NET"}.get(name := AgentPlatform(number).name, name.capitalize())


COLUMNS: tuple[Column, ...] = (
    Column(
        "orchestrator",
        "Orchestrator",
        "The name that it was approved with",
        (
            ("id", lambda row: str(row.orchestrator.pk)),
            ("orchestrator", _of("client_machine")),
            ("demonstration", _of("demonstration")),
        ),
        by_default=True,
        is_fixed=True,
    ),
    Column(
        "state",
        "State",
        "How urgent its renewal is, and what else needs a look",
        (
            ("status", lambda row: row.orchestrator.get_status_display()),
            ("state", lambda row: str(row.state)),
            ("marks", lambda row: [str(mark) for mark in row.marks]),
        ),
        by_default=True,
        is_fixed=True,
    ),
    Column(
        "ends",
        "Certificate ends",
        "The end of the certificate in use; a full bar is a year",
        (
            ("certificate_not_after", _of("certificate_not_after")),
            ("days_left", lambda row: row.days_left),
        ),
        by_default=True,
    ),
    Column(
        "next",
        "What happens next",
        "Without anybody doing anything",
        (("next", lambda row: row.next.words), ("next_at", lambda row: row.next.at)),
        by_default=True,
    ),
    Column(
        "seen",
        "Last seen",
        "Its last request, whatever the answer was",
        (("last_seen", _of("last_seen")), ("in_session", lambda row: row.in_session)),
        by_default=True,
    ),
    Column(
        "answer",
        "Last answer",
        "The code of its last warning or error, as its own log shows it",
        (
            ("last_error_code", _of("last_error_code")),
            ("last_error_message", _of("last_error_message")),
            ("last_error_at", _of("last_error_at")),
        ),
        by_default=True,
    ),
    Column(
        "thumbprint",
        "Thumbprint",
        "SHA-1 of the expected certificate, and the legacy one while both count",
        (("thumbprint", _of("thumbprint")), ("legacy_thumbprint", _of("legacy_thumbprint"))),
    ),
    Column(
        "used",
        "Thumbprint used last",
        "SHA-1 of the certificate that it came with last",
        (("last_thumbprint_used", _of("last_thumbprint_used")),),
    ),
    Column(
        "asked",
        "Asked to renew",
        "What an operator asked for: nothing, Request or Require",
        (("renewal", lambda row: row.orchestrator.get_flag_display()),),
    ),
    Column(
        "group",
        "Group",
        "Roles and issuance can be limited to a group",
        (("group", lambda row: row.orchestrator.group.name if row.orchestrator.group else ""),),
    ),
    Column(
        "labels",
        "Labels",
        "Words that operators put on it",
        (("labels", lambda row: {label.key: label.value for label in row.labels}),),
    ),
    Column(
        "account",
        "Identity",
        "The service account whose permissions it has",
        (("service_account", lambda row: row.orchestrator.service_account.get_username()),),
    ),
    Column(
        "platform",
        "Platform",
        "As it says itself",
        (("platform", lambda row: platform_name(row.orchestrator.platform)),),
    ),
    Column("version", "Version", "As it says itself", (("version", _of("version")),)),
    Column("address", "Address", "Where it came from last", (("address", _of("last_address")),)),
    Column("added", "Added", "When the record was made", (("added", _of("created_at")),)),
)
BY_KEY = {column.key: column for column in COLUMNS}


@dataclass(frozen=True)
class Shown:
    """What one person sees of the list."""

    columns: Sequence[Column]
    is_compact: bool = False
    is_own: bool = False
    """Chosen by the person, not the default."""

    @property
    def optional(self) -> list[tuple[Column, bool]]:
        """The columns that may be left out, in order: those shown first."""
        shown = [c for c in self.columns if not c.is_fixed]
        rest = [c for c in COLUMNS if not c.is_fixed and c not in shown]
        return [(c, True) for c in shown] + [(c, False) for c in rest]

    def export_names(self) -> list[str]:
        return [name for column in self.columns for name, _ in column.fields]

    def export(self, row: FleetRow) -> dict[str, Any]:
        """Return a row as an export tells it."""
        return {
            name: value.isoformat() if isinstance(value := get(row), datetime) else value
            for column in self.columns
            for name, get in column.fields
        }


def shown(layout: Layout | None) -> Shown:
    """Return the columns of a layout; a key that is no longer known is left out."""
    if layout is None:
        return Shown([c for c in COLUMNS if c.by_default])
    fixed = [c for c in COLUMNS if c.is_fixed]
    chosen = [BY_KEY[key] for key in dict.fromkeys(layout.columns) if key in BY_KEY]
    return Shown([*fixed, *(c for c in chosen if not c.is_fixed)], layout.is_compact, is_own=True)
