"""Which names a CSR is granted (S55, S56; T1 and T3 of the threat model)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import cast

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from orchestrators.protocol.codes import Code
from renewal.x509.csr_door import CSRRefused, open_csr
from renewal.x509.names import SanKind
from renewal.x509.names_policy import (
    GrantedNames,
    NamesMode,
    NamesPolicy,
    OwnNames,
    check_names,
    own_names_of,
)
from renewal.x509.patterns import PatternInvalid, check_pattern
from tests import pki
from tests.pki import ANY_EKU, CLIENT_AUTH, SERVER_AUTH, b64, csr

AGENT_ID = "1B4E28BA-2FA1-11D2-883F-0016D3CCA427"
OWN = OwnNames(
    machines=("Agent01", "agent01.corp.example.com", "büro-7.example.com", "agent_02"),
    agent_id=AGENT_ID,
    ips=("10.0.0.1", "2001:db8::1"),
    uris=("spiffe://example.com/agent/1",),
    emails=("ops@example.com",),
    subjects=("CN=agent01,O=Old Example",),
)
POLICY = NamesPolicy(
    own=OWN,
    domain_suffixes=("agents.example.com",),
    patterns=(
        "subject:CN=Client Certificate Authentication",
        "subject:CN={name},O=Example",
        "dns:*.pool.example.com",
        "ip:10.20.0.0/16",
        "uri:spiffe://example.com/pool/*",
    ),
)
PORTAL = NamesPolicy(mode=NamesMode.PORTAL, own=OWN)
OPEN = NamesPolicy(mode=NamesMode.OPEN)


def dns(value: str) -> x509.GeneralName:
    return x509.DNSName(value)


def uri(value: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(value)


def grant(
    subject: str | x509.Name = "CN=agent01",
    sans: Iterable[x509.GeneralName] = (),
    policy: NamesPolicy = POLICY,
    extensions: Iterable[x509.ExtensionType] = (),
) -> GrantedNames:
    return check_names(open_csr(b64(csr(subject, sans=sans, extensions=extensions))), policy)


def common_name(value: str) -> x509.Name:
    attribute = x509.NameAttribute(NameOID.COMMON_NAME, value, _validate=False)
    return x509.Name([attribute])


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param("CN=agent01", id="its ClientMachine"),
        pytest.param("CN=AGENT01", id="its ClientMachine in capitals"),
        pytest.param("CN=agent01.corp.example.com.", id="its name with a final dot"),
        pytest.param("CN=agent01.agents.example.com", id="its name with a configured suffix"),
        pytest.param("CN=xn--bro-7-kva.example.com", id="the A-label of its Unicode name"),
        pytest.param("CN=BÜRO-7.example.com", id="its Unicode name in capitals"),
        pytest.param("CN=agent_02", id="a name that is no DNS name"),
        pytest.param(f"CN={AGENT_ID}", id="its AgentId"),
        pytest.param(f"CN=urn:uuid:{AGENT_ID.lower()}", id="its AgentId as a URN"),
        pytest.param("CN=10.0.0.1", id="its address"),
        pytest.param("CN=agent01,O=Old Example", id="the whole subject it has now"),
        pytest.param("CN=Client Certificate Authentication", id="the sample subject, by pattern"),
        pytest.param("CN=agent01,O=Example", id="its name in a subject pattern"),
    ],
)
def test_a_subject_is_granted_that_is(subject: str) -> None:
    assert grant(subject).subject == pki.name(subject)


@pytest.mark.parametrize(
    ("san", "granted"),
    [
        pytest.param(dns("Agent01"), "agent01", id="its name, folded"),
        pytest.param(dns("agent01.agents.example.com"), None, id="its name with a suffix"),
        pytest.param(dns("xn--bro-7-kva.example.com"), None, id="the A-label of its name"),
        pytest.param(dns("x9.pool.example.com"), None, id="a DNS name of a pattern"),
        pytest.param(x509.IPAddress(ip_address("10.0.0.1")), "10.0.0.1", id="its IPv4 address"),
        pytest.param(x509.IPAddress(ip_address("2001:db8::1")), "2001:db8::1", id="its IPv6"),
        pytest.param(x509.IPAddress(ip_address("10.20.9.9")), "10.20.9.9", id="a network's IP"),
        pytest.param(uri("spiffe://example.com/agent/1"), None, id="its URI"),
        pytest.param(uri("SPIFFE://EXAMPLE.com/pool/7"), "spiffe://example.com/pool/7", id="pool"),
        pytest.param(uri(f"urn:uuid:{AGENT_ID}"), f"urn:uuid:{AGENT_ID.lower()}", id="AgentId"),
        pytest.param(x509.RFC822Name("ops@example.com"), "ops@example.com", id="its mail address"),
    ],
)
def test_a_san_is_granted_that_is(san: x509.GeneralName, granted: str | None) -> None:
    [(_, value)] = grant(sans=[san]).sans
    assert value == (granted or san.value)


@pytest.mark.parametrize(
    ("subject", "sans"),
    [
        pytest.param("CN=agent02", [], id="another machine's CN"),
        pytest.param("CN=agent01.evil.example", [], id="its name in a foreign domain"),
        pytest.param("CN=agent01,O=Evil", [], id="its name with another organisation"),
        pytest.param("O=Example,CN=agent01", [], id="a pattern's attributes in another order"),
        pytest.param("CN=agent01,CN=admin", [], id="two CNs"),
        pytest.param("CN=agent01+OU=admin", [], id="an RDN of two attributes"),
        pytest.param("CN=agent01\\,O=Example", [], id="a comma inside the CN"),
        pytest.param("OU=agent01", [], id="its name as an OU"),
        pytest.param("CN=*", [], id="a wildcard CN"),
        pytest.param("CN={name}", [], id="the placeholder itself"),
        pytest.param("CN=Client Certificate Authentication,O=Evil", [], id="sample and more"),
        pytest.param(common_name("agent01\n"), [], id="a line break in the CN"),
        pytest.param(common_name("agent01\0.evil.example"), [], id="a NUL in the CN"),
        pytest.param(common_name("a" * 65), [], id="a CN of 65 characters"),
        pytest.param(common_name(" "), [], id="a blank CN"),
        pytest.param("CN=agent01", [dns("agent02")], id="another machine's DNS name"),
        pytest.param("CN=agent01", [dns("agent01"), dns("agent02")], id="one own, one foreign"),
        pytest.param("CN=agent01", [dns("*.pool.example.com")], id="a wildcard"),
        pytest.param("CN=agent01", [dns("*")], id="a star"),
        pytest.param("CN=agent01", [dns("a.b.pool.example.com")], id="two labels for one *"),
        pytest.param("CN=agent01", [dns(".pool.example.com")], id="an empty label for *"),
        pytest.param("CN=agent01", [dns("agent_02")], id="an own name that is no DNS name"),
        pytest.param("CN=agent01", [dns("agent 01")], id="a space in a DNS name"),
        pytest.param("CN=agent01", [dns("10.0.0.1")], id="an address as DNS name"),
        pytest.param("CN=agent01", [dns("")], id="an empty DNS name"),
        pytest.param("CN=agent01", [dns("a" * 64 + ".pool.example.com")], id="a label of 64"),
        pytest.param("CN=agent01", [x509.IPAddress(ip_address("10.0.0.2"))], id="another IP"),
        pytest.param("CN=agent01", [x509.IPAddress(ip_network("10.0.0.0/8"))], id="a network"),
        pytest.param("CN=agent01", [uri("spiffe://example.com/agent/2")], id="another URI"),
        pytest.param("CN=agent01", [uri("spiffe://example.com/pool/a/b")], id="two segments"),
        pytest.param("CN=agent01", [uri("agent01")], id="a relative URI"),
        pytest.param("CN=agent01", [uri("urn:uuid:" + "0" * 36)], id="another AgentId"),
        pytest.param("CN=agent01", [x509.RFC822Name("ceo@example.com")], id="another mailbox"),
        pytest.param(
            "CN=agent01",
            [x509.OtherName(ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x05admin")],
            id="a UPN",
        ),
        pytest.param(
            "CN=agent01", [x509.DirectoryName(pki.name("CN=admin"))], id="a directory name"
        ),
        pytest.param(
            "CN=agent01", [x509.RegisteredID(ObjectIdentifier("1.2.3"))], id="a registered id"
        ),
        pytest.param("CN=agent01", [dns(f"x{n}.pool.example.com") for n in range(101)], id="101"),
    ],
)
def test_match_refuses(subject: str | x509.Name, sans: list[x509.GeneralName]) -> None:
    with pytest.raises(CSRRefused) as refusal:
        grant(subject, sans)
    assert refusal.value.code is Code.CSR_NAMES
    assert "\n" not in refusal.value.detail
    assert len(refusal.value.detail) < 500


def unrecognized(oid: str) -> x509.ExtensionType:
    return x509.UnrecognizedExtension(ObjectIdentifier(oid), b"\x0c\x01x")


KEY_USAGE = x509.KeyUsage(True, False, False, False, False, True, False, False, False)


@pytest.mark.parametrize("policy", [POLICY, PORTAL, OPEN], ids=["match", "portal", "open"])
@pytest.mark.parametrize(
    ("extension", "title"),
    [
        (x509.ExtendedKeyUsage([CLIENT_AUTH]), "extended key usage"),
        (x509.ExtendedKeyUsage([SERVER_AUTH]), "extended key usage"),
        (x509.ExtendedKeyUsage([ANY_EKU]), "extended key usage"),
        (KEY_USAGE, "key usage"),
        (x509.BasicConstraints(ca=True, path_length=None), "basic constraints"),
        (x509.BasicConstraints(ca=False, path_length=None), "basic constraints"),
        (
            x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier("1.2.3"), None)]),
            "certificate policies",
        ),
        (x509.MSCertificateTemplate(ObjectIdentifier("1.2.3"), 1, 1), "certificate template"),
        (unrecognized("1.3.6.1.4.1.311.20.2"), "certificate template name"),
        (unrecognized("1.3.6.1.4.1.311.21.10"), "application policies"),
        (unrecognized("1.3.6.1.4.1.311.25.2"), "security identifier (SID)"),
        (x509.NameConstraints([dns("a")], None), "name constraints"),
        (x509.OCSPNoCheck(), "1.3.6.1.5.5.7.48.1.5"),
        (unrecognized("1.2.3.4"), "1.2.3.4"),
    ],
)
def test_an_extension_is_refused_by_name_in_every_mode(
    policy: NamesPolicy, extension: x509.ExtensionType, title: str
) -> None:
    with pytest.raises(CSRRefused) as refusal:
        grant("CN=agent01", policy=policy, extensions=[extension])
    assert refusal.value.code is Code.CSR_NAMES
    assert refusal.value.detail.endswith(title)


def test_a_challenge_password_is_refused_by_name() -> None:
    parsed = open_csr(b64(csr(challenge_password=b"secret")))
    with pytest.raises(CSRRefused, match="challengePassword"):
        check_names(parsed, POLICY)


def test_what_windows_and_keytool_add_by_themselves_is_ignored() -> None:
    public_key = pki.key("ec-p256-leaf").public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    assert grant("CN=agent01", extensions=[identifier]).sans == ()
    version = pki.attribute("1.3.6.1.4.1.311.13.2.3", pki.tlv(0x16, b"10.0.20348.2"))
    parsed = open_csr(b64(pki.raw_csr(attributes=version)))
    assert check_names(parsed, POLICY).subject == pki.name("CN=agent01")


def test_a_csr_without_subject_gets_the_records_and_keeps_its_sans() -> None:
    granted = grant("", [dns("agent01")])
    assert granted.subject == pki.name("CN=Agent01")
    assert granted.sans == ((SanKind.DNS, "agent01"),)


def test_a_san_asked_for_twice_is_granted_once() -> None:
    assert grant(sans=[dns("agent01"), dns("AGENT01")]).sans == ((SanKind.DNS, "agent01"),)


def test_a_subject_is_granted_in_the_string_type_of_rfc_5280() -> None:
    teletex = open_csr(b64(pki.raw_csr(subject=pki.common_name_der(b"agent01", tag=0x14))))
    assert check_names(teletex, POLICY).subject_der == pki.name("CN=agent01").public_bytes()


def test_portal_takes_nothing_but_the_key() -> None:
    evil = grant("CN=admin,O=Evil", [dns("*.evil.example")], PORTAL)
    assert evil.subject == pki.name("CN=Agent01")
    assert evil.sans == (
        (SanKind.DNS, "agent01"),
        (SanKind.DNS, "agent01.corp.example.com"),
        (SanKind.DNS, "xn--bro-7-kva.example.com"),
    )


def test_portal_puts_a_name_that_fits_no_cn_in_the_san_alone() -> None:
    long_name = "a" * 60 + ".example.com"
    own = OwnNames(machines=(long_name,), agent_id=AGENT_ID)
    granted = grant(policy=NamesPolicy(mode=NamesMode.PORTAL, own=own))
    assert granted.subject == pki.name(f"CN={AGENT_ID}")
    assert (SanKind.DNS, long_name) in granted.sans


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(NamesPolicy(mode=NamesMode.PORTAL), id="the record has no name"),
        pytest.param(
            NamesPolicy(mode=NamesMode.PORTAL, own=OwnNames(machines=("a\nb",))),
            id="its name has a line break",
        ),
        pytest.param(NamesPolicy(patterns=("subject:nonsense",)), id="a pattern is broken"),
    ],
)
def test_a_record_that_cannot_be_certified_is_a_refusal(policy: NamesPolicy) -> None:
    with pytest.raises(CSRRefused) as refusal:
        grant("CN=x", policy=policy)
    assert refusal.value.code is Code.CSR_NAMES


def test_open_grants_any_name_of_the_four_kinds_and_no_other() -> None:
    granted = grant("CN=any,O=thing", [dns("any.example"), uri("urn:x:y")], OPEN)
    assert granted.subject == pki.name("CN=any,O=thing")
    assert granted.sans == ((SanKind.DNS, "any.example"), (SanKind.URI, "urn:x:y"))
    with pytest.raises(CSRRefused, match="dirname"):
        grant("CN=any", [x509.DirectoryName(pki.name("CN=a"))], OPEN)
    with pytest.raises(CSRRefused, match="wildcard"):
        grant("CN=any", [dns("*.example.com")], OPEN)


def test_a_mode_that_nobody_knows_grants_nothing() -> None:
    with pytest.raises(CSRRefused, match="not known"):
        grant(policy=NamesPolicy(mode=cast(NamesMode, "supply in request"), own=OWN))


def test_an_own_name_that_is_blank_or_a_wildcard_grants_nothing() -> None:
    own = OwnNames(machines=("", "*", "*.example.com"))
    for subject in ("CN=*", "CN=*.example.com"):
        with pytest.raises(CSRRefused):
            grant(subject, policy=NamesPolicy(own=own))


def test_without_own_names_and_patterns_nothing_matches() -> None:
    with pytest.raises(CSRRefused):
        grant("CN=agent01", policy=NamesPolicy())


def test_own_names_are_sorted_by_what_they_look_like() -> None:
    presented = pki.facts(
        subject="CN=old,O=Example",
        sans=[
            dns("old.example.com"),
            x509.RFC822Name("a@b.example"),
            x509.DirectoryName(pki.name("CN=a")),
        ],
    )
    own = own_names_of(
        ["Agent 01", "", "10.0.0.1", "2001:DB8::1", "https://a/b", "URN:x:y", "x@y.example"],
        AGENT_ID,
        presented,
    )
    assert own == OwnNames(
        machines=("Agent 01", "old.example.com"),
        agent_id=AGENT_ID,
        ips=("10.0.0.1", "2001:DB8::1"),
        uris=("https://a/b", "URN:x:y"),
        emails=("x@y.example", "a@b.example"),
        subjects=("CN=old,O=Example",),
    )


def test_own_names_without_a_certificate_are_the_records() -> None:
    assert own_names_of(["agent01"]) == OwnNames(machines=("agent01",))


def test_the_subject_of_the_certificate_presented_is_no_machine_name() -> None:
    """A shared sample subject must not become a DNS name of whoever presents it."""
    own = own_names_of([], "", pki.facts(subject="CN=shared.example.com"))
    with pytest.raises(CSRRefused):
        grant("CN=shared.example.com", [dns("shared.example.com")], NamesPolicy(own=own))
    assert grant("CN=shared.example.com", policy=NamesPolicy(own=own))


@pytest.mark.parametrize(
    "text",
    [
        "subject:CN=Client Certificate Authentication",
        "subject:CN={name},O=Example",
        "dns:*.agents.example.com",
        "dns:agent-*.example.com",
        "dns:{name}.internal",
        "ip:10.20.0.0/16",
        "ip:2001:db8::/32",
        "uri:spiffe://example.com/agent/*",
        "email:*@example.com",
    ],
)
def test_a_pattern_may_be(text: str) -> None:
    check_pattern(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dns",
        "dns:",
        "*.example.com",
        "cn:agent01",
        "DNS:a",
        "dns:a*b*.example.com",
        "dns:{name}.{name}",
        "subject:CN={name}{name}",
        "dns:under_score.example.com",
        "dns:*.example.com\n",
        "ip:10.0.0.1/8",
        "ip:*",
        "subject:nonsense",
        "subject:",
        "dns:" + "a" * 600,
    ],
)
def test_a_pattern_may_not_be(text: str) -> None:
    with pytest.raises(PatternInvalid):
        check_pattern(text)


@pytest.mark.parametrize(
    ("pattern", "value", "covers"),
    [
        ("dns:agent-*.example.com", "agent-7.example.com", True),
        ("dns:agent-*.example.com", "agent-.example.com", False),
        ("dns:agent-*.example.com", "agent-7.b.example.com", False),
        ("dns:*.example.com", "example.com", False),
        ("dns:*.example.com", "a.example.com.evil.example", False),
        ("dns:{name}.internal", "agent01.internal", True),
        ("dns:{name}.internal", "agent01.corp.example.com.internal", True),
        ("dns:{name}.internal", "agent99.internal", False),
        ("email:*@example.com", "ops@example.com", True),
    ],
)
def test_a_pattern_covers_the_whole_name_label_by_label(
    pattern: str, value: str, covers: bool
) -> None:
    san = x509.RFC822Name(value) if "@" in value else dns(value)
    policy = NamesPolicy(own=OwnNames(machines=OWN.machines), patterns=(pattern,))
    if covers:
        assert grant(sans=[san], policy=policy).sans[0][1] == value
    else:
        with pytest.raises(CSRRefused):
            grant(sans=[san], policy=policy)
