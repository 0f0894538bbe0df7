"""Fixtures of the agent protocol's tests: the front door, a CA, approved hosts, credentials.

Owns their making; everything that an agent or an operator can do is done through them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from orchestrators import credentials
from orchestrators.models import BootstrapCredential
from portal.audit.models import AuditEntry
from renewal import issuers
from renewal.ca.local import LocalCA
from renewal.enrollment import waiting
from renewal.identity import trust
from renewal.models import Template
from tests.agent_api.front_door import OPERATOR, FrontDoor, Host, TestCA, local_ca, new_key, start


@pytest.fixture(scope="session")
def ca_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("front-door") / "ca"
    local_ca(folder)
    return folder


@pytest.fixture
def door(
    db: None,
    ca_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> FrontDoor:
    """A portal with a local CA, a template for P-256 and both settings."""
    settings.CONFIG = replace(settings.CONFIG, edge="agents")
    now = start()
    row, _ = issuers.save_authority(
        name="Test CA",
        alias="local",
        options={"directory": str(ca_folder), "passphrase": "not a secret"},
        actor=OPERATOR,
        now=now,
    )
    backend = issuers.backend(row)
    assert isinstance(backend, LocalCA)
    Template.objects.create(
        name="Orchestrator",
        key_types=["EC-P256"],
        extended_key_usages=["1.3.6.1.5.5.7.3.2"],
        created_at=now,
    )
    door = FrontDoor(now, TestCA(backend, row))
    monkeypatch.setattr(backend, "issue", door.ca.issue)
    trust.forget()
    for number, anchor in enumerate(backend.trust_anchors()):
        trust.add_anchor(anchor, name=f"Root {number}", actor=OPERATOR, now=now)
    trust.add_anchor(
        backend.issuing_certificate().der,
        name="Issuing",
        actor=OPERATOR,
        now=now,
        is_intermediate=True,
    )
    monkeypatch.setattr(
        "portal.agent_api.messages.presented_certificate", door.presented_certificate
    )
    monkeypatch.setattr(timezone, "now", lambda: door.now)
    monkeypatch.setattr(AuditEntry._meta.get_field("at"), "_get_default", lambda: door.now)
    monkeypatch.setattr(waiting, "wait", door.wait)
    door.setting("CertificateAuthorityForSubmittedCSRs", "Test CA")
    door.setting("TemplateForSubmittedCSRs", "Orchestrator")
    return door


@pytest.fixture
def make_host(door: FrontDoor) -> Callable[..., Host]:
    """Factory of hosts that came forward with a certificate, were approved and have a session."""

    def make(name: str = "agent01", *, has_session: bool = True, **dates: Any) -> Host:
        key = new_key()
        host = Host(door, name, door.certificate(key, subject=f"CN={name}", **dates), key)
        assert host.register().code == "A01F0001"
        record = door.record(name)
        door.approve(record)
        host.agent_id = str(record.pk)
        if has_session:
            host.register()
        return host

    return make


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    """An approved orchestrator with 300 days left and a session."""
    return make_host()


@pytest.fixture
def make_credential(door: FrontDoor) -> Callable[..., tuple[BootstrapCredential, tuple[str, str]]]:
    """Factory of bootstrap credentials: the row, and name and secret for a Basic header."""

    def make(name: str = "bootstrap", **more: Any) -> tuple[BootstrapCredential, tuple[str, str]]:
        row, secret = credentials.create(name=name, actor=OPERATOR, now=door.now, **more)
        return row, (name, secret)

    return make
