"""Names at the CSR door as orchestrators meet them: stamped names, no subject, the portal's names
(S55, C8 in docs/promises.md).
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import SubjectAlternativeName
from django.test import Client
from pytest_django import Settings

from orchestrators.agent.home import Home
from orchestrators.agent.updater import load_updater
from orchestrators.records import rename
from portal.access.models import User
from renewal.models import Certificate, Template
from renewal.templates import Contents
from renewal.x509.certificates import serial_text
from tests.agent.conftest import bare_home
from tests.agent.extension_samples import SETTINGS, install, sample
from tests.agent_api.front_door import FrontDoor, Host, csr, new_key
from tests.portal.rest.conftest import Caller, admin

__all__ = ["admin", "bare_home"]

pytestmark = pytest.mark.both_databases
FULL = (1, "", True, True)
STAMPED = "m2_20260101010101"


def subject(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


@pytest.fixture
def approved(door: FrontDoor, make_credential: Callable[..., Any]) -> tuple[str, str]:
    """The bootstrap credential of an orchestrator that was approved as m2."""
    basic: tuple[str, str] = make_credential()[1]
    door.register(basic=basic, ClientMachine="m2")
    door.approve(door.record("m2"))
    return basic


def test_a_stamp_in_the_name_takes_nothing_from_the_name_that_was_approved(
    door: FrontDoor, approved: tuple[str, str]
) -> None:
    sent = csr(new_key(), "CN=m2")
    reply = door.register(basic=approved, ClientMachine=STAMPED, CSR=sent)
    assert reply.said == FULL
    assert subject(reply.certificate) == "CN=m2"


def test_a_stamped_name_is_not_the_name_of_another_one(
    door: FrontDoor, approved: tuple[str, str], make_host: Callable[..., Host]
) -> None:
    door.register(basic=approved, ClientMachine=STAMPED, CSR=csr(new_key(), f"CN={STAMPED}"))
    other = make_host("other").record
    rename(other, "m2")
    other.save()
    again = csr(new_key(), "CN=m2")
    reply = door.register(basic=approved, ClientMachine=STAMPED, CSR=again)
    assert reply.said == (3, "A01F0017", False, False)


@pytest.mark.parametrize("sent", ["CN=somebody else", ""], ids=["another subject", "no subject"])
def test_where_the_portal_gives_the_names_the_csr_gives_its_key_alone(
    door: FrontDoor, host: Host, sent: str
) -> None:
    Template.objects.update(names_policy="portal")
    door.set_flag(host.record, 1)
    reply = host.register(CSR=csr(new_key(), sent))
    assert reply.said == FULL
    assert subject(reply.certificate) == "CN=agent01"


def test_a_csr_without_a_subject_gets_the_records(door: FrontDoor, host: Host) -> None:
    door.set_flag(host.record, 1)
    reply = host.register(CSR=csr(new_key(), ""))
    assert reply.said == FULL
    assert subject(reply.certificate) == "CN=agent01"


SANS = (
    x509.DNSName("www.agent01.example.com"),
    x509.IPAddress(ip_address("192.0.2.7")),
    x509.IPAddress(ip_address("2001:db8::1")),
    x509.UniformResourceIdentifier("https://agent01.example.com/orchestrator"),
    x509.RFC822Name("agent01@example.com"),
)
FOUND_BY = (
    "www.agent01",
    "WWW.Agent01.example.com.",
    "192.0.2.7",
    "2001:db8::1",
    "2001:DB8:0::1",
    "[2001:0db8:0:0:0:0:0:1]",
    "https://agent01.example.com/orchestrator",
    "agent01@EXAMPLE.com",
)


def test_every_kind_of_san_goes_from_the_csr_to_the_certificate_and_finds_it(
    door: FrontDoor, host: Host, admin: Caller, settings: Settings
) -> None:
    Template.objects.update(names_policy="open")
    door.set_flag(host.record, 1)
    asked = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName(SANS), critical=True)
        .sign(new_key(), hashes.SHA256())
    )
    reply = host.register(CSR=base64.b64encode(asked.public_bytes(Encoding.DER)).decode())
    assert reply.said == FULL
    made = x509.load_der_x509_certificate(reply.certificate)
    assert tuple(made.extensions.get_extension_for_class(SubjectAlternativeName).value) == SANS

    settings.CONFIG = replace(settings.CONFIG, edge="all")
    row = Certificate.objects.get(serial_number=serial_text(made.serial_number))
    operator = Client()
    operator.force_login(User.objects.get(username="ada"))
    for text in FOUND_BY:
        page = operator.get("/certificates", {"q": text})
        assert [each.certificate.pk for each in page.context["rows"]] == [row.pk], text
        query = f'SubjectAltName -contains "{text.strip("[].").lower()}"'
        (found,) = admin.get("Certificates", query={"QueryString": query}).json()
        assert found["Id"] == row.pk, text


def test_the_documented_sample_enrolls_once_its_placeholder_is_an_own_name(
    door: FrontDoor, host: Host, bare_home: Home
) -> None:
    """The names of the sample in docs/orchestrator.md, at the portal as it is shipped."""

    def asked() -> str:
        info = load_updater(bare_home, SETTINGS).csr_info(True)
        assert info is not None
        return base64.b64encode(info.csr.public_bytes(Encoding.DER)).decode()

    install(bare_home, sample("python"))
    Template.objects.update(name_patterns=list(Contents().name_patterns))
    door.set_flag(host.record, 1)
    reply = host.register(CSR=asked())
    assert reply.said == (2, "A01F0017", True, False)
    assert "orchestrator_name.keyexample.com" in reply.message

    manifest = next(bare_home.root.rglob("manifest.json"))
    own = f"{host.name}.keyexample.com"
    manifest.write_text(manifest.read_text().replace("orchestrator_name.keyexample.com", own))
    assert host.register(CSR=asked()).code == "A01F0017"
    door.setting("OrchestratorDomainSuffixes", "keyexample.com")
    reply = host.register(CSR=asked())
    assert reply.said == FULL
    made = x509.load_der_x509_certificate(reply.certificate)
    assert made.subject.rfc4514_string() == "CN=Client Certificate Authentication"
    names = made.extensions.get_extension_for_class(SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [own]
