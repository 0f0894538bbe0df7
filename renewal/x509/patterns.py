"""The pattern language of templates: which names beside its own an orchestrator may ask for.

PURE. Owns how a pattern is read and what it matches. A pattern is ``kind:text``::

    subject:CN=Client Certificate Authentication    this whole subject
    subject:CN={name},O=Example                     CN is one of the orchestrator's own names
    dns:*.agents.example.com                        one label, then this domain
    dns:{name}.internal                             own name, then this suffix
    ip:10.20.0.0/16                                 any address of the network
    uri:spiffe://example.com/agent/*                one path segment
    email:*@example.com

The kinds are ``subject``, ``dns``, ``ip``, ``uri`` and ``email``. A pattern covers the whole name,
and letters match in either case. ``*`` stands for one or more characters within one label and
never crosses one of ``. / : @``; a label holds at most one. ``{name}`` stands for a whole own name,
dots and all, and occurs at most once. In a subject, every attribute is compared with its like, in
order. There is no other syntax, so matching is linear in the length of the name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from cryptography import x509

from renewal.x509.names import San, SanKind, canonical_dns, has_control

MAX_PATTERN_CHARACTERS = 512

_SEPARATORS = re.compile(r"([./:@])")
_OWN_NAME = "{name}"


class PatternInvalid(ValueError):
    """The text is not a pattern; the message says why."""


def check_pattern(text: str) -> None:
    """Raise ``PatternInvalid`` unless the text is a pattern: what forms and commands call."""
    if len(text) > MAX_PATTERN_CHARACTERS or has_control(text):
        raise PatternInvalid("a pattern is one line of at most 512 characters")
    kind, colon, body = text.partition(":")
    if not colon or not body:
        raise PatternInvalid("a pattern is written kind:text, such as dns:*.agents.example.com")
    match kind:
        case "subject":
            texts = [_text(attribute) for attribute in _subject(body)]
        case "ip":
            _network(body)
            return
        case "dns" | "uri" | "email":
            texts = [body]
        case _:
            raise PatternInvalid(f"{kind!r} is not a kind: use subject, dns, ip, uri or email")
    for one in texts:
        if one.count(_OWN_NAME) > 1:
            raise PatternInvalid("{name} occurs at most once")
        if any(label.count("*") > 1 for label in _SEPARATORS.split(one)):
            raise PatternInvalid("a label holds at most one *")
    if kind == "dns":
        try:
            canonical_dns(body.replace(_OWN_NAME, "own").replace("*", "x"))
        except ValueError as error:
            raise PatternInvalid(str(error)) from error


def matches_san(patterns: Iterable[str], san: San, own_names: Iterable[str]) -> bool:
    """Return whether one of the patterns covers a SAN in its canonical form."""
    kind, value = san
    own = tuple(own_names)
    for pattern in patterns:
        pattern_kind, _, body = pattern.partition(":")
        if pattern_kind != kind.value:
            continue
        if kind is SanKind.IP:
            if ipaddress.ip_address(value) in _network(body):
                return True
        elif _matches(body, value, own):
            return True
    return False


def matches_subject(patterns: Iterable[str], subject: x509.Name, own_names: Iterable[str]) -> bool:
    """Return whether one of the patterns covers the whole subject."""
    own = tuple(own_names)
    for pattern in patterns:
        kind, _, body = pattern.partition(":")
        if kind == "subject" and _subject_matches(_subject(body), subject, own):
            return True
    return False


def _subject_matches(pattern: x509.Name, subject: x509.Name, own: tuple[str, ...]) -> bool:
    # Attribute by attribute, and never the text: a comma inside a CN ends no RDN.
    if len(pattern.rdns) != len(subject.rdns):
        return False
    for wanted, rdn in zip(pattern.rdns, subject.rdns, strict=True):
        one, other = list(wanted), list(rdn)
        if len(one) != 1 or len(other) != 1 or one[0].oid != other[0].oid:
            return False
        if not _matches(_text(one[0]), _text(other[0]), own):
            return False
    return True


def _matches(pattern: str, value: str, own: tuple[str, ...]) -> bool:
    if _OWN_NAME in pattern:
        return any(_matches(pattern.replace(_OWN_NAME, name), value, ()) for name in own)
    wanted, given = _SEPARATORS.split(pattern.casefold()), _SEPARATORS.split(value.casefold())
    return len(wanted) == len(given) and all(map(_label_matches, wanted, given))


def _label_matches(pattern: str, label: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return pattern == label
    return (
        len(label) > len(before) + len(after) and label.startswith(before) and label.endswith(after)
    )


def _subject(body: str) -> x509.Name:
    try:
        return x509.Name.from_rfc4514_string(body)
    except ValueError as error:
        raise PatternInvalid("the subject is not in RFC 4514 form, such as CN=a,O=b") from error


def _network(body: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(body)
    except ValueError as error:
        raise PatternInvalid(str(error)) from error


def _text(attribute: x509.NameAttribute[str | bytes]) -> str:
    return attribute.value if isinstance(attribute.value, str) else attribute.value.hex()
