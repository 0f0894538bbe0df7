"""Acts on orchestrators: foreseen, carried out at once, or as a job.

Owns the question before an act on several, and what is told of it. What an act means is the
portal's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from portal.ctl.agent_table import FORESEEN, show
from portal.ctl.connection import CallFailed, CallRefused, Portal
from portal.ctl.output import as_json, as_table, plain
from portal.ctl.selection import chosen
from portal.ctl.statuses import DONE, NOT_DONE, Usage

_AT_ONCE = 1000
_FLAG_PATH = "SetAuthCertificateReenrollment"
_FLAGS = {"request": "Requested", "require": "Required", "clear": "None"}


def renew(portal: Portal, options: argparse.Namespace, out: TextIO) -> int:
    """Ask for new certificates, or take the request back."""

    def body(ids: list[str]) -> Any:
        return {"OrchestratorIds": ids, "Status": _FLAGS[options.how]}

    rows = chosen(portal, options)
    if options.how != "clear" and not options.agents:
        rows = _able_to_renew(rows)
    word = f"renew --{options.how}"
    return _carry_out(portal, options, out, _Order(word, _FLAG_PATH, body), rows)


def act(path: str) -> Callable[[Portal, argparse.Namespace, TextIO], int]:
    """Return the command of an act that takes a list of ids, by its path."""
    order = _Order(path.lower(), path, lambda ids: ids)

    def command(portal: Portal, options: argparse.Namespace, out: TextIO) -> int:
        return _carry_out(portal, options, out, order, chosen(portal, options))

    return command


@dataclass(frozen=True)
class _Order:
    """An act: its word for a person, its path, and the body that names whom it concerns."""

    word: str
    path: str
    body: Callable[[list[str]], Any]


def _able_to_renew(rows: list[Any]) -> list[Any]:
    """Leave out whom a filter found and whose certificate has ended: it renews no more."""
    able = [row for row in rows if row["Renewal"]["State"] != "expired"]
    if left_out := len(rows) - len(able):
        print(
            f"portalctl: {left_out} left out, whose certificate has expired and cannot renew: "
            "Reset is their way back.",
            file=sys.stderr,
        )
    return able


def _carry_out(
    portal: Portal, options: argparse.Namespace, out: TextIO, order: _Order, rows: list[Any]
) -> int:
    if not rows:
        # Standard output is for a table of them, or for the number of a job.
        if not options.as_job:
            show(rows, options, out)
        print("portalctl: nobody is meant, nothing is done.", file=sys.stderr)
        return DONE
    parts = list(_parts([row["AgentId"] for row in rows]))
    if options.dry_run:
        return _foresee(portal, options, out, order, rows, parts)
    if len(rows) > 1 and not options.yes:
        if not sys.stdin.isatty():
            raise Usage(f"This concerns {len(rows)} orchestrators: add --yes (or --dry-run).")
        if input(f"{order.word} {len(rows)} orchestrators? [y/N] ").strip().lower() != "y":
            return NOT_DONE
    if options.as_job:
        return _as_jobs(portal, options, out, order, parts)
    return _at_once(portal, options, out, order, parts)


def _foresee(
    portal: Portal,
    options: argparse.Namespace,
    out: TextIO,
    order: _Order,
    rows: list[Any],
    parts: list[list[str]],
) -> int:
    told = [
        change
        for part in parts
        for change in portal.post("Agents", order.path, body=order.body(part), dry_run="true")[
            "Changes"
        ]
    ]
    outcomes = {change["Id"]: change for change in told}
    foreseen = [{**row, **_outcome(outcomes, row["AgentId"])} for row in rows]
    is_json = options.output == "json"
    print(as_json(foreseen) if is_json else as_table(foreseen, FORESEEN), file=out)
    return DONE


def _as_jobs(
    portal: Portal,
    options: argparse.Namespace,
    out: TextIO,
    order: _Order,
    parts: list[list[str]],
) -> int:
    made: list[Any] = []
    try:
        for at, part in enumerate(parts):
            with _after(parts[:at], part, "are in the jobs that were made"):
                made.append(portal.submit("Agents", order.path, body=order.body(part)))
    finally:
        # A job that was made runs, whatever became of the next part.
        numbers = "\n".join(str(job["Id"]) for job in made)
        if made:
            print(as_json(made) if options.output == "json" else numbers, file=out)
    return DONE


def _at_once(
    portal: Portal,
    options: argparse.Namespace,
    out: TextIO,
    order: _Order,
    parts: list[list[str]],
) -> int:
    asked, sent = sum(map(len, parts)), 0
    failed: list[str] = []
    try:
        for at, part in enumerate(parts):
            with _after(parts[:at], part, "were answered before"):
                answer = portal.post("Agents", order.path, body=order.body(part)) or {}
            failed += answer.get("FailedOrchestratorIds") or []
            sent += len(part)
    finally:
        # What earlier parts came to is done, whatever became of the next one.
        if sent and options.output == "json":
            print(as_json({"asked": asked, "done": sent - len(failed), "failed": failed}), file=out)
        elif sent:
            print(f"{sent - len(failed)} of {asked} done.", file=out)
            for each in failed:
                print(f"not done: {plain(each)}", file=out)
    return NOT_DONE if failed else DONE


@contextmanager
def _after(earlier: list[list[str]], part: list[str], what: str) -> Iterator[None]:
    """Let a refusal of one part say that earlier ones went well: it speaks of its own alone."""
    before = sum(map(len, earlier))
    lead = f"{before} {what}; of the next {len(part)} this was said: "
    try:
        yield
    except CallRefused as refused:
        raise CallRefused(
            refused.status, refused.code, f"{lead if before else ''}{refused}"
        ) from None
    except CallFailed as failed:
        raise CallFailed(f"{lead if before else ''}{failed}") from None


def _outcome(outcomes: Mapping[str, Any], pk: str) -> dict[str, Any]:
    change = outcomes.get(pk, {"Outcome": "skip", "Reason": "orchestrator_unknown"})
    return {"Outcome": change["Outcome"], "Reason": change["Reason"]}


def _parts(ids: list[str]) -> Iterable[list[str]]:
    return (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))
