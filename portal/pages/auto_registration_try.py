"""Try auto-registration: which rule would decide, rule by rule, and what would stand against it.

Owns the form. The answer is that of the function that answers the orchestrator; nothing is written,
and handlers, which are code of the deployment, are not called.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from orchestrators.models import Orchestrator, Status
from orchestrators.protocol.requests import MessageError
from orchestrators.reach import within
from orchestrators.registration import chain
from portal.access.catalogue import Permission
from portal.access.reach import reach
from portal.pages.auto_registration import OUTCOME_LABELS
from portal.pages.fields import fields
from portal.pages.form_fields import PairsField
from portal.pages.gate import page
from renewal.identity import attempt as attempts
from renewal.identity import first_registration
from renewal.models import Claimant

_RECENT = 20


class TryForm(forms.Form):
    """A Register, as far as rules see it."""

    client_machine = forms.CharField(label="ClientMachine", max_length=255)
    address = forms.CharField(label="Source address", max_length=64, required=False)
    credential = forms.ChoiceField(label="It proves itself with", required=False)
    parameters = PairsField(label="Client parameters", help_text="key=value, one per line.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = attempts.usable_credentials()
        chosen = self.fields["credential"]
        if isinstance(chosen, forms.ChoiceField):
            chosen.choices = [
                ("", "a client certificate"),
                *((name, f"the credential {name}") for name in names),
            ]

    def caller(self) -> first_registration.Caller:
        """Return the Register that was typed in. Raises MessageError."""
        said = self.cleaned_data
        return attempts.caller_of(
            said["client_machine"],
            address=said["address"],
            credential=attempts.credential_named(said["credential"]),
            parameters=dict(said["parameters"]),
        )


@page(Permission.AUTO_REGISTRATION_READ, query=fields("record", form=TryForm))
def attempt(request: HttpRequest) -> HttpResponseBase:
    """The form, filled from a New record if one is named, and what would become of it."""
    recent = _recent(request)
    chosen = next((o for o in recent if str(o.pk) == request.GET.get("record", "")), None)
    is_sent = "client_machine" in request.GET
    form = TryForm(request.GET) if is_sent else TryForm(initial=_from_record(chosen))
    result: dict[str, Any] = {}
    if is_sent and form.is_valid():
        try:
            result = _result(
                form.caller(),
                besides=chosen,
                sees_all=reach(request.user, Permission.AGENTS_READ).everything,
            )
        except MessageError as problem:
            form.add_error(None, f"An orchestrator could not say this: {problem}.")
    return render(
        request,
        "auto_registration/try.html",
        {
            "form": form,
            "recent": recent,
            "chosen": chosen,
            "result": result,
            "handlers": chain.handlers(),
        },
        status=400 if form.is_bound and form.errors else 200,
    )


def _result(
    caller: first_registration.Caller, *, besides: Orchestrator | None, sees_all: bool
) -> dict[str, Any]:
    """Return the ruling with its steps, and what speaks against acting on it."""
    found = attempts.attempt(caller, besides=besides, sees_all=sees_all)
    return {
        "ruling": found.ruling,
        "label": OUTCOME_LABELS[found.outcome],
        "obstacle": found.obstacle,
        "rest": found.rules_not_asked,
        "steps": [(step, OUTCOME_LABELS[step.rule.outcome]) for step in found.ruling.steps],
    }


def _recent(request: HttpRequest) -> list[Orchestrator]:
    """Return the newest records that were never approved, as far as the visitor may see them."""
    rows = Orchestrator.objects.filter(status=Status.NEW, reset_at=None)
    seen = within(rows, reach(request.user, Permission.AGENTS_READ))
    return list(seen.order_by("-created_at")[:_RECENT])


def _from_record(orchestrator: Orchestrator | None) -> dict[str, Any]:
    if orchestrator is None:
        return {}
    claimant = (
        Claimant.objects.filter(orchestrator=orchestrator, generation=orchestrator.generation)
        .select_related("credential")
        .order_by("-last_seen")
        .first()
    )
    credential = claimant.credential if claimant is not None else None
    parameters = orchestrator.client_parameters.items()
    return {
        "client_machine": orchestrator.client_machine,
        "address": claimant.address if claimant is not None else orchestrator.last_address,
        "credential": credential.name if credential is not None else "",
        "parameters": "\n".join(f"{key}={value}" for key, value in sorted(parameters)),
    }
