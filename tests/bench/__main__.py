"""Measures Register and Heartbeat against the floor: CPU of the server's processes per request.

Both servers run the same gunicorn configuration with mutual TLS on kept connections and one
PostgreSQL; rounds are interleaved and medians quoted. CPU time counts web processes and database
backends; requests per second are shown only, for the load generator shares the cores.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from portal.runtime.demonstration import Given, Place, certify
from portal.runtime.set_up import AUTHORITY, TEMPLATE
from tests.bench.floor_site import ROWS, TABLE
from tests.services.portal import PortalUnderTest, Template, portal_under_test
from tests.services.ports import free_port
from tests.services.postgresql import Server, private_server
from tests.services.processes import ROOT, wait_until

AGENTS = 4
REQUESTS = 400
ROUNDS = 5
MUST = {"heartbeat": 1.5, "register": 2.0}
"""CPU per request, at most that many times the floor's."""

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Peer:
    """One orchestrator's kept connection to one of the two servers."""

    context: ssl.SSLContext
    port: int
    orchestrator_id: str = ""
    token: str = ""
    _connection: http.client.HTTPSConnection | None = None

    def post(self, path: str, body: dict[str, object]) -> dict[str, object]:
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, context=self.context, timeout=30
            )
        self._connection.request(
            "POST", path, json.dumps(body), {"Content-Type": "application/json"}
        )
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == 200, (answer.status, content[:300])
        decoded: dict[str, object] = json.loads(content)
        return decoded

    def register(self) -> None:
        reply = self.post(
            "/KeyfactorAgents/Session/Register",
            {
                "AgentPlatform": 5,
                "AgentVersion": 563031557799936,
                "ClientMachine": f"bench-{self.orchestrator_id}",
                "AgentId": self.orchestrator_id,
                "CSR": None,
                "Capabilities": ["Custom.FetchLogs"],
                "ClientParameters": {},
            },
        )
        session = reply["Session"]
        assert isinstance(session, dict), reply
        self.token = session["Token"]

    def heartbeat(self) -> None:
        reply = self.post("/KeyfactorAgents/Session/Heartbeat", {"SessionToken": self.token})
        assert reply["SessionValid"] is True, reply

    def floor(self) -> None:
        self.post("/", {"SessionToken": self.token})


@dataclass(frozen=True)
class Measure:
    """One round of one kind of call."""

    cpu_microseconds: float
    per_second: float


def measure(call: Callable[[Peer], None], peers: list[Peer], processes: list[int]) -> Measure:
    """Send REQUESTS calls over the peers' connections, a thread for each."""
    before, started = cpu_seconds(processes), time.perf_counter()

    def run(peer: Peer) -> None:
        for _ in range(REQUESTS // len(peers)):
            call(peer)

    threads = [threading.Thread(target=run, args=[peer]) for peer in peers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = cpu_seconds(processes) - before
    return Measure(1e6 * spent / REQUESTS, REQUESTS / (time.perf_counter() - started))


def cpu_seconds(roots: list[int]) -> float:
    """Return user and system time of processes and their children, ended ones included."""
    parents: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            pid = int(entry.name)
            parents.setdefault(int(fields[1]), []).append(pid)
            spent[pid] = sum(int(n) for n in fields[11:15]) / _TICKS
    total, waiting = 0.0, list(roots)
    while waiting:
        pid = waiting.pop()
        total += spent.get(pid, 0.0)
        waiting += parents.get(pid, [])
    return total


@contextmanager
def floor_server(portal: PortalUnderTest) -> Iterator[tuple[int, int]]:
    """Serve the floor as the agents' port is served; yield its port and process id."""
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "-c", "python:portal.runtime.gunicorn_agents"),
            "django.core.wsgi:get_wsgi_application()",
        ],
        cwd=ROOT,
        env={
            **portal.environment,
            "DJANGO_SETTINGS_MODULE": "tests.bench.floor_site",
            "PORTAL_EDGE": "agents",
            "PORTAL_CLIENT_CERTIFICATE_SOURCE": "socket",
            "PORTAL_BIND": f"127.0.0.1:{port}",
        },
    )

    def answers() -> bool:
        try:
            Peer(portal.context(), port).floor()
        except OSError:
            return False
        return True

    try:
        wait_until(answers, "the floor answers")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def peers_of(portal: PortalUnderTest, folder: Path, port: int) -> tuple[list[Peer], list[Peer]]:
    """Make approved orchestrators; return their connections to the portal and to the floor."""
    place = Place(portal.agents_url, portal.ca_file, AUTHORITY, TEMPLATE)
    ours, floors = [], []
    for number in range(AGENTS):
        given = certify(
            portal.manage,
            place,
            folder / str(number),
            name=f"bench-{number}",
            days_left=300,
            now=datetime.now(UTC),
        )
        made = portal.manage(
            "orchestrator",
            *("--name", f"bench-{number}", "--certificate", str(given.certificate_file)),
        )
        context = portal.context(*_pem_files(given))
        ours.append(Peer(context, portal.agents_port, made["id"]))
        floors.append(Peer(context, port))
    return ours, floors


def _pem_files(given: Given) -> tuple[Path, Path]:
    key, certificate, _ = pkcs12.load_key_and_certificates(
        given.pkcs12_file.read_bytes(), given.password.encode()
    )
    assert key is not None
    assert certificate is not None
    key_file = given.pkcs12_file.with_name("key.pem")
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return given.certificate_file, key_file


def bench(server: Server, folder: Path) -> dict[str, list[Measure]]:
    """Return the rounds of each kind of call."""
    rounds: dict[str, list[Measure]] = {"floor": [], "heartbeat": [], "register": []}
    with portal_under_test(Template(folder / "template"), server) as portal:
        name = portal.environment["DATABASE_URL"].rpartition("/")[2]
        with psycopg.connect(host=str(server.folder), user="postgres", dbname=name) as database:
            database.execute(TABLE)
            database.execute(ROWS)
        with floor_server(portal) as (floor_port, floor_pid):
            ours, floors = peers_of(portal, folder, floor_port)
            agents_pid = portal.pid("agents")
            postmaster = int(next(server.folder.rglob("postmaster.pid")).read_text().split()[0])
            assert agents_pid
            for peer in ours:
                peer.register()
            for _ in range(ROUNDS):
                for kind, call, peers, web in (
                    ("floor", Peer.floor, floors, floor_pid),
                    ("heartbeat", Peer.heartbeat, ours, agents_pid),
                    ("register", Peer.register, ours, agents_pid),
                ):
                    rounds[kind].append(measure(call, peers, [web, postmaster]))
    return rounds


def main() -> int:
    """Print the table; status 1 if a ratio is over what it must be."""
    with tempfile.TemporaryDirectory(prefix="portal-bench-") as folder:
        with private_server() as server:
            rounds = bench(server, Path(folder))
    # The first round warms connections, plans and caches.
    medians = {
        kind: statistics.median(m.cpu_microseconds for m in measures[1:])
        for kind, measures in rounds.items()
    }
    print(f"{'call':<10} {'µs CPU':>8} {'x floor':>8} {'must':>5} {'per s':>7}")
    worst = 0
    for kind, microseconds in medians.items():
        ratio = microseconds / medians["floor"]
        rate = statistics.median(m.per_second for m in rounds[kind][1:])
        must = MUST.get(kind)
        print(f"{kind:<10} {microseconds:8.0f} {ratio:8.2f} {must or '':>5} {rate:7.0f}")
        worst |= must is not None and ratio > must
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
