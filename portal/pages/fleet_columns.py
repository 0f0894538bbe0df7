"""The columns of the list of orchestrators: what each is called, means and exports.

Owns the table of columns. How a cell looks is `fleet_cells.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portal.pages import fleet_cells as cells
from portal.pages.glossary import GLOSSARY
from portal.pages.list_columns import Column, Columns
from portal.pages.pieces import platform
from renewal.selectors.fleet import FleetRow


def _of(name: str) -> Callable[[FleetRow], Any]:
    return lambda row: getattr(row.orchestrator, name)


COLUMNS: tuple[Column[FleetRow], ...] = (
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
        cell=cells.orchestrator,
        names_row=True,
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
        cell=cells.state,
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
        cell=cells.ends,
        css="left",
    ),
    Column(
        "next",
        "What happens next",
        "Without anybody doing anything",
        (("next", lambda row: row.next.words), ("next_at", lambda row: row.next.at)),
        by_default=True,
        cell=cells.next_step,
        css="next",
    ),
    Column(
        "seen",
        "Last seen",
        "Its last request, whatever the answer was",
        (("last_seen", _of("last_seen")), ("in_session", lambda row: row.in_session)),
        by_default=True,
        cell=cells.seen,
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
        cell=cells.answer,
    ),
    Column(
        "thumbprint",
        "Thumbprint",
        "SHA-1 of the expected certificate, and the legacy one while both count",
        (("thumbprint", _of("thumbprint")), ("legacy_thumbprint", _of("legacy_thumbprint"))),
        cell=cells.thumbprint,
    ),
    Column(
        "used",
        "Thumbprint used last",
        "SHA-1 of the certificate that it came with last",
        (("last_thumbprint_used", _of("last_thumbprint_used")),),
        cell=cells.used,
    ),
    Column(
        "asked",
        "Asked to renew",
        "What an operator asked for: nothing, Request or Require",
        (("renewal", lambda row: row.orchestrator.get_flag_display()),),
        cell=cells.asked,
    ),
    Column(
        "group",
        "Group",
        "Roles and issuance can be limited to a group",
        (("group", lambda row: row.orchestrator.group.name if row.orchestrator.group else ""),),
        cell=cells.group,
    ),
    Column(
        "labels",
        "Labels",
        "Words that operators put on it",
        (("labels", lambda row: {label.key: label.value for label in row.labels}),),
        cell=cells.labels,
    ),
    Column(
        "account",
        "Service account",
        GLOSSARY["service account"],
        (("service_account", lambda row: row.orchestrator.service_account.get_username()),),
        cell=cells.account,
    ),
    Column(
        "platform",
        "Platform",
        "As it says itself",
        (("platform", lambda row: platform(row.orchestrator.platform)),),
        cell=cells.platform_said,
    ),
    Column(
        "version",
        "Version",
        "As it says itself",
        (("version", _of("version")),),
        cell=cells.version,
    ),
    Column(
        "address",
        "Address",
        "Where it came from last",
        (("address", _of("last_address")),),
        cell=cells.address,
        css="mono",
    ),
    Column(
        "added",
        "Added",
        "When the record was made",
        (("added", _of("created_at")),),
        cell=cells.added,
    ),
)
FLEET = Columns("orchestrators", COLUMNS)
