"""Orchestrators as a table, or as JSON. Owns the columns."""

from __future__ import annotations

import argparse
from typing import Any, TextIO

from portal.ctl.output import Column, as_json, as_table

_STATUS = {1: "New", 2: "Approved", 3: "Disapproved"}

AGENTS: tuple[Column, ...] = (
    ("NAME", lambda agent: agent["ClientMachine"]),
    ("STATUS", lambda agent: _STATUS.get(agent["Status"], agent["Status"])),
    ("STATE", lambda agent: agent["Renewal"]["State"]),
    ("ENDS", lambda agent: agent["Renewal"]["CertificateNotAfter"]),
    ("FLAG", lambda agent: agent["AuthCertificateReenrollment"]),
    ("GROUP", lambda agent: agent["Renewal"]["Group"]),
    ("ID", lambda agent: agent["AgentId"]),
)
FORESEEN: tuple[Column, ...] = (
    ("NAME", lambda agent: agent["ClientMachine"]),
    ("OUTCOME", lambda agent: agent["Outcome"]),
    ("REASON", lambda agent: agent["Reason"]),
    *AGENTS[1:],
)


def show(rows: list[Any], options: argparse.Namespace, out: TextIO) -> None:
    """Print orchestrators in the form that was asked for."""
    print(as_json(rows) if options.output == "json" else as_table(rows, AGENTS), file=out)
