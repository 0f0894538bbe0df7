"""How many records of each state a list has.

Owns the counts and their cost: a page looks at so many records at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from orchestrators.models import Orchestrator
from portal.access.reach import Reach
from renewal.rules.periods import Periods
from renewal.selectors.counting import CAP, Count
from renewal.selectors.filters import Filters, narrowed
from renewal.selectors.states import RenewalState, state_expression


@dataclass(frozen=True)
class Tally:
    """How many records of each state a list has, and in all."""

    total: Count
    by_state: Mapping[RenewalState, Count]

    def with_page(self, state: RenewalState, number: int) -> Tally:
        """Return the same tally; all records of this state stand on one page, so many."""
        return Tally(self.total, {**self.by_state, state: Count(number)})

    def with_census(self, states: Mapping[RenewalState, int]) -> Tally:
        """Return the same tally; what it could not count to the end, the last census has."""
        return Tally(
            self.total.with_census(sum(states.values())),
            {s: count.with_census(states.get(s)) for s, count in self.by_state.items()},
        )


def tally(filters: Filters, periods: Periods, *, reach: Reach, now: datetime) -> Tally:
    """Count the records of each state that pass the other filters: one query.

    At most `CAP` records are looked at, whichever come first: where more pass, the numbers are
    the least that there are. A count for each state would walk the fleet for those that few
    records are in.
    """
    rows = narrowed(filters, periods, reach=reach, now=now).select_related(None).order_by()
    if reach.labels:
        # Most of what an index of the filter has is beyond the reach: told by the keys alone, no
        # row of these is read.
        rows = Orchestrator.objects.filter(pk__in=rows.values("pk")[: CAP + 1]).order_by()
    return tally_of(rows.values_list(state_expression(periods, now=now), flat=True)[: CAP + 1])


def tally_of(states: Iterable[str]) -> Tally:
    """Count states, of which at most one more than `CAP` was read."""
    found = Counter(states)
    total = found.total()
    is_capped = total > CAP
    return Tally(
        Count(min(total, CAP), is_capped),
        {s: Count(min(found[s.value], CAP), is_capped) for s in RenewalState},
    )
