"""The TLS context of the agents' port: which certificates may come in, judged how far.

Owns what the handshake decides: a client certificate must be signed, through its chain, by a
trust anchor; without one the connection is still served (Basic credentials, REST). Its dates are
not judged here, so that an orchestrator whose certificate has expired gets an answer that it can
read; revocation and the rest are not either. All of that is the agent endpoint's.

One thing more is decided here, because the ssl module leaves no choice: OpenSSL's default for a
server is the purpose sslclient (openssl-verification-options(1)), and neither a method nor a flag
that Python knows takes it back. A certificate whose extended key usages lack clientAuth, or whose
key usage is a CA's alone, ends the handshake with the alert unsupported_certificate (RFC 8446
§6.2) in place of A01F000D. Behind nginx it reaches the endpoint and is answered.
"""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

# X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h; Python has no name for it.
_NO_CHECK_TIME = 0x200000

_Stamp = tuple[tuple[int, int, int], ...]


class ServerContext:
    """One SSLContext for all connections, built again when a file has changed.

    gunicorn would read key and anchors for every connection, which costs more than the rest of
    the handshake. New connections take the new files; open ones are left alone. A half-written
    set of files keeps the former context in use.
    """

    def __init__(self, certificate: Path, key: Path, anchors: Path) -> None:
        self._certificate, self._key, self._anchors = certificate, key, anchors
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._context: ssl.SSLContext | None = None

    def current(self) -> ssl.SSLContext:
        """Return the context for the next connection."""
        stamp = self._read_stamp()
        context = self._context
        if context is not None and stamp == self._stamp:
            return context
        with self._lock:
            if self._context is None or stamp != self._stamp:
                try:
                    self._context = server_context(self._certificate, self._key, self._anchors)
                except (OSError, ssl.SSLError):
                    if self._context is None:
                        raise
                else:
                    self._stamp = stamp
            return self._context

    def _read_stamp(self) -> _Stamp:
        stamps = []
        for path in (self._certificate, self._key, self._anchors):
            try:
                found = path.stat()
            except OSError:
                stamps.append((0, 0, 0))
            else:
                stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(stamps)


def server_context(certificate: Path, key: Path, anchors: Path) -> ssl.SSLContext:
    """Return a context that asks for a client certificate without demanding one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Renegotiation could exchange the client certificate within a connection (RFC 5746 does not
    # forbid that); a ticket would carry an old verdict past a change of the trust anchors.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_OPTIONAL
    # An anchor may be an issuing CA whose root the operator does not trust.
    context.verify_flags |= _NO_CHECK_TIME | ssl.VERIFY_X509_PARTIAL_CHAIN
    if anchors.exists() and anchors.stat().st_size:
        context.load_verify_locations(cafile=str(anchors))
    return context
