"""The manifest of an extension, in the source's exact shape.

Owns reading and checking ``manifest.json`` (S7-S9 in docs/promises.md); messages name the JSON
path and the line. Does not load any code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrators.agent.jsontext import JsonTextError, Node, parse

INTERFACE = "Keyfactor.Orchestrators.Extensions.IOrchestratorRegistrationUpdater"
REGISTRATION = "RegisteredRegistrationUpdater"


class ManifestError(Exception):
    """A manifest is not of the expected shape."""


@dataclass(frozen=True)
class Registration:
    """One registered updater: which file, which class, which values are passed to it."""

    folder: Path
    assembly: str
    type_full_name: str
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """Everything before the last dot."""
        return self.type_full_name.rpartition(".")[0]

    @property
    def class_name(self) -> str:
        """Everything after the last dot."""
        return self.type_full_name.rpartition(".")[2]


def read_manifest(path: Path) -> Registration:
    """Read a manifest file. Raises ManifestError."""
    try:
        return parse_manifest(path.read_bytes().decode("utf-8-sig"), path.parent)
    except (OSError, UnicodeDecodeError, JsonTextError) as error:
        raise ManifestError(f"{path}: {error}") from error


def parse_manifest(text: str, folder: Path) -> Registration:
    """Return the registration of a manifest's text. Raises JsonTextError."""
    interfaces = _only(parse(text), "extensions")
    registrations = _only(interfaces, INTERFACE, "the extension interface")
    entry = _only(registrations, REGISTRATION, "the registration name")
    _object(entry, allowed={"assemblypath", "TypeFullName", "config"})
    assembly = _text(entry, "assemblypath")
    if any(character in assembly.value for character in "/\\:") or assembly.value in {".", ".."}:
        raise assembly.error("must be the name of a file beside the manifest, without a folder")
    type_full_name = _text(entry, "TypeFullName")
    if not all(part.isidentifier() for part in type_full_name.value.split(".")):
        raise type_full_name.error("must be a namespace and a class, separated by dots")
    return Registration(folder, assembly.value, type_full_name.value, _config(entry))


def _object(node: Node, allowed: set[str]) -> None:
    if not isinstance(node.value, dict):
        raise node.error("an object is expected")
    for name, member in node.members.items():
        if name not in allowed:
            expected = ", ".join(sorted(allowed))
            raise member.error(f"'{name}' is not known here; expected: {expected}")


def _only(node: Node, name: str, what: str = "the member") -> Node:
    """Return the one member that may be here; an altered name is refused."""
    _object(node, allowed={name})
    if name not in node.members:
        raise node.error(f"{what} '{name}' is missing")
    return node.members[name]


def _text(entry: Node, name: str) -> Node:
    if name not in entry.members:
        raise entry.error(f"'{name}' is missing")
    node = entry.members[name]
    if not isinstance(node.value, str) or not node.value.strip():
        raise node.error("a text that is not empty is expected")
    return node


def _config(entry: Node) -> dict[str, str]:
    node = entry.members.get("config")
    if node is None:
        return {}
    if not isinstance(node.value, dict):
        raise node.error("an object is expected")
    for member in node.members.values():
        if not isinstance(member.value, str):
            raise member.error("a text is expected; all values of config are texts")
    return dict(node.value)
