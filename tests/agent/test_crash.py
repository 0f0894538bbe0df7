"""kill -9 at every step of an installation, and at every system call in and between them.

After each kill a recovery, as at every start, must leave one working pair: the old one or the new
one, with the password, the id and the pending key that belong to it.
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from orchestrators.agent.home import Home
from orchestrators.agent.install import open_store, recover
from orchestrators.agent.journal import STAGED_SUFFIX, Change, Journal, JournalError
from orchestrators.agent.keys import build_csr, generate_key
from orchestrators.agent.loop import Outcome
from orchestrators.agent.pending import Pending, PendingFile
from orchestrators.agent.service import attempt
from orchestrators.agent.settings import read_settings
from orchestrators.agent.store import Identity
from orchestrators.agent.windows import Location
from tests.agent.conftest import MakeHome, orchestrator_of
from tests.agent.install_driver import CERTIFICATE
from tests.agent.pki import authority, common_name
from tests.agent.portal_double import PortalDouble, issue, must
from tests.agent.test_windows_store import windows_home
from tests.agent.windows_double import FolderStores

ROOT = Path(__file__).resolve().parents[2]
KINDS = ["pkcs12", "pem", "windows"]


def homes_after_kills(home: Home, mode: str, prefix: str) -> list[Home]:
    """Run the driver; return the homes it left: all killed, but for the last one."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.agent.install_driver", str(home.root), mode, prefix],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Home(home.root.with_name(f"{prefix}-{at}")) for at in range(int(done.stdout) + 1)]


class Scene:
    """A home with a pending key and the certificate that answers it; copied for every kill."""

    def __init__(self, make_home: MakeHome, kind: str, old: Identity) -> None:
        self.kind, self.old = kind, old
        if kind == "windows":
            self.home = windows_home(make_home, old)
            FolderStores(self.home.root / "stores").add(Location.CURRENT_USER, old)
        else:
            self.home = make_home(kind)
        key = generate_key()
        csr = build_csr(key, common_name("agent-1"))
        PendingFile(self.home.pending).save(Pending(csr, key, "origin"))
        self.new = Identity(authority().issue(csr.public_key(), csr.subject), key)
        der = self.new.certificate.public_bytes(Encoding.DER)
        (self.home.root / CERTIFICATE).write_text(base64.b64encode(der).decode())

    def verdict(self, home: Home) -> str:
        """Recover as at a start; return which pair works, with everything that belongs to it."""
        recover(home)
        settings = read_settings(home)
        store = open_store(home, settings, FolderStores(home.root / "stores"))
        Journal(home.journal).recover(store.files)
        identity = store.load()
        assert identity is not None
        is_new = identity.thumbprint == self.new.thumbprint
        assert is_new or identity.thumbprint == self.old.thumbprint
        assert (settings.orchestrator_id == "id-from-portal") == is_new
        # The key of the CSR is there until its certificate is installed.
        assert home.pending.exists() != is_new
        left_over = {
            p.name for p in home.configuration.iterdir() if p.suffix in {STAGED_SUFFIX, ".tmp"}
        }
        assert not left_over
        assert not home.journal.exists()
        modes = {p.stat().st_mode & 0o777 for p in home.configuration.iterdir() if p.is_file()}
        assert modes == {0o600}
        return "new" if is_new else "old"


@pytest.fixture
def scene(make_home: MakeHome, identity: Identity, request: pytest.FixtureRequest) -> Scene:
    return Scene(make_home, request.param, identity)


@pytest.mark.parametrize("scene", KINDS, indirect=True)
@pytest.mark.parametrize("mode", ["step", "call"])
def test_a_kill_at_any_point_leaves_a_working_pair(scene: Scene, mode: str) -> None:
    verdicts = [scene.verdict(home) for home in homes_after_kills(scene.home, mode, "copy")]
    # Old up to the commit, new from then on: no point at which it goes back and forth.
    assert verdicts == sorted(verdicts, reverse=True)
    assert {"old", "new"} == set(verdicts)
    assert len(verdicts) > (7 if mode == "step" else 30)


@pytest.mark.parametrize("scene", KINDS, indirect=True)
def test_a_kill_at_any_point_of_a_recovery_leaves_a_working_pair(scene: Scene) -> None:
    # The first home with a journal: committed, and no file has been moved yet.
    homes = homes_after_kills(scene.home, "step", "installing")
    committed = next(home for home in homes if home.journal.exists())
    recovering = homes_after_kills(committed, "recover", "recovering")
    assert [scene.verdict(home) for home in recovering] == ["new"] * len(recovering)
    assert len(recovering) > 10


@pytest.mark.parametrize("at", range(0, 60, 5))
def test_the_whole_orchestrator_killed_in_a_renewal_has_a_session_after_a_restart(
    make_home: MakeHome, portal: PortalDouble, at: int
) -> None:
    home = make_home()
    portal.registers.extend([must, issue])
    code = (
        "import sys; from tests.agent.install_driver import die_at_call;"
        "from orchestrators.agent.__main__ import main;"
        f"die_at_call({at}); sys.exit(main(['--home', {str(home.root)!r}, '--once']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    portal.registers.clear()
    portal.registers.extend([must, issue] if home.pending.exists() else [])
    assert attempt(orchestrator_of(home)) is Outcome.OK


def test_a_file_behind_a_symbolic_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "file", tmp_path / "link"
    real.write_text("old")
    os.symlink(real, link)
    Journal(tmp_path / "journal").apply([Change(link, b"new")])
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_a_damaged_staged_file_is_never_moved_into_place(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    journal = Journal(tmp_path / "journal")
    for step in journal.steps([Change(target, b"new")])[:2]:
        step.run()
    (tmp_path / f"file{STAGED_SUFFIX}").write_text("damaged")
    with pytest.raises(JournalError, match="damaged"):
        journal.recover([target])
    assert target.read_text() == "old"


def test_a_journal_that_is_no_journal_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("{}")
    with pytest.raises(JournalError, match="cannot be read"):
        Journal(tmp_path / "journal").recover([])
