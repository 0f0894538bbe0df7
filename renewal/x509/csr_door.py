"""The one door through which CSRs come in.

PURE. Owns size, armour, parsing, key and proof of possession; each refusal has its code. Names are
judged in ``names_policy`` with the same ``CSRRefused``; reuse of keys, dates and rates are not
judged here, for they need the database. Cheap checks come first, and no input raises anything but
``CSRRefused`` (C6, S23 in docs/promises.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509

from orchestrators.protocol.codes import Code
from renewal.x509.names import San

MAX_CSR_BYTES = 16 * 1024


class CSRRefused(Exception):  # noqa: N818 - says what happened, as the other refusals do
    """The CSR is refused; ``detail`` is a sentence that never quotes the request's body."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code.name}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ParsedCSR:
    """A CSR whose form, key and signature are good. Nothing in it has been granted yet."""

    der: bytes
    spki_der: bytes
    spki_sha256: str
    key_type: str
    subject: x509.Name
    common_names: tuple[str, ...]
    sans: tuple[San, ...]
    extension_oids: tuple[str, ...] = field(default=())
    attribute_oids: tuple[str, ...] = field(default=())


def open_csr(raw: str) -> ParsedCSR:
    """Open a CSR in PEM or bare base64 DER; raise ``CSRRefused`` and nothing else."""
    raise NotImplementedError


def check_key_type(parsed: ParsedCSR, allowed: frozenset[str]) -> None:
    """Refuse a key whose type the template does not list (S56 in docs/promises.md)."""
    raise NotImplementedError
