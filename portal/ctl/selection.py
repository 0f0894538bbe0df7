"""Which orchestrators a command means: by name, by id, or by what filters say.

Owns the question to the API; who is found is the portal's.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from portal.ctl.connection import Portal
from portal.ctl.statuses import Usage


def query(options: argparse.Namespace, *, now: datetime) -> str:
    """Return what the filters say in the API's query language; empty without one."""
    wanted: list[str] = []
    if options.state:
        wanted.append(f"RenewalState -eq {options.state}")
    if options.expiring_days is not None:
        until = now + timedelta(days=options.expiring_days)
        wanted.append(f"Status -eq 2 AND CertificateNotAfter -le {until:%Y-%m-%dT%H:%M:%SZ}")
    if options.not_seen_days is not None:
        since = now - timedelta(days=options.not_seen_days)
        wanted.append(f"LastSeen -lt {since:%Y-%m-%d}")
    if options.never_seen:
        wanted.append("LastSeen -eq NULL")
    if options.offline:
        wanted.append("Offline -eq true")
    if options.service_account:
        wanted.append(f"Identity -eq {_quoted(options.service_account)}")
    if options.last_answer:
        wanted.append(f"LastErrorCode -eq {options.last_answer}")
    if options.group:
        wanted.append(f"Group -eq {_quoted(options.group)}")
    if options.label:
        wanted.append(f"Label -eq {_quoted(options.label)}")
    if options.query:
        wanted.append(f"({options.query})")
    return " AND ".join(wanted)


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def agents(portal: Portal, query: str, most: int | None = None) -> Iterator[Any]:
    """Yield those that match, the first to end first."""
    given = {"QueryString": query} if query else {}
    return portal.each(
        "Agents", most=most, includeRenewal="true", SortField="CertificateNotAfter", **given
    )


def named(portal: Portal, name: str) -> Any:
    """Return one orchestrator by id or exact name. Raises Usage."""
    try:
        return portal.get("Agents", str(UUID(name)), includeRenewal="true")
    except ValueError:
        pass
    found = list(agents(portal, f"ClientMachine -eq {_quoted(name)}", most=2))
    if len(found) != 1:
        raise Usage(f"{'No' if not found else 'More than one'} orchestrator is called {name!r}.")
    return found[0]


def chosen(portal: Portal, options: argparse.Namespace) -> list[Any]:
    """Return the named ones, or those that match. Raises Usage for both or neither."""
    wanted = query(options, now=datetime.now(UTC))
    if bool(options.agents) is bool(wanted):
        raise Usage("Name orchestrators, or say with --state, --group … which: one of the two.")
    if wanted:
        return list(agents(portal, wanted))
    return [named(portal, name) for name in options.agents]
