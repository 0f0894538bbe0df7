"""What the tests of the pages share: now, a fleet in every state, and a browser of each role."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from django.test import Client
from django.utils import timezone

from portal.access.models import User
from tests.portal.pages import fleet as rows


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def fleet(db: None, now: datetime) -> rows.Fleet:
    return rows.fleet(now)


@pytest.fixture
def as_role(db: None) -> Callable[[str | None], Client]:
    """A signed-in client of a shipped role; None: a user without any."""

    def sign_in(role: str | None) -> Client:
        name = (role or "nobody").lower().replace(" ", "-")
        user = User.objects.filter(username=name).first() or rows.user(name, role)
        client = Client(raise_request_exception=False)
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def admin(as_role: Callable[[str | None], Client]) -> Client:
    return as_role("Administrator")
