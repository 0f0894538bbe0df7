"""portalctl job: a job over many orchestrators, watched until it is done.

Owns these commands. A job that was canceled, or did not do its act for some, is not done.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, TextIO

from portal.ctl.connection import Portal
from portal.ctl.output import Column, as_json, as_table, plain
from portal.ctl.statuses import DONE, NOT_DONE

_ENDED = ("done", "canceled")
_LEFT = ("failed", "skipped")
_LOOK_AGAIN_SECONDS = 2.0

_ITEMS: tuple[Column, ...] = (
    ("ORCHESTRATOR", lambda item: item["AgentId"]),
    ("STATE", lambda item: item["State"]),
    ("REASON", lambda item: item["Message"] or item["Reason"]),
)


def add_to(commands: Any) -> None:
    """Add the command and its flags."""
    job = commands.add_parser("job", help="jobs over many orchestrators", allow_abbrev=False)
    actions = job.add_subparsers(dest="action", required=True, metavar="ACTION")
    watch = actions.add_parser(
        "watch",
        help="wait until one has ended",
        description="Ends with 0 if everything was done, with 1 if the job was canceled, left "
        "some out, or has not ended in time.",
        allow_abbrev=False,
    )
    watch.add_argument("job", type=int, metavar="JOB", help="its number")
    watch.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="default: as long as it takes"
    )


def run(portal: Portal, options: argparse.Namespace, out: TextIO) -> int:
    """Watch a job. Raises CallFailed, CallRefused."""
    ends = None if options.timeout is None else time.monotonic() + options.timeout
    told = ""
    while True:
        job = portal.get("BulkJobs", str(options.job))
        looked_at = sum(job[name] for name in ("Changed", "Unchanged", "Skipped", "Failed"))
        line = f"{plain(job['Act'])}: {plain(job['State'])}, {looked_at} of {job['Total']}"
        if line != told:
            told = line
            print(line, file=sys.stderr)
        if job["State"] in _ENDED:
            return _ended(portal, job, options, out)
        if ends is not None and time.monotonic() >= ends:
            print("portalctl: it has not ended yet; it goes on.", file=sys.stderr)
            return NOT_DONE
        time.sleep(_LOOK_AGAIN_SECONDS)


def _ended(portal: Portal, job: Any, options: argparse.Namespace, out: TextIO) -> int:
    left: list[Any] = []
    if job["Skipped"] or job["Failed"]:
        items = portal.each("BulkJobs", str(job["Id"]), "Items", cursor="after")
        left = [item for item in items if item["State"] in _LEFT]
    if options.output == "json":
        print(as_json({**job, "NotDone": left}), file=out)
    else:
        print(
            f"{job['Changed']} changed, {job['Unchanged']} unchanged, {job['Skipped']} left out, "
            f"{job['Failed']} failed.",
            file=out,
        )
        if left:
            print(as_table(left, _ITEMS), file=out)
    return NOT_DONE if left or job["State"] != "done" else DONE
