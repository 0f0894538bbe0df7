"""Calls to the portal: JSON over HTTP/1.1 and TLS, with the client certificate of the moment.

Owns transport: URL, TLS contexts (a new one for each certificate), time limits and the size of
replies. Does not know what the bodies mean.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import secrets
import ssl
import tempfile
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrators.agent.keys import key_pem
from orchestrators.agent.store import Identity
from orchestrators.agent.version import VERSION
from orchestrators.agent.wire import one_line, read_result

_CONNECT_SECONDS = 60.0
_REPLY_SECONDS = 330.0  # A portal may hold a Register for up to 300 s while its CA works.
_REPLY_BYTES = 16 * 1024 * 1024


class PortalError(Exception):
    """The portal did not answer, or answered with an HTTP error; ``status`` is 0 for the former."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Basic:
    """A bootstrap credential: user and password."""

    username: str
    password: str = field(repr=False)

    def header(self) -> str:
        """Return the value of the Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


Credential = Identity | Basic


class Portal:
    """The portal as one orchestrator sees it."""

    def __init__(self, base_url: str, trust_store: Path | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        parts = urllib.parse.urlsplit(self._base_url)
        self._host = parts.hostname or ""
        self._port = parts.port or http.client.HTTPS_PORT
        self._trust_store = trust_store
        self._context: tuple[str, ssl.SSLContext] | None = None

    def url(self, endpoint: str) -> str:
        """Return the URL of an endpoint; all forms that portals send are understood."""
        relative = endpoint.replace("KeyfactorAgents/", "", 1).lstrip("/")
        return f"{self._base_url}/{relative}"

    def post(self, endpoint: str, body: Mapping[str, Any], credential: Credential) -> Any:
        """Send ``body`` and return the decoded reply. Raises PortalError."""
        url = self.url(endpoint)
        try:
            status, content = self._exchange(url, json.dumps(body).encode(), credential)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise PortalError(f"Remote CMS call '{url}' failed: {_reason(error)}") from error
        try:
            reply = json.loads(content)
        except (ValueError, RecursionError) as error:
            if status < http.HTTPStatus.MULTIPLE_CHOICES:
                raise PortalError(f"Remote CMS call '{url}' returned no JSON") from error
            reply = None
        if status >= http.HTTPStatus.MULTIPLE_CHOICES:
            result = read_result(reply)
            remark = f": {result.message} ({result.code_text})" if result.code_text else ""
            raise PortalError(f"Remote CMS call '{url}' returned HTTP {status}{remark}", status)
        return reply

    def _exchange(self, url: str, body: bytes, credential: Credential) -> tuple[int, bytes]:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Content-Length": str(len(body)),
            "User-Agent": f"reference-orchestrator/{VERSION}",
        }
        if isinstance(credential, Basic):
            headers["Authorization"] = credential.header()
        context = self._context_for(credential)
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=_CONNECT_SECONDS, context=context
        )
        try:
            connection.connect()
            connection.sock.settimeout(_REPLY_SECONDS)
            connection.request("POST", urllib.parse.urlsplit(url).path, body, headers)
            response = connection.getresponse()
            content = response.read(_REPLY_BYTES + 1)
        finally:
            connection.close()
        if len(content) > _REPLY_BYTES:
            raise http.client.HTTPException(f"the reply is larger than {_REPLY_BYTES} bytes")
        return response.status, content

    def _context_for(self, credential: Credential) -> ssl.SSLContext:
        wanted = credential.thumbprint if isinstance(credential, Identity) else ""
        if self._context is None or self._context[0] != wanted:
            context = ssl.create_default_context(
                cafile=str(self._trust_store) if self._trust_store else None
            )
            if isinstance(credential, Identity):
                _present(context, credential)
            self._context = (wanted, context)
        return self._context[1]


def _present(context: ssl.SSLContext, identity: Identity) -> None:
    """Give the pair to OpenSSL, which reads files only: the key stays encrypted on the disk."""
    password = secrets.token_urlsafe(32)
    with tempfile.TemporaryDirectory(prefix="orchestrator-") as folder:
        certificate, key = Path(folder) / "certificate.pem", Path(folder) / "key.pem"
        certificate.write_bytes(identity.certificates_pem())
        key.write_bytes(key_pem(identity.private_key, password.encode()))
        context.load_cert_chain(certificate, key, password)


def _reason(error: Exception) -> str:
    text = re.sub(r" \(_ssl\.c:\d+\)", "", str(error))
    return one_line(text) or type(error).__name__
