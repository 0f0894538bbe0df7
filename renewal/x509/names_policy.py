"""Which names a CSR is granted.

PURE. Owns the three modes of a template's names policy and what counts as an orchestrator's own
name. The pattern language is in ``patterns``; the record behind the own names is the caller's.
Names in a certificate come from the portal's record: a CSR only chooses among them, and no
extension of a CSR but its SAN is ever looked at (S55, S56 in docs/promises.md).

- ``match``: the subject is a single CN that is an own name, or wholly an own subject, or covered
  by a pattern; every SAN is an own name or covered by a pattern. A CSR without a subject gets the
  record's.
- ``portal``: subject and SANs are the record's; of the CSR only the key counts.
- ``open``: any subject, and SANs of the four kinds that are issued; a CSR without any name gets
  the record's subject. For closed test CAs.

Requests for key usages, CA certificates, templates and the like are refused in every mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography import x509
from cryptography.x509.oid import NameOID

from orchestrators.protocol.codes import Code
from renewal.x509.certificates import CertificateFacts
from renewal.x509.csr_door import CSRRefused, ParsedCSR
from renewal.x509.names import (
    NameInvalid,
    San,
    SanKind,
    canonical_machine,
    canonical_san,
    distinguished_name,
    has_control,
)
from renewal.x509.patterns import PatternInvalid, matches_san, matches_subject

MAX_SANS = 100

_IGNORED_EXTENSIONS = frozenset({"2.5.29.17", "2.5.29.14"})
"""subjectAltName is judged as names; subjectKeyIdentifier (keytool) says what the key says."""

_IGNORED_ATTRIBUTES = frozenset(
    {
        "1.2.840.113549.1.9.14",  # extensionRequest: its extensions are judged one by one
        "1.3.6.1.4.1.311.2.1.14",  # Microsoft's older name for it
        "1.3.6.1.4.1.311.13.2.2",  # enrollmentCSP: how Windows made the key
        "1.3.6.1.4.1.311.13.2.3",  # OS version
        "1.3.6.1.4.1.311.21.20",  # client information
    }
)
_TITLES = {
    "2.5.29.15": "key usage",
    "2.5.29.19": "basic constraints",
    "2.5.29.30": "name constraints",
    "2.5.29.31": "CRL distribution points",
    "2.5.29.32": "certificate policies",
    "2.5.29.36": "policy constraints",
    "2.5.29.37": "extended key usage",
    "1.3.6.1.4.1.311.20.2": "certificate template name",
    "1.3.6.1.4.1.311.21.7": "certificate template",
    "1.3.6.1.4.1.311.21.10": "application policies",
    "1.3.6.1.4.1.311.25.2": "security identifier (SID)",
    "1.3.6.1.5.5.7.1.24": "TLS feature",
    "1.2.840.113549.1.9.2": "unstructuredName",
    "1.2.840.113549.1.9.7": "challengePassword",
}


class NamesMode(StrEnum):
    MATCH = "match"
    PORTAL = "portal"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class OwnNames:
    """The names that an orchestrator may have; ``machines`` starts with its ClientMachine."""

    machines: tuple[str, ...] = ()
    agent_id: str = ""
    ips: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()


def own_names_of(
    names: Iterable[str], agent_id: str = "", presented: CertificateFacts | None = None
) -> OwnNames:
    """Sort names by what they look like; add those of the certificate presented now.

    ``names`` are ClientMachine as approved and what operators added: an address, a URI (it has
    ``://`` or starts with ``urn:``), a mail address, or else the name of a machine.
    """
    sorted_names: dict[SanKind, list[str]] = {kind: [] for kind in _OWN_KINDS}
    for name in names:
        if name.strip():
            sorted_names[_kind_of(name.strip())].append(name.strip())
    subjects: tuple[str, ...] = ()
    if presented is not None:
        subjects = (presented.subject,) if presented.subject else ()
        for kind, value in presented.sans:
            if kind in sorted_names:
                sorted_names[kind].append(value)
    return OwnNames(
        machines=tuple(sorted_names[SanKind.DNS]),
        agent_id=agent_id,
        ips=tuple(sorted_names[SanKind.IP]),
        uris=tuple(sorted_names[SanKind.URI]),
        emails=tuple(sorted_names[SanKind.EMAIL]),
        subjects=subjects,
    )


_OWN_KINDS = (SanKind.DNS, SanKind.IP, SanKind.URI, SanKind.EMAIL)


def _kind_of(name: str) -> SanKind:
    if "://" in name or name.lower().startswith("urn:"):
        return SanKind.URI
    for kind in (SanKind.IP, SanKind.EMAIL):
        try:
            canonical_san((kind, name))
        except NameInvalid:
            continue
        return kind
    return SanKind.DNS


@dataclass(frozen=True, slots=True)
class NamesPolicy:
    """A template's names policy together with the names of the record it is applied to.

    ``portal`` certifies ``CN=<ClientMachine>`` and those of the machine's names that are DNS names.
    """

    mode: NamesMode = NamesMode.MATCH
    own: OwnNames = field(default_factory=OwnNames)
    patterns: tuple[str, ...] = ()
    domain_suffixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GrantedNames:
    subject: x509.Name
    sans: tuple[San, ...]

    @property
    def subject_der(self) -> bytes:
        return self.subject.public_bytes()


@dataclass(frozen=True, slots=True)
class NameBeyond:
    """A name that is not granted, with its kind as a pattern has it; as text it may be shown."""

    kind: str
    value: str

    def __str__(self) -> str:
        what = self.kind if self.kind == "subject" else f"{self.kind} name"
        return f"{what} {_shown(self.value)}"


def check_names(parsed: ParsedCSR, policy: NamesPolicy) -> GrantedNames:
    """Return the names to be certified, or raise ``CSRRefused`` with CSR_NAMES and which one."""
    _check_requests(parsed)
    try:
        match policy.mode:
            case NamesMode.PORTAL:
                return _record_names(policy)
            case NamesMode.MATCH:
                return _matched_names(parsed, policy)
            case NamesMode.OPEN:
                return _open_names(parsed, policy)
    except (NameInvalid, PatternInvalid) as error:
        raise _refused(str(error)) from error
    # A mode that came from a row and not from this enum grants nothing.
    raise _refused("the template's names policy is not known")


def _refused(detail: str) -> CSRRefused:
    return CSRRefused(Code.CSR_NAMES, detail)


def _shown(text: str) -> str:
    """Quote a name from a CSR so that it can neither forge a log line nor fill a reply."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def _check_requests(parsed: ParsedCSR) -> None:
    for oid in parsed.attribute_oids:
        if oid not in _IGNORED_ATTRIBUTES:
            raise _refused(f"the CSR has the attribute {_TITLES.get(oid, oid)}")
    for oid in parsed.extension_oids:
        if oid not in _IGNORED_EXTENSIONS:
            raise _refused(f"the CSR asks for the extension {_TITLES.get(oid, oid)}")


def _matched_names(parsed: ParsedCSR, policy: NamesPolicy) -> GrantedNames:
    for beyond in _beyond(parsed, policy):
        raise _refused(f"the {beyond} is not an own name")
    sans = _canonical_sans(parsed)
    if not parsed.subject.rdns:
        return GrantedNames(_record_subject(policy), sans)
    return GrantedNames(_rebuilt(parsed.subject), sans)


def names_beyond(parsed: ParsedCSR, policy: NamesPolicy) -> tuple[NameBeyond, ...]:
    """Return the names of a CSR that ``match`` does not grant. Raises CSRRefused for bad names."""
    try:
        return tuple(_beyond(parsed, policy))
    except (NameInvalid, PatternInvalid) as error:
        raise _refused(str(error)) from error


def _beyond(parsed: ParsedCSR, policy: NamesPolicy) -> Iterator[NameBeyond]:
    machines = _machine_names(policy)
    own_sans = _own_sans(policy, machines)
    for san in _canonical_sans(parsed):
        if san not in own_sans and not matches_san(policy.patterns, san, machines):
            yield NameBeyond(san[0].value, san[1])
    if parsed.subject.rdns:
        subject = _rebuilt(parsed.subject)
        if not _is_own_subject(subject, policy, machines, own_sans):
            yield NameBeyond("subject", distinguished_name(subject))


def _open_names(parsed: ParsedCSR, policy: NamesPolicy) -> GrantedNames:
    sans = _canonical_sans(parsed)
    if not parsed.subject.rdns and not sans:
        return GrantedNames(_record_subject(policy), sans)
    return GrantedNames(_rebuilt(parsed.subject), sans)


def _is_own_subject(
    subject: x509.Name, policy: NamesPolicy, machines: tuple[str, ...], own_sans: frozenset[San]
) -> bool:
    if matches_subject(policy.patterns, subject, machines):
        return True
    text = subject.rfc4514_string().casefold()
    if any(text == own.casefold() for own in policy.own.subjects):
        return True
    attributes = list(subject)
    if len(attributes) != 1 or attributes[0].oid != NameOID.COMMON_NAME:
        return False
    common_name = str(attributes[0].value)
    if canonical_machine(common_name) in machines:
        return True
    values = {value.casefold() for _, value in own_sans}
    return common_name.casefold() in values | {policy.own.agent_id.casefold() or None}


def _machine_names(policy: NamesPolicy) -> tuple[str, ...]:
    """Return own machine names in canonical form, those without a domain also with suffixes."""
    names = []
    for machine in policy.own.machines:
        name = canonical_machine(machine)
        if not name or "*" in name:
            continue
        names.append(name)
        if "." not in name:
            names += [f"{name}.{canonical_machine(s).lstrip('.')}" for s in policy.domain_suffixes]
    return tuple(dict.fromkeys(names))


def _own_sans(policy: NamesPolicy, machines: tuple[str, ...]) -> frozenset[San]:
    own = policy.own
    return frozenset(
        san
        for kind, values in (
            (SanKind.DNS, machines),
            (SanKind.IP, own.ips),
            (SanKind.URI, (*own.uris, *_agent_uri(own))),
            (SanKind.EMAIL, own.emails),
        )
        for san in _valid(kind, values)
    )


def _agent_uri(own: OwnNames) -> tuple[str, ...]:
    """Return ``urn:uuid:<AgentId>`` (RFC 9562 §4)."""
    return (f"urn:uuid:{own.agent_id.strip('{}')}",) if own.agent_id else ()


def _valid(kind: SanKind, values: Iterable[str]) -> Iterable[San]:
    # A machine name that is not a DNS name (agent_01) is an own name, but never a dNSName.
    for value in values:
        try:
            yield canonical_san((kind, value))
        except NameInvalid:
            continue


def _canonical_sans(parsed: ParsedCSR) -> tuple[San, ...]:
    if len(parsed.sans) > MAX_SANS:
        raise _refused(f"the CSR has more than {MAX_SANS} SANs")
    sans = []
    for kind, value in parsed.sans:
        try:
            sans.append(canonical_san((kind, value)))
        except NameInvalid as error:
            raise _refused(f"the {kind.value} name {_shown(value)}: {error}") from error
    return tuple(dict.fromkeys(sans))


def _record_names(policy: NamesPolicy) -> GrantedNames:
    sans = _valid(SanKind.DNS, policy.own.machines)
    return GrantedNames(_record_subject(policy), tuple(dict.fromkeys(sans)))


def _record_subject(policy: NamesPolicy) -> x509.Name:
    # ub-common-name is 64 (RFC 5280 appendix A); a longer name stands in the SAN alone.
    for text in (*policy.own.machines[:1], policy.own.agent_id):
        if text and len(text) <= 64:
            return _rebuilt(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]))
    raise NameInvalid("the orchestrator's record has no name that fits a CN")


def _rebuilt(subject: x509.Name) -> x509.Name:
    """Return the subject in the string types and bounds of RFC 5280 §4.1.2.4 and appendix A."""
    rdns = []
    for rdn in subject.rdns:
        attributes = []
        for attribute in rdn:
            value = attribute.value
            if not isinstance(value, str) or has_control(value) or not value.strip():
                raise NameInvalid(f"{attribute.rfc4514_attribute_name} is not plain text")
            try:
                attributes.append(x509.NameAttribute(attribute.oid, value))
            except (ValueError, TypeError) as error:
                raise NameInvalid(str(error)) from error
        rdns.append(x509.RelativeDistinguishedName(attributes))
    return x509.Name(rdns)
