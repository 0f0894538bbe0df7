"""GET /Agents/{id}/Explanation says what the next session is answered."""

from __future__ import annotations

import pytest
from django.utils import timezone

from orchestrators.models import Orchestrator
from portal.rest.moments import zulu
from tests.portal.pages import fleet as rows
from tests.portal.rest.conftest import Caller, refused

pytestmark = pytest.mark.both_databases
UNKNOWN = "3f1d3a1e-0000-4000-8000-000000000000"


def told(admin: Caller, orchestrator: Orchestrator) -> dict[str, object]:
    response = admin.get(f"Agents/{orchestrator.pk}/Explanation")
    assert response.status_code == 200
    return dict(response.json())


def test_a_calm_one_gets_its_session_and_goes_on(admin: Caller) -> None:
    calm = rows.fleet(timezone.now()).calm
    answer = told(admin, calm)
    assert (answer["State"], answer["ClientMachine"]) == ("ok", calm.client_machine)
    (outlook,) = answer["Outlooks"]  # type: ignore[misc]
    assert outlook["Thumbprint"] == calm.thumbprint
    assert (outlook["Level"], outlook["Standing"], outlook["UsedLast"]) == (0, "current", True)
    assert outlook["NotAfter"] == zulu(calm.certificate_not_after)
    assert outlook["WithoutCSR"] == {
        "Outcome": "Gets a session; work goes on.",
        "Code": None,
        "Message": None,
        "Remedy": None,
    }


def test_one_in_the_expiry_period_needs_a_certificate(admin: Caller) -> None:
    one = rows.fleet(timezone.now()).must_renew
    outlook = told(admin, one)["Outlooks"][0]  # type: ignore[index]
    assert outlook["WithoutCSR"]["Code"] == "A0100008"
    assert outlook["WithoutCSR"]["Outcome"] == "Gets no session."
    assert "must be renewed" in outlook["WithoutCSR"]["Message"]


def test_a_new_one_is_told_what_it_waits_for(admin: Caller) -> None:
    answer = told(admin, rows.fleet(timezone.now()).waiting)
    assert (answer["State"], answer["Obstacle"]) == ("waiting", None)
    outlook = answer["Outlooks"][0]  # type: ignore[index]
    assert outlook["WithoutCSR"]["Code"] == "A01F0001"


def test_an_unknown_one_is_404(admin: Caller) -> None:
    response = admin.get(f"Agents/{UNKNOWN}/Explanation")
    refused(response, 404, "orchestrator_unknown")
