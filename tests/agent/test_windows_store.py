"""The Windows personal store behind its interface (a double), and what PowerShell is told."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from orchestrators.agent.home import Home
from orchestrators.agent.install import open_store
from orchestrators.agent.loop import Outcome
from orchestrators.agent.service import attempt
from orchestrators.agent.settings import read_settings
from orchestrators.agent.store import Identity, StoreError
from orchestrators.agent.windows import Location, PowerShellStores, WindowsStore
from tests.agent.conftest import MakeHome, orchestrator_of
from tests.agent.pki import pkcs12_of
from tests.agent.portal_double import PortalDouble, issue, warn
from tests.agent.windows_double import FolderStores


def windows_home(make_home: MakeHome, identity: Identity) -> Home:
    home = make_home()
    text = home.app_settings.read_text()
    text = text.replace(
        '"CertPath": "configuration/orchestrator.p12",', '"Kept":   {"a": [1,  2]},'
    )
    text = text.replace(
        '"AuthCertThumbprint": ""', f'"AuthCertThumbprint": "{identity.thumbprint}"'
    )
    home.app_settings.write_text(text)
    return home


@pytest.mark.parametrize("origin", list(Location))
def test_the_new_certificate_lands_in_the_service_accounts_store_and_the_thumbprint_flips(
    make_home: MakeHome, portal: PortalDouble, identity: Identity, tmp_path: Path, origin: Location
) -> None:
    stores = FolderStores(tmp_path / "stores")
    stores.add(origin, identity)
    home = windows_home(make_home, identity)
    before = home.app_settings.read_text()
    portal.registers.extend([warn, issue])
    assert attempt(orchestrator_of(home, stores)) is Outcome.OK
    new = read_settings(home).auth_cert_thumbprint
    assert new != identity.thumbprint
    assert stores.find(Location.CURRENT_USER, new)
    assert not stores.find(Location.LOCAL_MACHINE, new)
    assert stores.find(origin, identity.thumbprint)
    # The file says which store it was; nothing else in it has changed.
    after = home.app_settings.read_text()
    addition = ',\n    "AuthCertStore": "CurrentUser\\\\My"'
    assert after == before.replace(identity.thumbprint, new).replace(
        "\n    ]", f"\n    ]{addition}"
    )
    confirming = portal.register_calls[-1]
    assert confirming.certificate
    assert confirming.body["ClientParameters"]["certificate-store"] == r"Windows CurrentUser\My"


def test_a_thumbprint_without_windows_is_one_clear_sentence(
    make_home: MakeHome, identity: Identity
) -> None:
    home = windows_home(make_home, identity)
    with pytest.raises(StoreError, match="this is not Windows"):
        open_store(home, read_settings(home), None)


def test_a_thumbprint_as_people_paste_it_is_found(identity: Identity, tmp_path: Path) -> None:
    stores = FolderStores(tmp_path)
    stores.add(Location.LOCAL_MACHINE, identity)
    pasted = "\u200e" + " ".join(identity.thumbprint.lower()[i : i + 2] for i in range(0, 40, 2))
    found = WindowsStore(stores, pasted).load()
    assert found is not None
    assert found.thumbprint == identity.thumbprint


class TestPowerShell:
    """What is handed to PowerShell; no PowerShell runs here."""

    def test_find_exports_under_the_password_on_standard_input(self, identity: Identity) -> None:
        said: list[str] = []

        def run(script: str, standard_input: str) -> str:
            said.append(script)
            assert standard_input not in script
            return base64.b64encode(pkcs12_of(identity, standard_input)).decode()

        found = PowerShellStores(run).find(Location.LOCAL_MACHINE, identity.thumbprint)
        assert found is not None
        assert found.thumbprint == identity.thumbprint
        assert rf"Cert:\LocalMachine\My\{identity.thumbprint}" in said[0]

    def test_find_returns_none_for_no_output(self, identity: Identity) -> None:
        stores = PowerShellStores(lambda script, standard_input: "")
        assert stores.find(Location.CURRENT_USER, identity.thumbprint) is None

    def test_add_passes_key_and_password_on_standard_input_only(self, identity: Identity) -> None:
        said: list[tuple[str, str]] = []

        def run(script: str, standard_input: str) -> str:
            said.append((script, standard_input))
            return ""

        PowerShellStores(run).add(Location.CURRENT_USER, identity)
        script, given = said[0]
        assert "('My', 'CurrentUser')" in script
        password, pfx = given.splitlines()
        assert password not in script
        assert pfx not in script
