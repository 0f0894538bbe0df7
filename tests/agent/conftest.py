"""Fixtures of the orchestrator's tests: a portal double, homes of the kinds of stores, a log."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrators.agent import logs
from orchestrators.agent.client import Portal
from orchestrators.agent.home import Home
from orchestrators.agent.install import open_store
from orchestrators.agent.jobs import JobRunner
from orchestrators.agent.logs import LineFormatter, LogTail, RecentLines
from orchestrators.agent.session import Orchestrator
from orchestrators.agent.settings import read_settings
from orchestrators.agent.setup import Bootstrap, NewHome, PemFiles, Pkcs12File, initialize
from orchestrators.agent.store import Identity
from orchestrators.agent.updater import load_updater
from orchestrators.agent.windows import PersonalStores
from tests.agent.pki import authority, pem_of, pkcs12_of
from tests.agent.portal_double import AGENT_ID, PortalDouble, running_portal

FIRST_PASSWORD = "first-password"
BOOTSTRAP_PASSWORD = "bootstrap-password"

MakeHome = Callable[..., Home]


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[PortalDouble]:
    with running_portal(tmp_path) as double:
        yield double


@pytest.fixture
def identity() -> Identity:
    return authority().identity()


@pytest.fixture
def make_home(tmp_path: Path, portal: PortalDouble, identity: Identity) -> MakeHome:
    """Make a home that starts with ``identity`` in a store of ``kind``."""
    (tmp_path / "ca.pem").write_bytes(authority().pem())

    def make(kind: str = "pkcs12", **updater: str) -> Home:
        start: Pkcs12File | PemFiles | Bootstrap
        if kind == "pkcs12":
            (tmp_path / "given.p12").write_bytes(pkcs12_of(identity, FIRST_PASSWORD))
            start = Pkcs12File(tmp_path / "given.p12", FIRST_PASSWORD)
        elif kind == "pem":
            start = PemFiles(tmp_path / "given.pem", tmp_path / "given.key")
            start.certificate.write_bytes(pem_of(identity)[0])
            start.key.write_bytes(pem_of(identity)[1])
        else:
            start = Bootstrap("bootstrap", BOOTSTRAP_PASSWORD)
        home = Home(tmp_path / "home")
        initialize(
            home,
            NewHome(
                url=portal.url,
                name="agent-1",
                start=start,
                ca_file=tmp_path / "ca.pem",
                orchestrator_id="" if kind == "bootstrap" else AGENT_ID,
                updater=updater,
            ),
        )
        return home

    return make


@pytest.fixture
def bare_home(tmp_path: Path) -> Home:
    """A home with folders and nothing in them."""
    home = Home(tmp_path / "home")
    home.configuration.mkdir(parents=True)
    home.resolve("extensions").mkdir()
    return home


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log as text."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger(logs.ROOT)
    before = root.handlers, root.level, root.propagate
    root.handlers, root.propagate = [handler], False
    root.setLevel(logging.DEBUG)
    yield stream
    root.handlers, root.level, root.propagate = before


def orchestrator_of(home: Home, personal_stores: PersonalStores | None = None) -> Orchestrator:
    """Wire an orchestrator as the command does."""
    settings = read_settings(home)
    trust_store = home.resolve(settings.trust_store) if settings.trust_store else None
    portal = Portal(settings.server_uri, trust_store)
    recent = RecentLines()
    recent.setFormatter(LineFormatter())
    logging.getLogger(logs.ROOT).addHandler(recent)
    jobs = JobRunner(portal, LogTail(recent))
    return Orchestrator(home, portal, load_updater(home, settings), jobs, personal_stores)


def installed(home: Home) -> Identity:
    """Read back what is on the disk."""
    identity = open_store(home, read_settings(home), None).load()
    assert identity is not None
    return identity
