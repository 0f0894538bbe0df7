"""THE EXTENSION POINT: what a registration updater is, and how one is found and loaded.

Owns the contract (``RegistrationUpdater``), the loading of Python classes and the rule that
exactly one updater is active. The manifest's shape is in ``manifest.py``, executables are in
``executable.py``, the built-in updater is in ``builtin.py``.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from cryptography import x509

from orchestrators.agent.keys import PrivateKey, same_key, supported
from orchestrators.agent.manifest import Registration, read_manifest

log = logging.getLogger("Keyfactor.Orchestrators.Agent.Extensions")


class ExtensionError(Exception):
    """An extension cannot be loaded or did not do its part; the message says which and why."""


@dataclass(frozen=True)
class CsrInfo:
    """A new private key and the CSR that was made with it."""

    csr: x509.CertificateSigningRequest
    private_key: PrivateKey = field(repr=False)


class RegistrationUpdater(Protocol):
    """What an extension implements. Its class is called with ``config``, a dict of strings."""

    @property
    def client_parameters(self) -> Mapping[str, str]:
        """Strings that are sent with each registration."""

    def get_csr_info(self, new_certificate_requested_by_platform: bool) -> CsrInfo | None:
        """Return a new key and its CSR, None if no certificate is wanted.

        ``new_certificate_requested_by_platform`` is True when the portal asked for a renewal
        (warning or expiry period, or flag), False at any other registration.
        """


@dataclass(frozen=True)
class LoadedUpdater:
    """The active updater with what identifies its code."""

    name: str
    version: str
    sha256: str
    config: Mapping[str, str]
    updater: RegistrationUpdater

    def parameters(self) -> dict[str, str]:
        """Return the extension's parameters and those that name it in the portal."""
        return {
            **checked_parameters(self.updater.client_parameters, self.name),
            "extension": self.name,
            "extension-version": self.version,
            "extension-sha256": self.sha256,
        }

    def csr_info(self, requested: bool) -> CsrInfo | None:
        """Ask the extension, and check what it returns. Raises ExtensionError."""
        try:
            info = self.updater.get_csr_info(requested)
        except ExtensionError:
            raise
        except Exception as error:  # An extension may raise anything; the agent goes on.
            raise ExtensionError(f"{self.name} failed: {type(error).__name__}: {error}") from error
        return None if info is None else _checked(info, self.name)


def find_registrations(folder: Path) -> list[Registration]:
    """Return the registrations under the extensions folder. Raises ManifestError."""
    if not folder.is_dir():
        log.warning(
            "Extensions folder %s does not exist; the built-in registration updater is used", folder
        )
        return []
    return [read_manifest(path) for path in sorted(folder.glob("*/manifest.json"))]


def single(registrations: list[Registration]) -> Registration | None:
    """Return the only registration, None if there is none. Raises ExtensionError for two."""
    if len(registrations) > 1:
        names = " and ".join(f"{r.type_full_name} ({r.folder})" for r in registrations)
        raise ExtensionError(f"only one registration updater may be active, found {names}")
    return registrations[0] if registrations else None


def load_python(registration: Registration, source: Path) -> LoadedUpdater:
    """Load the class of ``registration`` from ``source``. Raises ExtensionError."""
    content = trusted_content(source)
    module = _module(source, content)
    name, config = registration.type_full_name, registration.config
    if getattr(module, "NAMESPACE", None) != registration.namespace:
        raise ExtensionError(
            f"namespace '{registration.namespace}' of TypeFullName is not the NAMESPACE that "
            f"{source} states ({getattr(module, 'NAMESPACE', None)!r})"
        )
    implementation: Any = getattr(module, registration.class_name, None)
    if not isinstance(implementation, type):
        raise ExtensionError(
            f"class '{registration.class_name}' of TypeFullName is not in {source}"
        )
    try:
        updater = implementation(dict(config))
    except Exception as error:  # As above: code of others.
        raise ExtensionError(f"{name} cannot be created: {error}") from error
    version = str(getattr(module, "__version__", ""))
    return LoadedUpdater(name, version, hashlib.sha256(content).hexdigest(), config, updater)


def trusted_content(path: Path) -> bytes:
    """Return the code of an extension, unless anybody on this host may change it."""
    if not path.is_file():
        raise ExtensionError(f"assembly '{path.name}' of assemblypath is not in {path.parent}")
    if os.name != "nt":
        for place in (path, path.parent):
            if place.stat().st_mode & stat.S_IWOTH:
                raise ExtensionError(f"{place} is writable by every user of this host: refused")
    return path.read_bytes()


def checked_parameters(parameters: object, name: str) -> dict[str, str]:
    """Return client parameters if they are strings. Raises ExtensionError."""
    if not isinstance(parameters, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in parameters.items()
    ):
        raise ExtensionError(f"the client parameters of {name} are not a dictionary of strings")
    return dict(parameters)


def _module(source: Path, content: bytes) -> ModuleType:
    """Run exactly the bytes that were hashed."""
    module = ModuleType(f"orchestrator_extension_{source.stem}")
    module.__file__ = str(source)
    sys.modules[module.__name__] = module
    try:
        exec(compile(content, source, "exec"), module.__dict__)  # noqa: S102 - the extension
    except Exception as error:  # As above: code of others.
        raise ExtensionError(
            f"assembly '{source}' fails when loaded: {type(error).__name__}: {error}"
        ) from error
    return module


def _checked(info: object, name: str) -> CsrInfo:
    if not isinstance(info, CsrInfo):
        raise ExtensionError(f"{name} must return a CsrInfo or None")
    try:
        paired = same_key(supported(info.private_key), info.csr)
    except ValueError as error:
        raise ExtensionError(f"{name}: {error}") from error
    if not paired or not info.csr.is_signature_valid:
        raise ExtensionError(f"{name} returned a CSR that its private key did not sign")
    return info
