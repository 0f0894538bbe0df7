"""GET /Agents/{id}/Explanation: what its next session would be answered, and why.

Owns the form of the reply. What is foretold is `renewal/explain.py`'s, which asks the function that
answers the orchestrator itself.
"""

from __future__ import annotations

from typing import TypedDict

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from orchestrators import selectors
from orchestrators.models import Status
from portal.access.catalogue import Permission
from portal.preferences import store
from portal.rest.agents import AgentView, found_agent
from portal.rest.moments import zulu_or_none
from renewal.configuration import periods
from renewal.explain import Answer, Outlook, explain
from renewal.selectors import history
from renewal.selectors.states import LABELS, state_of


class Foretold(TypedDict):
    """What one kind of Register would be answered."""

    Outcome: str
    Code: str | None
    Message: str | None
    Remedy: str | None


class OutlookResponse(TypedDict):
    """What happens if it comes with this certificate or credential."""

    Thumbprint: str | None
    Standing: str | None
    Credential: str | None
    UsedLast: bool
    Level: int | None
    NotAfter: str | None
    DaysLeft: int | None
    WarningFrom: str | None
    ExpiryFrom: str | None
    WithoutCSR: Foretold
    WithCSR: Foretold


class ExplanationResponse(TypedDict):
    """Why an orchestrator is in its state, and what comes next."""

    AgentId: str
    ClientMachine: str
    State: str
    Meaning: str
    Obstacle: str | None
    Outlooks: list[OutlookResponse]


class AgentExplanation(AgentView):
    """GET /Agents/{id}/Explanation: what its next session would be answered, and why."""

    needs = {"GET": Permission.AGENTS_READ}
    returns = {"GET": ExplanationResponse}

    def get(self, request: Request, agent_id: str) -> Response:
        now, preferences = timezone.now(), store.load()
        found = found_agent(request, agent_id)
        waits = found.status != Status.APPROVED
        told = explain(
            found,
            preferences,
            now=now,
            claim=selectors.claim_of(found),
            claimants=history.claimants_of(found) if waits else [],
        )
        state = state_of(found, periods(preferences), now=now)
        answer: ExplanationResponse = {
            "AgentId": str(found.pk),
            "ClientMachine": found.client_machine,
            "State": state.value,
            "Meaning": LABELS[state].meaning,
            "Obstacle": (told.prospect.obstacle if told.prospect else "") or None,
            "Outlooks": [_outlook(outlook) for outlook in told.outlooks],
        }
        return Response(answer)


def _outlook(outlook: Outlook) -> OutlookResponse:
    dates = outlook.dates
    return {
        "Thumbprint": outlook.certificate.thumbprint if outlook.certificate else None,
        "Standing": outlook.standing or None,
        "Credential": outlook.credential.name if outlook.credential else None,
        "UsedLast": outlook.used_last,
        "Level": dates.level if dates else None,
        "NotAfter": zulu_or_none(dates.not_after if dates else None),
        "DaysLeft": dates.days_left if dates else None,
        "WarningFrom": zulu_or_none(dates.warning_from if dates else None),
        "ExpiryFrom": zulu_or_none(dates.expiry_from if dates else None),
        "WithoutCSR": _foretold(outlook.without_csr),
        "WithCSR": _foretold(outlook.with_csr),
    }


def _foretold(answer: Answer) -> Foretold:
    code = answer.decision.code
    return {
        "Outcome": answer.outcome,
        "Code": code.value if code else None,
        "Message": answer.message or None,
        "Remedy": answer.remedy or None,
    }
