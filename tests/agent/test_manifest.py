"""The manifest's shape, and messages that name JSON path and line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from orchestrators.agent.home import Home
from orchestrators.agent.jsontext import JsonTextError
from orchestrators.agent.manifest import ManifestError, parse_manifest
from orchestrators.agent.updater import load_updater
from tests.agent.extension_samples import MANIFEST, SETTINGS, SPY, install, sample


class TestManifest:
    """The manifest's shape."""

    def test_the_sources_manifest_loads_byte_for_byte(self) -> None:
        found = parse_manifest(MANIFEST, Path("CertRotation"))
        assert found.assembly == "RegistrationUpdater.dll"
        assert found.namespace == "Custom.Registration.Updaters"
        assert found.class_name == "CustomRegistrationUpdater"
        assert found.config == {
            "DnsSan": "orchestrator_name.keyexample.com",
            "Subject": "CN=Client Certificate Authentication",
            "DataCenter": "WestCoast",
            "ForceRenewal": "False",
        }
        assert json.loads(MANIFEST) == json.loads(sample("json"))

    def test_config_may_be_left_out(self) -> None:
        without = re.sub(r', "config": \{.*?\}', "", MANIFEST)
        assert parse_manifest(without, Path()).config == {}

    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            (
                "IOrchestratorRegistrationUpdater",
                "IOther",
                r"\$\.extensions\.Keyf.*IOther \(line 3",
            ),
            ("RegisteredRegistrationUpdater", "Mine", r"Mine \(line 4\): 'Mine' is not known here"),
            ('"extensions"', '"plugins"', r"\$\.plugins \(line 2\): 'plugins' is not known"),
            ('"False"', "false", r"config\.ForceRenewal \(line 11\): a text is expected"),
            ('"False"', '"False",', r"\(line 12\): a member name in double quotes"),
            (
                '"RegistrationUpdater.dll"',
                '"../x.dll"',
                r"assemblypath \(line 5\): .*a file beside",
            ),
            (
                '"RegistrationUpdater.dll"',
                '""',
                r"assemblypath \(line 5\): a text that is not empty",
            ),
            ('"Custom.R', '"Custom R', r"TypeFullName \(line 6\): must be a namespace and a class"),
            ('"assemblypath"', '"AssemblyPath"', r"AssemblyPath \(line 5\): .* is not known here"),
            ('"assemblypath": "RegistrationUpdater.dll",', "", r"'assemblypath' is missing"),
            ('"RegisteredRegistrationUpdater": {', '"x": {', r"'x' is not known here"),
            ('"DataCenter"', '"DnsSan"', r"config\.DnsSan \(line 10\): this member appears twice"),
        ],
    )
    def test_an_error_names_the_json_path_and_the_line(
        self, old: str, new: str, expected: str
    ) -> None:
        with pytest.raises(JsonTextError, match=expected):
            parse_manifest(sample("json").replace(old, new, 1), Path())

    def test_a_missing_interface_and_a_config_that_is_no_object_are_named(self) -> None:
        with pytest.raises(JsonTextError, match=r"the extension interface 'Keyfactor.* is missing"):
            parse_manifest('{"extensions": {}}', Path())
        with pytest.raises(JsonTextError, match=r"config \(line 1\): an object is expected"):
            parse_manifest(re.sub(r'"config": \{.*?\}', '"config": []', MANIFEST), Path())

    def test_an_error_names_the_file(self, bare_home: Home) -> None:
        install(bare_home, SPY, "[]")
        with pytest.raises(ManifestError, match=r"CertRotation/manifest\.json: \$ \(line 1\)"):
            load_updater(bare_home, SETTINGS)
