"""What ``manage.py check --deploy`` says about a deployment's configuration.

Owns the judgement on ``PortalConfig`` and the few Django settings that follow from it. Errors are
configurations in which somebody else could be believed to be an orchestrator or an operator;
warnings are those that work worse than they could.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from portal.conf import PortalConfig

_SHORTEST_SECRET = 32
_FEWEST_CHARACTERS = 8


def register_checks() -> None:
    """Make the deployment check known to Django; called when the application is ready."""
    register(check_deployment, Tags.security, deploy=True)


def check_deployment(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Judge the configuration of this process."""
    return [
        *client_certificates(settings.CONFIG),
        *secrets(settings.CONFIG),
        *addresses(settings.CONFIG, debug=settings.DEBUG),
        *cookies(settings.CONFIG),
        *data(settings.CONFIG),
    ]


def client_certificates(config: PortalConfig) -> Iterator[CheckMessage]:
    """Yield what is unsafe about where client certificates come from."""
    if config.certificate_source == "header":
        yield from _header_source(config)
    if config.certificate_source == "socket" and config.edge == "pages":
        yield Error(
            "The pages' process asks for client certificates at its TLS socket.",
            hint="Set PORTAL_CLIENT_CERTIFICATE_SOURCE=none for PORTAL_EDGE=pages.",
            id="portal.E003",
        )
    if config.certificate_source == "socket" and config.proxy_addresses:
        yield Error(
            "A proxy is configured, but client certificates are read from the TLS socket: the "
            "proxy's own certificate would count as the orchestrator's.",
            hint="Set PORTAL_CLIENT_CERTIFICATE_SOURCE=header, or remove PORTAL_PROXY_ADDRESSES.",
            id="portal.E004",
        )
    if config.certificate_source == "none" and config.edge != "pages":
        yield Warning(
            "The agent protocol is served, but no client certificate is ever read.",
            hint="Set PORTAL_CLIENT_CERTIFICATE_SOURCE to socket or header.",
            id="portal.W001",
        )


def _header_source(config: PortalConfig) -> Iterator[CheckMessage]:
    if not config.proxy_addresses:
        yield Error(
            "Client certificates are read from a header, but no proxy is configured.",
            hint="Set PORTAL_PROXY_ADDRESSES (and PORTAL_PROXY_SECRET unless it is only 'unix').",
            id="portal.E001",
        )
    over_network = [entry for entry in config.proxy_addresses if entry != "unix"]
    if over_network and not config.proxy_secret:
        yield Error(
            "A proxy is known by its address alone; anybody on that host could send the header.",
            hint="Set PORTAL_PROXY_SECRET and let the proxy send it in X-Portal-Proxy-Secret.",
            id="portal.E002",
        )
    for entry in over_network:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            yield Error(
                f"PORTAL_PROXY_ADDRESSES: {entry!r} is not an address, a network or 'unix'.",
                id="portal.E005",
            )
            continue
        if network.prefixlen < (16 if network.version == 4 else 48):
            yield Error(
                f"PORTAL_PROXY_ADDRESSES: {entry} is no proxy's network but a large part of the "
                "address space.",
                hint="Name the proxy's own addresses.",
                id="portal.E006",
            )


def secrets(config: PortalConfig) -> Iterator[CheckMessage]:
    """Yield each secret that could be guessed."""
    for variable, value in (
        ("PORTAL_SECRET_KEY", config.secret_key),
        ("PORTAL_ENCRYPTION_KEY", config.encryption_key),
        ("PORTAL_PROXY_SECRET", config.proxy_secret),
        *(("PORTAL_SECRET_KEY_FALLBACKS", value) for value in config.secret_key_fallbacks),
    ):
        if value and (len(value) < _SHORTEST_SECRET or len(set(value)) < _FEWEST_CHARACTERS):
            yield Error(
                f"{variable} is short or repetitive.",
                hint="Leave the keys unset, so that the portal makes them, or use "
                "`openssl rand -base64 48`.",
                id="portal.E010",
            )
    if config.secret_key == config.encryption_key:
        yield Error(
            "PORTAL_SECRET_KEY and PORTAL_ENCRYPTION_KEY are the same.",
            hint="Use two secrets: one signs sessions, one encrypts the secrets of CAs.",
            id="portal.E011",
        )


def addresses(config: PortalConfig, *, debug: bool) -> Iterator[CheckMessage]:
    """Yield what is unsafe about names and addresses."""
    if debug:
        yield Error("DEBUG is on: error pages show settings to anybody.", id="portal.E020")
    if not config.allowed_hosts or "*" in config.allowed_hosts:
        yield Error(
            "PORTAL_ALLOWED_HOSTS allows any Host header.",
            hint="Name the hosts under which pages and agents reach the portal.",
            id="portal.E021",
        )
    if not config.agent_url.startswith("https://"):
        yield Error(
            "PORTAL_AGENT_URL is not https: there is no client certificate without TLS.",
            id="portal.E022",
        )


def cookies(config: PortalConfig) -> Iterator[CheckMessage]:
    """Yield what would let a session cookie be read on its way."""
    public = urlsplit(config.public_url)
    if _is_loopback(public.hostname or ""):
        return
    if public.scheme != "https":
        yield Error(
            "PORTAL_PUBLIC_URL is plain HTTP on an address that is not loopback.",
            hint="Serve the pages over https.",
            id="portal.E030",
        )
    if not config.secure_cookies:
        yield Error(
            "PORTAL_SECURE_COOKIES is off although the pages are not on loopback.",
            hint="Remove the variable; cookies are secure by default.",
            id="portal.E031",
        )


def data(config: PortalConfig) -> Iterator[CheckMessage]:
    """Yield what does not scale beyond one host or one process."""
    if config.database_url.startswith("sqlite"):
        if config.edge == "both" or config.redis_url:
            yield Warning(
                "SQLite lives on one host; a shared broker or a proxy suggests several.",
                hint="Set DATABASE_URL to a PostgreSQL database.",
                id="portal.W010",
            )
    elif not config.redis_url:
        yield Warning(
            "PostgreSQL is used with the embedded broker, which only this host can reach.",
            hint="Set REDIS_URL if workers or web processes run on other hosts.",
            id="portal.W011",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
