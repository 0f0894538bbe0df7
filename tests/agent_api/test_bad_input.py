"""Hostile bodies, headers and CSRs: a stable code, nothing applied, never a 5xx.

Owns what the endpoint answers; what is wrong with a CSR in detail is `tests/renewal`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError

from orchestrators.models import Orchestrator
from orchestrators.protocol.codes import Code
from portal.agent_api import registration
from portal.audit.models import AuditEntry
from renewal.models import Certificate, Enrollment
from tests import pki
from tests.agent_api.front_door import FrontDoor, Host, csr, new_key, raises

pytestmark = pytest.mark.both_databases
REGISTER, HEARTBEAT = "/Session/Register", "/Session/Heartbeat"
CONFIGURATION, COMPLETION = "/Jobs/FetchLogs/Configuration", "/Jobs/FetchLogs/Completion"
ENDPOINTS = (REGISTER, HEARTBEAT, CONFIGURATION, COMPLETION)


def everything() -> list[object]:
    models = (Orchestrator, Certificate, Enrollment, AuditEntry)
    return [list(model.objects.order_by("pk").values()) for model in models]


UNPARSED: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "a text": b'"x"',
    "not UTF-8": b'{"ClientMachine": "\xff"}',
    "NaN": b'{"AgentPlatform": NaN}',
    "Infinity": b'{"AgentVersion": -Infinity}',
    "nested too deep": b"[" * 8000,
    "objects nested too deep": b'{"a":' * 3000,
    "a number without end": b'{"AgentVersion": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("body", UNPARSED.values(), ids=UNPARSED.keys())
@pytest.mark.parametrize("path", ENDPOINTS)
def test_what_cannot_be_parsed_is_400(door: FrontDoor, host: Host, path: str, body: bytes) -> None:
    before = everything()
    reply = door.post(path, body, certificate=host.certificate)
    assert (reply.http, reply.code) == (400, "A01F0041")
    assert everything() == before


MEMBERS: dict[str, dict[str, Any]] = {
    "a NUL": {"ClientMachine": "a\0b"},
    "a direction character": {"ClientMachine": "a\u202eb"},
    "half a surrogate pair": {"ClientMachine": "a\ud800"},
    "a name that is too long": {"ClientMachine": "a" * 256},
    "an id that is too long": {"AgentId": "a" * 65},
    "a huge number": {"AgentVersion": 10**30},
    "too many capabilities": {"Capabilities": ["a"] * 201},
    "a hostile parameter": {"ClientParameters": {"a\n": "b"}},
    "too many parameters": {"ClientParameters": {str(n): "x" for n in range(101)}},
}


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS.keys())
def test_a_member_outside_its_limits_is_refused_readably(
    door: FrontDoor, host: Host, members: dict[str, Any]
) -> None:
    before = everything()
    reply = host.register(**members)
    assert (reply.http, *reply.said) == (200, 3, "A01F0041", False, False)
    assert everything() == before
    assert door.register(**members).http == 401


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_body_that_is_too_large_is_413(door: FrontDoor, host: Host, path: str) -> None:
    reply = door.post(path, b" " * 2_500_000, certificate=host.certificate)
    assert (reply.http, reply.code) == (413, "A01F0042")


def test_a_length_that_is_no_number_is_400(door: FrontDoor, host: Host) -> None:
    door.presented = host.certificate
    response = door.client.generic(
        "POST", "/KeyfactorAgents/Session/Register", b"{}", CONTENT_LENGTH="x"
    )
    assert response.status_code == 400


@pytest.mark.parametrize("wrong", [5, True, None, [], {"a": 1}])
def test_members_of_another_type_count_as_absent(host: Host, wrong: object) -> None:
    reply = host.register(CSR=wrong, Capabilities=wrong, AgentPlatform=wrong, AgentId=wrong)
    assert reply.said == (1, "", True, False)


def test_the_first_of_two_members_wins(door: FrontDoor, host: Host) -> None:
    body = b'{"ClientMachine": "agent01", "ClientMachine": "x\\u0000", "clientmachine": "y"}'
    assert door.post(REGISTER, body, certificate=host.certificate).status == 1


CSRS: dict[str, tuple[str, Code]] = {
    "no base64": ("!!!", Code.CSR_FORMAT),
    "not ASCII": ("\u00e9\u00e9\u00e9\u00e9", Code.CSR_FORMAT),
    "half a surrogate pair": ("\ud800", Code.CSR_FORMAT),
    "no DER": ("bm90IGEgQ1NS", Code.CSR_PARSE),
    "a certificate": (pki.b64(pki.certificate()), Code.CSR_PARSE),
    "bytes after the CSR": (pki.b64(pki.csr() + b"\0"), Code.CSR_PARSE),
    "too large": ("A" * 40_000, Code.CSR_FORMAT),
    "a private key beside it": (
        "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----",
        Code.KEY_IN_BODY,
    ),
    "a small RSA key": (pki.b64(pki.csr(key_name="rsa-1024")), Code.KEY_TYPE),
    "a key that the template does not allow": (
        pki.b64(pki.csr(key_name="ec-p384")),
        Code.KEY_TYPE,
    ),
    "a wrong signature": (pki.b64(pki.raw_csr(signature=b"\0" * 70)), Code.CSR_SIGNATURE),
    "somebody else's name": (pki.b64(pki.csr("CN=somebody-else")), Code.CSR_NAMES),
}


@pytest.mark.parametrize(("text", "code"), CSRS.values(), ids=CSRS.keys())
def test_a_hostile_csr_has_its_code_and_no_ca_is_asked(
    door: FrontDoor, host: Host, text: str, code: Code
) -> None:
    reply = host.register(CSR=text)
    assert (reply.http, *reply.said) == (200, 2, code, True, False)
    assert door.ca.ledger == []
    assert not Enrollment.objects.exists()


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Basic /w==",
        "Basic bm9jb2xvbg==",
        "Basic Og==",
        "Basic YQBiOmM=",
        "Bearer abc",
        "Negotiate x",
        "Basic " + "A" * 5000,
    ],
)
def test_a_hostile_authorization_header_is_nobody_and_harmless_beside_a_certificate(
    door: FrontDoor, host: Host, header: str
) -> None:
    headers = {"authorization": header}
    nobody = door.register(headers=headers)
    assert (nobody.http, nobody.code) == (401, "A01F0040")
    certified = door.register(host.certificate, headers=headers, AgentId=host.agent_id)
    assert certified.status == 1


def test_a_certificate_that_cannot_be_read_is_nobody(door: FrontDoor) -> None:
    assert door.register(b"\x30\x03\x02\x01\x01").http == 401


def test_a_certificate_header_that_cannot_be_read_is_the_proxys_fault(door: FrontDoor) -> None:
    door.problem = Code.CERTIFICATE_HEADER
    reply = door.register()
    assert (reply.http, reply.code) == (400, "A01F0044")


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "head", "options"])
def test_only_post_is_served(door: FrontDoor, method: str) -> None:
    response = getattr(door.client, method)("/KeyfactorAgents/Session/Register")
    assert response.status_code == 405
    assert response["Allow"] == "POST"


def test_an_unknown_endpoint_is_404_in_json(door: FrontDoor, host: Host) -> None:
    reply = door.post("/Session/Nothing", {}, certificate=host.certificate)
    assert (reply.http, reply.code) == (404, "A01F0046")


class TestFaults:
    def test_an_exception_in_the_decision_refuses_and_applies_nothing(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = everything()
        monkeypatch.setattr(registration, "decide", raises)
        for reply in (host.register(), host.send_csr()[0]):
            assert (reply.http, *reply.said) == (200, 3, "A01F0033", False, False)
        assert everything() == before

    def test_an_exception_in_the_midst_of_a_promotion_undoes_it(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host.renew()
        before = everything()
        monkeypatch.setattr("orchestrators.sessions.open_session", raises)
        assert host.register().code == "A01F0033"
        assert everything() == before
        monkeypatch.undo()

    def test_a_database_that_is_down_is_503_with_a_hint(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def down(*_args: object, **_more: object) -> None:
            raise OperationalError("server closed the connection")

        monkeypatch.setattr(registration, "decide", down)
        reply = host.register()
        assert (reply.http, reply.code) == (503, "A01F0045")
        assert int(reply.headers["Retry-After"]) > 0
        assert "server closed" not in json.dumps(reply.body)

    def test_no_reply_is_kept_by_a_cache(self, host: Host) -> None:
        assert host.register().headers["Cache-Control"] == "no-store"


def test_the_same_hostile_csr_over_a_thousand_characters_long_fits_the_reply(
    door: FrontDoor, make_host: Callable[..., Host]
) -> None:
    host = make_host()
    long_name = "CN=" + "x" * 60 + ",OU=" + "y" * 60
    reply = host.register(CSR=csr(new_key(), long_name))
    assert reply.code == "A01F0017"
    assert len(reply.message.encode()) <= 900


KEY = "-----BEGIN {}PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----"
KEPT: dict[str, dict[str, Any]] = {
    "a parameter": {"ClientParameters": {"x": KEY.format("")}},
    "a parameter's name": {"ClientParameters": {KEY.format("").replace("\n", " "): "x"}},
    "a capability": {"Capabilities": [KEY.format("EC ").replace("\n", " ")]},
    "the name": {"ClientMachine": KEY.format("RSA ").replace("\n", " ")},
}


@pytest.mark.parametrize("members", KEPT.values(), ids=KEPT.keys())
def test_a_private_key_anywhere_is_refused_and_not_kept(
    door: FrontDoor, host: Host, members: dict[str, Any]
) -> None:
    before = everything()
    reply = host.register(**members)
    assert (reply.http, reply.code) == (200, "A01F0011")
    assert "PRIVATE KEY" not in str(reply.body)
    assert everything() == before


@pytest.mark.parametrize("token", ["x" * 65, "a\nb", "a\u202eb"], ids=["long", "line", "bidi"])
def test_a_heartbeat_with_what_cannot_be_a_token_is_told_to_register(
    host: Host, token: str
) -> None:
    host.token = token
    reply = host.heartbeat()
    assert (reply.http, reply.status, reply.body["SessionValid"]) == (200, 1, False)


def test_a_refusal_is_noted_under_who_proved_themselves_not_under_the_name_they_gave(
    door: FrontDoor, make_host: Callable[..., Host]
) -> None:
    victim, rogue = make_host("victim"), make_host("rogue")
    assert rogue.register(ClientMachine="victim", AgentId=victim.agent_id).status == 3
    row = AuditEntry.objects.filter(category="refusal").latest("pk")
    assert row.actor_name == "orchestrator rogue"
    assert row.after["named"] == "victim"
