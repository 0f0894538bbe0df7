"""Register as existing agents meet it: rows 1 to 3 and 15, the reply's members, sessions.

Owns the way from a certificate to a session. Renewal is `test_renewal.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrators.models import AgentSession
from tests.agent_api.front_door import DAY, HOUR, FrontDoor, Host, actions

pytestmark = pytest.mark.both_databases


class TestFirstContact:
    def test_a_stranger_with_a_trusted_certificate_waits_for_approval(
        self, door: FrontDoor
    ) -> None:
        reply = door.register(door.certificate())
        assert reply.http == 200
        assert reply.said == (3, "A01F0001", False, False)
        assert reply.body["Session"] is None
        record = door.record()
        assert (record.status, record.version, record.platform) == (1, "2.19.0.0", 5)
        assert record.last_seen == door.now

    def test_approval_binds_the_certificate_at_its_first_use(self, door: FrontDoor) -> None:
        certificate = door.certificate()
        door.register(certificate)
        record = door.record()
        assert door.approve(record)
        assert not door.approve(record)
        reply = door.register(certificate)
        assert reply.said == (1, "", True, False)
        assert reply.agent_id == str(record.pk)
        record.refresh_from_db()
        assert record.thumbprint == record.last_thumbprint_used != ""

    def test_a_body_without_any_member_is_served(self, door: FrontDoor) -> None:
        certificate = door.certificate()
        assert door.post("/Session/Register", {}, certificate=certificate).code == "A01F0001"
        assert door.post("/Session/Register", {}, certificate=certificate).code == "A01F0001"
        assert door.record("").status == 1


class TestReply:
    def test_a_session_has_every_member_that_agents_read(self, host: Host) -> None:
        session = host.register(ClientParameters={"site": "Bern"}).session
        assert set(session) == {
            "Token",
            "AgentId",
            "HeartbeatInterval",
            "ClientMachine",
            "Certificate",
            "ClientParameters",
            "Jobs",
        }
        assert len(session["Token"]) == len(session["AgentId"]) == 36
        assert session["HeartbeatInterval"] == 5
        assert session["Jobs"] == []
        assert session["ClientParameters"] == {"site": "Bern"}

    def test_an_unknown_agent_id_is_ignored_and_the_right_one_told(self, host: Host) -> None:
        right = host.agent_id
        reply = host.register(AgentId="3c1f51b4-1c64-4a0e-8a5b-0d4f3e5f1f00")
        assert reply.agent_id == right
        assert host.register(AgentId="not a GUID").agent_id == right

    def test_paths_are_found_in_any_case(self, door: FrontDoor, host: Host) -> None:
        door.presented = host.certificate
        for path in ("/keyfactoragents/session/register", "/KeyfactorAgents/SESSION/REGISTER"):
            response = door.client.post(path, "{}", content_type="application/json")
            assert response.status_code == 200


class TestLevels:
    def test_a_warning_is_status_2_with_a_token(self, make_host: Callable[..., Host]) -> None:
        reply = make_host(left=100 * DAY).register()
        assert reply.said == (2, "A0100007", True, False)
        assert reply.body["Result"]["Error"]["Code"] == 2685403143
        assert reply.message == (
            "Agent certificate is approaching expiration and should be renewed."
        )

    def test_expiry_is_status_3_without_a_session(self, make_host: Callable[..., Host]) -> None:
        reply = make_host(left=20 * DAY).register()
        assert reply.said == (3, "A0100008", False, False)
        assert reply.body["Session"] is None

    def test_what_was_said_last_is_on_the_record(self, make_host: Callable[..., Host]) -> None:
        host = make_host(left=20 * DAY)
        record = host.record
        assert record.last_error_code == "A0100008"
        assert "must be renewed" in record.last_error_message

    def test_a_flag_outweighs_the_calendar(self, door: FrontDoor, host: Host) -> None:
        door.set_flag(host.record, 1)
        assert host.register().said == (2, "A0100007", True, False)
        door.set_flag(host.record, 2)
        assert host.register().said == (3, "A0100008", False, False)
        door.set_flag(host.record, 0)
        assert host.register().said == (1, "", True, False)

    def test_the_periods_follow_their_settings(self, door: FrontDoor, host: Host) -> None:
        door.setting("ClientCertificateWarningLifetimeDivisor", 2)
        door.tick(119 * DAY)
        assert host.register().status == 1
        door.setting("ClientCertificateWarningDays", 120)
        door.tick(2 * DAY)
        assert host.register().status == 1
        door.tick(60 * DAY)
        assert host.register().code == "A0100007"

    def test_a_short_lived_certificate_does_not_renew_at_every_session(
        self, make_host: Callable[..., Host]
    ) -> None:
        assert make_host(left=6 * DAY, lifetime=7 * DAY).register().status == 1


class TestSessions:
    def test_a_register_that_grants_a_session_ends_the_earlier_one(self, host: Host) -> None:
        first = host.token
        host.register()
        assert AgentSession.objects.filter(ended_at=None).count() == 1
        assert not host.door.heartbeat(host.certificate, first).body["SessionValid"]
        assert host.heartbeat().body["SessionValid"]

    def test_a_refused_register_ends_nothing(self, door: FrontDoor, host: Host) -> None:
        door.set_flag(host.record, 2)
        assert host.register().status == 3
        assert host.heartbeat().body["SessionValid"]

    def test_a_session_lives_on_when_the_expiry_period_begins(
        self, door: FrontDoor, make_host: Callable[..., Host]
    ) -> None:
        host = make_host(left=30 * DAY + HOUR)
        door.tick(2 * HOUR)
        assert host.heartbeat().body["SessionValid"]
        assert host.register().code == "A0100008"
        assert host.heartbeat().body["SessionValid"]
        door.tick(22 * HOUR)
        assert not host.heartbeat().body["SessionValid"]

    def test_a_session_lasts_a_quarter_of_what_the_certificate_has_left(
        self, door: FrontDoor, make_host: Callable[..., Host]
    ) -> None:
        host = make_host(left=8 * HOUR, lifetime=10 * HOUR)
        door.tick(2 * HOUR)
        assert not host.heartbeat().body["SessionValid"]

    def test_heartbeats_do_not_extend_a_session(self, door: FrontDoor, host: Host) -> None:
        for _ in range(22):
            door.tick(HOUR)
            assert host.heartbeat().body["SessionValid"]
        door.tick(HOUR)
        assert not host.heartbeat().body["SessionValid"]

    def test_renewal_now_ends_the_session_at_the_next_heartbeat(
        self, door: FrontDoor, host: Host
    ) -> None:
        door.set_flag(host.record, 1, at_once=True)
        reply = host.heartbeat()
        assert (reply.status, reply.body["SessionValid"]) == (1, False)

    def test_plain_registers_and_heartbeats_are_no_audit_events(self, host: Host) -> None:
        before = actions(host.record)
        host.register()
        host.heartbeat()
        assert actions(host.record) == before
