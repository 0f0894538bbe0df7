"""The orchestrator in time: heartbeats, retries, jobs, the end."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrators.agent.home import Home
from orchestrators.agent.service import Timing, serve
from orchestrators.agent.session import Orchestrator
from orchestrators.protocol.answers import JobTicket, problem, success
from orchestrators.protocol.codes import Code
from orchestrators.protocol.requests import JobCompletion
from orchestrators.protocol.terms import Capability, ResultStatus
from tests.agent.conftest import MakeHome, orchestrator_of
from tests.agent.portal_double import (
    Call,
    PortalDouble,
    beat,
    grant,
    http_error,
    issue,
    lost,
    must,
    refuse,
    warn,
)

QUICK = Timing("agent-1", heartbeat_seconds=0.02, retry_seconds=0.02)
LOGS = JobTicket("job-1", Capability.FETCH_LOGS, "/KeyfactorAgents/Logs/Configure", "Logs/Complete")


@contextmanager
def serving(home: Home, timing: Timing = QUICK) -> Iterator[Orchestrator]:
    orchestrator, stop = orchestrator_of(home), threading.Event()
    thread = threading.Thread(target=serve, args=(orchestrator, timing, stop))
    thread.start()
    try:
        yield orchestrator
    finally:
        stop.set()
        thread.join(timeout=20)
        assert not thread.is_alive()


def registers(portal: PortalDouble, count: int) -> Callable[[], bool]:
    return lambda: len(portal.register_calls) >= count


def heartbeats(portal: PortalDouble, count: int) -> Callable[[], bool]:
    return lambda: len(portal.to("Session/Heartbeat")) >= count


def test_heartbeats_go_on_and_an_invalid_session_registers_at_once(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    portal.heartbeats.extend([beat(valid=True), beat(valid=True), beat(valid=False)])
    with serving(make_home()):
        portal.wait_for(registers(portal, 2))
    paths = [call.path.rpartition("/")[2] for call in portal.calls[:5]]
    assert paths == ["Register", "Heartbeat", "Heartbeat", "Heartbeat", "Register"]


def test_an_invalid_session_with_an_order_to_renew_ends_with_the_new_certificate(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    portal.registers.extend([grant, must, issue])
    portal.heartbeats.append(beat(valid=False))
    with serving(make_home()):
        portal.wait_for(lambda: len(portal.to("Session/Heartbeat")) >= 2)
    first, *_, last = portal.calls
    assert first.serial != last.serial
    assert portal.to("Session/Heartbeat")[1].serial == portal.register_calls[3].serial


def test_http_failures_are_retried_without_losing_the_session(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    portal.registers.extend([lost, http_error(503)])
    portal.heartbeats.extend([lost, http_error(503)])
    with serving(make_home()):
        portal.wait_for(heartbeats(portal, 4))
    assert len(portal.register_calls) == 3


def test_a_heartbeat_that_is_refused_by_http_registers_again(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    portal.heartbeats.append(http_error(401))
    with serving(make_home()):
        portal.wait_for(registers(portal, 2))


def test_a_certificate_that_is_not_ready_is_asked_for_again_inside_the_session(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    portal.registers.extend([warn, warn, warn, issue])
    with serving(make_home(), Timing("agent-1", heartbeat_seconds=3600, retry_seconds=0.05)):
        portal.wait_for(registers(portal, 5))
    csrs = [call.body["CSR"] for call in portal.register_calls if call.body["CSR"]]
    assert len(csrs) == 2
    assert csrs[0] == csrs[1]


def test_a_refusal_waits_for_the_next_session(make_home: MakeHome, portal: PortalDouble) -> None:
    def refused_with_a_session(call: Call) -> dict[str, object]:
        reply = grant(call)
        reply["Result"] = refuse(Code.CSR_NAMES)(call)["Result"]
        return reply

    portal.registers.extend([warn, refused_with_a_session])
    with serving(make_home()):
        portal.wait_for(heartbeats(portal, 5))
    assert len(portal.register_calls) == 2


def test_without_a_session_there_are_no_heartbeats_and_no_jobs(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    portal.registers.extend([must] * 20)
    with serving(make_home()):
        portal.wait_for(registers(portal, 8))
    assert {call.path for call in portal.calls} == {"/KeyfactorAgents/Session/Register"}


class TestJobs:
    """FetchLogs, and everything else."""

    def test_fetch_logs_returns_the_last_characters(
        self, make_home: MakeHome, portal: PortalDouble, log: io.StringIO
    ) -> None:
        done: list[Call] = []

        def configure(call: Call) -> dict[str, object]:
            assert call.body["JobId"] == "job-1"
            return {"AuditId": 7, "MaxCharactersToReturn": 40, "Result": success()}

        def complete(call: Call) -> dict[str, object]:
            done.append(call)
            return {"Result": success()}

        portal.others.update({"Logs/Configure": configure, "Logs/Complete": complete})
        portal.registers.append(lambda call: grant(call, jobs=(LOGS,)))
        with serving(make_home()):
            portal.wait_for(heartbeats(portal, 1))
        completion = JobCompletion.parse(done[0].body)
        assert (completion.status, completion.audit_id) == (2, 7)
        assert len(completion.log) == 40
        assert completion.log.strip() in log.getvalue()
        assert done[0].body["SessionToken"]

    def test_jobs_of_a_renewal_run_with_the_new_certificate(
        self, make_home: MakeHome, portal: PortalDouble
    ) -> None:
        def with_job(call: Call) -> dict[str, object]:
            reply = issue(call)
            reply["Session"]["Jobs"] = [LOGS.to_json()]
            return reply

        portal.others["Logs/Configure"] = lambda call: {"Result": success()}
        portal.others["Logs/Complete"] = lambda call: {"Result": success()}
        portal.registers.extend([must, with_job])
        with serving(make_home()):
            portal.wait_for(heartbeats(portal, 1))
        assert portal.to("Logs/Configure")[0].serial == portal.register_calls[2].serial

    def test_a_job_that_the_portal_refuses_is_logged(
        self, make_home: MakeHome, portal: PortalDouble, log: io.StringIO
    ) -> None:
        refused = {"Result": problem(ResultStatus.ERROR, Code.JOB_UNKNOWN)}
        portal.others["Logs/Configure"] = lambda call: refused
        second = JobTicket("job-2", Capability.FETCH_LOGS, "Other/Configure", "Other/Complete")
        portal.others["Other/Configure"] = lambda call: {"Result": success()}
        portal.others["Other/Complete"] = lambda call: refused
        portal.registers.append(lambda call: grant(call, jobs=(LOGS, second)))
        with serving(make_home()):
            portal.wait_for(heartbeats(portal, 1))
        assert "Job job-1 was refused: The job does not exist" in log.getvalue()
        assert "Completion of job job-2 was refused: The job does not exist" in log.getvalue()

    def test_other_jobs_are_logged_and_ignored_and_a_failure_stops_nothing(
        self, make_home: MakeHome, portal: PortalDouble, log: io.StringIO
    ) -> None:
        other = JobTicket("job-2", "CertStores.PEM.Inventory", "/x", "/y")
        portal.others["Logs/Configure"] = http_error(500)
        portal.registers.append(lambda call: grant(call, jobs=(other, LOGS)))
        with serving(make_home()):
            portal.wait_for(heartbeats(portal, 1))
        assert "Job job-2 is for CertStores.PEM.Inventory: ignored" in log.getvalue()
        assert "Job job-1 failed: Remote CMS call" in log.getvalue()
