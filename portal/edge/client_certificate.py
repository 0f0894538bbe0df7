"""Which client certificate the peer presented, from the TLS socket or from the proxy's header.

Owns the two sources and nothing else: the bytes are a claim until ``renewal.x509`` has verified
the chain and the agent endpoint has found the record. A header counts only from the proxy that
``portal.edge.proxy`` has authenticated; there is no fallback from one source to the other (T9 in
docs/promises.md).
"""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest

from orchestrators.protocol.codes import Code
from portal.conf import PortalConfig
from portal.edge.proxy import header_key
from renewal.x509.forwarded import HeaderUnreadable, certificate_from_header


class Presented(NamedTuple):
    """What was presented: one certificate, nothing, or something that cannot be read.

    A ``problem`` is answered with HTTP 400: it is the proxy's configuration that is wrong, not
    the orchestrator's.
    """

    der: bytes | None
    problem: Code | None = None


NOTHING = Presented(None)


def presented_certificate(request: HttpRequest) -> Presented:
    """Return the certificate of this request, from the configured source."""
    config: PortalConfig = settings.CONFIG
    if config.certificate_source == "socket":
        return _from_socket(request)
    if config.certificate_source == "header" and getattr(request, "from_proxy", False):
        return _from_header(request, config.certificate_header)
    return NOTHING


def _from_socket(request: HttpRequest) -> Presented:
    # gunicorn puts the connection's socket into the WSGI environ; on plain HTTP it has no TLS.
    peer_certificate = getattr(request.META.get("gunicorn.socket"), "getpeercert", None)
    if peer_certificate is None:
        return NOTHING
    return Presented(peer_certificate(binary_form=True))


def _from_header(request: HttpRequest, name: str) -> Presented:
    value = request.META.get(header_key(name), "").strip()
    # nginx sends an empty value, IIS none, when no certificate was presented.
    if not value:
        return NOTHING
    try:
        return Presented(certificate_from_header(value))
    except HeaderUnreadable:
        return Presented(None, Code.CERTIFICATE_HEADER)
