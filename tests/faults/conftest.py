"""One running portal on each database, shared by the tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.site import Site, running_site
from tests.services.portal import Template


@pytest.fixture(scope="session", params=["postgresql", "sqlite"])
def site(portal_template: Template, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A portal with CAs that can be broken."""
    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    with running_site(portal_template, server) as running:
        yield running


@pytest.fixture(autouse=True)
def _invariants_hold(site: Site) -> Iterator[None]:
    """After every fault, what must always hold does hold."""
    yield
    site.verify()
