"""The local CA fulfils the contract of every CA type."""

from __future__ import annotations

from pathlib import Path

from renewal.ca.local import LocalCA
from tests.contract.ca_backend import SECRET, CABackendContract
from tests.pki import NOW


class TestLocalCA(CABackendContract):
    def make_ca(self, folder: Path) -> LocalCA:
        return LocalCA.create(folder / "ca", name="Test", passphrase=SECRET, now=NOW)
