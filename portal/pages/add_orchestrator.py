"""Add orchestrator: where to register, whom to trust, what to prove oneself with.

Owns the page that hands out a bootstrap credential once, with the command and the configuration
file that use it. The credential itself is `orchestrators/credentials.py`'s.
"""

from __future__ import annotations

import json
import shlex
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone

from orchestrators import credentials
from orchestrators import selectors as records
from orchestrators.models import BootstrapCredential, Orchestrator
from portal.access.catalogue import Permission
from portal.pages import api_calls
from portal.pages.fields import NOTHING, fields
from portal.pages.first_steps import lacking
from portal.pages.gate import ACT, BOTH, EVERYWHERE, actor_of, demand_everywhere, page
from portal.preferences import store

_CA_FILE = "portal-ca.pem"
_MOST_CN_CHARACTERS = 64
"""Of a certificate's common name (RFC 5280 appendix A, ub-common-name)."""
_MOST_OF_NAME = 120
"""What a credential's name takes of the orchestrator's; a stamp follows."""


class AddForm(forms.Form):
    """A new orchestrator's name and how long its credential may wait for it."""

    name = forms.CharField(
        label="Name of the orchestrator",
        max_length=Orchestrator._meta.get_field("client_machine").max_length,
        help_text="It registers with this name; its certificate will carry it.",
    )
    valid_days = forms.IntegerField(
        label="Credential valid for (days)", min_value=1, max_value=90, initial=7
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"].strip()
        if any(ch in ":*" or ord(ch) < 0x20 for ch in name):
            raise forms.ValidationError("A name has no colon, no * and no control character.")
        return name


@page(
    Permission.AGENTS_READ,
    Permission.AGENTS_APPROVE,
    methods=BOTH,
    form=fields(form=AddForm),
)
def add(request: HttpRequest) -> HttpResponseBase:
    """The page; a POST makes a one-time credential and shows its secret this once."""
    demand_everywhere(request, *EVERYWHERE["add_orchestrator"])
    form = AddForm(request.POST if request.method == "POST" else None)
    made: dict[str, Any] = {}
    if request.method == "POST" and form.is_valid():
        now = timezone.now()
        name = form.cleaned_data["name"]
        try:
            credential, secret = credentials.create(
                name=f"{name[:_MOST_OF_NAME]}-{now:%Y%m%d%H%M%S}",
                actor=actor_of(request),
                now=now,
                one_time=True,
                valid_for=timedelta(days=form.cleaned_data["valid_days"]),
            )
        except credentials.CredentialInvalid as problem:
            form.add_error("name", str(problem))
        else:
            made = {
                "credential": credential,
                "secret": secret,
                "name": name,
                "command": _command(name, credential.name),
                # It puts the name into a CN, and knows no other place for it.
                "c_agent": _c_agent(name, credential.name, secret)
                if len(name) <= _MOST_CN_CHARACTERS
                else "",
            }
    response = render(
        request,
        "orchestrators/add.html",
        {
            "form": form,
            "made": made,
            "agent_url": settings.CONFIG.agent_url,
            "has_ca_file": settings.CONFIG.ca_file.exists(),
            "ca_file": _CA_FILE,
            "credentials": records.bootstrap_credentials(),
            "lacking": lacking(request, store.load()),
            "api_calls": api_calls.of_new_credential(),
        },
        status=400 if form.errors else 200,
    )
    if made:
        # The secret is in this answer and nowhere else.
        response["Cache-Control"] = "no-store"
    return response


@page(Permission.AGENTS_READ, Permission.AGENTS_APPROVE)
def ca_file(request: HttpRequest) -> HttpResponseBase:
    """The CA that orchestrators trust: the root above the portal's server certificate."""
    path = settings.CONFIG.ca_file
    if not path.exists():
        raise Http404("The portal has no CA file: its server certificate comes from elsewhere.")
    response = HttpResponse(path.read_bytes(), content_type="application/x-pem-file")
    response["Content-Disposition"] = f'attachment; filename="{_CA_FILE}"'
    return response


@page(Permission.AGENTS_READ, Permission.AGENTS_APPROVE, methods=ACT, form=NOTHING)
def revoke(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Revoke a bootstrap credential."""
    demand_everywhere(request, *EVERYWHERE["add_orchestrator"])
    credential = get_object_or_404(BootstrapCredential, pk=pk)
    changed = credentials.revoke(credential, actor=actor_of(request), now=timezone.now())
    messages.success(
        request,
        f"The credential {credential.name} "
        + ("was revoked." if changed else "was revoked already."),
    )
    return redirect("add_orchestrator")


def _command(name: str, user: str) -> str:
    options = [
        ("--url", settings.CONFIG.agent_url),
        ("--name", name),
        ("--ca-file", _CA_FILE),
        ("--bootstrap-user", user),
    ]
    lines = ["python3 orchestrator.pyz init --home orchestrator"]
    lines += [f"    {option} {shlex.quote(value)}" for option, value in options]
    lines.append("    --password-stdin")
    return " \\\n".join(lines)


def _c_agent(name: str, user: str, secret: str) -> str:
    """Return the C agent's config.json; a port rides inside Hostname, for it has no own field."""
    parts = urlsplit(settings.CONFIG.agent_url)
    folder = "/opt/keyfactor-c-agent"
    content = {
        "AgentId": "",
        "AgentName": name,
        "Hostname": parts.netloc,
        "VirtualDirectory": parts.path.strip("/"),
        "Username": user,
        "Password": secret,
        "UseSsl": True,
        "TrustStore": f"{folder}/certs/{_CA_FILE}",
        "UseAgentCert": True,
        "AgentCert": f"{folder}/certs/agent-cert.pem",
        "AgentKey": f"{folder}/certs/agent-key.pem",
        "AgentKeyPassword": "",
        "CSRKeyType": "ECC",
        "CSRKeySize": 256,
        "CSRSubject": f"CN={_escaped(name)}",
        "EnrollOnStartup": True,
        "UseBootstrapCert": False,
        "BootstrapCert": "",
        "BootstrapKey": "",
        "BootstrapKeyPassword": "",
        "LogFile": f"{folder}/agent.log",
        "httpRetries": 3,
        "retryInterval": 5,
    }
    return json.dumps(content, indent=2)


def _escaped(name: str) -> str:
    """Return a name as a value of a distinguished name (RFC 4514 §2.4)."""
    return "".join(f"\\{ch}" if ch in ',+"\\<>;=' else ch for ch in name)
