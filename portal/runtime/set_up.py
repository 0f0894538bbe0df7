"""What a data folder needs before the portal can serve: the steps, in order.

Owns the order and nothing of the steps: each is a management command that changes nothing when
it is done already, and says in JSON what it made. Deployments that set up by script run the same
commands.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.core.management import call_command

from portal.conf import PortalConfig

AUTHORITY = "local"
TEMPLATE = "Orchestrator"
ADMINISTRATOR = "admin"


@dataclass(frozen=True)
class Made:
    """What the operator has to be told, once."""

    administrator: str
    first_password: str | None


def run(config: PortalConfig, say: Callable[[str], None]) -> Made:
    """Run every step."""
    from portal.access.models import User
    from renewal.models import CertificateAuthority

    say("Setting up: database …")
    call_command("migrate", interactive=False, verbosity=0)
    say("Setting up: certificate authority, server certificate, settings …")
    hosts = dict.fromkeys(
        host
        for host in (
            urlsplit(config.agent_url).hostname,
            urlsplit(config.public_url).hostname,
            *("127.0.0.1", "localhost"),
        )
        if host
    )
    made = CertificateAuthority.objects.filter(name=AUTHORITY, revocation_list__isnull=False)
    if not (made.exists() and config.ca_file.exists()):
        # Later starts leave alone what an operator has changed.
        _command("certificate_authority", "--name", AUTHORITY, "--create", "--trust")
    _command("server_certificate", "--authority", AUTHORITY, *(f"--name={host}" for host in hosts))
    _command("template", "--name", TEMPLATE)
    for name, value in (
        ("CertificateAuthorityForSubmittedCSRs", AUTHORITY),
        ("TemplateForSubmittedCSRs", TEMPLATE),
    ):
        _command("setting", "--name", name, "--value", value, "--if-unset")
    if User.objects.filter(is_service_account=False).exists():
        return Made(ADMINISTRATOR, None)
    administrator = _command(
        "user", "--username", ADMINISTRATOR, "--role", "Administrator", "--generate-password"
    )
    return Made(ADMINISTRATOR, administrator.get("password"))


def _command(name: str, *arguments: str) -> dict[str, Any]:
    output = io.StringIO()
    call_command(name, *arguments, stdout=output)
    answer: dict[str, Any] = json.loads(output.getvalue())
    return answer
