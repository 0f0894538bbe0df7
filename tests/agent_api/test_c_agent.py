"""An existing C agent enrolls, renews on both flags and goes on with its new certificate.

Owns its journeys over the front door in one process; the main one is also made over real TLS
(`tests/faults/test_c_agent_over_tls.py`).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from orchestrators import jobs
from orchestrators.models import BootstrapCredential, Orchestrator
from orchestrators.protocol.codes import Code
from renewal.x509.certificates import read_certificate
from tests.agent_api.c_agent import RESET, Answer, CAgent, Config, Identity
from tests.agent_api.front_door import (
    DAY,
    HOUR,
    OPERATOR,
    PREFIX,
    FrontDoor,
    new_key,
    row_of,
    thumbprint,
)

pytestmark = pytest.mark.both_databases


@dataclass
class InProcess:
    """The transport over Django's client; ``broken`` answers are lost after they were made."""

    door: FrontDoor
    broken: list[bool] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        identity: Identity | None,
        basic: tuple[str, str] | None,
    ) -> Answer:
        self.bodies.append(dict(body))
        self.door.presented = identity.certificate_der if identity else None
        # It sends the header with both parts empty too.
        encoded = base64.b64encode(":".join(basic or ("", "")).encode()).decode()
        response = self.door.client.post(
            PREFIX + path,
            dict(body),
            content_type="application/json",
            headers={"authorization": f"Basic {encoded}"},
        )
        if self.broken and self.broken.pop(0):
            return Answer(502, b"<html>Bad gateway</html>")
        return Answer(response.status_code, response.content)


@pytest.fixture(params=[2, 3], ids=["2.19", "3.0"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


MakeAgent = Callable[..., CAgent]


@pytest.fixture
def make_agent(
    door: FrontDoor,
    make_credential: Callable[..., tuple[BootstrapCredential, tuple[str, str]]],
    version: int,
) -> MakeAgent:
    _, (username, password) = make_credential()

    def make(name: str = "agent01", **more: Any) -> CAgent:
        config = Config(name, Username=username, Password=password)
        return CAgent(InProcess(door), config, lambda: door.now, version=version, **more)

    return make


@pytest.fixture
def enrolled(door: FrontDoor, make_agent: MakeAgent) -> CAgent:
    agent = make_agent()
    assert agent.start() == 1
    door.approve(door.record())
    assert agent.start() == 0
    return agent


def wire(agent: CAgent) -> InProcess:
    assert isinstance(agent.transport, InProcess)
    return agent.transport


class TestEnrollment:
    def test_it_waits_for_approval_and_then_enrolls_and_works(
        self, door: FrontDoor, make_agent: MakeAgent
    ) -> None:
        agent = make_agent()
        for _ in range(2):
            assert agent.start() == 1
            assert "A01F0001" in agent.log[-1]
            assert agent.config.AgentId == ""
        door.approve(door.record())
        assert agent.start() == 0
        assert agent.keys_made == 3
        assert not agent.config.EnrollOnStartup
        assert agent.config.AgentId == str(door.record().pk)
        assert agent.token
        second = wire(agent).bodies[-1]
        assert second["CSR"] is None
        assert second["ClientParameters"] == {"RegistrationRequest": "registration-enroll-stores"}
        assert agent.identity
        assert row_of(agent.identity.certificate_der).standing == "current"
        assert len(door.ca.ledger) == 1

    def test_a_name_that_changes_at_every_start_ends_in_one_record(
        self, door: FrontDoor, make_agent: MakeAgent
    ) -> None:
        agent = make_agent("agent01_20260101000000", stamps_name=True)
        agent.start()
        door.tick(HOUR)
        agent.start()
        (record,) = Orchestrator.objects.all()
        door.approve(record)
        door.tick(HOUR)
        assert agent.start() == 0
        record.refresh_from_db()
        assert record.client_machine == agent.config.AgentName
        door.tick(DAY)
        assert agent.start() == 0
        assert Orchestrator.objects.count() == 1

    def test_a_lost_first_certificate_is_followed_by_another(
        self, door: FrontDoor, make_agent: MakeAgent
    ) -> None:
        agent = make_agent()
        agent.start()
        door.approve(door.record())
        wire(agent).broken = [True, True]
        assert agent.start() == 1
        assert agent.config.AgentId == ""
        assert agent.start() == 0
        assert len(door.ca.ledger) == 2

    def test_the_same_body_again_gets_the_same_certificate(
        self, door: FrontDoor, make_agent: MakeAgent
    ) -> None:
        agent = make_agent()
        agent.start()
        door.approve(door.record())
        wire(agent).broken = [True]
        assert agent.start() == 0
        first, again = wire(agent).bodies[1:3]
        assert first == again
        assert len(door.ca.ledger) == 1

    def test_a_slow_ca_reveals_no_agent_id(self, door: FrontDoor, make_agent: MakeAgent) -> None:
        agent = make_agent()
        agent.start()
        door.approve(door.record())
        door.ca.is_slow = True
        assert agent.start() == 1
        assert agent.config.AgentId == ""
        door.ca.is_slow = False
        door.tick(HOUR)
        assert agent.start() == 0

    def test_a_second_registration_that_fails_is_mended_by_the_next_start(
        self, door: FrontDoor, make_agent: MakeAgent
    ) -> None:
        """2.19 forgets that it has to enroll; 3.0 keeps it and enrolls once more."""
        agent = make_agent()
        agent.start()
        door.approve(door.record())
        wire(agent).broken = [False, True, True]
        assert agent.start() == 1
        assert agent.config.EnrollOnStartup is (agent.version >= 3)
        # 3.0 takes an AgentId that it knows already for a failure, and its claim is closed.
        door.tick(2 * HOUR)
        assert agent.start() == (0 if agent.version < 3 else 1)

    def test_a_bootstrap_certificate_does_as_well(
        self,
        door: FrontDoor,
        make_agent: MakeAgent,
        make_credential: Callable[..., tuple[BootstrapCredential, tuple[str, str]]],
    ) -> None:
        key = new_key()
        der = door.certificate(key, subject="CN=bootstrap")
        make_credential(
            "by certificate", fingerprint_sha256=read_certificate(der).fingerprint_sha256
        )
        agent = make_agent(bootstrap=Identity(der, key))
        agent.config.Username = agent.config.Password = ""
        assert agent.start() == 1
        door.approve(door.record())
        assert agent.start() == 0


class TestRenewal:
    @pytest.mark.parametrize("flag", [1, 2], ids=["Request", "Require"])
    def test_it_renews_on_a_flag_and_goes_on_with_the_new_certificate(
        self, door: FrontDoor, enrolled: CAgent, flag: int
    ) -> None:
        assert enrolled.identity
        old, keys = thumbprint(enrolled.identity.certificate_der), enrolled.keys_made
        door.setting("RevokeOldClientAuthCertificate", "true")
        door.tick(2 * DAY)
        door.set_flag(door.record(), flag)
        assert enrolled.start() == 0
        assert enrolled.keys_made == keys + 1
        new = thumbprint(enrolled.identity.certificate_der)
        record = door.record()
        assert (record.thumbprint, record.legacy_thumbprint, record.flag) == (new, old, flag)
        door.tick(DAY)
        assert enrolled.start() == 0
        record = door.record()
        assert (record.thumbprint, record.legacy_thumbprint, record.flag) == (new, "", 0)
        assert record.last_thumbprint_used == new
        assert enrolled.keys_made == keys + 1

    @pytest.mark.parametrize("left", [100, 20])
    def test_it_renews_when_the_calendar_says_so(
        self, door: FrontDoor, enrolled: CAgent, left: int
    ) -> None:
        assert enrolled.identity
        old = enrolled.identity.certificate_der
        door.tick((365 - left) * DAY)
        assert enrolled.start() == 0
        assert enrolled.identity.certificate_der != old
        door.tick(DAY)
        assert enrolled.start() == 0

    def test_the_token_of_the_old_certificate_serves_jobs_over_the_new_one(
        self, door: FrontDoor, enrolled: CAgent
    ) -> None:
        door.tick(2 * DAY)
        if enrolled.version >= 3:
            # It does not know this type of job, and would leave it for ever.
            with pytest.raises(jobs.LogsNotOffered):
                jobs.request_logs(door.record(), actor=OPERATOR, now=door.now)
            return
        job, _ = jobs.request_logs(door.record(), actor=OPERATOR, now=door.now)
        door.set_flag(door.record(), 2)
        assert enrolled.start() == 0
        job.refresh_from_db()
        assert (job.state, job.result) == (3, 2)

    def test_lost_replies_never_lock_it_out(self, door: FrontDoor, enrolled: CAgent) -> None:
        door.tick(2 * DAY)
        door.set_flag(door.record(), 2)
        for _ in range(2):
            wire(enrolled).broken = [False, True, True]
            assert enrolled.start() == 1
        assert enrolled.start() == 1
        assert "A0100008" in enrolled.log[-1]
        door.tick(timedelta(minutes=61))
        assert enrolled.start() == 0
        door.tick(HOUR)
        assert enrolled.start() == 0
        assert door.record().legacy_thumbprint == ""

    def test_a_ca_that_is_down_stops_it_only_until_it_is_back(
        self, door: FrontDoor, enrolled: CAgent
    ) -> None:
        door.tick(2 * DAY)
        door.set_flag(door.record(), 1)
        door.ca.is_down = True
        assert enrolled.start() == 0
        door.ca.is_down = False
        door.tick(2 * HOUR)
        assert enrolled.start() == 0
        door.tick(HOUR)
        assert enrolled.start() == 0
        assert door.record().flag == 0


class TestEnd:
    def test_when_its_certificate_has_ended_it_comes_back_as_another(
        self, door: FrontDoor, enrolled: CAgent
    ) -> None:
        first = door.record()
        door.tick(366 * DAY)
        assert enrolled.start() == RESET
        assert enrolled.config.AgentName.startswith("agent01_")
        assert enrolled.start() == 1
        assert Orchestrator.objects.count() == 2
        first.refresh_from_db()
        assert first.status == 2

    def test_reset_brings_it_back_with_the_certificate_that_it_has(
        self, door: FrontDoor, enrolled: CAgent
    ) -> None:
        door.reset(door.record())
        assert enrolled.start() == 1
        assert Code.NOT_APPROVED in enrolled.log[-1]
        door.approve(door.record())
        assert enrolled.start() == 0
