"""The production edge: deploy/nginx.conf in a real nginx before a real gunicorn."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.services.certificates import UNSUITABLE, Authority, Pair
from tests.services.nginx import nginx, sample
from tests.services.ports import free_port
from tests.services.processes import accepts, gunicorn, running

SECRET = "a-shared-secret-of-the-proxy-0123456789"
AGENTS, PAGES = "agents.portal.example", "portal.example"
REGISTER = "/KeyfactorAgents/Session/Register"


@dataclass
class Edge:
    """nginx and what a client of it needs."""

    tls: int
    plain: int
    arr: int
    folder: Path
    authority: Authority

    def ask(
        self,
        pair: Pair | None = None,
        host: str = AGENTS,
        path: str = REGISTER,
        body: bytes = b'{"ClientMachine":"x"}',
        port: int | None = None,
        **headers: str,
    ) -> tuple[int, dict]:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.check_hostname = False
        if pair is not None:
            context.load_cert_chain(*pair.write(self.folder, "client"))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port or self.tls, context=context, timeout=10
        )
        connection.request("POST", path, body=body, headers={"Host": host, **headers})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        is_json = response.getheader("Content-Type") == "application/json"
        return response.status, json.loads(text) if is_json else {}


@pytest.fixture(scope="module")
def edge(nginx_program: str) -> Iterator[Edge]:
    folder = Path(tempfile.mkdtemp(prefix="portal-nginx-"))
    # nginx's worker may run as another user than the one that made the sockets.
    folder.chmod(0o755)
    authority = Authority()
    for name in ("agents", "pages"):
        authority.server(AGENTS, PAGES, "127.0.0.1").write(folder, name)
    tls = folder / "data" / "tls"
    tls.mkdir(parents=True)
    for path in (tls / "trust-anchors.pem", folder / "ca.pem"):
        path.write_text(authority.pem)
    (folder / "proxy.conf").write_text(f'proxy_set_header X-Portal-Proxy-Secret "{SECRET}";\n')
    edge = Edge(free_port(), free_port(), free_port(), folder, authority)
    configuration = sample(
        {
            "listen 443 ssl": f"listen 127.0.0.1:{edge.tls} ssl",
            "listen 80": f"listen 127.0.0.1:{edge.plain}",
            "/run/portal": str(folder),
            "/etc/portal": str(folder),
            "/var/lib/portal": str(folder / "data"),
        }
    )
    # A second proxy that writes the header as IIS ARR does, or forgets its secret.
    arr = base64.b64encode(authority.client("arr").der).decode()
    configuration += f"""
        server {{
            listen 127.0.0.1:{edge.arr} ssl;
            ssl_certificate {folder}/agents.pem;
            ssl_certificate_key {folder}/agents.key;
            proxy_http_version 1.1;
            proxy_set_header X-ARR-ClientCert "{arr}";
            proxy_set_header Host $host;
            location /KeyfactorAgents/arr {{
                include {folder}/proxy.conf;
                proxy_set_header Host $host;
                proxy_set_header X-ARR-ClientCert "{arr}";
                proxy_pass http://portal_agents;
            }}
            location /KeyfactorAgents/two {{
                include {folder}/proxy.conf;
                proxy_set_header Host $host;
                proxy_set_header X-ARR-ClientCert "{arr},{arr}";
                proxy_pass http://portal_agents;
            }}
            location /KeyfactorAgents/appended {{
                include {folder}/proxy.conf;
                proxy_set_header Host $host;
                proxy_set_header X-ARR-ClientCert "$http_x_arr_clientcert, {arr}";
                proxy_pass http://portal_agents;
            }}
            location /KeyfactorAgents/no-secret {{ proxy_pass http://portal_agents; }}
        }}
    """
    common = {"PORTAL_PROXY_ADDRESSES": "unix", "PORTAL_PROXY_SECRET": SECRET}
    sides = {
        "agents": {"PORTAL_EDGE": "agents", "PORTAL_CLIENT_CERTIFICATE_SOURCE": "header"},
        "pages": {"PORTAL_EDGE": "pages", "PORTAL_CLIENT_CERTIFICATE_SOURCE": "none"},
    }
    try:
        with ExitStack() as servers:
            for name, environment in sides.items():
                socket = folder / f"{name}.sock"
                process = gunicorn(
                    "gunicorn_proxied",
                    f"unix:{socket}",
                    folder / "data",
                    folder / f"{name}.log",
                    {**common, **environment},
                )
                servers.enter_context(running(process, lambda socket=socket: accepts(socket)))
            servers.enter_context(nginx(nginx_program, folder / "nginx", configuration))
            yield edge
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fingerprint(pair: Pair) -> str:
    return sha256(pair.der).hexdigest()


@pytest.mark.parametrize(
    "dates",
    [{}, {"from_days": -366, "to_days": -1}, {"from_days": 1, "to_days": 365}],
    ids=["valid", "expired", "not yet valid"],
)
def test_a_certificate_reaches_the_portal_with_method_and_body(
    edge: Edge, dates: dict[str, float]
) -> None:
    pair = edge.authority.client("agent", **dates)
    status, seen = edge.ask(pair)
    assert (status, seen["certificate"]) == (200, fingerprint(pair))
    assert (seen["method"], seen["path"]) == ("POST", REGISTER)
    assert seen["body"] == '{"ClientMachine":"x"}'


def test_no_certificate_is_passed_on_as_none(edge: Edge) -> None:
    assert edge.ask()[1]["certificate"] is None


def test_a_foreign_certificate_is_for_the_portal_to_judge(edge: Edge) -> None:
    """nginx has no verdict of its own here; the portal verifies the chain (T10)."""
    foreign = Authority("Test CA").client("agent")
    assert edge.ask(foreign)[1]["certificate"] == fingerprint(foreign)


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_a_certificate_for_another_purpose_is_for_the_portal_to_judge(
    edge: Edge, kind: str
) -> None:
    pair = edge.authority.unsuitable("agent", kind)
    assert edge.ask(pair)[1]["certificate"] == fingerprint(pair)


@pytest.mark.parametrize(
    "name", ["X-ARR-ClientCert", "x-arr-clientcert", "X_ARR_ClientCert", "X-Arr_ClientCert"]
)
def test_a_header_of_the_client_is_overwritten(edge: Edge, name: str) -> None:
    own, victim = edge.authority.client("agent"), edge.authority.client("victim")
    forged = quote(victim.pem)
    assert edge.ask(own, **{name: forged})[1]["certificate"] == fingerprint(own)
    assert edge.ask(None, **{name: forged})[1]["certificate"] is None
    # Naming the header in Connection asks the proxy to drop it (RFC 9110 §7.6.1).
    dropped = edge.ask(own, **{name: forged, "Connection": f"close, {name}"})[1]
    assert dropped["certificate"] == fingerprint(own)


def test_client_address_scheme_and_request_id_are_the_proxys(edge: Edge) -> None:
    forged = {
        "X-Forwarded-For": "10.9.8.7",
        "X-Forwarded-Proto": "http",
        "X-Portal-Proxy-Secret": "guess",
        "X-Request-ID": "forged-by-a-client",
    }
    seen = edge.ask(**forged)[1]
    assert (seen["address"], seen["scheme"], seen["host"]) == ("127.0.0.1", "https", AGENTS)
    assert seen["from_proxy"] is True


def test_the_form_of_iis_arr_is_read(edge: Edge) -> None:
    status, seen = edge.ask(port=edge.arr, path="/KeyfactorAgents/arr")
    assert status == 200
    assert seen["certificate"] is not None


@pytest.mark.parametrize("path", ["/KeyfactorAgents/two", "/KeyfactorAgents/appended"])
def test_two_values_are_a_bad_request(edge: Edge, path: str) -> None:
    status, seen = edge.ask(port=edge.arr, path=path, **{"X-ARR-ClientCert": "x"})
    assert (status, seen["certificate"], seen["problem"]) == (400, None, "A01F0044")


def test_the_header_of_a_proxy_without_the_secret_is_ignored(edge: Edge) -> None:
    status, seen = edge.ask(port=edge.arr, path="/KeyfactorAgents/no-secret")
    assert (status, seen["certificate"], seen["from_proxy"]) == (200, None, False)


def test_register_bodies_are_bounded_before_the_portal(edge: Edge) -> None:
    pair = edge.authority.client("agent")
    assert edge.ask(pair, body=b"x" * 64 * 1024)[0] == 200
    assert edge.ask(pair, body=b"x" * (64 * 1024 + 1))[0] == 413
    assert edge.ask(pair, path=REGISTER.lower(), body=b"x" * (64 * 1024 + 1))[0] == 413


def test_each_name_has_its_own_face(edge: Edge) -> None:
    assert edge.ask(host=PAGES, path="/orchestrators")[0] == 200
    assert edge.ask(host=PAGES)[0] == 404
    assert edge.ask(host=AGENTS, path="/orchestrators")[0] == 404
    assert edge.ask(host=AGENTS, path="/keyfactorapi/Agents")[1]["path"] == "/KeyfactorAPI/Agents"


def test_cookies_reach_the_pages_only(edge: Edge) -> None:
    cookie = {"Cookie": "sessionid=x"}
    assert edge.ask(host=PAGES, path="/", **cookie)[1]["cookies"] == {"sessionid": "x"}
    assert edge.ask(host=AGENTS, path="/KeyfactorAPI/Agents", **cookie)[1]["cookies"] == {}


def test_pages_never_see_a_client_certificate(edge: Edge) -> None:
    seen = edge.ask(edge.authority.client("agent"), host=PAGES, path="/")[1]
    assert seen["certificate"] is None
    assert "HTTP_X_ARR_CLIENTCERT" not in seen["headers"]


@pytest.mark.parametrize(
    "path", ["/KeyfactorAgents//Session/Register", "/KeyfactorAgents/Session%2fRegister"]
)
def test_what_nginx_would_merge_is_refused_by_the_portal(edge: Edge, path: str) -> None:
    assert edge.ask(path=path)[0] == 400


def test_revocation_lists_are_served_over_plain_http(edge: Edge) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", edge.plain, timeout=10)
    connection.request("GET", "/crl/issuing.crl", headers={"Host": PAGES})
    seen = json.loads(connection.getresponse().read())
    assert (seen["path"], seen["scheme"]) == ("/crl/issuing.crl", "http")
    connection.request("GET", "/orchestrators?x=1", headers={"Host": PAGES})
    response = connection.getresponse()
    assert response.getheader("Location") == f"https://{PAGES}/orchestrators?x=1"
    connection.close()
