"""Passes and heartbeats in time: the orchestrator as a service.

Owns waiting: heartbeat interval, back-off after failures, the end by a signal. Does not know what
a pass does.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from threading import Event

from orchestrators.agent.client import PortalError
from orchestrators.agent.journal import JournalError
from orchestrators.agent.jsontext import JsonTextError
from orchestrators.agent.loop import Beat, Outcome, is_refusal, retry_delay
from orchestrators.agent.session import Orchestrator
from orchestrators.agent.settings import SettingsError
from orchestrators.agent.store import StoreError

log = logging.getLogger("Keyfactor.Orchestrators.JobEngine.Service")


@dataclass(frozen=True)
class Timing:
    """How long to wait; the two overrides are for tests and demonstrations."""

    name: str
    heartbeat_seconds: float | None = None
    retry_seconds: float | None = None

    def heartbeat(self, granted: float) -> float:
        """Return the seconds between heartbeats."""
        return self.heartbeat_seconds or max(granted, 1.0)

    def retry(self, failures: int) -> float:
        """Return the seconds before the next try."""
        return self.retry_seconds or retry_delay(failures, self.name)


def attempt(orchestrator: Orchestrator) -> Outcome:
    """Run one pass; what stops it is logged and becomes an outcome."""
    try:
        return orchestrator.run_pass()
    except PortalError as error:
        log.error("%s", error)
        return Outcome.NO_SESSION if is_refusal(error.status) else Outcome.UNREACHABLE
    except (SettingsError, StoreError, JsonTextError, JournalError) as error:
        log.error("%s", error)
        return Outcome.CONFIGURATION
    except OSError as error:
        log.error("%s", error)
        return Outcome.FAILED


def serve(orchestrator: Orchestrator, timing: Timing, stop: Event) -> None:
    """Run until ``stop`` is set."""
    failures = 0
    while not stop.is_set():
        outcome = attempt(orchestrator)
        failures = 0 if outcome is Outcome.OK else failures + 1
        if orchestrator.session is None:
            stop.wait(timing.retry(max(failures - 1, 0)))
            continue
        # What may have changed by itself is tried again before the session ends; a refusal is
        # not, since it takes a person.
        is_final = outcome in (Outcome.OK, Outcome.RENEWAL_REFUSED)
        ask_again = None if is_final else timing.retry(failures)
        _keep_alive(orchestrator, timing, stop, ask_again)


def _keep_alive(
    orchestrator: Orchestrator, timing: Timing, stop: Event, ask_again: float | None
) -> None:
    """Send heartbeats until the session ends, or for ``ask_again`` seconds."""
    failures, elapsed = 0, 0.0
    while orchestrator.session is not None:
        pause = timing.heartbeat(orchestrator.session.heartbeat_seconds)
        if failures:
            pause = timing.retry(failures - 1)
        if ask_again is not None:
            pause = min(pause, ask_again - elapsed)
        if stop.wait(pause):
            return
        elapsed += pause
        if ask_again is not None and elapsed >= ask_again:
            return
        try:
            if orchestrator.beat() is Beat.REGISTER:
                return
            failures = 0
        except PortalError as error:
            log.error("%s", error)
            if is_refusal(error.status):
                orchestrator.session = None
                stop.wait(timing.retry(failures))
            failures += 1
