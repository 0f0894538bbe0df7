"""The extension point: Python classes, executables, and which updater is active."""

from __future__ import annotations

import hashlib
import io
import json
import time
from pathlib import Path

import pytest
from cryptography import x509

from orchestrators.agent.executable import ExecutableUpdater
from orchestrators.agent.extension import CsrInfo, ExtensionError, LoadedUpdater
from orchestrators.agent.home import Home, default_home
from orchestrators.agent.keys import build_csr, generate_key
from orchestrators.agent.loop import Outcome
from orchestrators.agent.service import attempt
from orchestrators.agent.updater import load_updater
from tests.agent.conftest import MakeHome, orchestrator_of
from tests.agent.extension_samples import MANIFEST, SETTINGS, SPY, install, install_program, sample
from tests.agent.pki import common_name
from tests.agent.portal_double import PortalDouble, grant, issue, must, warn


class TestWhichUpdaterIsActive:
    """Exactly one: none means the built-in one, two are an error."""

    def test_none_means_the_built_in_one(self, bare_home: Home) -> None:
        loaded = load_updater(bare_home, SETTINGS)
        assert loaded.parameters()["extension"] == "built-in"
        info = loaded.csr_info(True)
        assert info is not None
        assert info.csr.subject == common_name("agent-1")
        assert loaded.csr_info(False) is None

    def test_a_missing_folder_is_a_clear_warning(self, bare_home: Home, log: io.StringIO) -> None:
        bare_home.resolve("extensions").rmdir()
        load_updater(bare_home, SETTINGS)
        assert "[Warn] - Extensions folder" in log.getvalue()
        assert "does not exist" in log.getvalue()

    def test_two_are_a_start_up_error_that_names_both(self, bare_home: Home) -> None:
        install(bare_home, SPY)
        install(bare_home, SPY, folder="Other")
        with pytest.raises(ExtensionError, match=r"CertRotation\) and .*Other\)"):
            load_updater(bare_home, SETTINGS)

    def test_the_default_places_are_the_sources(self) -> None:
        assert str(default_home("linux")) == "/opt/keyfactor/orchestrator"
        assert str(default_home("win32")) == r"C:\Program Files\Keyfactor\Keyfactor Orchestrator"
        assert SETTINGS.extensions_directory == "extensions"


class TestPythonClass:
    """Classes loaded beside the manifest."""

    def test_name_version_and_sha256_are_sent_to_the_portal(self, bare_home: Home) -> None:
        place = install(bare_home, sample("python"))
        parameters = load_updater(bare_home, SETTINGS).parameters()
        content = (place / "RegistrationUpdater.py").read_bytes()
        assert parameters == {
            "DataCenter": "WestCoast",
            "extension": "Custom.Registration.Updaters.CustomRegistrationUpdater",
            "extension-version": "1.0",
            "extension-sha256": hashlib.sha256(content).hexdigest(),
        }

    def test_the_documented_sample_makes_the_csr_of_its_config(self, bare_home: Home) -> None:
        install(bare_home, sample("python"))
        info = load_updater(bare_home, SETTINGS).csr_info(True)
        assert info is not None
        assert info.csr.subject == common_name("Client Certificate Authentication")
        names = info.csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["orchestrator_name.keyexample.com"]

    @pytest.mark.parametrize(("text", "sends"), [("False", False), ("True", True)])
    def test_force_renewal_is_a_text(self, bare_home: Home, text: str, sends: bool) -> None:
        install(bare_home, sample("python"), MANIFEST.replace('"False"', f'"{text}"'))
        assert (load_updater(bare_home, SETTINGS).csr_info(False) is not None) == sends

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
        self, bare_home: Home, old: str, new: str, expected: str
    ) -> None:
        install(bare_home, SPY, MANIFEST.replace(old, new, 1))
        with pytest.raises(ExtensionError, match=expected):
            load_updater(bare_home, SETTINGS)

    def test_a_module_that_fails_is_named(self, bare_home: Home) -> None:
        install(bare_home, "1 / 0")
        with pytest.raises(ExtensionError, match="fails when loaded: ZeroDivisionError"):
            load_updater(bare_home, SETTINGS)

    def test_code_that_everybody_may_write_is_refused(self, bare_home: Home) -> None:
        (install(bare_home, SPY) / "RegistrationUpdater.py").chmod(0o666)
        with pytest.raises(ExtensionError, match="writable by every user"):
            load_updater(bare_home, SETTINGS)

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

    @pytest.mark.usefixtures("openssl_program")
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

    def test_the_question_has_the_config_and_a_private_folder(self, bare_home: Home) -> None:
        program = install_program(
            bare_home,
            '#!/bin/sh\nquestion=$(cat)\necho "$question" >> asked\n'
            'case $question in *keyFile*) ls -ld "$(echo "$question" | '
            'sed \'s/.*keyFile": "\\([^"]*\\)\\/key.pem.*/\\1/\')" > mode;; esac\n'
            "echo '{\"csr\": false}'\n",
        )
        loaded = load_updater(bare_home, SETTINGS)
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
    def test_a_bad_answer_is_named(self, bare_home: Home, code: str, expected: str) -> None:
        install_program(bare_home, f"#!/bin/sh\n{code}\n")
        with pytest.raises(ExtensionError, match=expected):
            load_updater(bare_home, SETTINGS)

    def test_a_promise_without_files_is_named(self, bare_home: Home) -> None:
        install_program(bare_home, "#!/bin/sh\necho '{\"csr\": true}'\n")
        with pytest.raises(ExtensionError, match="left no usable key and CSR"):
            load_updater(bare_home, SETTINGS).csr_info(True)

    def test_a_program_that_is_not_executable_is_named(self, bare_home: Home) -> None:
        install_program(bare_home, "").chmod(0o644)
        with pytest.raises(ExtensionError, match="is not executable"):
            load_updater(bare_home, SETTINGS)

    def test_a_program_that_hangs_is_killed_with_its_children(self, bare_home: Home) -> None:
        program = install_program(bare_home, "#!/bin/sh\nsleep 60 &\necho $! > child\nsleep 60\n")
        started = time.monotonic()
        with pytest.raises(ExtensionError, match=r"did not answer within 0\.5 s"):
            ExecutableUpdater(program, {}, private_root=bare_home.configuration, timeout=0.5)
        assert time.monotonic() - started < 10
        child = Path("/proc", (program.parent / "child").read_text().strip(), "cmdline")
        # Gone, or dead and not yet collected by whoever inherited it.
        while child.exists() and child.read_bytes():
            assert time.monotonic() - started < 20
            time.sleep(0.01)
