"""A running portal with the test's CAs, trusted and ready to be chosen.

Owns the set-up that tests of faults and journeys share, and what they do again and again: choose a
CA, enter an orchestrator of some age, let time pass, verify the invariants.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.serialization import Encoding

from portal.conf import load
from portal.runtime.set_up import AUTHORITY
from tests.demo.observe import Rest
from tests.faults.agents import Agent, Key, Reply
from tests.faults.authorities import TYPES, ca_types
from tests.faults.ledger import Ledger
from tests.faults.rows import Rows
from tests.faults.terminal import Terminal
from tests.services.portal import PortalUnderTest, Template, portal_under_test
from tests.services.postgresql import Server
from tests.services.processes import wait_until

HOLD_SECONDS = 3
_numbers = itertools.count(1)


@dataclass
class Site:
    """One portal, its operator, its CAs and its rows."""

    portal: PortalUnderTest
    terminal: Terminal
    folder: Path
    rows: Rows
    ledgers: dict[str, Ledger] = field(default_factory=dict)

    @property
    def rest(self) -> Rest:
        return Rest(self.portal.pages_url, "admin", self.portal.administrator_password)

    @property
    def broker_socket(self) -> Path:
        return load(self.portal.environment).broker_socket

    def setting(self, name: str, value: str) -> None:
        """Change an application setting."""
        self.terminal("setting", "--name", name, "--value", value)

    def use(self, kind: str) -> Ledger:
        """Let CSRs go to a CA of this kind, in good health."""
        self.setting("CertificateAuthorityForSubmittedCSRs", kind)
        ledger = self.ledgers[kind]
        ledger.tell()
        self.rows.retries_are_due()
        return ledger

    def agent(
        self,
        kind: str,
        *,
        days_left: float = 100,
        lasts: timedelta = timedelta(days=365),
        label: str = "agent",
        account: str = "orchestrators",
    ) -> Agent:
        """Enter an approved orchestrator whose certificate has aged."""
        agent = self.stranger(f"{label}-{next(_numbers)}")
        key, certificate = self.ledgers[kind].certify(agent.name, days_left=days_left, lasts=lasts)
        file = self.folder / f"{agent.name}.pem"
        file.write_bytes(certificate.public_bytes(Encoding.PEM))
        made = self.terminal(
            *("orchestrator", "--name", agent.name, "--certificate", str(file)),
            *("--service-account", account),
        )
        agent.agent_id = str(made["id"])
        agent.install(key, certificate)
        return agent

    def stranger(self, name: str) -> Agent:
        """Return an orchestrator that the portal does not know, without a certificate."""
        return Agent(
            name, "", ("127.0.0.1", self.portal.agents_port), self.portal.ca_file, self.folder
        )

    def sweep(self) -> None:
        """Let the sweeper look now and not at its next turn."""
        self.terminal.send("renewal.tasks.sweep_enrollments")

    def state(self, agent: Agent) -> str:
        """Return the state of its newest enrollment; empty without one."""
        found = self.rows.enrollments(agent.name)
        return str(found[-1]["state"]) if found else ""

    def sweep_to_its_end(self, kind: str) -> None:
        """Let the sweeper look at everything: it has, when a witness that came last is served."""
        witness = self.agent(kind, label="witness")
        self.ledgers[kind].tell(issue="down", once=True)
        witness.register(Key())
        self.settles(witness, "issued")

    def settles(self, agent: Agent, state: str, seconds: float = 30) -> None:
        """Wait until its newest enrollment is in a state, the sweeper looking all the time."""

        def settled() -> bool:
            if self.state(agent) == state:
                return True
            self.rows.retries_are_due()
            self.sweep()
            return False

        wait_until(settled, f"{agent.name} is {state}", seconds)

    def gets_certificate(self, agent: Agent, key: Key, seconds: float = 30) -> Reply:
        """Send the same CSR until its certificate comes; return that reply."""
        replies: list[Reply] = []

        def delivered() -> bool:
            replies.append(agent.register(key))
            assert replies[-1].http_status == 200, replies[-1]
            return replies[-1].certificate is not None

        wait_until(delivered, f"{agent.name} gets its certificate", seconds)
        return replies[-1]

    def try_revocations(self) -> None:
        """Let the sweeper carry out revocations now, those that failed too."""
        self.rows.retries_are_due()
        self.terminal.send("renewal.tasks.sweep_revocations")

    def settle_revocations(self, seconds: float = 30) -> None:
        """Wait until every recorded revocation has come to its end."""

        def settled() -> bool:
            left = self.rows(
                "SELECT id FROM renewal_revocation WHERE state IN ('waiting', 'submitted')"
            )
            if left:
                self.try_revocations()
            return not left

        wait_until(settled, "every revocation has ended", seconds)

    def verify(self) -> None:
        """Nothing that must always hold is broken."""
        self.terminal("verify_invariants", "--json")


def add_authorities(site: Site, hold_seconds: int = HOLD_SECONDS) -> None:
    """Make a CA of each kind and let the portal trust it."""
    for kind in TYPES:
        folder = site.folder / f"ca-{kind}"
        site.ledgers[kind] = Ledger.create(folder, f"Test CA {kind}")
        site.terminal(
            *("certificate_authority", "--name", kind, "--type", kind, "--trust"),
            *("--option", f"folder={folder}", "--hold-seconds", str(hold_seconds)),
        )
    site.terminal("template", "--name", "Orchestrator", "--validity-days", "365")


@contextmanager
def running_site(
    template: Template, server: Server | None, *, authorities: bool = True
) -> Iterator[Site]:
    """Run a portal with the test's CAs until the block ends."""
    with (
        TemporaryDirectory(prefix="portal-site-") as folder,
        portal_under_test(template, server, PORTAL_CA_TYPES=ca_types()) as portal,
    ):
        terminal = Terminal(portal.environment)
        try:
            site = Site(portal, terminal, Path(folder), Rows(portal))
            site.setting("RevokeOldClientAuthCertificate", "true")
            if authorities:
                add_authorities(site)
            site.setting("CertificateAuthorityForSubmittedCSRs", AUTHORITY)
            yield site
        finally:
            terminal.close()
