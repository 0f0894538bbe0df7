"""The kinds and canonical forms of names in certificates.

PURE. Owns how a name is written as ``(kind, value)``, when two names are the same, and which text
may stand in which kind of name. Who may have a name is decided in ``names_policy``.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from enum import StrEnum
from typing import TypeAlias

from cryptography import x509


class SanKind(StrEnum):
    """The kinds of GeneralName (RFC 5280 §4.2.1.6). The portal issues the first four (S55)."""

    DNS = "dns"
    IP = "ip"
    URI = "uri"
    EMAIL = "email"
    DIRECTORY = "dirname"
    REGISTERED_ID = "rid"
    OTHER = "other"


San: TypeAlias = tuple[SanKind, str]

ISSUED_KINDS = frozenset({SanKind.DNS, SanKind.IP, SanKind.URI, SanKind.EMAIL})


class NameInvalid(ValueError):
    """The text cannot stand in a name of this kind."""


_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cn", "Zl", "Zp"})
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_URI = re.compile(r"([a-z][a-z0-9+.-]*):([!-~]+)", re.ASCII | re.IGNORECASE)
_MAILBOX = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}", re.ASCII)
_CONTROLS = frozenset(chr(code) for code in (*range(0x20), 0x7F))


def has_control(text: str) -> bool:
    """Return whether a control character (NUL included) stands in the text."""
    return any(character in _CONTROLS for character in text)


def canonical_machine(text: str) -> str:
    """Return the form in which machine names are compared: NFKC, folded, IDNA, no final dot."""
    folded = unicodedata.normalize("NFKC", text).strip().rstrip(".").casefold()
    if len(folded) > 253:
        return folded
    try:
        return folded.encode("idna").decode("ascii")
    except UnicodeError:
        return folded


def canonical_dns(text: str) -> str:
    """Return the dNSName for a text: RFC 1034 §3.5 letters, digits and hyphens, lower-case.

    A machine name such as ``agent_01`` or ``agent 01`` is not one, and never becomes a dNSName.
    """
    name = canonical_machine(text)
    if not name or len(name) > 253:
        raise NameInvalid("a DNS name has 1 to 253 characters")
    if "*" in name:
        raise NameInvalid("a wildcard is not the name of a machine")
    if not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise NameInvalid("a DNS name consists of letters, digits and hyphens (RFC 1034 §3.5)")
    if name.rpartition(".")[2].isdigit():
        raise NameInvalid("an IP address is not a DNS name")
    return name


def canonical_ip(text: str) -> str:
    """Return the shortest text of an IPv4 or IPv6 address; networks and zones are refused."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise NameInvalid("this is not an IP address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise NameInvalid("an IP address in a certificate has no zone")
    return str(address)


def address_of(text: str) -> str:
    """Return a text as the IP address that certificates have, empty if it is none."""
    try:
        return canonical_ip(text.strip().removeprefix("[").removesuffix("]"))
    except NameInvalid:
        return ""


def canonical_uri(text: str) -> str:
    """Return the URI with scheme and host in lower case; an ``urn:uuid:`` wholly so (RFC 8141)."""
    found = _URI.fullmatch(text)
    if not found:
        raise NameInvalid("a URI is absolute and in ASCII (RFC 5280 §4.2.1.6)")
    scheme, rest = found[1].lower(), found[2]
    if scheme == "urn" and rest[:5].lower() == "uuid:":
        return f"{scheme}:{rest.lower()}"
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if not host:
            raise NameInvalid("a URI with // names a host (RFC 5280 §4.2.1.6)")
        return f"{scheme}://{host.lower()}{slash}{path}"
    return f"{scheme}:{rest}"


def canonical_email(text: str) -> str:
    """Return the mail address with its host in canonical form (RFC 5280 §4.2.1.6)."""
    mailbox, at, host = text.rpartition("@")
    if not at or not _MAILBOX.fullmatch(mailbox):
        raise NameInvalid("this is not a mail address in ASCII")
    return f"{mailbox}@{canonical_dns(host)}"


_CANONICAL = {
    SanKind.DNS: canonical_dns,
    SanKind.IP: canonical_ip,
    SanKind.URI: canonical_uri,
    SanKind.EMAIL: canonical_email,
}


def canonical_san(san: San) -> San:
    """Return the canonical form of a name; raise ``NameInvalid`` for a kind never issued."""
    kind, value = san
    canonical = _CANONICAL.get(kind)
    if canonical is None:
        raise NameInvalid(f"a name of kind {kind.value} is never issued")
    return kind, canonical(value)


def distinguished_name(name: x509.Name) -> str:
    """Return a Name as text (RFC 4514), with what nobody sees as hex pairs (`visible`)."""
    return visible(name.rfc4514_string())


def visible(text: str) -> str:
    """Return a text with its format and direction characters as hex pairs of UTF-8 (RFC 4514 §2.4).

    They make one name look like another, and turn round what stands beside it.
    """
    if text.isprintable():
        return text
    return "".join(
        "".join(f"\\{byte:02X}" for byte in ch.encode())
        if unicodedata.category(ch) in _INVISIBLE
        else ch
        for ch in text
    )


def san_of(name: x509.GeneralName) -> San:
    """Return the ``(kind, value)`` of a GeneralName as a certificate holds it."""
    match name:
        case x509.DNSName():
            return SanKind.DNS, name.value
        case x509.IPAddress():
            return SanKind.IP, str(name.value)
        case x509.UniformResourceIdentifier():
            return SanKind.URI, name.value
        case x509.RFC822Name():
            return SanKind.EMAIL, name.value
        case x509.DirectoryName():
            return SanKind.DIRECTORY, distinguished_name(name.value)
        case x509.RegisteredID():
            return SanKind.REGISTERED_ID, name.value.dotted_string
    # cryptography refuses the remaining kinds (x400Address, ediPartyName) by itself.
    assert isinstance(name, x509.OtherName)
    return SanKind.OTHER, f"{name.type_id.dotted_string}:{name.value.hex()}"


def general_name(san: San) -> x509.GeneralName:
    """Return the GeneralName to be put in a certificate; raise ``NameInvalid`` if it may not."""
    kind, value = canonical_san(san)
    match kind:
        case SanKind.DNS:
            return x509.DNSName(value)
        case SanKind.IP:
            return x509.IPAddress(ipaddress.ip_address(value))
        case SanKind.URI:
            return x509.UniformResourceIdentifier(value)
        case _:
            return x509.RFC822Name(value)


def same_subject(one: x509.Name, other: x509.Name) -> bool:
    """Compare two subjects by attributes and values, whatever ASN.1 string type holds them."""
    return _plain(one) == _plain(other)


def _plain(name: x509.Name) -> list[frozenset[tuple[str, str | bytes]]]:
    return [frozenset((a.oid.dotted_string, a.value) for a in rdn) for rdn in name.rdns]
