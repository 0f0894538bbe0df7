"""The configuration folder: appsettings.json and orchestratorsecrets.json.

Owns the names of the members, their checks and the edits that leave everything else in the files
as it is. Does not decide when a file is written: edits are returned as texts.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrators.agent.home import DEFAULT_EXTENSIONS, Home
from orchestrators.agent.jsontext import JsonTextError, Node, parse, with_member, without_member
from orchestrators.protocol.terms import Capability

SECTION = "AppSettings"
PASSWORD_MEMBER = "AuthCertPassword"  # noqa: S105 - the member's name
BOOTSTRAP_MEMBERS = ("BootstrapUsername", "BootstrapPassword")
DEFAULT_SCRIPT_TIMEOUT = 60


class SettingsError(Exception):
    """A file of the configuration folder is missing or wrong; the message says what to do."""


@dataclass(frozen=True)
class Settings:
    """The members of ``AppSettings`` that this orchestrator uses."""

    server_uri: str
    orchestrator_name: str
    orchestrator_id: str = ""
    cert_path: str = ""
    key_path: str = ""
    auth_cert_thumbprint: str = ""
    trust_store: str = ""
    extensions_directory: str = DEFAULT_EXTENSIONS
    script_timeout: int = DEFAULT_SCRIPT_TIMEOUT
    capabilities: tuple[str, ...] = (Capability.FETCH_LOGS,)
    client_parameters: Mapping[str, str] = field(default_factory=dict)
    updater: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Secrets:
    """The members of the secrets file that this orchestrator uses."""

    certificate_password: str = field(default="", repr=False)
    bootstrap_username: str = ""
    bootstrap_password: str = field(default="", repr=False)


def read_settings(home: Home) -> Settings:
    """Read appsettings.json. Raises SettingsError."""
    path = home.app_settings
    try:
        section = _Section(_object(_parsed(read_text(path)), SECTION))
        settings = Settings(
            server_uri=_checked_uri(section, "AgentsServerUri"),
            orchestrator_name=section.text("OrchestratorName", required=True),
            orchestrator_id=section.text("OrchestratorId"),
            cert_path=section.text("CertPath"),
            key_path=section.text("KeyPath"),
            auth_cert_thumbprint=section.text("AuthCertThumbprint"),
            trust_store=section.text("TrustStore"),
            extensions_directory=section.text("ExtensionsDirectory") or DEFAULT_EXTENSIONS,
            script_timeout=section.number("ScriptTimeout", DEFAULT_SCRIPT_TIMEOUT),
            capabilities=section.texts("Capabilities", (Capability.FETCH_LOGS,)),
            client_parameters=section.text_map("ClientParameters"),
            updater=section.text_map("RegistrationUpdater"),
        )
    except JsonTextError as error:
        raise SettingsError(f"{path}: {error}") from error
    if not settings.cert_path and not settings.auth_cert_thumbprint:
        raise SettingsError(f"{path}: one of CertPath and AuthCertThumbprint is needed")
    return settings


def read_secrets(home: Home) -> Secrets:
    """Read orchestratorsecrets.json; a missing file is an empty one. Raises SettingsError."""
    try:
        section = _Section(_object(_parsed(secrets_text(home))))
        return Secrets(
            certificate_password=section.text(PASSWORD_MEMBER),
            bootstrap_username=section.text(BOOTSTRAP_MEMBERS[0]),
            bootstrap_password=section.text(BOOTSTRAP_MEMBERS[1]),
        )
    except JsonTextError as error:
        raise SettingsError(f"{home.secrets}: {error}") from error


def secrets_text(home: Home) -> str:
    """Return the text of the secrets file, an empty object if there is none."""
    return read_text(home.secrets) if home.secrets.exists() else "{\n}\n"


def read_text(path: Path) -> str:
    """Return a file's text; a byte order mark stays in it for ``edited`` to keep."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise SettingsError(f"{path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error


def edited(
    text: str,
    changes: Mapping[str, str],
    *,
    section: str | None = None,
    removed: Iterable[str] = (),
) -> bytes:
    """Return ``text`` with members set and removed, all other characters unchanged."""
    prefix = (section,) if section else ()
    mark, text = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    for name, value in changes.items():
        text = with_member(text, (*prefix, name), value)
    for name in removed:
        text = without_member(text, (*prefix, name))
    return (mark + text).encode("utf-8")


def _parsed(text: str) -> Node:
    return parse(text.removeprefix("\ufeff"))


def _object(root: Node, section: str | None = None) -> Node:
    node = root
    if section is not None:
        if section not in root.members:
            raise root.error(f"the object '{section}' is missing")
        node = root.members[section]
    if not isinstance(node.value, dict):
        raise node.error("an object is expected")
    return node


def _checked_uri(section: _Section, name: str) -> str:
    uri = section.text(name, required=True).rstrip("/")
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query:
        raise section.error(name, "must be https://host[:port]/KeyfactorAgents")
    return uri


class _Section:
    """Typed access to an object; null counts as absent."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def error(self, name: str, problem: str) -> JsonTextError:
        return self._node.members.get(name, self._node).error(f"{name} {problem}")

    def text(self, name: str, *, required: bool = False) -> str:
        value = self._value(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or (required and not value.strip()):
            raise self.error(name, "must be a text" + (" that is not empty" if required else ""))
        return value.strip() if required else value

    def number(self, name: str, default: int) -> int:
        value = self._value(name)
        if value is None:
            return default
        try:
            number = int(value) if isinstance(value, str | int) else 0
        except ValueError:
            number = 0
        if isinstance(value, bool) or number < 1:
            raise self.error(name, "must be a whole number of at least 1")
        return number

    def texts(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self._value(name)
        if value is None:
            return default
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise self.error(name, "must be a list of texts")
        return tuple(value)

    def text_map(self, name: str) -> dict[str, str]:
        value = self._value(name)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise self.error(name, "must be an object whose values are texts")
        return value

    def _value(self, name: str) -> object:
        member = self._node.members.get(name)
        return None if member is None else member.value
