"""The Windows personal stores.

Owns the rule where a new certificate goes: always to the personal store of the service account,
also if the old one was in that of the local computer (S36, S39 in docs/promises.md). What Windows
does is behind ``PersonalStores``; ``PowerShellStores`` carries it out.
"""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from orchestrators.agent.store import (
    Identity,
    StoreError,
    StoreUpdate,
    new_password,
    open_pkcs12,
)


class Location(StrEnum):
    """The personal stores that a service can read."""

    CURRENT_USER = r"CurrentUser\My"
    LOCAL_MACHINE = r"LocalMachine\My"


class PersonalStores(Protocol):
    """What Windows offers: the current user is the account that the service runs under."""

    def find(self, location: Location, thumbprint: str) -> Identity | None:
        """Return the certificate with its key, None if it is not there."""

    def add(self, location: Location, identity: Identity) -> None:
        """Put a certificate with its key into a store; again is harmless."""


@dataclass(frozen=True)
class WindowsStore:
    """The certificate that ``AuthCertThumbprint`` names."""

    stores: PersonalStores
    auth_cert_thumbprint: str

    @property
    def description(self) -> str:
        """The store that a renewed certificate goes to."""
        return f"Windows {Location.CURRENT_USER}"

    @property
    def files(self) -> tuple[Path, ...]:
        """No files."""
        return ()

    def load(self) -> Identity | None:
        """Look in the service account's store first, then in the local computer's."""
        thumbprint = "".join(c for c in self.auth_cert_thumbprint.upper() if c.isalnum())
        for location in (Location.CURRENT_USER, Location.LOCAL_MACHINE):
            identity = self.stores.find(location, thumbprint)
            if identity is not None:
                return identity
        return None

    def update_for(self, identity: Identity) -> StoreUpdate:
        """Add the certificate beside the old one; the thumbprint in the settings flips."""
        self.stores.add(Location.CURRENT_USER, identity)
        return StoreUpdate(
            settings={
                "AuthCertThumbprint": identity.thumbprint,
                "AuthCertStore": Location.CURRENT_USER.value,
            }
        )


_FIND = r"""
$password = [Console]::In.ReadToEnd().Trim()
$item = Get-Item -Path 'Cert:\{location}\{thumbprint}' -ErrorAction SilentlyContinue
if ($item) {{ [Convert]::ToBase64String($item.Export('Pfx', $password)) }}
"""
_ADD = r"""
$lines = [Console]::In.ReadToEnd() -split "`n"
$flags = 'Exportable,PersistKeySet,UserKeySet'
$kind = 'System.Security.Cryptography.X509Certificates.X509Certificate2'
$pfx = [Convert]::FromBase64String($lines[1].Trim())
$item = New-Object $kind ($pfx, $lines[0].Trim(), $flags)
$store = New-Object System.Security.Cryptography.X509Certificates.X509Store ('My', '{scope}')
$store.Open('ReadWrite'); $store.Add($item); $store.Close()
"""


def run_powershell(script: str, standard_input: str) -> str:
    """Run a script. Keys and passwords travel on pipes, never in arguments or files."""
    command = ["powershell.exe", "-NoProfile", "-NonInteractive", "-Command"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [*command, f"$ErrorActionPreference = 'Stop'\n{script}"],
            input=standard_input,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreError("the Windows certificate store cannot be used") from error
    return done.stdout.strip()


@dataclass(frozen=True)
class PowerShellStores:
    """``PersonalStores`` by PowerShell; the keys must be exportable."""

    run: Callable[[str, str], str] = run_powershell

    def find(self, location: Location, thumbprint: str) -> Identity | None:
        """Export the pair under a password of the moment."""
        password = new_password()
        found = self.run(_FIND.format(location=location.value, thumbprint=thumbprint), password)
        if not found:
            return None
        return open_pkcs12(base64.b64decode(found), password, f"{location.value}\\{thumbprint}")

    def add(self, location: Location, identity: Identity) -> None:
        """Import the pair under a password of the moment."""
        password = new_password()
        pfx = pkcs12.serialize_key_and_certificates(
            b"orchestrator",
            identity.private_key,
            identity.certificate,
            identity.chain,
            BestAvailableEncryption(password.encode()),
        )
        script = _ADD.format(scope=location.value.partition("\\")[0])
        self.run(script, f"{password}\n{base64.b64encode(pfx).decode()}\n")
