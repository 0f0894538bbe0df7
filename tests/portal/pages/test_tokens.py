"""The pages of API tokens: one's own, and everybody's for administrators."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from portal.access.models import ApiToken, User
from portal.access.tokens import issue_token
from portal.audit.trail import Actor
from tests.portal.rest.conftest import user_with

pytestmark = pytest.mark.django_db


def page_of(user: User) -> Client:
    client = Client()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return client


def token_of(user: User, name: str) -> ApiToken:
    now = timezone.now()
    return issue_token(user, name, lasts=timedelta(days=1), actor=Actor("tester"), now=now)[0]


def test_a_token_of_ones_own_is_shown_once_with_its_limits() -> None:
    client = page_of(user_with("Operator"))
    form = {"name": "nightly", "days": 30, "networks": "192.0.2.0/24\n::1", "scopes": "agents_read"}
    answer = client.post("/account/tokens", form)
    text = re.search(r"ocp_[\w-]{40,}", answer.content.decode())
    assert text is not None
    assert "no-store" in answer["Cache-Control"]
    row = ApiToken.objects.get()
    assert (row.scopes, row.networks) == (["agents_read"], ["192.0.2.0/24", "::1/128"])
    later = client.get("/account/tokens").content.decode()
    assert text[0] not in later
    assert "/agents/management/read/" in later
    assert "192.0.2.0/24" in later


def test_only_permissions_that_one_holds_can_be_chosen() -> None:
    client = page_of(user_with("Read only"))
    assert "settings_modify" not in client.get("/account/tokens").content.decode()
    form = {"name": "mine", "days": 1, "scopes": "settings_modify"}
    assert client.post("/account/tokens", form).status_code == 400
    assert not ApiToken.objects.exists()


def test_a_network_that_is_none_is_said_beside_its_field() -> None:
    client = page_of(user_with("Operator"))
    answer = client.post("/account/tokens", {"name": "a", "days": 1, "networks": "example.com"})
    assert answer.status_code == 400
    assert "is no network" in answer.content.decode()
    assert 'id="id_networks_error"' in answer.content.decode()


def test_one_revokes_ones_own_tokens_and_nobody_elses() -> None:
    ada, ben = user_with("Operator", "ada"), user_with("Operator", "ben")
    mine, other = token_of(ada, "mine"), token_of(ben, "other")
    client = page_of(ada)
    assert client.post(f"/account/tokens/{mine.pk}/revoke").status_code == 302
    assert client.post(f"/account/tokens/{other.pk}/revoke").status_code == 404
    revoked = ApiToken.objects.exclude(revoked_at=None).values_list("name", flat=True)
    assert list(revoked) == ["mine"]


def test_administrators_find_and_revoke_everybodys_tokens() -> None:
    admin, ben = user_with("Administrator"), user_with("Operator", "ben")
    row = token_of(ben, "nightly")
    client = page_of(admin)
    assert "nightly" in client.get("/access/tokens?q=ben").content.decode()
    assert "nightly" not in client.get("/access/tokens?q=ada").content.decode()
    assert client.post(f"/access/tokens/{row.pk}/revoke").status_code == 302
    assert "No token" in client.get("/access/tokens").content.decode()
    assert "Revoked" in client.get("/access/tokens?state=all").content.decode()
