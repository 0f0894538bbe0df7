"""A DOUBLE of the Windows personal stores: a folder of PEM files for each store.

It lives on the disk so that it survives a killed process, as the real stores do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrators.agent.store import Identity, open_pem
from orchestrators.agent.windows import Location
from tests.agent.pki import pem_of


@dataclass(frozen=True)
class FolderStores:
    """Implements ``PersonalStores``."""

    root: Path

    def find(self, location: Location, thumbprint: str) -> Identity | None:
        path = self._folder(location) / thumbprint
        if not path.with_suffix(".key").exists():
            return None
        certificate, key = (path.with_suffix(suffix).read_bytes() for suffix in (".pem", ".key"))
        return open_pem(certificate, key)

    def add(self, location: Location, identity: Identity) -> None:
        path = self._folder(location) / identity.thumbprint
        certificate, key = pem_of(identity)
        path.with_suffix(".pem").write_bytes(certificate)
        path.with_suffix(".key").write_bytes(key)

    def _folder(self, location: Location) -> Path:
        folder = self.root / location.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
