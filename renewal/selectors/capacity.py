"""The CAs that submitted CSRs go to, with what is known of their speed.

Owns which CAs these are: the settings' and the groups'. What a registration handler names is known
only when it is asked, and is not foreseen.
"""

from __future__ import annotations

from django.db.models import Q

from portal.preferences.store import Preferences
from renewal import issuers
from renewal.configuration import CA_SETTING
from renewal.models import CertificateAuthority, GroupIssuance
from renewal.room import CALLS_AT_ONCE
from renewal.rules.capacity import Enroller


def enrollers(preferences: Preferences) -> list[Enroller]:
    """Return them by name."""
    of_groups = GroupIssuance.objects.filter(authority__isnull=False).values("authority")
    rows = CertificateAuthority.objects.filter(
        Q(name=preferences.text(CA_SETTING)) | Q(pk__in=of_groups)
    )
    return [
        Enroller(
            name=row.name,
            is_enabled=row.enabled,
            is_failing=row.failures_in_a_row > 0,
            # One that answers at once is asked by one task, one CSR after the other.
            calls_at_once=1 if issuers.answers_at_once(row) else CALLS_AT_ONCE,
            answer_seconds=row.last_answer_seconds,
        )
        for row in rows.order_by("name")
    ]
