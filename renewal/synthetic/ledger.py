"""What all rows of a synthetic fleet refer to, and the rows that many acts leave: audit, claimants,
requests for approval.

Owns no order of events.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from portal.audit import mac
from portal.audit.models import AuditEntry, Category
from renewal.models import ApprovalRequest, Claimant
from renewal.rules.approval import RequestKind
from renewal.synthetic import draw
from renewal.synthetic.draw import DAY, ORDINARY, Spread
from renewal.synthetic.sheets import Sheet

SECOND = timedelta(seconds=1)
_LEFT_OUT: dict[str, Any] = {"actor_id": None, "request_id": "", "before": {}}
OPERATORS = ("synthetic.ada", "synthetic.ben", "synthetic.cleo")


@dataclass(frozen=True)
class World:
    """What all rows refer to; foreign keys as numbers."""

    now: datetime
    authority: int
    template: int
    service_account: int
    service_account_name: str
    credential: int
    groups: Mapping[str, int]
    """By the word that `draw.group_of` says."""
    is_demonstration: bool
    spread: Spread = ORDINARY


@dataclass(frozen=True)
class Ledger:
    """Where rows go, and the chance that they come from."""

    sheets: Mapping[Any, Sheet]
    random: Random
    world: World

    def came_forward(self, pk: uuid.UUID, name: str, *, certificate: int | None = None) -> None:
        now = self.world.now
        self.sheets[Claimant].add(
            orchestrator_id=pk,
            generation=0,
            certificate_id=certificate,
            credential_id=None if certificate else self.world.credential,
            client_machine=name,
            address=draw.address_of(self.random),
            first_seen=now - 2 * DAY,
            last_seen=now - 3600 * SECOND,
        )

    def asks_for_approval(
        self, pk: uuid.UUID, name: str, at: datetime, *, reset_by: str = ""
    ) -> None:
        """Add the open request of a New record: its first, or the one of its Reset."""
        self.sheets[ApprovalRequest].add(
            orchestrator_id=pk,
            generation=int(bool(reset_by)),
            kind=str(RequestKind.AFTER_RESET if reset_by else RequestKind.FIRST),
            opened_at=at,
            caused_by=reset_by or f"orchestrator {name}",
            caused_by_key=f"name:{reset_by}" if reset_by else "",
            address="198.18.0.1",
            old_client_machine=name if reset_by else "",
        )

    def audit(
        self,
        pk: uuid.UUID,
        name: str,
        at: datetime,
        action: str,
        *,
        after: dict[str, Any],
        by_operator: bool = False,
        category: Category = Category.ORCHESTRATOR,
        object_type: str = "orchestrator",
        object_id: str = "",
    ) -> None:
        # Dated when it is made, as every row of the log: an older one would be found as backdated.
        row = {
            "at": self.world.now,
            "message": f"Made up, as of {at:%Y-%m-%d %H:%M:%S} UTC.",
            "actor_name": self.random.choice(OPERATORS) if by_operator else "portal",
            "source_address": "198.18.0.1" if by_operator else "",
            "category": str(category),
            "action": action,
            "object_type": object_type,
            "object_id": object_id or str(pk),
            "object_name": name,
            "orchestrator_id": pk,
            "after": after,
        }
        mark = self.random.randbytes(16)
        self.sheets[AuditEntry].add(**row, mac=mac.made(_LEFT_OUT | row, mark=mark))
