"""Restarts, ends and left-overs of supervised processes, with the smallest of processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.runtime import children, installation
from portal.runtime.children import Child, Plan
from portal.runtime.supervisor import NotReady, Supervisor
from tests.services.processes import ROOT, wait_until

STAY = [sys.executable, "-c", "import time; time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True);"
    "time.sleep(600)",
]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def child(tmp_path: Path, said: list[str]) -> Iterator[Child]:
    found = Child(Plan("x", STAY), held=tmp_path / "held", say=said.append)
    yield found
    found.await_stop(0)


def end(child: Child) -> None:
    """Let the child die and be seen dead."""
    child.ask_to_stop()
    wait_until(lambda: child.pid is None, "it is dead")


def test_a_dead_process_starts_again_each_time_a_little_later(
    child: Child, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "FIRST_PAUSE_SECONDS", 0.5)
    child.start()
    pauses = []
    for _ in range(8):
        end(child)
        child.watch()
        pauses.append(float(said[-1].split()[-2]))
        child._start_again_at = 0
        assert child.watch()
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert said[0] == "x ended (SIGTERM); it starts again in 0.5 s."


def test_a_process_that_ran_for_long_starts_again_at_once(child: Child, said: list[str]) -> None:
    child.start()
    child._pause = 30
    child._started_at -= children.SETTLED_SECONDS
    end(child)
    child.watch()
    assert said[-1].endswith("again in 0.5 s.")


def test_a_process_does_not_start_before_its_pause_is_over(child: Child) -> None:
    child.start()
    end(child)
    assert not child.watch()
    assert child.pid is None


def test_a_held_process_waits(child: Child, tmp_path: Path) -> None:
    child.start()
    end(child)
    (tmp_path / "held").touch()
    child.watch()
    child._start_again_at = 0
    assert not child.watch()
    (tmp_path / "held").unlink()
    assert child.watch()


def test_state_that_keeps_a_process_from_starting_is_discarded_once(
    tmp_path: Path, said: list[str]
) -> None:
    discarded: list[int] = []
    plan = Plan(
        "x", [sys.executable, "-c", "raise SystemExit(3)"], discard=lambda: discarded.append(1)
    )
    child = Child(plan, held=tmp_path / "held", say=said.append)
    child.start()
    for _ in range(5):
        wait_until(lambda: child.pid is None, "it is dead")
        child.watch()
        child._start_again_at = 0
        child.watch()
    assert discarded == [1]
    assert "x ended (exit status 3)" in said[0]
    child.await_stop(0)


def test_a_process_that_may_end_stays_ended(tmp_path: Path, said: list[str]) -> None:
    child = Child(
        Plan("x", [sys.executable, "-c", ""], stays=False), held=tmp_path, say=said.append
    )
    child.start()
    wait_until(lambda: child.pid is None, "it has ended")
    assert not child.watch()
    assert not child.watch()
    assert said == []


def test_a_deaf_process_and_its_own_children_are_killed(tmp_path: Path, said: list[str]) -> None:
    output = tmp_path / "pid"
    script = (
        f"import pathlib, subprocess; p = subprocess.Popen({DEAF!r});"
        f"pathlib.Path({str(output)!r}).write_text(str(p.pid)); p.wait()"
    )
    plan = Plan("x", [sys.executable, "-c", script])
    child = Child(plan, held=tmp_path / "held", say=said.append)
    child.start()
    wait_until(lambda: output.exists() and output.read_text(), "it has started a child")
    grandchild = int(output.read_text())
    child.ask_to_stop()
    child.await_stop(time.monotonic() + 5)
    wait_until(lambda: not installation._started(grandchild), "the grandchild is gone")


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_processes_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from portal.runtime.children import Plan
from portal.runtime.supervisor import Supervisor
supervisor = Supervisor(Path({str(tmp_path)!r}), print)
supervisor.start([Plan("a", {STAY!r}), Plan("b", {STAY!r})])
supervisor.run()
"""
    supervisor = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    path = installation.processes_file(tmp_path)
    wait_until(path.exists, "the processes run")
    pids = [entry["pid"] for entry in json.loads(path.read_text()).values()]
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: not any(map(installation._started, pids)), "both are gone", 5)


def test_leftovers_of_a_crash_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_LEFTOVER_SECONDS", 0.5)
    left = subprocess.Popen(STAY, process_group=0)
    deaf = subprocess.Popen(DEAF, process_group=0, stdout=subprocess.PIPE)
    assert deaf.stdout
    deaf.stdout.readline()
    installation.write_processes(tmp_path, {"worker": left.pid, "deaf": deaf.pid})
    assert installation.end_leftovers(tmp_path) == ["deaf", "worker"]
    assert (left.wait(), deaf.wait()) == (-signal.SIGTERM, -signal.SIGKILL)
    assert installation.end_leftovers(tmp_path) == []


def test_a_process_that_only_has_the_same_id_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(STAY, process_group=0)
    path = installation.processes_file(tmp_path)
    path.write_text(json.dumps({"worker": {"pid": other.pid, "started": "long ago"}}))
    assert installation.end_leftovers(tmp_path) == []
    assert other.poll() is None
    other.kill()
    other.wait()


@pytest.mark.parametrize("text", ["", "{"])
def test_a_damaged_list_of_processes_is_no_obstacle(tmp_path: Path, text: str) -> None:
    installation.processes_file(tmp_path).write_text(text)
    assert installation.end_leftovers(tmp_path) == []


def test_a_data_folder_is_locked_until_its_holder_ends(tmp_path: Path) -> None:
    with installation.locked(tmp_path), pytest.raises(installation.AlreadyRunning):
        with installation.locked(tmp_path):
            pass
    with installation.locked(tmp_path):
        pass


def test_a_server_that_never_answers_is_reported(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.runtime.supervisor._READY_SECONDS", 0.1)
    supervisor = Supervisor(tmp_path, said.append)
    with pytest.raises(NotReady, match="The port did not answer"):
        supervisor.wait_until(lambda: False, "The port")
