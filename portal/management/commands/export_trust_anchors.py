"""``manage.py export_trust_anchors``: writes the trusted issuers for the TLS edge again.

Owns nothing but the question whether the file changed; its content is
`renewal/identity/trust.py`'s.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from portal.audit.trail import Actor
from portal.management.base import Answer, JSONCommand
from renewal.identity.trust import export_anchors


class Command(JSONCommand):
    help = "Write the file of trusted issuers that the TLS edge offers to clients."

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        path = settings.CONFIG.anchors_file
        before = path.read_bytes() if path.exists() else None
        export_anchors()
        return {"changed": path.read_bytes() != before, "file": str(path)}
