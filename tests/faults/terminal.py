"""An operator's terminal that stays open: management commands without starting Django for each.

Run as a process of its own with a portal's environment, it reads one JSON line per act and
answers with one. It also sends Celery's messages, as the schedule or a stray broker would.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr
from typing import Any

from tests.services.processes import ROOT


class Failed(AssertionError):
    """A command did not end well; carries what it said."""


class Terminal:
    """The test's side."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            env=dict(environment),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> dict[str, Any]:
        """Run a management command; return its JSON. Raises Failed."""
        return self._act({"command": list(arguments)})

    def send(self, task: str, *arguments: int, task_id: str | None = None) -> None:
        """Send a message to the workers."""
        self._act({"task": task, "arguments": list(arguments), "task_id": task_id})

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def _act(self, act: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(act) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "failed" in answer:
            raise Failed(f"{act}: {answer['failed']}")
        done: dict[str, Any] = answer["done"]
        return done


def main() -> None:
    """Read acts until the end of the input."""
    import django

    django.setup()
    from django.db import connections

    from portal.celery import app

    # The portal gives a message up after a moment, since rows make up for it. Here it is the test.
    app.conf.broker_transport_options = {
        **app.conf.broker_transport_options,
        "socket_connect_timeout": 20,
        "socket_timeout": 20,
    }
    for line in sys.stdin:
        try:
            answer = {"done": _carry_out(json.loads(line))}
        except (Exception, SystemExit) as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        connections.close_all()
        print(json.dumps(answer), flush=True)


def _carry_out(act: dict[str, Any]) -> Any:
    if "task" in act:
        from portal.celery import app

        app.send_task(act["task"], args=act["arguments"], task_id=act["task_id"])
        return {}
    from django.core.management import call_command

    output, complaint = io.StringIO(), io.StringIO()
    try:
        with redirect_stderr(complaint):
            call_command(*act["command"], stdout=output, stderr=complaint)
    except SystemExit as error:
        raise Failed(f"{error.code}: {output.getvalue()}{complaint.getvalue()}") from None
    return json.loads(output.getvalue() or "{}")


if __name__ == "__main__":
    main()
