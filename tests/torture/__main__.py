"""``make torture``: the long versions of the tests, round after round, with a report.

``python -m tests.torture [--seconds N] [--seed S] [--only PART]``. Owns which tests are repeated,
how long, and the report (torture-report.json); what is shown is theirs, of which `make test` runs
a sample. PORTAL_TORTURE=1 tells them to play many more examples. Exit status 1 on a finding.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests.services.postgresql import PostgresqlMissing, private_server
from tests.services.processes import ROOT

REPORT = ROOT / "torture-report.json"
PARTS: dict[str, tuple[str, ...]] = {
    "rules: random stories find no lock-out": ("tests/rules/test_model.py",),
    "endpoint: the same stories, answered as the rules say": ("tests/agent_api/test_twin.py",),
    "agent: killed at every step and system call": ("tests/agent/test_crash.py",),
    "worker: killed in the middle of a call": ("tests/faults/test_killed_worker.py",),
    "races: many calls at one moment": (
        "tests/faults/test_races.py",
        "tests/faults/test_two_approvers.py",
        "tests/faults/test_reset_meanwhile.py",
    ),
    "bad input: CSRs, bodies, headers, queries": (
        "tests/renewal/test_csr_door.py",
        "tests/renewal/test_names_policy.py",
        "tests/rules/test_messages.py",
        "tests/agent_api/test_bad_input.py",
        "tests/portal/rest/test_bad_input.py",
        "tests/portal/rest/test_query_language.py",
    ),
    "API: calls made from its own document": ("tests/portal/rest/test_openapi.py",),
}


@dataclass
class Part:
    """What came of one part."""

    name: str
    rounds: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    was_cut_short: bool = False
    findings: list[str] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    """Run all parts in turn until the time is used, each at least once; write the report."""
    options = _options(arguments)
    began = time.monotonic()
    ends = began + options.seconds
    parts = [Part(name) for name in PARTS if options.only in name]
    if not parts:
        print(f"There is no part with {options.only!r} in its name: {', '.join(PARTS)}.")
        return 2
    seed = options.seed
    with ExitStack() as server:
        url = ""
        try:
            url = server.enter_context(private_server()).url("portal")
        except PostgresqlMissing:
            print("PostgreSQL is not installed: the parts run on SQLite alone.", flush=True)
        while True:
            for part in parts:
                _round(part, seed=seed, url=url, ends=ends)
            seed += 1
            if time.monotonic() >= ends:
                break
    findings = [finding for part in parts for finding in part.findings]
    report = {
        "seed": options.seed,
        "seconds": round(time.monotonic() - began, 1),
        "database": "PostgreSQL" if url else "SQLite",
        "parts": [asdict(part) for part in parts],
        "findings": findings,
    }
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{REPORT.name}: {len(findings)} findings", flush=True)
    return 1 if findings else 0


def _round(part: Part, *, seed: int, url: str, ends: float) -> None:
    """Run a part once; a later round ends with the time, the first one when it is done."""
    left = ends - time.monotonic()
    if part.rounds and left <= 0:
        return
    started = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment["PORTAL_TORTURE"] = "1"
    if url:
        environment["DATABASE_URL"] = url
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        command = [sys.executable, "-m", "pytest", *PARTS[part.name], f"--junitxml={results}"]
        command += [f"--hypothesis-seed={seed}", "-p", "no:cacheprovider"]
        try:
            status = subprocess.run(
                command, cwd=ROOT, env=environment, timeout=left if part.rounds else None
            ).returncode
        except subprocess.TimeoutExpired:
            part.was_cut_short = True
            status = 0
        else:
            _count(part, results, seed)
    if status and not part.findings:
        part.findings.append(f"{part.name}: pytest ended with {status}, seed {seed}")
    part.rounds += 1
    part.seconds = round(part.seconds + time.monotonic() - started, 1)


def _count(part: Part, results: Path, seed: int) -> None:
    if not results.exists():
        return
    for case in ElementTree.parse(results).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            part.failed += 1
            part.findings.append(f"{case.get('classname')}::{case.get('name')}, seed {seed}")
        elif "skipped" in kinds:
            part.skipped += 1
        else:
            part.passed += 1


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600, help="default: an hour")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--only", default="", help="parts with this text in their name")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
