"""The client certificate that a TLS-terminating proxy forwards in a header.

PURE. Owns the forms in which proxies write a certificate into a header. Whether the proxy may be
believed is decided at the edge, and whether the certificate is any good in ``paths``: a header is
only a claim.
"""

from __future__ import annotations


class HeaderUnreadable(ValueError):
    """The header's value is not one certificate in a known form."""


def certificate_from_header(value: str) -> bytes:
    """Return the DER in a header's value, whichever of the known forms it has."""
    raise NotImplementedError
