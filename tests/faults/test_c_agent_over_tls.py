"""An existing C agent on a running portal, over real mutual TLS, from its first start on.

Owns one journey; what the agent does in every other case is `tests/agent_api/test_c_agent.py`'s,
with the same player.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.agent_api.c_agent import Answer, CAgent, Config, Identity
from tests.faults.site import Site
from tests.services.processes import wait_until


@dataclass
class Tls:
    """The agent's wire: a connection for each call, with the certificate of that moment."""

    site: Site

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        identity: Identity | None,
        basic: tuple[str, str] | None,
    ) -> Answer:
        context = ssl.create_default_context(cafile=str(self.site.portal.ca_file))
        if identity is not None:
            context.load_cert_chain(self._file(identity))
        encoded = base64.b64encode(":".join(basic or ("", "")).encode()).decode()
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.site.portal.agents_port, context=context, timeout=60
        )
        try:
            connection.request(
                "POST",
                f"/KeyfactorAgents{path}",
                json.dumps(body),
                {"Content-Type": "application/json", "Authorization": f"Basic {encoded}"},
            )
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            connection.close()

    def _file(self, identity: Identity) -> str:
        certificate = x509.load_der_x509_certificate(identity.certificate_der)
        path = self.site.folder / f"c-agent-{thumbprint(identity)}.pem"
        path.write_bytes(
            identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
        )
        return str(path)


def thumbprint(identity: Identity | None) -> str:
    assert identity is not None
    certificate = x509.load_der_x509_certificate(identity.certificate_der)
    return certificate.fingerprint(hashes.SHA1()).hex().upper()


@pytest.mark.parametrize("version", [2, 3], ids=["2.19", "3.0"])
def test_it_enrolls_renews_on_both_flags_and_goes_on_with_each_new_certificate(
    site: Site, version: int
) -> None:
    name = f"c-agent-{version}"
    site.use("plain")
    made = site.terminal("bootstrap_credential", "--name", f"for-{name}", "--one-time")
    config = Config(name, Username=f"for-{name}", Password=str(made["secret"]))
    agent = CAgent(Tls(site), config, lambda: datetime.now(UTC), version=version)

    assert agent.start() == 1
    assert "A01F0001" in agent.log[-1]
    site.terminal("approve", "--name", name)
    assert agent.start() == 0
    assert not config.EnrollOnStartup
    # From here on it sends what existing agents send without an account: "Og==".
    config.Username = config.Password = ""

    for flag in (1, 2):
        old = thumbprint(agent.identity)
        site.rest.call(
            "POST",
            "/Agents/SetAuthCertificateReenrollment",
            {"OrchestratorIds": [config.AgentId], "Status": flag},
        )
        assert agent.start() == 0
        new = thumbprint(agent.identity)
        assert new != old
        record = site.rest.agent(config.AgentId)
        assert (record["Thumbprint"], record["LegacyThumbprint"]) == (new, old)
        assert agent.start() == 0
        assert agent.token
        record = site.rest.agent(config.AgentId)
        assert (record["Thumbprint"], record["LegacyThumbprint"]) == (new, None)
        assert record["AuthCertificateReenrollment"] == "None"
        assert record["LastThumbprintUsed"] == new
    site.settle_revocations()
    wait_until(
        lambda: [row["state"] for row in site.rows.revocations(name)] == ["done", "done"],
        "both old certificates are revoked",
    )
