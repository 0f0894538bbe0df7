"""What all rows of a synthetic fleet refer to, and the rows that many acts leave: audit, claimants.

Owns no order of events.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from portal.audit.models import AuditEntry, Category
from renewal.models import Claimant
from renewal.synthetic import draw
from renewal.synthetic.draw import DAY
from renewal.synthetic.sheets import Sheet

SECOND = timedelta(seconds=1)
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
    is_demonstration: bool


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
        self.sheets[AuditEntry].add(
            at=at,
            actor_name=self.random.choice(OPERATORS) if by_operator else "portal",
            source_address="198.18.0.1" if by_operator else "",
            category=str(category),
            action=action,
            object_type=object_type,
            object_id=object_id or str(pk),
            object_name=name,
            orchestrator_id=pk,
            before={},
            after=after,
        )
