"""The jobs that this orchestrator can do: FetchLogs.

Owns running the jobs of a session. Other capabilities are logged and left alone. Does not know
when a session is granted; without one there are no jobs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrators.agent.client import Credential, Portal, PortalError
from orchestrators.agent.logs import LogTail
from orchestrators.agent.wire import (
    Job,
    fetch_logs_completion_body,
    job_body,
    read_fetch_logs,
    read_result,
)
from orchestrators.protocol.terms import Capability

log = logging.getLogger("Keyfactor.Orchestrators.JobEngine.Jobs")


@dataclass(frozen=True)
class JobRunner:
    """Runs the jobs of a session over the connection of the moment."""

    portal: Portal
    log_tail: LogTail

    def run(self, jobs: Iterable[Job], token: str, credential: Credential) -> None:
        """Run each job once, at once. A job that fails does not stop the others."""
        for job in jobs:
            if job.capability != Capability.FETCH_LOGS:
                log.warning("Job %s is for %s: ignored", job.job_id, job.capability)
                continue
            try:
                self._fetch_logs(job, token, credential)
            except (PortalError, OSError) as error:
                log.error("Job %s failed: %s", job.job_id, error)

    def _fetch_logs(self, job: Job, token: str, credential: Credential) -> None:
        reply = self.portal.post(job.configuration_endpoint, job_body(job, token), credential)
        configuration = read_fetch_logs(reply)
        if not configuration.result.is_ok:
            log.error("Job %s was refused: %s", job.job_id, configuration.result.message)
            return
        text = self.log_tail.read(configuration.characters)
        completion = fetch_logs_completion_body(job, token, configuration, text)
        result = read_result(self.portal.post(job.completion_endpoint, completion, credential))
        if result.is_ok:
            log.info("Job %s completed: %d characters of the log", job.job_id, len(text))
        else:
            log.error("Completion of job %s was refused: %s", job.job_id, result.message)
