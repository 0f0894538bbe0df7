"""Passes of registration against a portal double over real TLS: renew, retry, enroll."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace

import pytest

from orchestrators.agent.install import open_store
from orchestrators.agent.loop import Beat, Outcome
from orchestrators.agent.service import attempt
from orchestrators.agent.settings import read_secrets, read_settings
from orchestrators.agent.store import Identity
from orchestrators.protocol.answers import problem
from orchestrators.protocol.codes import Code
from orchestrators.protocol.requests import RegisterRequest
from orchestrators.protocol.terms import ResultStatus
from tests.agent.conftest import (
    BOOTSTRAP_PASSWORD,
    FIRST_PASSWORD,
    MakeHome,
    installed,
    orchestrator_of,
)
from tests.agent.pki import common_name
from tests.agent.portal_double import (
    AGENT_ID,
    Call,
    PortalDouble,
    beat,
    grant,
    issue,
    lost,
    must,
    refuse,
    warn,
)


@pytest.mark.parametrize("order", [warn, must], ids=["A0100007", "A0100008"])
def test_the_log_names_the_certificate_that_asked_for_the_session(
    make_home: MakeHome, portal: PortalDouble, log: io.StringIO, order: object
) -> None:
    portal.registers.extend([order, issue])  # type: ignore[list-item]
    attempt(orchestrator_of(make_home()))
    presented = [call.serial for call in portal.register_calls]
    if order is must:
        del presented[0]  # It got no session.
    told = re.findall(r"Session granted to certificate \w+, serial (\w+)", log.getvalue())
    assert [int(serial, 16) for serial in told] == presented
    assert len(set(presented)) == 2


def test_a_session_without_remarks_sends_no_csr(
    make_home: MakeHome, portal: PortalDouble, identity: Identity
) -> None:
    home = make_home()
    assert attempt(orchestrator_of(home)) is Outcome.OK
    (call,) = portal.register_calls
    assert call.body["CSR"] is None
    assert call.body["AgentId"] == AGENT_ID
    assert call.serial == identity.certificate.serial_number
    assert installed(home).thumbprint == identity.thumbprint


@pytest.mark.parametrize("kind", ["pkcs12", "pem"])
@pytest.mark.parametrize("order", [warn, must], ids=["A0100007", "A0100008"])
def test_an_order_to_renew_ends_with_the_new_certificate_in_the_handshake(
    make_home: MakeHome, portal: PortalDouble, identity: Identity, order: object, kind: str
) -> None:
    home = make_home(kind)
    portal.registers.extend([order, issue])  # type: ignore[list-item]
    assert attempt(orchestrator_of(home)) is Outcome.OK
    bare, with_csr, confirming = portal.register_calls
    old, new = identity.certificate.serial_number, installed(home).certificate.serial_number
    assert [bare.serial, with_csr.serial, confirming.serial] == [old, old, new]
    assert old != new
    assert with_csr.csr.is_signature_valid
    assert confirming.body["CSR"] is None
    assert not home.pending.exists()
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in home.configuration.iterdir())


def test_the_csr_is_base64_der_without_armour_and_the_portal_parses_the_request(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    portal.registers.extend([warn, issue])
    attempt(
        orchestrator_of(make_home(Subject="CN=agent-1,O=Example", DnsSan="a.example,b.example"))
    )
    body = portal.register_calls[1].body
    request = RegisterRequest.parse(body)
    assert request.agent_version == "1.0.0.0"
    assert base64.b64decode(body["CSR"], validate=True)[:1] == b"\x30"
    assert request.client_parameters["extension"] == "built-in"
    assert len(request.client_parameters["extension-sha256"]) == 64
    assert request.client_parameters["certificate-store"] == "PKCS12 file orchestrator.p12"


def test_no_private_key_and_no_password_is_ever_sent_or_logged(
    make_home: MakeHome, portal: PortalDouble, log: io.StringIO
) -> None:
    home = make_home()
    portal.registers.extend([warn, lost, warn, issue])
    attempt(orchestrator_of(home))
    key = json.loads(home.pending.read_text())["key"]
    attempt(orchestrator_of(home))
    password = read_secrets(home).certificate_password
    said = log.getvalue() + json.dumps([call.body for call in portal.calls])
    assert key.splitlines()[1] not in said
    assert "PRIVATE KEY" not in said
    assert password not in said
    assert FIRST_PASSWORD not in said


def test_pkcs12_gets_a_new_random_password_each_time(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    home = make_home()
    passwords = [FIRST_PASSWORD]
    for _ in range(2):
        portal.registers.extend([warn, issue])
        attempt(orchestrator_of(home))
        passwords.append(read_secrets(home).certificate_password)
        store = open_store(home, read_settings(home), None)
        with pytest.raises(Exception, match="cannot be opened"):
            replace(store, password=passwords[-2]).load()  # type: ignore[type-var]
    assert len(set(passwords)) == 3
    # 32 random bytes as URL-safe base64: 256 bits, where 128 are promised.
    assert all(len(base64.urlsafe_b64decode(f"{p}=")) == 32 for p in passwords[1:])


def test_other_members_and_the_formatting_of_both_files_stay(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    home = make_home()
    text = home.app_settings.read_text()
    text = text.replace('"ScriptTimeout": 60', '"InventoryMaxUpdateSizeMb" :  1.50,\n\t"x": [1,2]')
    home.app_settings.write_text(text)
    secrets = json.dumps({"Other": "kept", **json.loads(home.secrets.read_text())}, indent=7)
    home.secrets.write_text(secrets)
    portal.registers.extend([warn, issue])
    assert attempt(orchestrator_of(home)) is Outcome.OK
    assert home.app_settings.read_text() == text
    new = read_secrets(home).certificate_password
    assert home.secrets.read_text() == secrets.replace(FIRST_PASSWORD, new)


def test_a_lost_reply_sends_the_very_same_csr_again(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    home = make_home()
    portal.registers.extend([must, lost])
    assert attempt(orchestrator_of(home)) is Outcome.UNREACHABLE
    assert home.pending.stat().st_mode & 0o777 == 0o600
    portal.registers.extend([must, issue])
    assert attempt(orchestrator_of(home)) is Outcome.OK
    first, second = (c.body["CSR"] for c in portal.register_calls if c.body["CSR"])
    assert first == second


def test_the_pending_key_is_on_the_disk_before_its_csr_is_sent(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    home = make_home()
    found: list[str] = []

    def look(call: Call) -> dict[str, object]:
        found.append(json.loads(home.pending.read_text())["csr"])
        return issue(call)

    portal.registers.extend([warn, look])
    attempt(orchestrator_of(home))
    assert found == [portal.register_calls[1].body["CSR"]]


@pytest.mark.parametrize("code", [Code.KEY_REUSE, Code.KEY_WEAK, Code.KEY_TYPE])
def test_a_refused_key_is_dropped_and_the_next_register_has_a_new_one(
    make_home: MakeHome, portal: PortalDouble, code: Code
) -> None:
    home = make_home()
    portal.registers.extend([must, refuse(code), must, issue])
    assert attempt(orchestrator_of(home)) is Outcome.RENEWAL_REFUSED
    assert not home.pending.exists()
    assert attempt(orchestrator_of(home)) is Outcome.OK
    first, second = (c.csr for c in portal.register_calls if c.body["CSR"])
    assert first.public_key() != second.public_key()


def test_another_configuration_makes_another_csr(make_home: MakeHome, portal: PortalDouble) -> None:
    home = make_home(Subject="CN=not-mine")
    portal.registers.extend([must, refuse(Code.CSR_NAMES), must, issue])
    assert attempt(orchestrator_of(home)) is Outcome.RENEWAL_REFUSED
    home.app_settings.write_text(home.app_settings.read_text().replace("not-mine", "agent-1"))
    assert attempt(orchestrator_of(home)) is Outcome.OK
    assert portal.register_calls[3].csr.subject == common_name("agent-1")


def test_force_renewal_sends_a_csr_at_level_0_and_a_refusal_of_it_is_no_failure(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    home = make_home(ForceRenewal="True")
    not_due = problem(ResultStatus.SUCCESS, Code.NOT_DUE)
    portal.registers.extend([grant, lambda call: grant(call, result=not_due)])
    assert attempt(orchestrator_of(home)) is Outcome.OK
    assert portal.register_calls[1].body["CSR"]


def test_force_renewal_false_is_a_text_and_not_true(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    assert attempt(orchestrator_of(make_home(ForceRenewal="False"))) is Outcome.OK
    assert len(portal.register_calls) == 1


def test_a_second_order_to_renew_right_after_a_renewal_waits_for_the_next_pass(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    portal.registers.extend([warn, issue, warn])
    assert attempt(orchestrator_of(make_home())) is Outcome.OK
    assert len(portal.register_calls) == 3


def test_the_next_heartbeat_presents_the_new_certificate(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    home = make_home()
    orchestrator = orchestrator_of(home)
    # The confirming registration is lost: the heartbeat is the first to use the new one.
    portal.registers.extend([warn, issue, lost])
    attempt(orchestrator)
    assert orchestrator.beat() is Beat.CONTINUE
    (call,) = portal.to("Session/Heartbeat")
    assert call.serial == installed(home).certificate.serial_number
    assert call.body["SessionToken"]


def test_a_session_that_is_not_valid_is_given_up(make_home: MakeHome, portal: PortalDouble) -> None:
    orchestrator = orchestrator_of(make_home())
    attempt(orchestrator)
    portal.heartbeats.append(beat(valid=False))
    assert orchestrator.beat() is Beat.REGISTER
    assert orchestrator.session is None


def test_a_refused_registration_ends_no_running_session(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    orchestrator = orchestrator_of(make_home())
    attempt(orchestrator)
    portal.registers.extend([must, must])
    attempt(orchestrator)
    assert orchestrator.beat() is Beat.CONTINUE


class TestFirstEnrollment:
    """From a bootstrap credential to a certificate."""

    def test_waits_for_approval_with_one_key_then_installs_everything(
        self, make_home: MakeHome, portal: PortalDouble, log: io.StringIO
    ) -> None:
        home = make_home("bootstrap")
        waiting = refuse(Code.NOT_APPROVED)
        portal.registers.extend([waiting, waiting, issue])
        assert attempt(orchestrator_of(home)) is Outcome.WAITING_FOR_APPROVAL
        assert attempt(orchestrator_of(home)) is Outcome.WAITING_FOR_APPROVAL
        assert attempt(orchestrator_of(home)) is Outcome.OK
        *enrolling, confirming = portal.register_calls
        assert len({call.body["CSR"] for call in enrolling}) == 1
        assert {call.body["AgentId"] for call in enrolling} == {""}
        assert all(call.serial is None for call in enrolling)
        expected = base64.b64encode(f"bootstrap:{BOOTSTRAP_PASSWORD}".encode()).decode()
        assert {call.headers["Authorization"] for call in enrolling} == {f"Basic {expected}"}
        assert confirming.serial == installed(home).certificate.serial_number
        assert confirming.body["AgentId"] == AGENT_ID
        assert "Authorization" not in confirming.headers
        assert read_settings(home).orchestrator_id == AGENT_ID
        assert "Bootstrap" not in home.secrets.read_text()
        assert not home.pending.exists()
        assert BOOTSTRAP_PASSWORD not in log.getvalue()

    def test_a_spent_credential_is_a_refusal(
        self, make_home: MakeHome, portal: PortalDouble
    ) -> None:
        portal.registers.append(refuse(Code.CREDENTIAL_SPENT))
        home = make_home("bootstrap")
        assert attempt(orchestrator_of(home)) is Outcome.RENEWAL_REFUSED

    def test_no_certificate_and_no_credential_is_an_error_of_the_configuration(
        self, make_home: MakeHome, log: io.StringIO
    ) -> None:
        home = make_home("bootstrap")
        home.secrets.unlink()
        assert attempt(orchestrator_of(home)) is Outcome.CONFIGURATION
        assert "neither a certificate (configuration/orchestrator.p12)" in log.getvalue()


def test_an_id_that_the_portal_corrects_is_written(
    make_home: MakeHome, portal: PortalDouble
) -> None:
    home = make_home()
    text = home.app_settings.read_text()
    home.app_settings.write_text(text.replace(AGENT_ID, "stale"))
    assert attempt(orchestrator_of(home)) is Outcome.OK
    assert home.app_settings.read_text() == text
