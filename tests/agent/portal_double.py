"""A DOUBLE of the portal: real TLS and HTTP, scripted answers, no rules of its own.

It exists so that the orchestrator's tests can say what the portal answers. What the real portal
answers is shown by the tests of the portal, and both together by the journeys.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from orchestrators.protocol.answers import (
    JobTicket,
    SessionGrant,
    heartbeat_reply,
    problem,
    register_reply,
    success,
)
from orchestrators.protocol.codes import Code
from orchestrators.protocol.terms import ResultStatus
from tests.agent.pki import authority, pem_of

AGENT_ID = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True)
class Call:
    """One request as it arrived."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    certificate: x509.Certificate | None

    @property
    def serial(self) -> int | None:
        return self.certificate.serial_number if self.certificate else None

    @property
    def csr(self) -> x509.CertificateSigningRequest:
        return x509.load_der_x509_csr(base64.b64decode(self.body["CSR"], validate=True))


class LostReplyError(Exception):
    """An answer that never arrives: the connection ends."""


class HttpStatusError(Exception):
    """An answer with a status and a body of its own."""


Answer = Callable[[Call], dict[str, Any]]


def grant(
    call: Call,
    *,
    result: dict[str, Any] | None = None,
    certificate: str | None = None,
    jobs: tuple[JobTicket, ...] = (),
) -> dict[str, Any]:
    """A session."""
    session = SessionGrant(
        token="aaaaaaaa-0000-0000-0000-000000000001",
        agent_id=AGENT_ID,
        heartbeat_minutes=5,
        client_machine=call.body["ClientMachine"],
        certificate=certificate,
        jobs=jobs,
    )
    return register_reply(result or success(), session)


def warn(call: Call) -> dict[str, Any]:
    """A session, and the order to renew."""
    return grant(call, result=problem(ResultStatus.WARNING, Code.SHOULD_RENEW))


def must(call: Call) -> dict[str, Any]:
    """No session, and the order to renew."""
    return register_reply(problem(ResultStatus.ERROR, Code.MUST_RENEW), None)


def refuse(code: Code) -> Answer:
    """No session, with a code."""
    return lambda call: register_reply(problem(ResultStatus.ERROR, code), None)


def issue(call: Call) -> dict[str, Any]:
    """A session together with the certificate for the CSR of the call."""
    return grant(call, certificate=certificate_for(call))


def certificate_for(call: Call) -> str:
    certificate = authority().issue(call.csr.public_key(), call.csr.subject)
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def lost(call: Call) -> dict[str, Any]:
    """The request arrives, the reply does not."""
    raise LostReplyError


def http_error(status: int, body: object = b"") -> Answer:
    """An HTTP status, 200 too, with any body."""

    def answer(call: Call) -> dict[str, Any]:
        raise HttpStatusError(status, body)

    return answer


def beat(*, valid: bool) -> Answer:
    return lambda call: heartbeat_reply(success(), heartbeat_minutes=5, session_valid=valid)


class PortalDouble:
    """Answers in the order of its scripts; a script that is used up grants plain sessions."""

    def __init__(self, port: int) -> None:
        self.url = f"https://127.0.0.1:{port}/KeyfactorAgents"
        self.registers: deque[Answer] = deque()
        self.heartbeats: deque[Answer] = deque()
        self.others: dict[str, Answer] = {}
        self.calls: list[Call] = []
        self.seen = threading.Condition()

    def answer(self, call: Call) -> dict[str, Any]:
        with self.seen:
            self.calls.append(call)
            self.seen.notify_all()
        name = call.path.removeprefix("/KeyfactorAgents/")
        if name == "Session/Register":
            return self.registers.popleft()(call) if self.registers else grant(call)
        if name == "Session/Heartbeat":
            answer = self.heartbeats.popleft() if self.heartbeats else beat(valid=True)
            return answer(call)
        return self.others[name](call)

    def to(self, name: str) -> list[Call]:
        """The calls to one endpoint."""
        return [call for call in self.calls if call.path == f"/KeyfactorAgents/{name}"]

    @property
    def register_calls(self) -> list[Call]:
        return self.to("Session/Register")

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.seen:
            assert self.seen.wait_for(condition, timeout=20), [c.path for c in self.calls]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    portal: PortalDouble

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        der = self.connection.getpeercert(binary_form=True)  # type: ignore[attr-defined]
        certificate = x509.load_der_x509_certificate(der) if der else None
        try:
            status = 200
            reply = self.portal.answer(Call(self.path, body, dict(self.headers), certificate))
        except LostReplyError:
            self.close_connection = True
            return
        except HttpStatusError as error:
            status, reply = error.args
        content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that end a connection are part of the tests."""


@contextmanager
def running_portal(scratch: Path) -> Iterator[PortalDouble]:
    """A double on a free loopback port; it asks for a client certificate without demanding one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key = pem_of(authority().identity("localhost", server=True))
    (scratch / "server.pem").write_bytes(certificate + key)
    context.load_cert_chain(scratch / "server.pem")
    context.load_verify_locations(cadata=authority().pem().decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    portal = handler.portal = PortalDouble(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield portal
    finally:
        server.shutdown()
        server.server_close()
