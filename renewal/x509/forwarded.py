"""The client certificate that a TLS-terminating proxy forwards in a header.

PURE. Owns the forms in which proxies write a certificate into a header. Whether the proxy may be
believed is decided at the edge, and whether the certificate is any good in ``paths``: a header is
only a claim.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from renewal.x509.certificates import MAX_CERTIFICATE_BYTES

# URL encoding at most trebles a value, and base64 adds a third.
MAX_HEADER_CHARACTERS = 4 * MAX_CERTIFICATE_BYTES

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----")
_WHITESPACE = str.maketrans("", "", " \t\r\n")


class HeaderUnreadable(ValueError):
    """The header's value is not one certificate in a known form."""


def certificate_from_header(value: str) -> bytes:
    """Return the DER in a header's value, whichever of the known forms it has.

    - PEM, its line breaks kept, turned into spaces or tabs (nginx ``$ssl_client_cert``), or left
      out;
    - the same, URL-encoded (nginx ``$ssl_client_escaped_cert``, AWS ``X-Amzn-Mtls-Clientcert``);
      a ``+`` stays a plus sign;
    - bare base64 of the DER (IIS ARR ``X-ARR-ClientCert``);
    - a Byte Sequence ``:base64:`` (RFC 9440 §2.1).

    Two certificates, or two headers joined by a comma, are refused and not chosen from.
    """
    if len(value) > MAX_HEADER_CHARACTERS:
        raise HeaderUnreadable("the value is too long")
    text = value.strip(" \t\r\n")
    if "%" in text:
        text = unquote_to_bytes(text).decode("ascii", "replace").strip(" \t\r\n")
    if text.startswith("-"):
        found = _PEM.fullmatch(text)
        if not found:
            raise HeaderUnreadable("the value is not exactly one PEM certificate")
        text = found[1]
    elif text.startswith(":"):
        if len(text) < 2 or not text.endswith(":"):
            raise HeaderUnreadable("the value is not one Byte Sequence of RFC 9440")
        text = text[1:-1]
    try:
        der = base64.b64decode(text.translate(_WHITESPACE), validate=True)
    except (binascii.Error, ValueError):
        raise HeaderUnreadable("the value is not base64") from None
    if not der.startswith(b"\x30"):
        raise HeaderUnreadable("the value holds no certificate")
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise HeaderUnreadable("the certificate is larger than 16 KiB")
    return der
