"""Six reference orchestrators on a real portal: who renews, who does not, and what is left behind.

Starts every process in a scratch folder on free loopback ports, observes, prints a table, writes
`demo-report.json`, and ends with status 0 only if every step was observed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrators.agent.loop import Outcome
from orchestrators.protocol.codes import Code
from portal.runtime.demonstration import Place, certify, configure, make_home
from portal.runtime.set_up import AUTHORITY, TEMPLATE
from tests.demo import observe
from tests.demo.observe import Rest, Run
from tests.services.portal import PortalUnderTest, Template, portal_under_test

REPORT = Path("demo-report.json")


@dataclass
class Agent:
    """One of the six."""

    name: str
    days_left: int
    flag: int = 0
    agent_id: str = ""
    home: Path = Path()
    serial_before: str = ""
    serial_after: str = ""
    presented_before: str = ""
    """Serial number that the portal saw in the TLS handshake of the first Register."""
    presented_after: str = ""
    """The same of the last Register."""
    run: Run = field(default_factory=lambda: Run(-1, ""))


@dataclass
class Demonstration:
    """The steps, and what each was seen to do."""

    portal: PortalUnderTest
    folder: Path
    observations: list[tuple[str, str, bool, str]] = field(default_factory=list)

    def see(self, who: str, what: str, holds: bool, detail: object = "") -> None:
        """Note one observation."""
        self.observations.append((who, what, bool(holds), str(detail)))

    @property
    def rest(self) -> Rest:
        return Rest(self.portal.pages_url, "admin", self.portal.administrator_password)

    @property
    def place(self) -> Place:
        return Place(
            agent_url=f"{self.portal.agents_url}/KeyfactorAgents",
            ca_file=self.portal.ca_file,
            authority=AUTHORITY,
            template=TEMPLATE,
        )

    def prepare(self, agents: list[Agent]) -> None:
        """Make records, certificates and homes; set the flags over REST."""
        for agent in agents:
            agent.home = self.folder / agent.name
            agent.agent_id, given = make_home(
                self.portal.manage,
                self.place,
                agent.home,
                name=agent.name,
                days_left=agent.days_left,
                demonstration=False,
                now=datetime.now(UTC),
            )
            agent.serial_before = given.serial_number
            if agent.flag:
                answer = self.rest.call(
                    "POST",
                    "/Agents/SetAuthCertificateReenrollment",
                    {"OrchestratorIds": [agent.agent_id], "Status": str(agent.flag)},
                )
                self.see(
                    agent.name,
                    f"flag {agent.flag} set over REST",
                    not answer["FailedOrchestratorIds"],
                    answer,
                )

    def present(self, agents: list[Agent]) -> None:
        """Let each register once as it is, and ask the portal what it saw in the handshake."""
        for agent in agents:
            code = observe.register(agent.home)
            agent.presented_before = self.rest.presented_serial(agent.agent_id)
            self.see(
                agent.name,
                "serial in the first handshake is the old one",
                agent.presented_before == agent.serial_before,
                f"{agent.presented_before} {code}".strip(),
            )

    def run_once(self, agents: list[Agent]) -> None:
        """Run orchestrators side by side, each a process of its own."""
        running = [(agent, observe.start(agent.home)) for agent in agents]
        for agent, process in running:
            agent.run = observe.finish(process)
            agent.serial_after = observe.installed_serial(agent.home)

    # --- what must be seen ---------------------------------------------------------------------

    def judge_healthy(self, agent: Agent) -> None:
        """The first does not renew."""
        self._see_codes(agent, [])
        self.see(
            agent.name,
            "keeps its certificate",
            agent.serial_after == agent.serial_before,
            agent.serial_after,
        )
        self._see_sessions(agent, [agent.serial_before])
        self._see_record(agent)

    def judge_renewed(self, agent: Agent, code: Code) -> None:
        """The second to fifth renew; at level 2 there is no session before the new certificate."""
        self._see_codes(agent, [code.value])
        self.see(
            agent.name,
            "installs another certificate",
            agent.serial_after != agent.serial_before,
            f"{agent.serial_before} -> {agent.serial_after}",
        )
        if code is Code.MUST_RENEW:
            # The session that comes with the certificate is granted over the old one.
            first = agent.run.events[:1]
            self.see(agent.name, "no session at its first Register", first == [code.value], first)
        # Over the old one once or, where work goes on, twice: bare, then with the CSR.
        old = 1 if code is Code.MUST_RENEW else 2
        self._see_sessions(agent, [agent.serial_before] * old + [agent.serial_after])
        self._see_record(agent)
        self._see_order(agent)

    def judge_expired(self, agent: Agent) -> None:
        """The sixth is refused, and comes back after Reset and approval."""
        self._see_codes(agent, [Code.CERTIFICATE_EXPIRED.value])
        self._see_exit(agent, Outcome.EXPIRED)
        self._see_sessions(agent, [])
        self.rest.call("POST", f"/Agents/{agent.agent_id}/Reset")
        with tempfile.TemporaryDirectory() as scratch:
            given = certify(
                self.portal.manage,
                self.place,
                Path(scratch),
                name=agent.name,
                days_left=364,
                now=datetime.now(UTC),
            )
            configure(
                agent.home,
                self.place,
                given,
                name=agent.name,
                orchestrator_id=agent.agent_id,
            )
        self.run_once([agent])
        self._see_codes(agent, [Code.NOT_APPROVED.value])
        self._see_exit(agent, Outcome.WAITING_FOR_APPROVAL)
        status = self.rest.agent(agent.agent_id)["Status"]
        self.see(agent.name, "is New after Reset", status == 1, status)
        self.rest.call("POST", "/Agents/Approve", [agent.agent_id])
        self.run_once([agent])
        self._see_exit(agent, Outcome.OK)
        self._see_sessions(agent, [given.serial_number])
        self._see_record(agent)

    def judge_crl(self, renewed: list[Agent], others: list[Agent]) -> None:
        """Old serials are in the CRL with reason superseded, new ones are not."""
        olds = {agent.serial_before for agent in renewed}
        listed: dict[str, str] = {}

        def complete() -> bool:
            listed.update(observe.revoked(self.portal.pages_url, AUTHORITY))
            return olds <= set(listed)

        observe.until(complete, seconds=60)
        for agent in renewed:
            reason = listed.get(agent.serial_before, "not listed")
            self.see(agent.name, "old serial in the CRL", reason == "superseded", reason)
        for agent in (*renewed, *others):
            self.see(
                agent.name,
                "serial in use not in the CRL",
                agent.serial_after not in listed,
                agent.serial_after,
            )

    def _see_codes(self, agent: Agent, codes: list[str]) -> None:
        self.see(agent.name, f"reply codes {codes or 'none'}", agent.run.codes == codes,
                 agent.run.events or agent.run.said[-400:])  # fmt: skip

    def _see_exit(self, agent: Agent, outcome: Outcome) -> None:
        self.see(
            agent.name,
            f"exit status {int(outcome)} ({outcome.name})",
            agent.run.exit_status == outcome,
            agent.run.exit_status,
        )

    def _see_sessions(self, agent: Agent, serials: list[str]) -> None:
        self.see(
            agent.name,
            "sessions granted" if serials else "no session granted",
            agent.run.session_serials == serials,
            agent.run.session_serials,
        )

    def _see_record(self, agent: Agent) -> None:
        """The portal's record, over REST: what was presented in the last TLS handshake, no flag,
        no legacy thumbprint.
        """
        row = self.rest.agent(agent.agent_id)
        self.see(
            agent.name,
            "presented thumbprint is the expected one",
            bool(row["Thumbprint"]) and row["LastThumbprintUsed"] == row["Thumbprint"],
            row["LastThumbprintUsed"],
        )
        agent.presented_after = self.rest.presented_serial(agent.agent_id)
        self.see(
            agent.name,
            "serial in the last handshake is the installed one",
            agent.presented_after == agent.serial_after,
            f"{agent.presented_before} -> {agent.presented_after}",
        )
        flag = row["AuthCertificateReenrollment"]
        self.see(agent.name, "flag cleared", flag == "None", flag)
        self.see(
            agent.name, "legacy thumbprint cleared", not row["LegacyThumbprint"], row["Status"]
        )

    def _see_order(self, agent: Agent) -> None:
        """Legacy cleared, then revocation queued, then revoked."""
        wanted = ["legacy_thumbprint_cleared", "revocation_requested", "revoked"]
        seen: list[str] = []

        def complete() -> bool:
            events = self.portal.manage("timeline", "--name", agent.name)["events"]
            seen[:] = [event["action"] for event in events if event["action"] in wanted]
            return "revoked" in seen

        observe.until(complete, seconds=60)
        self.see(agent.name, "legacy cleared before the revocation", seen == wanted, seen)


def main() -> int:
    """Run the demonstration; return the exit status."""
    started = time.monotonic()
    agents = [
        Agent("agent-300-days", 300),
        Agent("agent-100-days", 100),
        Agent("agent-20-days", 20),
        Agent("agent-requested", 300, flag=1),
        Agent("agent-required", 300, flag=2),
        Agent("agent-expired", -1),
    ]
    demonstration: Demonstration | None = None
    set_up = 0.0
    try:
        with tempfile.TemporaryDirectory(prefix="portal-demo-") as scratch:
            folder = Path(scratch)
            print("Starting the portal: broker, worker, beat, pages, agents' port …", flush=True)
            with portal_under_test(Template(folder / "template")) as portal:
                portal.manage(
                    "setting", "--name", "RevokeOldClientAuthCertificate", "--value", "true"
                )
                set_up = time.monotonic() - started
                demonstration = Demonstration(portal, folder)
                print(f"Up after {set_up:.0f} s. Six orchestrators …", flush=True)
                _observe(demonstration, agents)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        if demonstration is None:
            return _tell_of_set_up(error, seconds=time.monotonic() - started)
        demonstration.see("portal", "it could be stopped", False, _in_a_line(error))
    seconds = time.monotonic() - started
    return _tell(demonstration, agents, set_up_seconds=set_up, seconds=seconds)


def _tell_of_set_up(error: Exception, *, seconds: float) -> int:
    """Say in a line why there is nothing to observe, and in the report with all that was said."""
    report = {
        "observed": 0,
        "failed": 1,
        "seconds": round(seconds, 1),
        "set_up_failed": _in_a_line(error),
        "said": f"{type(error).__name__}: {error}"[-20_000:].splitlines(),
        "orchestrators": [],
        "observations": [],
    }
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    print(f"The portal could not be set up: {_in_a_line(error)} See {REPORT}.", file=sys.stderr)
    return 1


def _in_a_line(error: Exception) -> str:
    """Return what an error says, without what is between its first line and its last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = dict.fromkeys([*lines[:1], *lines[-1:]]) or [type(error).__name__]
    text = " … ".join(told)[:400]
    return text if text.endswith(".") else f"{text}."


def _observe(demonstration: Demonstration, agents: list[Agent]) -> None:
    healthy, warning, expiry, requested, required, expired = agents
    steps: tuple[Callable[[], Any], ...] = (
        lambda: demonstration.prepare(agents),
        lambda: demonstration.present(agents),
        lambda: demonstration.run_once(agents),
        lambda: demonstration.judge_healthy(healthy),
        lambda: demonstration.judge_renewed(warning, Code.SHOULD_RENEW),
        lambda: demonstration.judge_renewed(expiry, Code.MUST_RENEW),
        lambda: demonstration.judge_renewed(requested, Code.SHOULD_RENEW),
        lambda: demonstration.judge_renewed(required, Code.MUST_RENEW),
        lambda: demonstration.judge_expired(expired),
        lambda: demonstration.judge_crl([warning, expiry, requested, required], [healthy, expired]),
    )
    for step in steps:
        try:
            step()
        except Exception as error:
            # One step that breaks must not hide what the others show.
            demonstration.see("portal", "every step could be carried out", False, repr(error))


def _tell(
    demonstration: Demonstration,
    agents: list[Agent],
    *,
    set_up_seconds: float,
    seconds: float,
) -> int:
    rows = demonstration.observations
    width = max(len(what) for _, what, _, _ in rows)
    for who, what, holds, detail in rows:
        print(f"{'ok  ' if holds else 'FAIL'}  {who:<16}  {what:<{width}}  {detail[:110]}")
    failed = sum(not holds for _, _, holds, _ in rows)
    REPORT.write_text(
        json.dumps(
            {
                "observed": len(rows),
                "failed": failed,
                "set_up_seconds": round(set_up_seconds, 1),
                "seconds": round(seconds, 1),
                "orchestrators": [
                    {
                        "name": agent.name,
                        "days_left": agent.days_left,
                        "flag": agent.flag,
                        "serial_before": agent.serial_before,
                        "serial_after": agent.serial_after,
                        "presented_before": agent.presented_before,
                        "presented_after": agent.presented_after,
                        "events_of_its_last_run": agent.run.events,
                    }
                    for agent in agents
                ],
                "observations": [
                    {"orchestrator": who, "what": what, "observed": holds, "detail": detail}
                    for who, what, holds, detail in rows
                ],
            },
            indent=2,
        )
        + "\n"
    )
    print(f"\n{len(rows)} observations, {failed} failed, {seconds:.0f} s. See {REPORT}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
