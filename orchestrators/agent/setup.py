"""Making the home of an orchestrator: the ``init`` command.

Owns which files a new home has. The portal's page "Add orchestrator" shows the command; tests and
demonstrations call ``initialize``. Does not talk to the portal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509

from orchestrators.agent import files
from orchestrators.agent.home import DEFAULT_EXTENSIONS, Home
from orchestrators.agent.settings import (
    BOOTSTRAP_MEMBERS,
    DEFAULT_SCRIPT_TIMEOUT,
    PASSWORD_MEMBER,
    SECTION,
    SettingsError,
    read_settings,
)
from orchestrators.agent.store import open_pem, open_pkcs12
from orchestrators.protocol.terms import Capability

_PKCS12_NAME = "orchestrator.p12"
_CERTIFICATE_NAME, _KEY_NAME = "orchestrator.pem", "orchestrator.key"
_TRUST_NAME = "ca.pem"
_FOLDER = "configuration"


@dataclass(frozen=True)
class Pkcs12File:
    """Start with the certificate in a PKCS#12 file."""

    path: Path
    password: str = field(repr=False)


@dataclass(frozen=True)
class PemFiles:
    """Start with a certificate and its unencrypted key in PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class WindowsCertificate:
    """Start with a certificate that is in a Windows personal store."""

    thumbprint: str


@dataclass(frozen=True)
class Bootstrap:
    """Start without a certificate, with a bootstrap credential; enroll into a PKCS#12 file."""

    username: str
    password: str = field(repr=False)


Start = Pkcs12File | PemFiles | WindowsCertificate | Bootstrap


@dataclass(frozen=True)
class NewHome:
    """What a home is made from. Relative paths in the settings count from the home."""

    url: str
    name: str
    start: Start
    ca_file: Path | None = None
    orchestrator_id: str = ""
    updater: Mapping[str, str] = field(default_factory=dict)
    client_parameters: Mapping[str, str] = field(default_factory=dict)
    capabilities: Sequence[str] = (Capability.FETCH_LOGS,)


def initialize(home: Home, new: NewHome, *, force: bool = False) -> None:
    """Write the configuration folder. With ``force`` a present identity is given up.

    Raises SettingsError, StoreError.
    """
    if home.app_settings.exists() and not force:
        raise SettingsError(f"{home.app_settings} exists already; --force replaces it")
    members, secrets, contents = _start(new.start)
    if new.ca_file is not None:
        contents[_TRUST_NAME] = _trust_store(new.ca_file)
        members["TrustStore"] = f"{_FOLDER}/{_TRUST_NAME}"
    home.configuration.mkdir(parents=True, exist_ok=True, mode=0o700)
    home.resolve(DEFAULT_EXTENSIONS).mkdir(exist_ok=True)
    for gone in (_PKCS12_NAME, _CERTIFICATE_NAME, _KEY_NAME, home.pending, home.journal):
        files.remove(home.configuration / gone)
    for name, content in contents.items():
        files.write_atomic(home.configuration / name, content)
    files.write_atomic(home.secrets, _document(secrets))
    files.write_atomic(home.app_settings, _document({SECTION: _settings(new, members)}))
    read_settings(home)


def _settings(new: NewHome, members: Mapping[str, str]) -> dict[str, Any]:
    optional = {
        "RegistrationUpdater": dict(new.updater),
        "ClientParameters": dict(new.client_parameters),
    }
    return {
        "AgentsServerUri": new.url,
        "OrchestratorName": new.name,
        "OrchestratorId": new.orchestrator_id,
        "AuthCertThumbprint": "",
        **members,
        "ExtensionsDirectory": DEFAULT_EXTENSIONS,
        "ScriptTimeout": DEFAULT_SCRIPT_TIMEOUT,
        "Capabilities": list(new.capabilities),
        **{name: value for name, value in optional.items() if value},
    }


def _start(start: Start) -> tuple[dict[str, str], dict[str, str], dict[str, bytes]]:
    """Return members of the settings, members of the secrets, and files."""
    pkcs12 = {"CertPath": f"{_FOLDER}/{_PKCS12_NAME}"}
    match start:
        case Bootstrap(username, password):
            if not username or ":" in username or not password:
                raise SettingsError("a bootstrap credential is a user without ':' and a password")
            return pkcs12, dict(zip(BOOTSTRAP_MEMBERS, (username, password), strict=True)), {}
        case Pkcs12File(path, password):
            content = _read(path)
            open_pkcs12(content, password, str(path))
            return pkcs12, {PASSWORD_MEMBER: password}, {_PKCS12_NAME: content}
        case WindowsCertificate(thumbprint):
            return {"AuthCertThumbprint": thumbprint}, {}, {}
        case PemFiles(certificate, key):
            contents = {_CERTIFICATE_NAME: _read(certificate), _KEY_NAME: _read(key)}
            open_pem(contents[_CERTIFICATE_NAME], contents[_KEY_NAME])
            members = {
                "CertPath": f"{_FOLDER}/{_CERTIFICATE_NAME}",
                "KeyPath": f"{_FOLDER}/{_KEY_NAME}",
            }
            return members, {}, contents


def _trust_store(path: Path) -> bytes:
    content = _read(path)
    try:
        x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise SettingsError(f"{path} is not a PEM file of CA certificates") from error
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error


def _document(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
