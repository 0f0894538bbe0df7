"""What the demonstration sees: the REST API, an orchestrator's log and key file, the CRL.

Owns the reading; which of it must be so is `__main__.py`'s.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from orchestrators.agent import wire
from orchestrators.agent.client import Portal
from orchestrators.agent.home import Home
from orchestrators.agent.install import open_store
from orchestrators.agent.settings import PASSWORD_MEMBER, read_settings
from renewal.x509.certificates import serial_text
from tests.services.processes import ROOT

_CODE = re.compile(r"returned: .* \((A01[0-9A-F]{5})\)$", re.MULTILINE)
_EVENT = re.compile(
    r"returned: .* \((?P<code>A01[0-9A-F]{5})\)$|Session granted .*serial (?P<serial>[0-9a-f]+)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Rest:
    """A client of the management REST API with Basic."""

    base: str
    username: str
    password: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request; return the decoded answer. An HTTP error raises with its body."""
        token = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            f"{self.base}/KeyfactorAPI{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Basic {token}",
                "Content-Type": "application/json",
                "x-keyfactor-requested-with": "APIClient",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None
        return json.loads(content) if content else None

    def agent(self, agent_id: str) -> dict[str, Any]:
        """Return GET /Agents/{id}."""
        found: dict[str, Any] = self.call("GET", f"/Agents/{agent_id}")
        return found

    def presented_serial(self, agent_id: str) -> str:
        """Return the serial number of the certificate that the portal saw in the last handshake."""
        used = self.agent(agent_id)["LastThumbprintUsed"]
        query = urllib.parse.urlencode(
            {
                "QueryString": f'Thumbprint -eq "{used}"',
                "IncludeExpired": "true",
                "IncludeRevoked": "true",
            }
        )
        found = self.call("GET", f"/Certificates?{query}") if used else []
        return str(found[0]["SerialNumber"]).lower() if len(found) == 1 else ""


@dataclass
class Run:
    """One run of a reference orchestrator as a process of its own."""

    exit_status: int
    said: str

    @property
    def codes(self) -> list[str]:
        """Codes of the replies to Register, in order."""
        return _CODE.findall(self.said)

    @property
    def events(self) -> list[str]:
        """Reply codes and serials of granted sessions, in the order in which they came."""
        return [
            found["code"] or f"session with serial {found['serial']}"
            for found in _EVENT.finditer(self.said)
        ]

    @property
    def session_serials(self) -> list[str]:
        """Serial numbers of the certificates that got a session, in order."""
        return [found["serial"] for found in _EVENT.finditer(self.said) if found["serial"]]


def register(home: Path) -> str:
    """Register as the orchestrator of a home does first of all, bare: without a CSR.

    Returns the code of the reply, empty for none.
    """
    place = Home(home)
    settings = read_settings(place)
    identity = open_store(place, settings, None).load()
    assert identity is not None
    body = wire.register_body(
        client_machine=settings.orchestrator_name,
        agent_id=settings.orchestrator_id,
        csr="",
        capabilities=settings.capabilities,
        client_parameters={},
    )
    portal = Portal(settings.server_uri, place.resolve(settings.trust_store))
    return wire.read_register(portal.post(wire.REGISTER, body, identity)).result.code_text


def start(home: Path) -> subprocess.Popen[str]:
    """Start an orchestrator that ends when it has nothing more to do."""
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrators.agent", "--home", str(home), "--once"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Run:
    """Wait for an orchestrator and return what it said."""
    said, _ = process.communicate(timeout=90)
    return Run(process.returncode, said)


def installed_serial(home: Path) -> str:
    """Return the serial number of the certificate in the orchestrator's PKCS#12 file, opened with
    the password of its secrets file.
    """
    secrets = json.loads(Home(home).secrets.read_text())
    _, certificate, _ = pkcs12.load_key_and_certificates(
        (home / "configuration" / "orchestrator.p12").read_bytes(),
        secrets[PASSWORD_MEMBER].encode(),
    )
    assert certificate is not None
    return serial_text(certificate.serial_number)


def revoked(pages_url: str, authority: str) -> dict[str, str]:
    """Download the CRL; return serial number -> reason."""
    url = f"{pages_url}/crl/{urllib.parse.quote(authority)}.crl"
    with urllib.request.urlopen(url, timeout=10) as answer:
        listed = x509.load_der_x509_crl(answer.read())
    found: dict[str, str] = {}
    for entry in listed:
        try:
            reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
        except x509.ExtensionNotFound:
            reason = "unspecified"
        found[serial_text(entry.serial_number)] = reason
    return found


def until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Poll until a condition holds or the time is over; return whether it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
