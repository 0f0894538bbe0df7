"""Each unsafe configuration is named by ``check --deploy``, and the safe ones are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from django.test import override_settings

from portal import checks
from portal.conf import PortalConfig

SECRETS = {
    "PORTAL_SECRET_KEY": "s3cret-key-of-sessions-0123456789-abcdef",
    "PORTAL_ENCRYPTION_KEY": "another-key-for-authorities-0123456789",
}

PRODUCTION = PortalConfig(
    data_dir=Path("/nonexistent"),
    database_url="postgres:///portal",
    redis_url="redis://broker:6379/0",
    secret_key=SECRETS["PORTAL_SECRET_KEY"],
    encryption_key=SECRETS["PORTAL_ENCRYPTION_KEY"],
    allowed_hosts=("portal.example", "agents.portal.example"),
    public_url="https://portal.example",
    agent_url="https://agents.portal.example/KeyfactorAgents",
    edge="both",
    certificate_source="header",
    certificate_header="X-ARR-ClientCert",
    proxy_secret="",
    proxy_addresses=("unix",),
    secure_cookies=True,
)
EMBEDDED = replace(
    PRODUCTION,
    database_url="sqlite:////var/lib/portal/portal.sqlite3",
    redis_url="",
    allowed_hosts=("127.0.0.1", "localhost"),
    public_url="http://127.0.0.1:8000",
    agent_url="https://127.0.0.1:8443/KeyfactorAgents",
    edge="agents",
    certificate_source="socket",
    proxy_addresses=(),
    secure_cookies=False,
)
SECRET = "a-shared-secret-of-the-proxy-0123456789"

TABLE: dict[str, tuple[PortalConfig, set[str]]] = {
    "production behind a unix socket": (PRODUCTION, set()),
    "production behind an address with a secret": (
        replace(PRODUCTION, proxy_addresses=("10.0.0.7",), proxy_secret=SECRET),
        set(),
    ),
    "the embedded agents' port": (EMBEDDED, set()),
    "the embedded pages' port": (
        replace(EMBEDDED, edge="pages", certificate_source="none"),
        set(),
    ),
    "header without any proxy": (replace(PRODUCTION, proxy_addresses=()), {"portal.E001"}),
    "header from an address without a secret": (
        replace(PRODUCTION, proxy_addresses=("10.0.0.7",)),
        {"portal.E002"},
    ),
    "header from a socket and from an address without a secret": (
        replace(PRODUCTION, proxy_addresses=("unix", "10.0.0.7")),
        {"portal.E002"},
    ),
    "proxy named by host": (
        replace(PRODUCTION, proxy_addresses=("proxy.example",), proxy_secret=SECRET),
        {"portal.E005"},
    ),
    "everybody is the proxy": (
        replace(PRODUCTION, proxy_addresses=("0.0.0.0/0", "::/0"), proxy_secret=SECRET),
        {"portal.E006"},
    ),
    "client certificates on the pages": (replace(EMBEDDED, edge="pages"), {"portal.E003"}),
    "socket behind a proxy": (
        replace(EMBEDDED, proxy_addresses=("unix",)),
        {"portal.E004"},
    ),
    "agents without client certificates": (
        replace(EMBEDDED, certificate_source="none"),
        {"portal.W001"},
    ),
    "weak session key": (replace(PRODUCTION, secret_key="changeme"), {"portal.E010"}),
    "repetitive encryption key": (replace(PRODUCTION, encryption_key="a" * 64), {"portal.E010"}),
    "weak proxy secret": (replace(PRODUCTION, proxy_secret="secret"), {"portal.E010"}),
    "weak secret before the present one": (
        replace(PRODUCTION, secret_key_fallbacks=("changeme",)),
        {"portal.E010"},
    ),
    "one secret for both purposes": (
        replace(PRODUCTION, encryption_key=PRODUCTION.secret_key),
        {"portal.E011"},
    ),
    "any host": (replace(PRODUCTION, allowed_hosts=("*",)), {"portal.E021"}),
    "agents over plain HTTP": (
        replace(PRODUCTION, agent_url="http://portal.example/KeyfactorAgents"),
        {"portal.E022"},
    ),
    "pages over plain HTTP": (
        replace(PRODUCTION, public_url="http://portal.example"),
        {"portal.E030"},
    ),
    "cookies that are not secure": (
        replace(PRODUCTION, secure_cookies=False),
        {"portal.E031"},
    ),
    "SQLite with a shared broker": (
        replace(PRODUCTION, database_url=EMBEDDED.database_url),
        {"portal.W010"},
    ),
    "PostgreSQL with the embedded broker": (replace(PRODUCTION, redis_url=""), {"portal.W011"}),
}


@pytest.mark.parametrize(("config", "ids"), TABLE.values(), ids=TABLE)
def test_a_configuration_and_what_is_said_about_it(config: PortalConfig, ids: set[str]) -> None:
    with override_settings(CONFIG=config, DEBUG=False):
        assert {message.id for message in checks.check_deployment(None)} == ids


def test_debug_is_an_error() -> None:
    with override_settings(CONFIG=PRODUCTION, DEBUG=True):
        assert {message.id for message in checks.check_deployment(None)} == {"portal.E020"}
