"""The agents' port on a real socket: who gets through the handshake, and who can block it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from tests.services.certificates import UNSUITABLE, Authority, Pair
from tests.services.echo_site import ENDLESS_PATIENCE
from tests.services.ports import free_port
from tests.services.processes import accepts, gunicorn, running, wait_until

THREADS = 2


@dataclass
class Port:
    """The running agents' port and what a client of it needs."""

    number: int
    folder: Path
    authority: Authority

    def context(self, pair: Pair | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if pair is not None:
            context.load_cert_chain(*pair.write(self.folder, "client"))
        return context

    def connect(self, pair: Pair | None = None) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "127.0.0.1", self.number, context=self.context(pair), timeout=10
        )

    def ask(
        self, pair: Pair | None = None, path: str = "/KeyfactorAgents/x", **headers: str
    ) -> tuple[int, dict]:
        connection = self.connect(pair)
        connection.request("POST", path, body=b"{}", headers=headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        return response.status, answer


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with _open(tmp_path_factory.mktemp("tls-socket")) as opened:
        yield opened


@pytest.fixture(scope="module")
def patient_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    """A port that never tires of a peer: whoever holds a thread of it holds it for good."""
    patience = {ENDLESS_PATIENCE: "1"}
    with _open(tmp_path_factory.mktemp("tls-socket-patient"), patience) as opened:
        yield opened


@contextmanager
def _open(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Port]:
    authority = Authority()
    tls = folder / "data" / "tls"
    tls.mkdir(parents=True)
    authority.server("127.0.0.1").write(tls, "server")
    (tls / "trust-anchors.pem").write_text(authority.pem)
    (folder / "ca.pem").write_text(authority.pem)
    number = free_port()
    process = gunicorn(
        "gunicorn_agents",
        f"127.0.0.1:{number}",
        folder / "data",
        folder / "log",
        {
            "PORTAL_EDGE": "agents",
            "PORTAL_CLIENT_CERTIFICATE_SOURCE": "socket",
            "PORTAL_WEB_THREADS": str(THREADS),
            **(environment or {}),
        },
    )
    with running(process, lambda: accepts(("127.0.0.1", number))):
        yield Port(number, folder, authority)


def fingerprint(pair: Pair) -> str:
    return sha256(pair.der).hexdigest()


def test_a_valid_certificate_reaches_the_application(port: Port) -> None:
    pair = port.authority.client("agent")
    status, seen = port.ask(pair)
    assert (status, seen["certificate"], seen["body"]) == (200, fingerprint(pair), "{}")


def test_a_path_that_is_too_long_is_refused_in_json(port: Port) -> None:
    status, refusal = port.ask(path=f"/KeyfactorAPI/Agents?QueryString={'x' * 8200}")
    assert (status, refusal["ErrorCode"]) == (414, "request_line_too_long")
    assert (refusal["status"], refusal["detail"]) == (414, refusal["Message"])


@pytest.mark.parametrize(("from_days", "to_days"), [(-366, -1), (1, 365)])
def test_a_certificate_outside_its_dates_reaches_the_application(
    port: Port, from_days: float, to_days: float
) -> None:
    pair = port.authority.client("agent", from_days=from_days, to_days=to_days)
    assert port.ask(pair)[1]["certificate"] == fingerprint(pair)


def test_an_issuing_ca_alone_may_be_the_anchor(port: Port) -> None:
    issuing = port.authority.issuing("Another issuing CA")
    anchors = port.folder / "data" / "tls" / "trust-anchors.pem"
    before = anchors.read_text()
    anchors.write_text(issuing.pem)
    pair = issuing.client("agent")
    assert port.ask(pair)[1]["certificate"] == fingerprint(pair)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        port.ask(port.authority.client("agent"))
    anchors.write_text(before)


def test_no_certificate_is_served_without_one(port: Port) -> None:
    status, seen = port.ask()
    assert (status, seen["certificate"]) == (200, None)


def test_a_certificate_signed_by_nobody_known_ends_the_handshake(port: Port) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        port.ask(Authority("Test CA").client("agent"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", UNSUITABLE)
def test_a_certificate_for_another_purpose_ends_the_handshake_with_an_alert_that_says_so(
    port: Port, kind: str, version: ssl.TLSVersion
) -> None:
    """Python's ssl judges the purpose by itself, and has no way to leave it to the application."""
    context = port.context(port.authority.unsuitable("agent", kind))
    context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port.number), 5) as plain:
        with pytest.raises(ssl.SSLError, match="alert unsupported certificate"):
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
                # Under TLS 1.3 the client has finished before the server judges (RFC 8446 §2).
                secured.recv(1)
    good = port.authority.client("agent")
    assert port.ask(good)[1]["certificate"] == fingerprint(good)


def test_a_certificate_without_a_purpose_reaches_the_application(port: Port) -> None:
    pair = port.authority.unspecific("agent")
    assert port.ask(pair)[1]["certificate"] == fingerprint(pair)


def test_a_certificate_header_of_the_agent_is_never_believed(port: Port) -> None:
    presented, other = port.authority.client("agent"), port.authority.client("victim")
    forged = "".join(other.pem.split("\n"))
    with_own = port.ask(presented, **{"X-ARR-ClientCert": forged})[1]
    without = port.ask(None, **{"X-ARR-ClientCert": forged, "X_ARR_ClientCert": forged})[1]
    assert with_own["certificate"] == fingerprint(presented)
    assert without["certificate"] is None
    assert "HTTP_X_ARR_CLIENTCERT" not in with_own["headers"] + without["headers"]


def test_nobody_in_front_may_set_address_or_scheme(port: Port) -> None:
    seen = port.ask(**{"X-Forwarded-For": "10.9.8.7", "X-Forwarded-Proto": "http"})[1]
    assert (seen["address"], seen["scheme"], seen["from_proxy"]) == ("127.0.0.1", "https", False)


def test_cookies_do_not_pass_this_port(port: Port) -> None:
    seen = port.ask(path="/keyfactorapi/Agents", Cookie="sessionid=stolen")[1]
    assert (seen["cookies"], seen["cookies_allowed"]) == ({}, False)
    assert seen["path"] == "/KeyfactorAPI/Agents"


def test_pages_are_not_on_this_port(port: Port) -> None:
    assert port.ask(path="/orchestrators")[0] == 404


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_below_1_2_is_refused(port: Port) -> None:
    context = port.context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port.number), 5) as plain:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_a_resumed_session_cannot_carry_an_older_certificate(port: Port) -> None:
    context = port.context(port.authority.client("agent"))
    with socket.create_connection(("127.0.0.1", port.number), 5) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as first:
            first.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            first.recv(4096)
            assert first.session is None or not first.session.has_ticket


def test_one_connection_serves_many_requests_and_a_large_body(port: Port) -> None:
    connection = port.connect(port.authority.client("agent"))
    for size in (2, 70_000, 600_000, 2):
        connection.request("POST", "/KeyfactorAgents/x", body=b"x" * size)
        response = connection.getresponse()
        assert len(json.loads(response.read())["body"]) == size
    connection.close()


def test_pipelined_requests_are_all_answered(port: Port) -> None:
    request = b"POST /KeyfactorAgents/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    with socket.create_connection(("127.0.0.1", port.number), 5) as plain:
        with port.context().wrap_socket(plain, server_hostname="127.0.0.1") as secured:
            secured.sendall(b"".join(request % number for number in range(5)))
            received = b""
            while received.count(b'"path"') < 5:
                chunk = secured.recv(65536)
                assert chunk, received
                received += chunk
    assert [b"/KeyfactorAgents/%d" % n in received for n in range(5)] == [True] * 5


def test_a_body_in_chunks_ends_where_its_last_chunk_ends(port: Port) -> None:
    head = b"POST /KeyfactorAgents/%d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    bodies = (
        b"0\r\n\r\n",
        b"2\r\n{}\r\n0\r\n\r\n",
        b"5;a=b\r\n0\r\n\r\n\r\n0;a=b\r\nNote: x\r\n\r\n",
        b"%x\r\n%s\r\n0\r\n\r\n" % (600_000, b"x" * 600_000),
    )
    with socket.create_connection(("127.0.0.1", port.number), 5) as plain:
        with port.context().wrap_socket(plain, server_hostname="127.0.0.1") as secured:
            for number, body in enumerate(bodies):
                # In two pieces: the second may not be taken for another request.
                whole = head % number + body
                secured.sendall(whole[: len(whole) // 2])
                secured.sendall(whole[len(whole) // 2 :])
                received = b""
                while b'"path"' not in received:
                    chunk = secured.recv(65536)
                    assert chunk, received
                    received += chunk
                assert b"200 OK" in received
                assert b"/KeyfactorAgents/%d" % number in received


@pytest.mark.parametrize("coding", ["chunked", "identity, chunked"])
def test_a_body_whose_end_is_told_in_two_ways_is_refused(port: Port, coding: str) -> None:
    raw = (
        b"POST /KeyfactorAPI/Agents/Reset HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: %s\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    ) % coding.encode()
    with socket.create_connection(("127.0.0.1", port.number), 5) as plain:
        with port.context().wrap_socket(plain, server_hostname="127.0.0.1") as secured:
            secured.sendall(raw)
            received = b"".join(iter(lambda: secured.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1


SLOW = {
    "silence": b"",
    "half a handshake": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
def test_peers_that_never_finish_their_handshake_block_nobody(
    patient_port: Port, sent: bytes
) -> None:
    address = ("127.0.0.1", patient_port.number)
    idle = [socket.create_connection(address, 5) for _ in range(4 * THREADS)]
    for peer in idle:
        peer.sendall(sent)
    assert patient_port.ask()[0] == 200
    for peer in idle:
        peer.close()


def test_peers_that_never_finish_their_request_block_nobody(patient_port: Port) -> None:
    port = patient_port
    context = port.context(port.authority.client("agent"))
    idle = []
    for number in range(4 * THREADS):
        plain = socket.create_connection(("127.0.0.1", port.number), 5)
        secured = context.wrap_socket(plain, server_hostname="127.0.0.1")
        head = b"POST /KeyfactorAgents/x HTTP/1.1\r\nHost: x\r\n"
        rest = (
            b"",
            b"Content-Length: 10\r\n\r\nx",
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nx",
        )
        secured.sendall(head + rest[number % len(rest)])
        idle.append(secured)
    assert port.ask()[0] == 200
    for peer in idle:
        peer.close()


def test_a_peer_that_keeps_its_end_open_blocks_nobody(patient_port: Port) -> None:
    port = patient_port
    lingering = []
    for _ in range(4 * THREADS):
        plain = socket.create_connection(("127.0.0.1", port.number), 5)
        secured = port.context().wrap_socket(plain, server_hostname="127.0.0.1")
        secured.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in secured.recv(65536)
        lingering.append(secured)
    assert port.ask()[0] == 200
    for peer in lingering:
        peer.close()


def test_new_trust_anchors_count_without_a_restart(port: Port) -> None:
    other = Authority("Another CA")
    anchors = port.folder / "data" / "tls" / "trust-anchors.pem"
    pair = other.client("agent")
    before = anchors.read_text()
    anchors.write_text(before + other.pem)
    assert port.ask(pair)[1]["certificate"] == fingerprint(pair)
    anchors.write_text(before)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        port.ask(pair)


def test_without_trust_anchors_the_port_still_serves(port: Port) -> None:
    anchors = port.folder / "data" / "tls" / "trust-anchors.pem"
    before = anchors.read_text()
    anchors.write_text("")
    assert port.ask()[0] == 200
    anchors.unlink()
    assert port.ask()[0] == 200
    anchors.write_text(before)


def test_half_written_files_keep_the_former_context(port: Port) -> None:
    certificate = port.folder / "data" / "tls" / "server.pem"
    before = certificate.read_text()
    certificate.write_text(before[:100])
    assert port.ask()[0] == 200
    certificate.write_text(before)


def test_a_new_server_certificate_is_served_without_a_restart(port: Port) -> None:
    tls = port.folder / "data" / "tls"
    renewed = port.authority.server("127.0.0.1", "renewed.example")
    renewed.write(tls, "server")

    def served() -> bytes | None:
        with socket.create_connection(("127.0.0.1", port.number), 5) as plain:
            with port.context().wrap_socket(plain, server_hostname="127.0.0.1") as secured:
                return secured.getpeercert(binary_form=True)

    wait_until(lambda: served() == renewed.der, "the renewed certificate is served", 5)
