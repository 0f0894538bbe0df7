"""The configuration folder: what is read, and the sentences about what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrators.agent.home import Home
from orchestrators.agent.install import open_store
from orchestrators.agent.settings import (
    SettingsError,
    edited,
    read_secrets,
    read_settings,
)
from orchestrators.agent.setup import (
    Bootstrap,
    NewHome,
    PemFiles,
    Pkcs12File,
    WindowsCertificate,
    initialize,
)
from orchestrators.agent.store import Identity, PemStore, Pkcs12Store, StoreError
from tests.agent.pki import authority, pem_of, pkcs12_of

MEMBERS: dict[str, Any] = {
    "AgentsServerUri": "https://portal:8443/KeyfactorAgents/",
    "OrchestratorName": "agent-1",
    "CertPath": "configuration/c.p12",
}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.configuration.mkdir()
    return home


def write(home: Home, **members: Any) -> None:
    home.app_settings.write_text(json.dumps({"AppSettings": {**MEMBERS, **members}}, indent=1))


def test_defaults(home: Home) -> None:
    write(home, ScriptTimeout="90", OrchestratorId=None)
    settings = read_settings(home)
    assert settings.server_uri == "https://portal:8443/KeyfactorAgents"
    assert settings.extensions_directory == "extensions"
    assert settings.script_timeout == 90
    assert settings.capabilities == ("Custom.FetchLogs",)


@pytest.mark.parametrize(
    ("member", "value", "expected"),
    [
        ("AgentsServerUri", "http://portal/KeyfactorAgents", r"line 3.*must be https://host"),
        ("AgentsServerUri", "https://", "must be https://host"),
        ("AgentsServerUri", "https://u:p@host/x", "must be https://host"),
        ("OrchestratorName", " ", r"OrchestratorName \(line 4\).*not empty"),
        ("OrchestratorName", 5, "must be a text"),
        ("ScriptTimeout", 0, "whole number of at least 1"),
        ("ScriptTimeout", True, "whole number of at least 1"),
        ("ScriptTimeout", "x", "whole number of at least 1"),
        ("Capabilities", ["a", 1], "must be a list of texts"),
        ("ClientParameters", {"a": 1}, "must be an object whose values are texts"),
        ("CertPath", "", "one of CertPath and AuthCertThumbprint is needed"),
    ],
)
def test_a_wrong_member_is_named(home: Home, member: str, value: object, expected: str) -> None:
    write(home, **{member: value})
    with pytest.raises(SettingsError, match=expected):
        read_settings(home)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[]", "'AppSettings' is missing"),
        (b"\xff", "cannot be read"),
        (b'{"AppSettings": 1}', "obj"),
    ],
)
def test_a_wrong_file_is_named(home: Home, content: bytes, expected: str) -> None:
    home.app_settings.write_bytes(content)
    with pytest.raises(SettingsError, match=expected):
        read_settings(home)


def test_a_missing_file_is_named_and_missing_secrets_are_none(home: Home) -> None:
    with pytest.raises(SettingsError, match=r"appsettings\.json does not exist"):
        read_settings(home)
    assert read_secrets(home).certificate_password == ""


def test_a_byte_order_mark_and_windows_line_ends_stay(home: Home) -> None:
    text = '\ufeff{\r\n  "AppSettings": {\r\n    "A": "1"\r\n  }\r\n}\r\n'
    after = edited(text, {"A": "2", "B": "3"}, section="AppSettings").decode()
    assert after == text.replace('"1"', '"2",\r\n    "B": "3"')


def test_secrets_are_not_in_the_representation() -> None:
    assert "hush" not in repr(Pkcs12Store(Path("x"), "hush", "m"))
    assert "hush" not in repr(Bootstrap("u", "hush"))
    assert "hush" not in repr(Pkcs12File(Path("x"), "hush"))


class TestStores:
    """What a store says about files that do not fit."""

    def test_a_wrong_password_is_named_without_it(self, home: Home, identity: Identity) -> None:
        (home.configuration / "c.p12").write_bytes(pkcs12_of(identity, "right"))
        home.secrets.write_text('{"AuthCertPassword": "wrong"}')
        write(home)
        with pytest.raises(StoreError, match=r"c\.p12 cannot be opened with its password"):
            open_store(home, read_settings(home), None).load()

    def test_half_a_pem_pair_and_a_foreign_key_are_named(
        self, tmp_path: Path, identity: Identity
    ) -> None:
        certificate, _ = pem_of(identity)
        store = PemStore(tmp_path / "c.pem", tmp_path / "c.key")
        assert store.load() is None
        store.certificate_path.write_bytes(certificate)
        with pytest.raises(StoreError, match="only one of"):
            store.load()
        store.key_path.write_bytes(pem_of(authority().identity())[1])
        with pytest.raises(StoreError, match="do not belong together"):
            store.load()
        store.key_path.write_bytes(b"garbage")
        with pytest.raises(StoreError, match="the PEM files cannot be read"):
            store.load()

    def test_a_pem_certificate_needs_a_key_path(self, home: Home) -> None:
        write(home, CertPath="c.pem")
        with pytest.raises(StoreError, match="KeyPath is needed"):
            open_store(home, read_settings(home), None)


class TestInitialize:
    """The ``init`` command's work."""

    @pytest.fixture
    def new(self) -> NewHome:
        return NewHome("https://p/KeyfactorAgents", "agent-1", Bootstrap("u", "p"))

    def test_a_present_configuration_is_replaced_only_by_force(
        self, tmp_path: Path, new: NewHome, identity: Identity
    ) -> None:
        home = Home(tmp_path / "new")
        (tmp_path / "c.pem").write_bytes(pem_of(identity)[0])
        (tmp_path / "c.key").write_bytes(pem_of(identity)[1])
        start = PemFiles(tmp_path / "c.pem", tmp_path / "c.key")
        initialize(home, NewHome(new.url, new.name, start))
        assert (home.configuration / "orchestrator.key").exists()
        with pytest.raises(SettingsError, match="--force replaces it"):
            initialize(home, new)
        initialize(home, new, force=True)
        assert not (home.configuration / "orchestrator.key").exists()
        assert read_secrets(home).bootstrap_username == "u"
        assert home.configuration.stat().st_mode & 0o777 == 0o700

    def test_a_certificate_of_a_windows_store_is_named_by_its_thumbprint(
        self, tmp_path: Path, new: NewHome
    ) -> None:
        home = Home(tmp_path / "new")
        initialize(home, NewHome(new.url, new.name, WindowsCertificate("AB12")))
        settings = read_settings(home)
        assert (settings.auth_cert_thumbprint, settings.cert_path) == ("AB12", "")

    @pytest.mark.parametrize(
        "start",
        [
            Bootstrap("a:b", "p"),
            Bootstrap("u", ""),
            Pkcs12File(Path("missing.p12"), "p"),
            PemFiles(Path("missing.pem"), Path("missing.key")),
        ],
    )
    def test_a_start_that_cannot_work_writes_nothing(
        self, tmp_path: Path, new: NewHome, start: Bootstrap | Pkcs12File | PemFiles
    ) -> None:
        with pytest.raises(SettingsError):
            initialize(Home(tmp_path / "new"), NewHome(new.url, new.name, start))
        assert not (tmp_path / "new").exists()

    def test_a_ca_file_that_is_none_is_named(self, tmp_path: Path, new: NewHome) -> None:
        (tmp_path / "ca.pem").write_text("no")
        with pytest.raises(SettingsError, match="not a PEM file of CA certificates"):
            initialize(
                Home(tmp_path / "new"),
                NewHome(new.url, new.name, new.start, ca_file=tmp_path / "ca.pem"),
            )
