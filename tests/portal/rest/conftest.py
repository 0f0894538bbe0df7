"""What the tests of the REST API share: callers with a role, and orchestrators.

Owns no expectation. A caller sends what existing clients send: Basic, both headers, a JSON body
(``null`` where there is none).
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from orchestrators.contact_day import day_of
from orchestrators.models import Orchestrator, Status
from orchestrators.records import rename
from portal.access import verified
from portal.access.models import ApiToken, User
from portal.access.roles import SHARED_SERVICE_ACCOUNT
from renewal import authority_trust, issuers, templates
from renewal.identity import claimants
from renewal.models import CertificateAuthority
from tests import pki
from tests.agent_api.front_door import local_ca
from tests.portal.access.conftest import TESTER

PASSWORD = "correct horse battery staple"
SEEN = datetime(2026, 5, 1, 8, 30, 15, 999, tzinfo=UTC)
_serials = itertools.count(1000)


def basic(name: str, password: str = PASSWORD) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@dataclass
class Caller:
    """A client of the API."""

    headers: dict[str, str] = field(default_factory=dict)
    client: Client = field(default_factory=Client)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | str | None = None,
        content_type: str = "application/json",
        headers: dict[str, str | None] | None = None,
        query: dict[str, str] | None = None,
    ) -> HttpResponse:
        sent = {
            "x-keyfactor-requested-with": "APIClient",
            "x-keyfactor-api-version": "1",
            "Accept": "application/json",
            **self.headers,
            **(headers or {}),
        }
        return self.client.generic(
            method,
            f"/KeyfactorAPI/{path}",
            json.dumps(body) if raw is None else raw,
            content_type=content_type,
            headers={name: value for name, value in sent.items() if value is not None},
            query_params=query,
        )

    def get(self, path: str, **options: Any) -> HttpResponse:
        return self.send("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> HttpResponse:
        return self.send("POST", path, body, **options)


def user_with(role: str | None, name: str = "") -> User:
    user = User.objects.create_user(name or f"user-{role}", password=PASSWORD)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


def caller_with(role: str | None, name: str = "") -> Caller:
    return Caller({"Authorization": basic(user_with(role, name).username)})


@pytest.fixture
def admin(db: None) -> Caller:
    return caller_with("Administrator", "ada")


@pytest.fixture
def token(db: None) -> Callable[..., str]:
    def issue(user: User, *, lasts: timedelta = timedelta(days=1), **changes: Any) -> str:
        now = timezone.now()
        return ApiToken.issue(
            user=user, name="script", created_at=now, expires_at=now + lasts, **changes
        )[1]

    return issue


@pytest.fixture
def orchestrator(db: None) -> Callable[..., Orchestrator]:
    """Factory of records; Approved unless told otherwise."""

    def make(name: str = "agent01", **changes: Any) -> Orchestrator:
        usual: dict[str, Any] = {
            "service_account": User.objects.get(username=SHARED_SERVICE_ACCOUNT),
            "status": Status.APPROVED,
            "platform": 7,
            "version": "1.0.0.0",
            "created_at": SEEN,
        }
        made = Orchestrator(**{**usual, **changes})
        if made.last_seen is not None:
            made.seen_on = day_of(made.last_seen)
        rename(made, name)
        made.save(force_insert=True)
        return made

    return make


@pytest.fixture
def come_forward(db: None) -> Callable[[Orchestrator], None]:
    """Let somebody with a certificate of its own come forward for a New record."""

    def note(record: Orchestrator) -> None:
        now = timezone.now()
        serial = next(_serials)
        facts = pki.facts(
            subject=f"CN={record.client_machine}-{serial}",
            serial_number=serial,
            not_before=now - timedelta(days=1),
            not_after=now + timedelta(days=365),
        )
        claimants.note(
            record,
            claimants.Seen(facts=facts),
            client_machine=record.client_machine,
            address="192.0.2.1",
            now=now,
        )

    return note


@pytest.fixture(scope="session")
def ca_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rest") / "ca"
    local_ca(folder)
    return folder


@pytest.fixture
def portal_ca(db: None, ca_folder: Path) -> CertificateAuthority:
    """A local CA that issues, its roots trusted, and the template *Orchestrator*."""
    now = timezone.now()
    row, _ = issuers.save_authority(
        name="Test CA",
        alias="local",
        options={"directory": str(ca_folder), "passphrase": "not a secret"},
        actor=TESTER,
        now=now,
    )
    contents = templates.Contents(
        key_types=("EC-P256",), name_patterns=("subject:CN=*", "dns:*.example.com")
    )
    templates.save_template("Orchestrator", contents, actor=TESTER, now=now)
    authority_trust.trust_authority(row, actor=TESTER, now=now)
    return row


def refused(response: HttpResponse, status: int, code: str) -> dict[str, Any]:
    """Check an error reply and return its body."""
    body: dict[str, Any] = json.loads(response.content)
    assert (response.status_code, body["ErrorCode"]) == (status, code), body
    assert response["Content-Type"] == "application/json"
    assert body["Message"] == body["detail"]
    assert body["Message"]
    assert body["status"] == status
    assert body["type"].endswith(f":{code}")
    assert body["title"]
    assert response["X-Request-ID"] in body["instance"]
    assert response["Cache-Control"] == "no-store"
    return body


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> None:
    """No password counts as verified because another test sent it."""
    verified.forget_all()
