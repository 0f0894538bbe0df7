"""Runs a small fleet of reference orchestrators, so that the first page is alive.

Owns which orchestrators these are. Their records are marked as a demonstration and never count
among real ones; their homes lie in the data folder and are kept between runs.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.utils import timezone

from portal.preferences import store
from portal.runtime.demonstration import Place, make_home
from renewal.configuration import CA_SETTING, TEMPLATE_SETTING

FLEET: tuple[tuple[str, int, str | None], ...] = (
    ("demo-berlin-01", 300, None),
    ("demo-berlin-02", 100, None),
    ("demo-lyon-01", 20, None),
    ("demo-lyon-02", 300, "Request"),
    ("demo-oslo-01", -1, None),
)
"""Name, days left of its one-year certificate, what an operator asked for."""

_STARTS_AT_ONCE = 2


class Command(BaseCommand):
    help = "Run the demonstration fleet (five reference orchestrators) until stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        folder = settings.CONFIG.data_dir / "demonstration"
        homes = [_home(folder, *entry) for entry in FLEET]
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        running: list[subprocess.Popen[bytes]] = []
        for home in homes:
            if stop.is_set():
                break
            running.append(_start(home))
            # A laptop should not feel five interpreters starting at once.
            if len(running) % _STARTS_AT_ONCE == 0:
                stop.wait(1)
        stop.wait()
        for process in running:
            process.terminate()
        for process in running:
            process.wait(10)


def _home(folder: Path, name: str, days_left: int, request: str | None) -> Path:
    home = folder / name
    if (home / "configuration" / "appsettings.json").exists():
        return home
    preferences = store.load()
    place = Place(
        agent_url=settings.CONFIG.agent_url,
        ca_file=settings.CONFIG.ca_file,
        authority=preferences.text(CA_SETTING),
        template=preferences.text(TEMPLATE_SETTING),
    )
    make_home(
        _manage,
        place,
        home,
        name=name,
        days_left=days_left,
        demonstration=True,
        now=timezone.now(),
    )
    if request:
        _manage("request_renewal", "--name", name, "--status", request)
    return home


def _manage(command: str, *arguments: str) -> dict[str, Any]:
    output = io.StringIO()
    call_command(command, *arguments, stdout=output)
    answer: dict[str, Any] = json.loads(output.getvalue())
    return answer


def _start(home: Path) -> subprocess.Popen[bytes]:
    with (home / "console.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [
                *(sys.executable, "-m", "orchestrators.agent", "--home", str(home)),
                *("--log-file", str(home / "logs" / "orchestrator.log")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(settings.BASE_DIR)},
        )
