"""Jobs and heartbeats inside a session: FetchLogs from the request to the log, and whose job it is.

Owns what a session is good for (S12, S25, S26, S57 in docs/promises.md).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrators import jobs
from orchestrators.models import Job
from orchestrators.protocol.terms import Capability
from tests.agent_api.front_door import DAY, OPERATOR, FrontDoor, Host, Reply

pytestmark = pytest.mark.both_databases
CONFIGURATION, COMPLETION = "/Jobs/FetchLogs/Configuration", "/Jobs/FetchLogs/Completion"


@pytest.fixture
def job(door: FrontDoor, host: Host) -> Job:
    return jobs.request_logs(host.record, actor=OPERATOR, now=door.now)[0]


def configuration(host: Host, job: Job, **members: object) -> Reply:
    body = {"SessionToken": host.token, "JobId": str(job.job_id)} | members
    return host.door.post(CONFIGURATION, body, certificate=host.certificate)


def completion(host: Host, job: Job, **members: object) -> Reply:
    body = {
        "Status": 2,
        "AuditId": job.pk,
        "JobId": str(job.job_id),
        "Message": None,
        "SessionToken": host.token,
        "Log": "line 1\nline 2",
    } | members
    return host.door.post(COMPLETION, body, certificate=host.certificate)


class TestFetchLogs:
    def test_from_the_ticket_to_the_log(self, door: FrontDoor, host: Host, job: Job) -> None:
        (ticket,) = host.register().session["Jobs"]
        assert ticket["JobTypeId"] == Capability.GUIDS[Capability.FETCH_LOGS]
        assert ticket["JobId"] == str(job.job_id)
        assert (ticket["ConfigurationEndpoint"], ticket["CompletionEndpoint"]) == (
            CONFIGURATION,
            COMPLETION,
        )
        assert configuration(host, job).body == {
            "AuditId": job.pk,
            "MaxCharactersToReturn": 4000,
            "JobCancelled": False,
            "Result": {"Status": 1, "Error": None},
        }
        assert completion(host, job).body == {"Result": {"Status": 1, "Error": None}}
        job.refresh_from_db()
        assert (job.state, job.result, job.log) == (3, 2, "line 1\nline 2")
        assert host.register().session["Jobs"] == []

    def test_only_the_end_of_a_log_is_kept(self, host: Host, job: Job) -> None:
        completion(host, job, Log="x" * 5000 + "end")
        job.refresh_from_db()
        assert len(job.log) == 4000
        assert job.log.endswith("end")

    def test_asking_twice_queues_one(self, door: FrontDoor, host: Host, job: Job) -> None:
        assert jobs.request_logs(host.record, actor=OPERATOR, now=door.now) == (job, False)

    def test_a_job_ends_once(self, host: Host, job: Job) -> None:
        assert completion(host, job).status == 1
        assert completion(host, job, Log="again").code == "A01F0032"
        reply = configuration(host, job)
        assert (reply.code, reply.body["JobCancelled"]) == ("A01F0032", True)
        job.refresh_from_db()
        assert job.log == "line 1\nline 2"

    @pytest.mark.parametrize("job_id", ["", "nonsense", "3c1f51b4-1c64-4a0e-8a5b-0d4f3e5f1f00"])
    def test_a_job_that_is_none_is_refused(self, host: Host, job: Job, job_id: str) -> None:
        assert configuration(host, job, JobId=job_id).code == "A01F0032"
        assert completion(host, job, JobId=job_id).code == "A01F0032"

    def test_another_orchestrators_job_is_refused(
        self, host: Host, job: Job, make_host: Callable[..., Host]
    ) -> None:
        rogue = make_host("rogue")
        assert configuration(rogue, job).code == "A01F0032"
        assert completion(rogue, job).code == "A01F0032"
        job.refresh_from_db()
        assert job.state == 1

    def test_a_reset_cancels_it(self, door: FrontDoor, host: Host, job: Job) -> None:
        door.reset(host.record)
        job.refresh_from_db()
        assert job.state == 6
        assert completion(host, job).code == "A01F0031"


class TestWhileRenewing:
    def test_work_goes_on_in_the_warning_period(
        self, door: FrontDoor, host: Host, job: Job
    ) -> None:
        door.set_flag(host.record, 1)
        door.ca.is_slow = True
        reply, _ = host.send_csr()
        assert (reply.code, len(reply.session["Jobs"])) == ("A0100007", 1)
        for _ in range(3):
            assert host.heartbeat().body["SessionValid"]
        assert completion(host, job).status == 1

    def test_no_job_is_handed_out_until_the_new_certificate_is_there(
        self, door: FrontDoor, host: Host, job: Job
    ) -> None:
        door.set_flag(host.record, 2, at_once=True)
        assert host.register().body["Session"] is None
        assert configuration(host, job).code == "A01F0031"
        reply, _ = host.send_csr()
        assert len(reply.session["Jobs"]) == 1

    def test_the_new_certificate_works_inside_the_session_of_the_old_one(
        self, host: Host, job: Job
    ) -> None:
        host.renew()
        assert configuration(host, job).status == 1
        assert completion(host, job).status == 1


class TestSessionsOfOthers:
    def test_a_stolen_token_is_worth_nothing(
        self, host: Host, job: Job, make_host: Callable[..., Host]
    ) -> None:
        rogue = make_host("rogue")
        rogue.token = host.token
        assert not rogue.heartbeat().body["SessionValid"]
        assert completion(rogue, job).code == "A01F0031"
        assert host.heartbeat().body["SessionValid"]

    @pytest.mark.parametrize("token", ["", "nonsense", "3c1f51b4-1c64-4a0e-8a5b-0d4f3e5f1f00"])
    def test_an_unknown_token_is_told_to_register_again(self, host: Host, token: str) -> None:
        host.token = token
        reply = host.heartbeat()
        assert (reply.http, reply.status, reply.body["SessionValid"]) == (200, 1, False)

    def test_a_trusted_stranger_is_told_to_register(self, door: FrontDoor, host: Host) -> None:
        reply = door.heartbeat(door.certificate(), host.token)
        assert (reply.http, reply.status, reply.body["SessionValid"]) == (200, 1, False)

    def test_nobody_gets_401(self, door: FrontDoor, host: Host, job: Job) -> None:
        assert door.heartbeat(None, host.token).http == 401
        host.certificate = None  # type: ignore[assignment]
        assert configuration(host, job).http == 401
        assert completion(host, job).http == 401

    def test_an_expired_certificate_holds_no_session(self, door: FrontDoor, host: Host) -> None:
        door.tick(301 * DAY)
        reply = host.heartbeat()
        assert (reply.http, reply.body["SessionValid"]) == (200, False)


def test_a_private_key_in_a_log_is_not_kept(host: Host, job: Job) -> None:
    host.register()
    log = "before\n-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\nafter"
    assert completion(host, job, Log=log, Message=log).status == 1
    job.refresh_from_db()
    assert job.log == job.message == "before\n(a private key stood here)\nafter"
