"""The deployment's configuration: every environment variable, typed, defaulted and described.

Owns the reading of the environment and of the data folder's secrets. Does not know Django;
`portal/settings.py` turns the result into Django settings. What operators change while the
portal runs (periods, CA, template …) is not here but in `portal/preferences`.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import environ

ROOT = Path(__file__).resolve().parent.parent


class ConfigurationInvalid(ValueError):
    """An environment variable has a value that the portal does not know; names it."""


@dataclass(frozen=True)
class PortalConfig:
    """One deployment. Each field names the environment variable that sets it."""

    data_dir: Path
    """PORTAL_DATA_DIR: database (embedded), CA keys, TLS files, sockets. Default: var/."""
    database_url: str
    """DATABASE_URL: SQLite in the data folder unless set (``postgres://…`` in production)."""
    redis_url: str
    """REDIS_URL: broker of Celery; empty means the embedded broker in the data folder."""
    secret_key: str
    """PORTAL_SECRET_KEY; else made once and kept in the data folder (mode 0600)."""
    encryption_key: str
    """PORTAL_ENCRYPTION_KEY: encrypts CA secrets at rest; else made once and kept."""
    allowed_hosts: tuple[str, ...]
    """PORTAL_ALLOWED_HOSTS, comma-separated."""
    public_url: str
    """PORTAL_PUBLIC_URL: where browsers and CRL readers reach the pages."""
    agent_url: str
    """PORTAL_AGENT_URL: where orchestrators reach the agent protocol, ends in /KeyfactorAgents."""
    edge: str
    """PORTAL_EDGE: ``agents`` (TLS port: agent protocol, REST without cookies), ``pages`` (no agent
    protocol) or ``both`` (one server behind a proxy that separates the names)."""
    certificate_source: str
    """PORTAL_CLIENT_CERTIFICATE_SOURCE: ``none``, ``socket`` (this process ends TLS) or
    ``header`` (an authenticated proxy does)."""
    certificate_header: str
    """PORTAL_CLIENT_CERTIFICATE_HEADER, for instance X-ARR-ClientCert."""
    proxy_secret: str
    """PORTAL_PROXY_SECRET: shared secret that the proxy sends in X-Portal-Proxy-Secret."""
    proxy_addresses: tuple[str, ...]
    """PORTAL_PROXY_ADDRESSES: addresses or networks of the proxy; ``unix`` for a unix socket."""
    secure_cookies: bool
    """PORTAL_SECURE_COOKIES: off only for pages over plain HTTP on loopback."""
    ca_types: Mapping[str, str] = field(default_factory=dict)
    """PORTAL_CA_TYPES: further CA types, ``alias=dotted.path.Class``, comma-separated."""
    registration_handlers: tuple[str, ...] = ()
    """PORTAL_REGISTRATION_HANDLERS: dotted paths of handler classes, in order, comma-separated."""
    api_calls_per_caller: int = 1200
    """PORTAL_API_CALLS_PER_CALLER: calls of the REST API in a minute for a token, or for a user
    without one; 0 is no limit."""
    api_calls_per_address: int = 3000
    """PORTAL_API_CALLS_PER_ADDRESS: the same for an address (of IPv6 a /64)."""
    audit_checkpoints_file: str = ""
    """PORTAL_AUDIT_CHECKPOINTS: file of the audit log's checkpoints, best on another machine's
    disk; default: audit/checkpoints.jsonl in the data folder."""
    audit_syslog: str = ""
    """PORTAL_AUDIT_SYSLOG: ``host:port`` (UDP) or a socket that gets each checkpoint."""
    secret_key_fallbacks: tuple[str, ...] = ()
    """PORTAL_SECRET_KEY_FALLBACKS: secrets before the present one, comma-separated, while what was
    made under them is still to be believed: sessions, rows of the audit log without a seal."""
    database_conn_max_age: int | None = None
    database_prepares: bool = True
    """PORTAL_DATABASE_PREPARES: off behind a pooler that shares connections by transaction and
    does not carry prepared statements along."""

    @property
    def audit_folder(self) -> Path:
        """Folder of the key that signs the audit log and of its public keys."""
        return self.data_dir / "audit"

    @property
    def audit_checkpoints(self) -> Path:
        """File of the audit log's checkpoints."""
        return Path(self.audit_checkpoints_file or self.audit_folder / "checkpoints.jsonl")

    @property
    def anchors_file(self) -> Path:
        """PEM file of the trust anchors that the TLS edge offers to clients."""
        return self.data_dir / "tls" / "trust-anchors.pem"

    @property
    def ca_file(self) -> Path:
        """PEM file that orchestrators trust: the root above the portal's server certificate."""
        return self.data_dir / "tls" / "ca.pem"

    @property
    def server_certificate_file(self) -> Path:
        """PEM chain of the embedded TLS server."""
        return self.data_dir / "tls" / "server.pem"

    @property
    def server_key_file(self) -> Path:
        """Private key of the embedded TLS server, mode 0600."""
        return self.data_dir / "tls" / "server.key"

    @property
    def run_dir(self) -> Path:
        """Private folder of sockets, in the data folder where its path is short enough.

        The path of a unix socket has at most 107 bytes (unix(7), ``sun_path``); many programs
        append a suffix while they create it.
        """
        inside = self.data_dir / "run"
        if len(os.fsencode(inside)) <= 80:
            return inside
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        return Path("/tmp") / f"portal-{os.getuid()}-{digest}"  # noqa: S108 (checked by its maker)

    @property
    def broker_socket(self) -> Path:
        """Unix socket of the embedded broker."""
        return self.run_dir / "broker.sock"

    @property
    def broker_url(self) -> str:
        """Return the URL of the Redis-protocol broker."""
        return self.redis_url or f"redis+socket://{quote(str(self.broker_socket))}"


EDGES = ("agents", "pages", "both")
CERTIFICATE_SOURCES = ("none", "socket", "header")


def load(environment: Mapping[str, str] | None = None) -> PortalConfig:
    """Read the configuration. Raises ConfigurationInvalid."""
    env = environ.Env()
    env.ENVIRON = dict(os.environ if environment is None else environment)
    data_dir = Path(env.str("PORTAL_DATA_DIR", default=str(ROOT / "var"))).absolute()
    return PortalConfig(
        data_dir=data_dir,
        database_url=env.str("DATABASE_URL", default="")
        or f"sqlite:///{data_dir / 'portal.sqlite3'}",
        redis_url=env.str("REDIS_URL", default=""),
        secret_key=env.str("PORTAL_SECRET_KEY", default="") or _kept(data_dir / "secret.key"),
        encryption_key=env.str("PORTAL_ENCRYPTION_KEY", default="")
        or _kept(data_dir / "encryption.key"),
        allowed_hosts=tuple(
            env.list("PORTAL_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
        ),
        public_url=env.str("PORTAL_PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/"),
        agent_url=env.str("PORTAL_AGENT_URL", default="https://127.0.0.1:8443/KeyfactorAgents"),
        edge=_choice(env.str("PORTAL_EDGE", default="pages"), EDGES, "PORTAL_EDGE"),
        certificate_source=_choice(
            env.str("PORTAL_CLIENT_CERTIFICATE_SOURCE", default="none"),
            CERTIFICATE_SOURCES,
            "PORTAL_CLIENT_CERTIFICATE_SOURCE",
        ),
        certificate_header=env.str("PORTAL_CLIENT_CERTIFICATE_HEADER", default="X-ARR-ClientCert"),
        proxy_secret=env.str("PORTAL_PROXY_SECRET", default=""),
        proxy_addresses=tuple(env.list("PORTAL_PROXY_ADDRESSES", default=[])),
        secure_cookies=env.bool("PORTAL_SECURE_COOKIES", default=True),
        ca_types=_aliases(env.list("PORTAL_CA_TYPES", default=[])),
        registration_handlers=_paths(env.list("PORTAL_REGISTRATION_HANDLERS", default=[])),
        api_calls_per_caller=env.int("PORTAL_API_CALLS_PER_CALLER", default=1200),
        api_calls_per_address=env.int("PORTAL_API_CALLS_PER_ADDRESS", default=3000),
        audit_checkpoints_file=env.str("PORTAL_AUDIT_CHECKPOINTS", default=""),
        audit_syslog=env.str("PORTAL_AUDIT_SYSLOG", default=""),
        secret_key_fallbacks=tuple(env.list("PORTAL_SECRET_KEY_FALLBACKS", default=[])),
        database_conn_max_age=env.int("PORTAL_DATABASE_CONN_MAX_AGE", default=600),
        database_prepares=env.bool("PORTAL_DATABASE_PREPARES", default=True),
    )


def _choice(value: str, known: tuple[str, ...], variable: str) -> str:
    if value not in known:
        raise ConfigurationInvalid(f"{variable} is {value!r}; it must be one of {known}")
    return value


def _aliases(entries: list[str]) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for entry in entries:
        alias, equals, path = entry.partition("=")
        if not (alias and equals and path):
            raise ConfigurationInvalid(f"PORTAL_CA_TYPES: {entry!r} is not alias=dotted.path")
        aliases[alias.strip()] = path.strip()
    return aliases


def _paths(entries: list[str]) -> tuple[str, ...]:
    paths = tuple(entry.strip() for entry in entries if entry.strip())
    for path in paths:
        if "." not in path or not all(part.isidentifier() for part in path.split(".")):
            raise ConfigurationInvalid(
                f"PORTAL_REGISTRATION_HANDLERS: {path!r} is not a dotted path of a class"
            )
    if len(set(paths)) < len(paths):
        raise ConfigurationInvalid("PORTAL_REGISTRATION_HANDLERS names a class twice")
    return paths


def _kept(path: Path) -> str:
    """Return the secret in ``path``; make it once, so that two processes agree on one value."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationInvalid(
            f"the data folder {path.parent} cannot be made (PORTAL_DATA_DIR): {error.strerror}"
        ) from None
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        # Another process may have created the file and not yet written it.
        for _ in range(1000):
            if value := path.read_text().strip():
                return value
        raise ConfigurationInvalid(f"{path} is empty; remove it or write a secret") from None
    with os.fdopen(descriptor, "w") as file:
        value = secrets.token_urlsafe(48)
        file.write(value)
    return value
