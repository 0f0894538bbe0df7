"""Two make an authority or a template of one name at one moment: the database lets one through."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from portal.audit.models import AuditEntry
from renewal import authorities, issuers, templates
from renewal.authorities import Wanted
from renewal.issuers import NameTaken
from renewal.models import CertificateAuthority, Template
from tests.portal.access.conftest import TESTER
from tests.portal.rest.conftest import Caller, refused

# A race needs locks of rows.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("on_postgresql")]


@pytest.fixture(autouse=True)
def database(settings: Settings, tmp_path: Path) -> None:
    settings.CONFIG = replace(settings.CONFIG, data_dir=tmp_path)


def meeting(call: Callable[..., Any], parties: int) -> Callable[..., Any]:
    """Let everybody look first and write then: the widest gap that the race can have."""
    barrier = Barrier(parties)

    def late(*args: Any, **more: Any) -> Any:
        barrier.wait(timeout=30)
        return call(*args, **more)

    return late


def posted(admin: Caller, path: str, body: dict[str, Any], times: int) -> list[Any]:
    def post(_: int) -> Any:
        try:
            return admin.post(path, body)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(post, range(times)))


@pytest.mark.parametrize(
    ("path", "name", "module", "opening", "rows", "added"),
    [
        (
            *("CertificateAuthority", "LogicalName", authorities, "_slug"),
            *(CertificateAuthority, "authority_added"),
        ),
        ("Templates", "TemplateName", templates, "_checked", Template, "template_added"),
    ],
    ids=["an authority", "a template"],
)
def test_one_is_made_and_the_others_are_told_that_the_name_is_taken(
    admin: Caller,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    name: str,
    module: Any,
    opening: str,
    rows: Any,
    added: str,
) -> None:
    # Everybody has seen that the name is free when the first one writes.
    monkeypatch.setattr(module, opening, meeting(getattr(module, opening), 3))
    replies = posted(admin, path, {name: "Contested"}, 3)
    assert sorted(reply.status_code for reply in replies) == [200, 400, 400]
    for reply in replies:
        if reply.status_code == 400:
            refused(reply, 400, "name_taken")
    assert rows.objects.filter(name="Contested").count() == 1
    assert AuditEntry.objects.filter(action=added, object_name="Contested").count() == 1


def test_a_second_maker_never_changes_the_passphrase_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = timezone.now()
    wanted = Wanted("Contested", "local", {})
    save = issuers.save_authority

    def overtaken(**given: Any) -> Any:
        # Another process makes it after this one has looked, and before it writes.
        monkeypatch.setattr(issuers, "save_authority", save)
        authorities.create_local(wanted, actor=TESTER, now=now)
        return save(**given)

    monkeypatch.setattr(issuers, "save_authority", overtaken)
    with pytest.raises(NameTaken):
        authorities.create_local(wanted, actor=TESTER, now=now)
    row = CertificateAuthority.objects.get()
    assert row.enabled
    issuers.backend(row).issuing_certificate()  # type: ignore[attr-defined]
    assert authorities.create_local(wanted, actor=TESTER, now=now) == (row, False)
