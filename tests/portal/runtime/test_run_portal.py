"""``manage.py run_portal`` with its real processes: start, crash, restart, end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from portal.conf import load
from portal.runtime.supervisor import answers
from tests.services.portal import PortalUnderTest, environment
from tests.services.ports import free_port
from tests.services.processes import ROOT, wait_until

PROCESSES = ("broker", "pages", "agents", "worker", "beat")


def both_ports_answer(portal: PortalUnderTest) -> None:
    """Wait for an answer at both ports: a machine at work takes more than a probe's two seconds."""
    wait_until(lambda: answers("127.0.0.1", portal.pages_port), "the pages answer")
    wait_until(
        lambda: answers("127.0.0.1", portal.agents_port, portal.ca_file), "the agents' port answers"
    )


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def degraded(portal: PortalUnderTest) -> dict[str, object]:
    with urllib.request.urlopen(f"{portal.pages_url}/readyz", timeout=20) as response:
        return dict(json.load(response)["degraded"])


def test_it_starts_survives_crashes_and_ends(
    portal_processes: Callable[..., PortalUnderTest],
) -> None:
    portal = portal_processes("sqlite")
    both_ports_answer(portal)
    assert degraded(portal)["broker"] is False
    assert "Password  " in portal.said()

    # Two never run on one data folder.
    second = run_portal(
        portal.data_dir, "--pages-port", str(free_port()), "--agents-port", str(free_port())
    )
    assert second.returncode == 1
    assert second.stderr.splitlines() == [
        f"The portal already runs on {portal.data_dir} (process {portal.process.pid}); "
        "stop it first."
    ]
    both_ports_answer(portal)

    # A process that dies comes back.
    killed = portal.kill("worker")
    wait_until(lambda: portal.pid("worker") not in (killed, None), "the worker is back")

    # The supervisor's death ends every process, and the next start finds no obstacle.
    pids = [portal.pid(name) for name in PROCESSES]
    portal.crash()
    wait_until(lambda: not any(pid and runs(pid) for pid in pids), "no process is left", 60)
    portal.start()
    both_ports_answer(portal)
    assert "Password  " not in portal.said()

    pids = [portal.pid(name) for name in PROCESSES]
    assert all(pids)
    assert portal.stop() == 0
    assert not any(pid and runs(pid) for pid in pids)
    assert not (portal.data_dir / "processes.json").exists()


def test_a_broker_that_is_down_or_frozen_stops_neither_port(
    portal_processes: Callable[..., PortalUnderTest],
) -> None:
    portal = portal_processes("postgresql")
    client = redis.Redis(unix_socket_path=str(portal.data_dir / "run" / "broker.sock"))
    wait_until(lambda: "cmdstat_lpush" in client.info("commandstats"), "beat is at work")
    with portal.paused("broker"):
        wait_until(lambda: "The broker takes no tasks (" in portal.said(), "beat says so")
        both_ports_answer(portal)
        assert degraded(portal)["broker"] is True
    portal.hold("broker")
    both_ports_answer(portal)
    assert degraded(portal)["broker"] is True
    # What the broker held is gone for good, and damaged on top.
    for path in (portal.data_dir / "broker" / "appendonlydir").glob("*.incr.aof"):
        path.write_bytes(b"*1\r\n$9\r\nNOCOMMAND\r\n" * 3)
    portal.release("broker")
    wait_until(lambda: degraded(portal)["broker"] is False, "the broker answers", 30)
    wait_until(
        lambda: any(entry["cmd"] == "brpop" for entry in client.client_list()),
        "the worker listens again",
        30,
    )
    wait_until(lambda: "The broker takes tasks again" in portal.said(), "beat says so", 30)
    said = portal.said()
    assert "Couldn't apply scheduled task" not in said
    # Frozen and gone: one outage or two, by what beat tried in between.
    assert said.count("The broker takes no tasks (") in (1, 2)


def run_portal(data_dir: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "run_portal", "--no-demo", *flags],
        cwd=ROOT,
        env=environment(data_dir),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_busy_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run_portal(
            tmp_path / "data", "--pages-port", str(port), "--agents-port", str(free_port())
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"Port {port} is in use by another program; stop it or choose another port with "
        "--pages-port."
    ]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ("--pages-port", "8123", "--agents-port", "8123"),
            "Pages and agents cannot share port 8123: give --pages-port and --agents-port two "
            "different ones.",
        ),
        (("--pages-port", "x"), "'x' is no port: a number from 1 to 65535"),
    ],
)
def test_wrong_ports_are_one_sentence(
    tmp_path: Path, flags: tuple[str, ...], sentence: str
) -> None:
    done = run_portal(tmp_path / "data", *flags)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].endswith(sentence)


def test_a_data_folder_that_cannot_be_made_is_one_sentence() -> None:
    done = run_portal(Path("/proc/no-such-folder"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "the data folder /proc/no-such-folder cannot be made (PORTAL_DATA_DIR)" in done.stderr


@pytest.mark.parametrize("bind", ["0.0.0.0:8000", "192.0.2.1:8000", "[::]:8000"])
def test_pages_are_not_served_beyond_loopback_without_tls(tmp_path: Path, bind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "python:portal.runtime.gunicorn_pages"],
        cwd=ROOT,
        env={**environment(tmp_path), "PORTAL_BIND": bind},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert "without TLS" in done.stderr


def test_a_data_folder_with_a_long_path_works_until_its_terminal_closes(
    portal_processes: Callable[..., PortalUnderTest], tmp_path: Path
) -> None:
    long = tmp_path / ("long" * 20) / "with space"
    portal = portal_processes(start=False)
    portal.environment["PORTAL_DATA_DIR"] = str(long)
    portal.data_dir = long
    long.parent.mkdir()
    portal.start()
    both_ports_answer(portal)
    assert degraded(portal)["broker"] is False
    # A terminal that closes ends everything, as Ctrl-C does.
    pids = [portal.pid(name) for name in PROCESSES]
    os.kill(portal.process.pid, signal.SIGHUP)
    assert portal.process.popen.wait(60) == 0
    assert not any(pid and runs(pid) for pid in pids)
    assert not load(portal.environment).run_dir.exists()
