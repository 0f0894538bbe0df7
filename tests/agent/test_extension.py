"""The extension point: manifests, Python classes, executables, and which updater is active."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import time
from pathlib import Path

import pytest
from cryptography import x509

from orchestrators.agent.executable import ExecutableUpdater
from orchestrators.agent.extension import CsrInfo, ExtensionError, LoadedUpdater
from orchestrators.agent.home import Home, default_home
from orchestrators.agent.jsontext import JsonTextError
from orchestrators.agent.keys import KEY_TYPES, KeyMaterialError, build_csr, generate_key
from orchestrators.agent.loop import Outcome
from orchestrators.agent.manifest import ManifestError, parse_manifest
from orchestrators.agent.service import attempt
from orchestrators.agent.settings import Settings
from orchestrators.agent.updater import load_updater
from tests.agent.conftest import MakeHome, orchestrator_of
from tests.agent.pki import common_name
from tests.agent.portal_double import PortalDouble, grant, issue, must, warn

DOCUMENT = (Path(__file__).parents[2] / "docs/orchestrator.md").read_text()
# The source's manifest, byte for byte.
MANIFEST = (
    '{ "extensions": { "Keyfactor.Orchestrators.Extensions.IOrchestratorRegistrationUpdater": '
    '{ "RegisteredRegistrationUpdater": { "assemblypath": "RegistrationUpdater.dll", '
    '"TypeFullName": "Custom.Registration.Updaters.CustomRegistrationUpdater", "config": '
    '{ "DnsSan": "orchestrator_name.keyexample.com", '
    '"Subject": "CN=Client Certificate Authentication", "DataCenter": "WestCoast", '
    '"ForceRenewal": "False" } } } } }'
)
SETTINGS = Settings("https://portal/KeyfactorAgents", "agent-1", cert_path="c.p12")
SPY = """
from orchestrators.agent.extension import CsrInfo
from orchestrators.agent.keys import build_csr, generate_key, common_name
NAMESPACE = "Custom.Registration.Updaters"
asked = []
class CustomRegistrationUpdater:
    client_parameters = {"DataCenter": "WestCoast"}
    def __init__(self, config):
        self.config = config
    def get_csr_info(self, new_certificate_requested_by_platform):
        asked.append(new_certificate_requested_by_platform)
        if not new_certificate_requested_by_platform:
            return None
        key = generate_key()
        return CsrInfo(build_csr(key, common_name("agent-1")), key)
"""


def sample(language: str) -> str:
    """The first code block of a language in the document."""
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found
    return found[1]


def install(home: Home, code: str, manifest: str = MANIFEST, folder: str = "CertRotation") -> Path:
    place = home.root / "extensions" / folder
    place.mkdir(parents=True)
    (place / "manifest.json").write_text(manifest)
    (place / "RegistrationUpdater.py").write_text(code)
    return place


def install_program(home: Home, code: str) -> Path:
    place = install(home, "", MANIFEST.replace("RegistrationUpdater.dll", "updater.sh"))
    program = place / "updater.sh"
    program.write_text(code)
    program.chmod(0o755)
    return program


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.configuration.mkdir(parents=True)
    home.resolve("extensions").mkdir()
    return home


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

    def test_an_error_names_the_file(self, home: Home) -> None:
        install(home, SPY, "[]")
        with pytest.raises(ManifestError, match=r"CertRotation/manifest\.json: \$ \(line 1\)"):
            load_updater(home, SETTINGS)


class TestWhichUpdaterIsActive:
    """Exactly one: none means the built-in one, two are an error."""

    def test_none_means_the_built_in_one(self, home: Home) -> None:
        loaded = load_updater(home, SETTINGS)
        assert loaded.parameters()["extension"] == "built-in"
        info = loaded.csr_info(True)
        assert info is not None
        assert info.csr.subject == common_name("agent-1")
        assert loaded.csr_info(False) is None

    def test_a_missing_folder_is_a_clear_warning(self, home: Home, log: io.StringIO) -> None:
        home.resolve("extensions").rmdir()
        load_updater(home, SETTINGS)
        assert "[Warn] - Extensions folder" in log.getvalue()
        assert "does not exist" in log.getvalue()

    def test_two_are_a_start_up_error_that_names_both(self, home: Home) -> None:
        install(home, SPY)
        install(home, SPY, folder="Other")
        with pytest.raises(ExtensionError, match=r"CertRotation\) and .*Other\)"):
            load_updater(home, SETTINGS)

    def test_the_default_places_are_the_sources(self) -> None:
        assert str(default_home("linux")) == "/opt/keyfactor/orchestrator"
        assert str(default_home("win32")) == r"C:\Program Files\Keyfactor\Keyfactor Orchestrator"
        assert SETTINGS.extensions_directory == "extensions"


class TestPythonClass:
    """Classes loaded beside the manifest."""

    def test_name_version_and_sha256_are_sent_to_the_portal(self, home: Home) -> None:
        place = install(home, sample("python"))
        parameters = load_updater(home, SETTINGS).parameters()
        content = (place / "RegistrationUpdater.py").read_bytes()
        assert parameters == {
            "DataCenter": "WestCoast",
            "extension": "Custom.Registration.Updaters.CustomRegistrationUpdater",
            "extension-version": "1.0",
            "extension-sha256": hashlib.sha256(content).hexdigest(),
        }

    def test_the_documented_sample_makes_the_csr_that_config_asks_for(self, home: Home) -> None:
        install(home, sample("python"))
        info = load_updater(home, SETTINGS).csr_info(True)
        assert info is not None
        assert info.csr.subject == common_name("Client Certificate Authentication")
        names = info.csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["orchestrator_name.keyexample.com"]

    @pytest.mark.parametrize(("text", "sends"), [("False", False), ("True", True)])
    def test_force_renewal_is_a_text(self, home: Home, text: str, sends: bool) -> None:
        install(home, sample("python"), MANIFEST.replace('"False"', f'"{text}"'))
        assert (load_updater(home, SETTINGS).csr_info(False) is not None) == sends

    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            (
                "RegistrationUpdater.dll",
                "Else.dll",
                r"assembly 'Else\.py' of assemblypath is not in",
            ),
            ("Custom.Reg", "Other.Reg", "namespace 'Other.Registration.Updaters' of TypeFullName"),
            (".CustomReg", ".MyReg", "class 'MyRegistrationUpdater' of TypeFullName is not in"),
        ],
    )
    def test_wrong_assembly_namespace_and_class_have_distinct_messages(
        self, home: Home, old: str, new: str, expected: str
    ) -> None:
        install(home, SPY, MANIFEST.replace(old, new, 1))
        with pytest.raises(ExtensionError, match=expected):
            load_updater(home, SETTINGS)

    def test_a_module_that_fails_is_named(self, home: Home) -> None:
        install(home, "1 / 0")
        with pytest.raises(ExtensionError, match="fails when loaded: ZeroDivisionError"):
            load_updater(home, SETTINGS)

    def test_code_that_everybody_may_write_is_refused(self, home: Home) -> None:
        (install(home, SPY) / "RegistrationUpdater.py").chmod(0o666)
        with pytest.raises(ExtensionError, match="writable by every user"):
            load_updater(home, SETTINGS)

    def test_the_spy_sees_true_at_both_levels_and_false_at_none(
        self, make_home: MakeHome, portal: PortalDouble
    ) -> None:
        home = make_home()
        install(home, SPY)
        orchestrator = orchestrator_of(home)
        asked = type(orchestrator.updater.updater).get_csr_info.__globals__["asked"]
        for answers, expected in (([grant], False), ([warn, issue], True), ([must, issue], True)):
            portal.registers.extend(answers)
            assert attempt(orchestrator) is Outcome.OK
            assert asked == [expected]
            asked.clear()

    def test_an_extension_that_fails_is_an_outcome_and_the_session_goes_on(
        self, make_home: MakeHome, portal: PortalDouble, log: io.StringIO
    ) -> None:
        home = make_home()
        install(home, SPY.replace("asked.append(", "raise RuntimeError("))
        portal.registers.append(warn)
        orchestrator = orchestrator_of(home)
        assert attempt(orchestrator) is Outcome.EXTENSION
        assert orchestrator.session is not None
        assert "CustomRegistrationUpdater failed: RuntimeError: True" in log.getvalue()

    @pytest.mark.parametrize("wrong", ["not a CsrInfo", "another key"])
    def test_what_an_extension_returns_is_checked(self, wrong: str) -> None:
        class Updater:
            client_parameters: dict[str, str] = {}

            def get_csr_info(self, new_certificate_requested_by_platform: bool) -> CsrInfo | None:
                if wrong == "not a CsrInfo":
                    return "csr"  # type: ignore[return-value]
                csr = build_csr(generate_key(), common_name("x"))
                return CsrInfo(csr, generate_key())

        with pytest.raises(ExtensionError, match=r"must return a CsrInfo|did not sign"):
            LoadedUpdater("x", "", "", {}, Updater()).csr_info(True)


class TestExecutable:
    """Programs of any language."""

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="the sample calls openssl")
    def test_the_documented_sample_renews(self, make_home: MakeHome, portal: PortalDouble) -> None:
        home = make_home()
        program = install_program(home, sample("sh"))
        portal.registers.extend([warn, issue])
        assert attempt(orchestrator_of(home)) is Outcome.OK
        request = portal.register_calls[1]
        assert request.csr.is_signature_valid
        parameters = request.body["ClientParameters"]
        assert parameters["made-by"] == "openssl"
        assert parameters["extension-version"] == "1.0"
        digest = hashlib.sha256(program.read_bytes()).hexdigest()
        assert parameters["extension-sha256"] == digest
        # Nothing of the program's private folder stays.
        assert not list(home.configuration.glob("extension-*"))

    def test_the_question_has_the_config_and_a_private_folder(self, home: Home) -> None:
        program = install_program(
            home,
            '#!/bin/sh\nquestion=$(cat)\necho "$question" >> asked\n'
            'case $question in *keyFile*) ls -ld "$(echo "$question" | '
            'sed \'s/.*keyFile": "\\([^"]*\\)\\/key.pem.*/\\1/\')" > mode;; esac\n'
            "echo '{\"csr\": false}'\n",
        )
        loaded = load_updater(home, SETTINGS)
        assert loaded.csr_info(False) is None
        describe, question = map(json.loads, (program.parent / "asked").read_text().splitlines())
        assert describe["action"] == "describe"
        assert question["newCertificateRequestedByPlatform"] is False
        assert question["config"]["DataCenter"] == "WestCoast"
        assert (program.parent / "mode").read_text().startswith("drwx------")

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("echo no json", "did not answer with JSON"),
            ("echo []", "did not answer with a JSON object"),
            ("echo why >&2; exit 3", "ended with status 3: why"),
            ('echo \'{"clientParameters": {"a": 1}}\'', "not a dictionary of strings"),
        ],
    )
    def test_a_bad_answer_is_named(self, home: Home, code: str, expected: str) -> None:
        install_program(home, f"#!/bin/sh\n{code}\n")
        with pytest.raises(ExtensionError, match=expected):
            load_updater(home, SETTINGS)

    def test_a_promise_without_files_is_named(self, home: Home) -> None:
        install_program(home, "#!/bin/sh\necho '{\"csr\": true}'\n")
        with pytest.raises(ExtensionError, match="left no usable key and CSR"):
            load_updater(home, SETTINGS).csr_info(True)

    def test_a_program_that_is_not_executable_is_named(self, home: Home) -> None:
        install_program(home, "").chmod(0o644)
        with pytest.raises(ExtensionError, match="is not executable"):
            load_updater(home, SETTINGS)

    def test_a_program_that_hangs_is_killed_with_its_children(self, home: Home) -> None:
        program = install_program(home, "#!/bin/sh\nsleep 60 &\necho $! > child\nsleep 60\n")
        started = time.monotonic()
        with pytest.raises(ExtensionError, match=r"did not answer within 0\.5 s"):
            ExecutableUpdater(program, {}, private_root=home.configuration, timeout=0.5)
        assert time.monotonic() - started < 10
        child = Path("/proc", (program.parent / "child").read_text().strip(), "cmdline")
        # Gone, or dead and not yet collected by whoever inherited it.
        while child.exists() and child.read_bytes():
            assert time.monotonic() - started < 20
            time.sleep(0.01)


class TestKeys:
    """Key types and names of the built-in updater."""

    @pytest.mark.parametrize("key_type", list(KEY_TYPES))
    def test_every_key_type_signs_a_csr(self, home: Home, key_type: str) -> None:
        settings = Settings("https://p/x", "agent-1", cert_path="c", updater={"KeyType": key_type})
        info = load_updater(home, settings).csr_info(True)
        assert info is not None
        assert info.csr.is_signature_valid

    @pytest.mark.parametrize(
        ("member", "value", "expected"),
        [
            ("KeyType", "RSA1024", "KeyType 'RSA1024' is none of RSA2048"),
            ("Subject", "web-1", "Subject 'web-1' is not a subject such as CN=name"),
            ("DnsSan", "bücher.example", "is not ASCII"),
        ],
    )
    def test_a_value_that_cannot_be_used_is_named(
        self, home: Home, member: str, value: str, expected: str
    ) -> None:
        settings = Settings("https://p/x", "agent-1", cert_path="c", updater={member: value})
        with pytest.raises(ExtensionError, match=expected):
            load_updater(home, settings).csr_info(True)

    def test_an_orchestrator_name_that_is_too_long_for_a_cn_is_named(self) -> None:
        from orchestrators.agent.keys import common_name as agent_common_name

        with pytest.raises(KeyMaterialError, match="cannot be a common name"):
            agent_common_name("x" * 65)
