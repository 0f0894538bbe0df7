"""The command line as users run it: init, exit statuses, the lock, and the one-file build."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from orchestrators.agent.build import build
from orchestrators.agent.home import Home, HomeInUseError
from orchestrators.agent.loop import Outcome
from orchestrators.agent.store import Identity
from orchestrators.protocol.codes import Code
from tests.agent.conftest import MakeHome
from tests.agent.pki import authority, pkcs12_of
from tests.agent.portal_double import AGENT_ID, PortalDouble, issue, must, refuse, warn

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrators.agent", *arguments],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_init_and_first_enrollment_as_the_portal_shows_it(
    portal: PortalDouble, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority().pem())
    home = str(tmp_path / "home")
    made = run(
        *("init", "--home", home, "--url", portal.url, "--name", "web-1"),
        *("--ca-file", str(tmp_path / "ca.pem"), "--bootstrap-user", "u", "--password-stdin"),
        *("--updater", "KeyType=P-384", "--updater", "DataCenter=West"),
        text="secret\n",
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == f"{home}/configuration"
    portal.registers.extend([refuse(Code.NOT_APPROVED), issue])
    log_file = tmp_path / "log" / "orchestrator.log"
    waiting = run("--home", home, "--once", "--log-file", str(log_file))
    assert waiting.returncode == Outcome.WAITING_FOR_APPROVAL
    assert run("--home", home, "--once", "--log-file", str(log_file)).returncode == 0
    enrolling = portal.register_calls[1]
    assert enrolling.csr.public_key().key_size == 384  # type: ignore[union-attr]
    assert enrolling.body["ClientParameters"]["DataCenter"] == "West"
    assert portal.register_calls[2].certificate
    assert log_file.stat().st_mode & 0o777 == 0o600
    assert "[Info] - Pass ended: OK" in log_file.read_text()


def test_init_with_a_certificate(portal: PortalDouble, tmp_path: Path, identity: Identity) -> None:
    (tmp_path / "ca.pem").write_bytes(authority().pem())
    (tmp_path / "c.p12").write_bytes(pkcs12_of(identity, "p"))
    home = str(tmp_path / "home")
    options = ["init", "--home", home, "--url", portal.url, "--name", "web-1"]
    options += ["--ca-file", str(tmp_path / "ca.pem"), "--pkcs12", str(tmp_path / "c.p12")]
    wrong = run(*options, text="wrong")
    assert wrong.returncode == Outcome.CONFIGURATION
    assert "wrong" not in wrong.stderr.replace("wrong password", "")
    assert run(*options, text="p").returncode == 0
    assert run("--home", home, "--once").returncode == 0
    assert portal.register_calls[0].serial == identity.certificate.serial_number


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([warn, issue], Outcome.OK),
        ([refuse(Code.CERTIFICATE_EXPIRED)], Outcome.EXPIRED),
        ([must, refuse(Code.ENROLLMENT_REFUSED)], Outcome.RENEWAL_REFUSED),
        ([refuse(Code.CERTIFICATE_DROPPED)], Outcome.NO_SESSION),
    ],
)
def test_exit_statuses(
    make_home: MakeHome, portal: PortalDouble, answers: list[object], status: Outcome
) -> None:
    portal.registers.extend(answers)  # type: ignore[arg-type]
    done = run("--home", str(make_home().root), "--once")
    assert done.returncode == status, done.stderr


@pytest.mark.parametrize("content", [None, b"no certificate"], ids=["missing", "garbage"])
def test_a_trust_store_that_cannot_be_read_is_an_error_of_the_configuration(
    make_home: MakeHome, portal: PortalDouble, content: bytes | None
) -> None:
    home = make_home()
    settings = json.loads(home.app_settings.read_text())
    trust_store = home.root / "other.pem"
    settings["AppSettings"]["TrustStore"] = str(trust_store)
    home.app_settings.write_text(json.dumps(settings))
    if content is not None:
        trust_store.write_bytes(content)
    done = run("--home", str(home.root), "--once")
    assert done.returncode == Outcome.CONFIGURATION == 2
    assert f"TrustStore: {trust_store} " in done.stderr
    assert portal.register_calls == []


def test_documented_exit_statuses_are_those_of_the_code() -> None:
    document = (ROOT / "docs/orchestrator.md").read_text()
    for outcome in Outcome:
        assert f"| {outcome.value} | `{outcome.name}` |" in document


def test_a_home_that_does_not_exist_and_a_wrong_extension_are_clear(
    make_home: MakeHome, tmp_path: Path
) -> None:
    missing = run("--home", str(tmp_path / "nowhere"), "--once")
    assert missing.returncode == Outcome.CONFIGURATION
    assert "see 'init --help'" in missing.stderr
    home = make_home()
    (home.root / "extensions" / "x").mkdir()
    (home.root / "extensions" / "x" / "manifest.json").write_text("{}")
    assert run("--home", str(home.root), "--once").returncode == Outcome.CONFIGURATION


def test_one_process_at_a_time_uses_a_home(make_home: MakeHome) -> None:
    home = make_home()
    with home.locked():
        done = run("--home", str(home.root), "--once")
        assert done.returncode == Outcome.HOME_IN_USE
        assert "another orchestrator process uses" in done.stderr
        with pytest.raises(HomeInUseError), Home(home.root).locked():
            pass
    assert run("--home", str(home.root), "--once").returncode == 0


def test_a_signal_ends_the_service_with_status_0(make_home: MakeHome, portal: PortalDouble) -> None:
    command = [sys.executable, "-m", "orchestrators.agent", "--home", str(make_home().root)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        portal.wait_for(lambda: bool(portal.calls))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


class TestOneFile:
    """The zipapp on another host."""

    def test_it_renews_without_the_checkout_and_without_django(
        self, make_home: MakeHome, portal: PortalDouble, tmp_path: Path
    ) -> None:
        home = make_home()
        file = tmp_path / "elsewhere" / "orchestrator.pyz"
        build(file)
        portal.registers.extend([warn, issue])
        # -I: neither the environment nor the working directory adds to the module path.
        start = (
            "import runpy, sys\n"
            "sys.modules['django'] = None\n"
            f"sys.argv = ['orchestrator.pyz', '--home', {str(home.root)!r}, '--once']\n"
            "try:\n"
            f"    runpy.run_path({str(file)!r}, run_name='__main__')\n"
            "finally:\n"
            "    print(*(m for m in sys.modules if m.startswith(('orchestrators', 'portal',"
            " 'renewal', 'rest_framework', 'celery'))))\n"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-c", start],
            cwd=file.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert portal.register_calls[2].serial != portal.register_calls[0].serial
        packages = {".".join(name.split(".")[:2]) for name in done.stdout.split()}
        assert packages == {"orchestrators", "orchestrators.agent", "orchestrators.protocol"}
        digest = portal.register_calls[0].body["ClientParameters"]["extension-sha256"]
        source = (ROOT / "orchestrators/agent/builtin.py").read_bytes()
        assert digest == hashlib.sha256(source).hexdigest()

    def test_equal_sources_give_an_equal_executable_file(self, tmp_path: Path) -> None:
        build(tmp_path / "a.pyz")
        build(tmp_path / "b.pyz")
        assert (tmp_path / "a.pyz").read_bytes() == (tmp_path / "b.pyz").read_bytes()
        assert (tmp_path / "a.pyz").stat().st_mode & 0o111
        names = zipfile.ZipFile(tmp_path / "a.pyz").namelist()
        assert all(name == "__main__.py" or name.startswith("orchestrators/") for name in names)
        done = subprocess.run(
            [sys.executable, str(tmp_path / "a.pyz"), "--version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.strip() == "1.0.0.0"


def test_the_orchestrators_id_is_kept_by_init(make_home: MakeHome) -> None:
    assert AGENT_ID in make_home().app_settings.read_text()
