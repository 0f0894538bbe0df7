"""An existing C agent, step by step: what it does at every start and with every reply.

Owns the agent's behaviour and its `config.json`, as a dictionary, and nothing of the wire: the
transport is an argument, so that the same player runs over Django's client and over real TLS. Its
traps are kept on purpose: a new key at every try, the same body again on HTTP >= 300, the body of
such a reply never read, a certificate kept only with a token, an AgentId that it knows already
taken for a failure while it enrolls, and a new name when its certificate has ended.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

RENEWAL_CODES = ("A0100007", "A0100008")
FETCH_LOGS = "0d8cf0c8-56ca-4b8a-b16a-c062018e170d"
NO_TENANT = "00000000-0000-0000-0000-000000000000"
RESET = 998
"""Exit status after the agent has made itself a new one."""

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Identity:
    """The agent's certificate file and key file, read for each call."""

    certificate_der: bytes
    key: Key


@dataclass(frozen=True)
class Answer:
    """HTTP status and body."""

    status: int
    body: bytes


class Transport(Protocol):
    """Posts JSON to a path under the agent protocol's prefix."""

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        identity: Identity | None,
        basic: tuple[str, str] | None,
    ) -> Answer: ...


@dataclass
class Config:
    """The members of `config.json` that decide what the agent does."""

    AgentName: str
    AgentId: str = ""
    EnrollOnStartup: bool = True
    Username: str = ""
    Password: str = ""
    CSRSubject: str = ""
    httpRetries: int = 2  # noqa: N815 - the file's own spelling


@dataclass
class CAgent:
    """One installation. ``version`` is 2 (2.19) or 3 (3.0); ``stamps_name`` is its option -h."""

    transport: Transport
    config: Config
    clock: Callable[[], datetime]
    version: int = 2
    stamps_name: bool = False
    identity: Identity | None = None
    bootstrap: Identity | None = None
    """The bootstrap certificate, with UseBootstrapCert."""
    token: str = ""
    jobs: list[dict[str, Any]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    keys_made: int = 0
    _enrolls: bool = field(default=False, init=False)
    """EnrollOnStartup of this start: it may differ from the file's."""

    def start(self) -> int:
        """Run once from start to exit; return the exit status."""
        self.token, self.jobs = "", []
        self._enrolls = self.config.EnrollOnStartup
        if self._enrolls:
            return self._enroll()
        if not self._own_certificate_works():
            return self._reset_agent()
        return self._register_session()

    # --- first run --------------------------------------------------------------------------

    def _enroll(self) -> int:
        if self.stamps_name:
            base = self.config.AgentName.rpartition("_")[0] or self.config.AgentName
            self.config.AgentName = f"{base}_{self.clock():%Y%m%d%H%M%S}"
        key, csr = self._new_csr()
        reply = self._register(csr)
        session = (reply or {}).get("Session") or {}
        if reply is None or not session.get("Token") or not _is_ok(reply):
            self._note(reply, "registration failed")
            return 1
        agent_id = str(session["AgentId"])
        if agent_id == self.config.AgentId:
            self.log.append("the AgentId did not change: failed")
            return 1
        self.config.AgentId = agent_id
        if not session.get("Certificate"):
            self.log.append("no certificate: failed")
            return 1
        self._save(session["Certificate"], key)
        self.config.EnrollOnStartup = self._enrolls = False
        return self._second_registration()

    def _second_registration(self) -> int:
        """The answer to the first registration opens nothing; this one does."""
        reply = self._register(None, {"RegistrationRequest": "registration-enroll-stores"})
        if reply is None or reply["Result"]["Status"] == 3:
            self._note(reply, "second registration failed")
            self._enrolls = True
            if self.version >= 3:
                self.config.EnrollOnStartup = True
            return 1
        self._take(reply)
        return self._run_jobs()

    # --- every other run --------------------------------------------------------------------

    def _register_session(self) -> int:
        reply = self._register(None)
        if reply is None:
            return 1
        result = reply["Result"]
        code = ((result.get("Error") or {}).get("CodeString") or "").upper()
        if result["Status"] in (2, 3) and code in RENEWAL_CODES:
            self._note(reply, "renewing")
            return self._renew()
        if result["Status"] in (2, 3):
            # A token beside any other warning is not used.
            self._note(reply, "not registered")
            return 1
        self._take(reply)
        return self._run_jobs()

    def _renew(self) -> int:
        key, csr = self._new_csr()
        reply = self._register(csr)
        session = (reply or {}).get("Session") or {}
        if not session.get("Token"):
            self._note(reply, "no session: stopped")
            return 1
        if session.get("Certificate"):
            self._save(session["Certificate"], key)
        assert reply is not None
        self._take(reply)
        return self._run_jobs()

    def _reset_agent(self) -> int:
        """Its certificate is missing or has ended: from the next start on it is another agent."""
        base = self.config.AgentName.rpartition("_")[0] or self.config.AgentName
        self.config.AgentName = f"{base}_{self.clock():%Y%m%d%H%M%S}"
        self.config.AgentId = ""
        self.config.EnrollOnStartup = True
        return RESET

    def _own_certificate_works(self) -> bool:
        if self.identity is None:
            return False
        own = x509.load_der_x509_certificate(self.identity.certificate_der)
        return own.not_valid_before_utc <= self.clock() <= own.not_valid_after_utc

    # --- jobs -------------------------------------------------------------------------------

    def _run_jobs(self) -> int:
        for job in self.jobs:
            if self.version >= 3 or job["JobTypeId"].lower() != FETCH_LOGS:
                continue
            told = self._call(
                job["ConfigurationEndpoint"],
                {"SessionToken": self.token, "JobId": job["JobId"]},
            )
            if told is None or not _is_ok(told):
                self._note(told, "no configuration")
                continue
            text = "\n".join(self.log)[-int(told["MaxCharactersToReturn"]) :]
            self._call(
                job["CompletionEndpoint"],
                {
                    "Status": 2,
                    "AuditId": told["AuditId"],
                    "JobId": job["JobId"],
                    "Message": None,
                    "SessionToken": self.token,
                    "Log": text,
                },
            )
        return 0

    # --- the wire ---------------------------------------------------------------------------

    def _register(
        self, csr: str | None, parameters: Mapping[str, str] | None = None
    ) -> dict[str, Any] | None:
        body = {
            "AgentPlatform": 5,
            "AgentVersion": (2 << 48 | 19 << 32) if self.version < 3 else 3 << 48,
            "TenantId": NO_TENANT,
            "ClientMachine": self.config.AgentName,
            "CSR": csr,
            "AgentId": "" if self._enrolls else self.config.AgentId,
            "Capabilities": [
                "CertStores.PEM.Inventory",
                "CertStores.PEM.Management",
                "CertStores.PEM.Reenrollment",
                *(["Custom.FetchLogs"] if self.version < 3 else []),
            ],
            "ClientParameters": dict(parameters or {}),
        }
        return self._call("/Session/Register", body)

    def _call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Post; the same body again on HTTP >= 300, whose body is never read."""
        for _ in range(max(1, self.config.httpRetries)):
            answer = self.transport.post(
                _endpoint(path),
                body,
                identity=self.bootstrap if self._enrolls else self.identity,
                basic=(self.config.Username, self.config.Password),
            )
            if answer.status < 300:
                found: dict[str, Any] = json.loads(answer.body)
                return found
            self.log.append(f"HTTP {answer.status}")
        return None

    def _new_csr(self) -> tuple[Key, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        self.keys_made += 1
        text = self.config.CSRSubject or self.config.AgentName
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        made = x509.CertificateSigningRequestBuilder().subject_name(subject)
        der = made.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
        return key, base64.b64encode(der).decode()

    def _save(self, certificate: str, key: Key) -> None:
        # A line of armour would corrupt what this agent decodes.
        der = base64.b64decode("".join(certificate.split()), validate=True)
        parsed = x509.load_der_x509_certificate(der)
        assert parsed.public_key() == key.public_key()
        self.identity = Identity(der, key)

    def _take(self, reply: Mapping[str, Any]) -> None:
        session = reply.get("Session") or {}
        if session.get("Token"):
            self.token = str(session["Token"])
            assert len(self.token) <= 36
            # It takes the length of this one without a look whether it is there.
            assert len(session["AgentId"]) <= 36
            self.config.AgentId = str(session["AgentId"])
            self.jobs = list(session["Jobs"])

    def _note(self, reply: Mapping[str, Any] | None, text: str) -> None:
        error = ((reply or {}).get("Result") or {}).get("Error") or {}
        self.log.append(f"{text}: {error.get('CodeString', '')} {error.get('Message', '')}".strip())


def _is_ok(reply: Mapping[str, Any]) -> bool:
    return (reply.get("Result") or {}).get("Status", 1) in (0, 1)


def _endpoint(text: str) -> str:
    """Make a path of an endpoint as the agent does: the prefix is left out where it stands."""
    path = text.replace("KeyfactorAgents/", "", 1)
    return path if path.startswith("/") else f"/{path}"
