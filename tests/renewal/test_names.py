"""The canonical forms of names, and what is not a name of its kind."""

from __future__ import annotations

import pytest

from renewal.x509.names import (
    NameInvalid,
    San,
    SanKind,
    canonical_machine,
    canonical_san,
    general_name,
    san_of,
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Agent01", "agent01"),
        (" agent01. ", "agent01"),
        ("BÜRO-7.example.com", "xn--bro-7-kva.example.com"),
        ("ａｇｅｎｔ01", "agent01"),
        ("agent 01", "agent 01"),
        ("a..b", "a..b"),
        ("a" * 64, "a" * 64),
        ("Ü" * 300, "ü" * 300),
        ("", ""),
    ],
)
def test_machine_names_are_compared_as(text: str, canonical: str) -> None:
    assert canonical_machine(text) == canonical


@pytest.mark.parametrize(
    ("san", "value"),
    [
        ((SanKind.DNS, "A.Example.COM."), "a.example.com"),
        ((SanKind.IP, "2001:0DB8:0:0::1"), "2001:db8::1"),
        ((SanKind.URI, "HTTPS://Example.COM/Path?Q"), "https://example.com/Path?Q"),
        ((SanKind.URI, "URN:UUID:ABC"), "urn:uuid:abc"),
        ((SanKind.URI, "urn:Example:ABC"), "urn:Example:ABC"),
        ((SanKind.EMAIL, "Ops.Team@Example.COM"), "Ops.Team@example.com"),
    ],
)
def test_a_san_is_written_as(san: San, value: str) -> None:
    assert canonical_san(san) == (san[0], value)
    assert san_of(general_name(san)) == (san[0], value)
    assert canonical_san((san[0], value)) == (san[0], value), "canonical forms stay as they are"


@pytest.mark.parametrize(
    "san",
    [
        (SanKind.DNS, ""),
        (SanKind.DNS, "a" * 64),
        (SanKind.DNS, "a." * 127 + "b"),
        (SanKind.DNS, "-a.example"),
        (SanKind.DNS, "a-.example"),
        (SanKind.DNS, "a..example"),
        (SanKind.DNS, "a_b"),
        (SanKind.DNS, "*.example"),
        (SanKind.DNS, "1.2.3.4"),
        (SanKind.IP, "1.2.3"),
        (SanKind.IP, "10.0.0.0/8"),
        (SanKind.IP, "fe80::1%eth0"),
        (SanKind.URI, "example.com/a"),
        (SanKind.URI, "https://"),
        (SanKind.URI, "https:///path"),
        (SanKind.URI, "urn:a b"),
        (SanKind.URI, "urn:ä"),
        (SanKind.EMAIL, "ops"),
        (SanKind.EMAIL, "@example.com"),
        (SanKind.EMAIL, "a b@example.com"),
        (SanKind.EMAIL, "ops@*.example.com"),
        (SanKind.DIRECTORY, "CN=a"),
        (SanKind.OTHER, "1.2.3:00"),
    ],
)
def test_a_san_is_never(san: San) -> None:
    with pytest.raises(NameInvalid):
        general_name(san)
