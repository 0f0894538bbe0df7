"""An orchestrator that is taken in in the middle of a renewal, with all that it may come back with.

Owns when that is done and its audit row. Which standings follow is `standings.py`'s; that neither
certificate nor key is another one's, `entry.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from orchestrators.models import Orchestrator
from portal.audit.trail import Actor
from renewal.identity import standings
from renewal.identity.acting import audit
from renewal.identity.entry import owned
from renewal.rules.standing import Standing
from renewal.x509.certificates import CertificateFacts

TAKEN_OVER = "certificates_taken_over"
"""Audited action: unproven certificates of another portal, for which there is no intent here."""


def resume(
    orchestrator: Orchestrator,
    others: Mapping[Standing, CertificateFacts],
    *,
    actor: Actor,
    now: datetime,
) -> None:
    """Let the certificate that was just entered be the issued one, beside the ``others``.

    A record that had its certificate before stays as it is. Raises ActRefused.
    """
    held = standings.accepted_of(orchestrator)
    if [(c.standing, c.standing_since) for c in held] != [(Standing.CURRENT, now)]:
        return
    rows = {
        standing: owned(orchestrator, facts, beside=held[0], now=now)
        for standing, facts in others.items()
    }
    standings.resume(orchestrator, held[0], rows, now=now)
    told = {Standing.ISSUED: held[0], **rows}
    audit(
        orchestrator,
        TAKEN_OVER,
        actor,
        before={},
        after={str(standing): row.thumbprint for standing, row in told.items()},
        message="It was in the middle of a renewal where it comes from.",
    )
