"""How many calls one CA may have in flight, whoever makes them.

Owns the bound. A CA that hangs holds at most so many of the workers' threads, and everything else
goes on: other CAs, sweeps, seals. Counted from leased rows, so that it holds over all workers.
CAs that answer at once are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from renewal import issuers, leases
from renewal.models import CertificateAuthority, Enrollment, Revocation
from renewal.rules.lifecycle import EnrollmentState, RevocationState

CALLS_AT_ONCE = 4
"""Of each CA that takes its time; a worker has 16 threads."""
LONGEST_ASKING = timedelta(minutes=5)


def has_room(authority_id: int) -> bool:
    """Say whether a CA may be called once more, with its row locked until the caller's commit.

    Call it in the transaction that claims the row: two claims never both take the last place.
    """
    rows = CertificateAuthority.objects.filter(pk=authority_id)
    if issuers.answers_at_once(rows.get()):
        return True
    authority = rows.select_for_update().get()
    calls = Enrollment.objects.filter(
        leases.running(), authority=authority, state=EnrollmentState.SUBMITTED
    ).count()
    calls += Revocation.objects.filter(
        leases.running(), certificate__authority=authority, state=RevocationState.SUBMITTED
    ).count()
    return calls < CALLS_AT_ONCE


@contextmanager
def asking(authority_id: int) -> Iterator[bool]:
    """Be the only one who asks a CA about earlier requests; False if somebody does already."""
    row = CertificateAuthority.objects.filter(pk=authority_id)
    mine = leases.lasting(LONGEST_ASKING)
    if not row.filter(leases.free("asked_until")).update(asked_until=mine):
        yield False
        return
    until = row.values_list("asked_until", flat=True).first()
    try:
        yield True
    finally:
        row.filter(asked_until=until).update(asked_until=None)
