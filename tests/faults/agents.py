"""An orchestrator played by a test, over real TLS: Register and Heartbeat, and nothing by itself.

Owns its key, its certificate and the call. What it does with a reply is the test's.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from renewal.x509.certificates import serial_text


class Reply:
    """A reply of the agent protocol, read as agents read it."""

    def __init__(self, status: int, headers: dict[str, str], body: Any, seconds: float) -> None:
        self.http_status, self.headers, self.body = status, headers, body
        self.seconds = seconds

    def __repr__(self) -> str:
        return f"{self.http_status} after {self.seconds:.2f} s: {self.body}"

    @property
    def status(self) -> int:
        """Result.Status: 1 success, 2 warning, 3 error."""
        return int(self.body["Result"]["Status"])

    @property
    def code(self) -> str:
        error = self.body["Result"]["Error"]
        return error["CodeString"] if error else ""

    @property
    def message(self) -> str:
        error = self.body["Result"]["Error"]
        return error["Message"] if error else ""

    @property
    def _session(self) -> dict[str, Any]:
        return self.body.get("Session") or {}

    @property
    def token(self) -> str:
        return self._session.get("Token") or ""

    @property
    def agent_id(self) -> str:
        return self._session.get("AgentId") or ""

    @property
    def jobs(self) -> list[dict[str, Any]]:
        return self._session.get("Jobs") or []

    @property
    def certificate(self) -> x509.Certificate | None:
        text = self._session.get("Certificate")
        return x509.load_der_x509_certificate(base64.b64decode(text)) if text else None

    @property
    def summary(self) -> tuple[int, int, str, bool]:
        """HTTP status, Result.Status, code, and whether there is a session."""
        return self.http_status, self.status, self.code, bool(self.token)


@dataclass(frozen=True)
class Key:
    """A new key and its CSR."""

    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def csr(self, name: str) -> str:
        """Return base64 DER without armour, as existing agents send it."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = x509.CertificateSigningRequestBuilder().subject_name(subject)
        return base64.b64encode(
            made.sign(self.private, hashes.SHA256()).public_bytes(Encoding.DER)
        ).decode()

    @property
    def digest(self) -> str:
        """SHA-256 of the public key, as ledgers and rows name it."""
        encoded = self.private.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        return sha256(encoded).hexdigest()


@dataclass
class Agent:
    """One orchestrator."""

    name: str
    agent_id: str
    url: tuple[str, int]
    ca_file: Path
    folder: Path
    _context: ssl.SSLContext | None = None
    certificate: x509.Certificate | None = None

    def install(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        """Present this certificate from the next call on."""
        path = self.folder / f"{self.name}-{serial_text(certificate.serial_number)}.pem"
        path.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
        )
        self.present(path)

    def present(self, path: Path) -> None:
        """Present the certificate of a file that holds its key too."""
        self._context = self.context_with(path)
        self.certificate = x509.load_pem_x509_certificate(path.read_bytes())

    def context_with(self, pem: Path | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if pem is not None:
            context.load_cert_chain(pem)
        return context

    @property
    def thumbprint(self) -> str:
        assert self.certificate
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()

    @property
    def serial(self) -> str:
        assert self.certificate
        return serial_text(self.certificate.serial_number)

    def post(self, path: str, body: dict[str, Any], basic: tuple[str, str] | None = None) -> Reply:
        """Call the portal on a connection of its own."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if basic is not None:
            token = base64.b64encode(":".join(basic).encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        started = time.monotonic()
        connection = http.client.HTTPSConnection(
            *self.url, context=self._context or self.context_with(None), timeout=60
        )
        try:
            connection.request("POST", f"/KeyfactorAgents{path}", json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return Reply(
            answer.status,
            dict(answer.getheaders()),
            json.loads(content),
            time.monotonic() - started,
        )

    def register(
        self, key: Key | None = None, *, basic: tuple[str, str] | None = None, **members: Any
    ) -> Reply:
        """POST Session/Register, with the CSR of a key or without."""
        return self.post(
            "/Session/Register",
            {
                "AgentPlatform": 5,
                "AgentVersion": 563031557799936,
                "TenantId": "00000000-0000-0000-0000-000000000000",
                "ClientMachine": self.name,
                "CSR": key.csr(self.name) if key else None,
                "AgentId": self.agent_id,
                "Capabilities": ["Custom.FetchLogs"],
                "ClientParameters": {},
                **members,
            },
            basic,
        )

    def heartbeat(self, token: str) -> Reply:
        """POST Session/Heartbeat."""
        return self.post(
            "/Session/Heartbeat",
            {
                "AgentPlatform": 5,
                "TenantId": "00000000-0000-0000-0000-000000000000",
                "ClientMachine": self.name,
                "SessionToken": token,
            },
        )

    def is_alive(self, token: str) -> bool:
        """Whether a heartbeat finds the session valid."""
        reply = self.heartbeat(token)
        assert reply.http_status == 200, reply
        return bool(reply.body["SessionValid"])
