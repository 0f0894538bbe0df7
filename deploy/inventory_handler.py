"""An example of a registration handler: an inventory file says who may register.

Copy it to where Python finds it; PORTAL_REGISTRATION_HANDLERS=inventory_handler.Inventory names it.
The file, PORTAL_INVENTORY_FILE, is JSON: {"web01": {"site": "vienna", "template": "Short-lived"}}.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from orchestrators.names import canonical, without_start_stamp
from orchestrators.registration.handler import (
    Allow,
    Defer,
    Deny,
    EnrollmentRequest,
    Issuance,
    RegistrationHandler,
    RegistrationRequest,
)


class Inventory(RegistrationHandler):
    """Allows what the inventory knows, if a bootstrap credential was used; denies nobody."""

    name = "inventory"

    def decide(self, request: RegistrationRequest) -> Allow | Deny | Defer:
        host = self._host(request.client_machine)
        if host is None:
            return Defer("the inventory does not know it")
        if not request.credential:
            # Whoever holds some certificate may call itself anything.
            return Defer("it came without a bootstrap credential")
        return Allow("the inventory knows it", labels={"site": host["site"]})

    def enroll(self, request: EnrollmentRequest) -> Issuance | None:
        host = self._host(request.registration.client_machine)
        if host is None or not host.get("template"):
            return None
        return Issuance(certificate_template=host["template"])

    def _host(self, client_machine: str) -> dict[str, str] | None:
        """Return the inventory's entry. What cannot be read raises: the portal knows what to do."""
        content = json.loads(Path(os.environ["PORTAL_INVENTORY_FILE"]).read_text())
        hosts: dict[str, dict[str, str]] = {canonical(name): host for name, host in content.items()}
        return hosts.get(canonical(without_start_stamp(client_machine)))
