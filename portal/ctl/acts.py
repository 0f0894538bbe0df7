"""Acts on orchestrators: foreseen, carried out at once, or as a job.

Owns the question before an act on several, and what is told of it. What an act means is the
portal's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TextIO

from portal.ctl.agent_table import FORESEEN, show
from portal.ctl.connection import Portal
from portal.ctl.output import as_json, as_table, plain
from portal.ctl.selection import chosen
from portal.ctl.statuses import DONE, NOT_DONE, Usage

_AT_ONCE = 1000
_FLAGS = {"request": "Requested", "require": "Required", "clear": "None"}


def renew(portal: Portal, options: argparse.Namespace, out: TextIO) -> int:
    """Ask for new certificates, or take the request back."""

    def body(ids: list[str]) -> Any:
        return {"OrchestratorIds": ids, "Status": _FLAGS[options.how]}

    word = f"renew --{options.how}"
    return _carry_out(portal, options, out, word, "SetAuthCertificateReenrollment", body)


def act(path: str) -> Callable[[Portal, argparse.Namespace, TextIO], int]:
    """Return the command of an act that takes a list of ids, by its path."""

    def command(portal: Portal, options: argparse.Namespace, out: TextIO) -> int:
        return _carry_out(portal, options, out, path.lower(), path, lambda ids: ids)

    return command


def _carry_out(
    portal: Portal,
    options: argparse.Namespace,
    out: TextIO,
    word: str,
    path: str,
    body: Callable[[list[str]], Any],
) -> int:
    rows = chosen(portal, options)
    if not rows:
        # Standard output is for a table of them, or for the number of a job.
        if not options.as_job:
            show(rows, options, out)
        print("portalctl: nobody is meant, nothing is done.", file=sys.stderr)
        return DONE
    parts = list(_parts([row["AgentId"] for row in rows]))
    if options.dry_run:
        told = [
            change
            for part in parts
            for change in portal.post("Agents", path, body=body(part), dry_run="true")["Changes"]
        ]
        outcomes = {change["Id"]: change for change in told}
        foreseen = [{**row, **_outcome(outcomes, row["AgentId"])} for row in rows]
        is_json = options.output == "json"
        print(as_json(foreseen) if is_json else as_table(foreseen, FORESEEN), file=out)
        return DONE
    if len(rows) > 1 and not options.yes:
        if not sys.stdin.isatty():
            raise Usage(f"This concerns {len(rows)} orchestrators: add --yes (or --dry-run).")
        if input(f"{word} {len(rows)} orchestrators? [y/N] ").strip().lower() != "y":
            return NOT_DONE
    if options.as_job:
        made: list[Any] = []
        try:
            for part in parts:
                made.append(portal.submit("Agents", path, body=body(part)))
        finally:
            # A job that was made runs, whatever became of the next part.
            numbers = "\n".join(str(job["Id"]) for job in made)
            if made:
                print(as_json(made) if options.output == "json" else numbers, file=out)
        return DONE
    failed: list[str] = []
    for part in parts:
        answer = portal.post("Agents", path, body=body(part)) or {}
        failed += answer.get("FailedOrchestratorIds") or []
    if options.output == "json":
        print(as_json({"asked": len(rows), "failed": failed}), file=out)
    else:
        print(f"{len(rows) - len(failed)} of {len(rows)} done.", file=out)
        for each in failed:
            print(f"not done: {plain(each)}", file=out)
    return NOT_DONE if failed else DONE


def _outcome(outcomes: Mapping[str, Any], pk: str) -> dict[str, Any]:
    change = outcomes.get(pk, {"Outcome": "skip", "Reason": "orchestrator_unknown"})
    return {"Outcome": change["Outcome"], "Reason": change["Reason"]}


def _parts(ids: list[str]) -> Iterable[list[str]]:
    return (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))
