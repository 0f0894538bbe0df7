"""How many certificates a search finds, and how many there are, by what their list shows.

Owns the counts and their cost: a page looks at so many rows at most, a census at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count as Aggregated
from django.db.models import QuerySet

from orchestrators.reach import within
from portal.access.reach import Reach
from renewal.models import Certificate
from renewal.selectors.certificates import STANDINGS, Matching, Shown, condition_of
from renewal.selectors.counting import CAP, Count
from renewal.selectors.keyset import Slice


@dataclass(frozen=True)
class Tally:
    """How many certificates a search finds, by what is shown."""

    by_shown: Mapping[Shown, Count]

    @property
    def is_cut(self) -> bool:
        return any(count.is_capped for count in self.by_shown.values())

    @property
    def is_by_census(self) -> bool:
        return any(count.is_by_census for count in self.by_shown.values())

    def with_census(self, numbers: Mapping[Shown, int]) -> Tally:
        """Return the same tally; what it could not count to the end, the last census has."""
        return Tally({s: count.with_census(numbers.get(s)) for s, count in self.by_shown.items()})

    def with_page(self, shown: Shown, page: Slice[Certificate]) -> Tally:
        """Return the same tally; a page that is the only one tells how many are shown."""
        if page.following or page.preceding or not self.by_shown[shown].is_capped:
            return self
        return Tally({**self.by_shown, shown: Count(len(page.rows))})


def tally(found: Matching) -> Tally:
    """Count what a search finds, by what is shown: one query.

    At most `CAP` certificates are looked at, whichever come first: where more are found, the
    numbers are the least that there are. Of what is shown alone, or in its order, so many could
    be far apart.
    """
    rows = found.rows.select_related(None).order_by()
    if found.search.use is not None:
        rows = rows.filter(standing__in=sorted(STANDINGS[found.search.use]))
    numbers = rows[: CAP + 1].aggregate(
        **{each.value: Aggregated("pk", filter=condition_of(each, found.now)) for each in Shown}
    )
    is_capped = found.is_cut or numbers[Shown.ALL] > CAP
    return Tally({each: Count(min(numbers[each], CAP), is_capped) for each in Shown})


def in_all(*, reach: Reach, now: datetime) -> dict[Shown, int]:
    """Count all certificates within the reach but the demonstration's, for a census: each number
    is one walk over an index.
    """
    rows = within(Certificate.objects.order_by(), reach, by="orchestrator_id")
    demonstration = rows.filter(orchestrator__demonstration=True)
    sums = [_by_end_and_revocation(part, now) for part in (rows, demonstration)]
    living, ended, revoked, revoked_living = (a - b for a, b in zip(*sums, strict=True))
    return {
        Shown.VALID: living - revoked_living,
        Shown.EXPIRED: ended,
        Shown.REVOKED: revoked,
        Shown.ENDED: ended + revoked_living,
        Shown.ALL: living + ended,
    }


def _by_end_and_revocation(rows: QuerySet[Certificate], now: datetime) -> list[int]:
    revoked = rows.filter(revoked_at__isnull=False)
    return [
        rows.filter(not_after__gte=now).count(),
        rows.filter(not_after__lt=now).count(),
        revoked.count(),
        revoked.filter(not_after__gte=now).count(),
    ]
