"""Enrollments and revocations: I5 (right certificate), I6 (names from us), I12 (fencing), I13
(terminal or on its way), I18 (bounded).

Owns these five predicates over rows. The checks of a CA's answer itself are
`renewal/x509/answer.py`'s; here they are looked for in what was stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db.models import (
    CharField,
    Count,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from portal.audit.models import AuditEntry
from renewal.ca.base import CLIENT_AUTH
from renewal.identity.resumption import TAKEN_OVER
from renewal.invariants.report import Violation, told
from renewal.models import Certificate, CertificateAuthority, Enrollment, Revocation
from renewal.operator_requests import CHOSEN_BY
from renewal.rules.lifecycle import OPEN_ENROLLMENT, EnrollmentState, RevocationState
from renewal.rules.limits import CALLS_PER_DAY
from renewal.rules.retry import ENROLLMENT_TIME_LIMIT, PENDING_TIME_LIMIT
from renewal.rules.standing import ACCEPTED, UNPROVEN, Standing
from renewal.x509.answer import MAX_VALIDITY_SLACK
from renewal.x509.names import distinguished_name

LATE_AFTER = timedelta(minutes=5)
"""Sweeps come every half minute at least, and a lease lasts five."""
BREAKER_AFTER = 3
_ANY_EKU = "2.5.29.37.0"


def right_certificate(now: datetime) -> Iterator[Violation]:
    """I5: what was delivered is what the intent asked for; a wrong answer is revoked."""
    issued = Enrollment.objects.filter(state=EnrollmentState.ISSUED)
    yield from told(
        "I5",
        "enrollment",
        _keys(issued.filter(certificate=None)),
        "This enrollment is issued and has no certificate.",
    )
    issued = issued.exclude(certificate=None)
    for condition, sentence in (
        (
            ~Q(spki_sha256=F("certificate__spki_sha256")),
            "The certificate has another key than the CSR.",
        ),
        (
            ~Q(authority=F("certificate__authority")) | Q(certificate__authority=None),
            "The certificate is of another CA than the one that was asked.",
        ),
        (
            Q(orchestrator__isnull=False)
            & (
                ~Q(orchestrator=F("certificate__orchestrator"))
                | Q(certificate__orchestrator__isnull=True)
            ),
            "The certificate belongs to another orchestrator than the one that asked.",
        ),
        (
            Q(certificate__not_after__gt=F("not_after") + MAX_VALIDITY_SLACK)
            | Q(certificate__not_before__lt=F("not_before") - MAX_VALIDITY_SLACK),
            "The certificate is valid for longer than was asked.",
        ),
    ):
        yield from told("I5", "enrollment", _keys(issued.filter(condition)), sentence)
    yield from told(
        "I5", "enrollment", _other_names(issued), "The certificate has other names than were asked."
    )
    yield from told(
        "I5",
        "enrollment",
        _keys(
            Enrollment.objects.filter(certificate__isnull=False).exclude(
                state__in=[EnrollmentState.ISSUED, EnrollmentState.DISCARDED]
            )
        ),
        "An enrollment in this state has no certificate to deliver.",
    )
    yield from told(
        "I5",
        "certificate",
        _keys(_without_an_intent()),
        "This certificate was delivered without an intent.",
    )
    yield from told(
        "I5",
        "certificate",
        _keys(
            Certificate.objects.filter(
                standing=Standing.REJECTED, revoked_at=None, authority__isnull=False
            )
        ),
        "This wrong answer of a CA is not revoked.",
    )


def _without_an_intent() -> QuerySet[Certificate]:
    """Return the unproven certificates that nobody asked for, neither here nor, as the audit log
    says, at the portal from which their orchestrator was taken in.
    """
    taken_over = AuditEntry.objects.filter(
        orchestrator_id=OuterRef("orchestrator_id"), action=TAKEN_OVER
    )
    rows = Certificate.objects.filter(standing__in=sorted(UNPROVEN), enrollment=None)
    return rows.exclude(Exists(taken_over), intent_flag_counter=None)


def names_from_us(now: datetime) -> Iterator[Violation]:
    """I6: for an orchestrator, CA and template come from the settings and only the key from the
    CSR; the extended key usages are the template's and hold clientAuth.
    """
    free = Q(for_operator=False, chosen_by__in=["", CHOSEN_BY]) | Q(
        for_operator=True, orchestrator__isnull=False
    )
    yield from told(
        "I6",
        "enrollment",
        _keys(Enrollment.objects.filter(free)),
        "Nothing of this portal decided what this orchestrator's certificate holds.",
    )
    kinds = Enrollment.objects.order_by().values_list("extended_key_usages", flat=True).distinct()
    for ekus in kinds:
        if CLIENT_AUTH not in ekus or _ANY_EKU in ekus:
            rows = Enrollment.objects.filter(extended_key_usages=ekus)
            yield from told(
                "I6",
                "enrollment",
                _keys(rows),
                "The extended key usages lack clientAuth or allow any usage.",
            )
    yield from told(
        "I6", "enrollment", _other_keys(), "The intent's key is not the key of its CSR."
    )


def fencing(now: datetime) -> Iterator[Violation]:
    """I12: what was begun for an older generation is neither waiting nor delivered, and revoked."""
    yield from told(
        "I12",
        "enrollment",
        _keys(
            Enrollment.objects.filter(
                state=EnrollmentState.WAITING, orchestrator__isnull=False
            ).exclude(generation=F("orchestrator__generation"))
        ),
        "This enrollment waits for its CA although its record was Reset or disapproved since.",
    )
    yield from told(
        "I12",
        "enrollment",
        _keys(_delivered_over_a_fence()),
        "Its certificate was delivered after a Reset or Disapprove that came before it.",
    )
    yield from told(
        "I12",
        "enrollment",
        _keys(
            Enrollment.objects.filter(
                state=EnrollmentState.DISCARDED,
                certificate__revoked_at=None,
                certificate__not_after__gt=now,
                certificate__authority__isnull=False,
            ).exclude(certificate__standing=Standing.DISCARDED)
        ),
        "This enrollment was fenced off and its certificate is not revoked.",
    )


def on_its_way(now: datetime) -> Iterator[Violation]:
    """I13: every open row has moved within its time; nothing waits for nobody."""
    late = now - LATE_AFTER
    is_asked = Q(authority__enabled=True) & (
        Q(authority__resume_at=None) | Q(authority__resume_at__lte=late)
    )
    idle = Enrollment.objects.filter(state__in=sorted(OPEN_ENROLLMENT))
    idle = idle.filter(
        Q(state=EnrollmentState.SUBMITTED, lease_until__lt=late)
        | Q(state=EnrollmentState.SUBMITTED, lease_until=None)
        | (Q(next_attempt_at__lt=late) & ~Q(state=EnrollmentState.SUBMITTED) & is_asked)
        | Q(state=EnrollmentState.WAITING, created_at__lt=late - ENROLLMENT_TIME_LIMIT)
        | Q(
            state__in=[EnrollmentState.PENDING, EnrollmentState.UNKNOWN],
            created_at__lt=late - PENDING_TIME_LIMIT,
        )
    )
    yield from told(
        "I13", "enrollment", _keys(idle), "This enrollment is open and nothing moves it."
    )
    stuck = Revocation.objects.filter(
        Q(
            state__in=[RevocationState.WAITING, RevocationState.FAILED],
            next_attempt_at__lt=late,
        )
        | Q(state=RevocationState.SUBMITTED, lease_until__lt=late)
        | Q(state=RevocationState.SUBMITTED, lease_until=None)
    )
    yield from told(
        "I13", "revocation", _keys(stuck), "This revocation is open and nothing moves it."
    )
    unrecorded = Certificate.objects.filter(
        revoked_at__isnull=False, authority__isnull=False, revocation=None
    )
    yield from told(
        "I13",
        "certificate",
        _keys(unrecorded),
        "This certificate counts as revoked, but nothing tells its CA.",
    )


def bounded(now: datetime) -> Iterator[Violation]:
    """I18: at most five CA calls in a day and one in flight per orchestrator; a CA that fails is
    left alone.
    """
    busy = (
        Enrollment.objects.filter(
            orchestrator__isnull=False, called_at__gt=now - timedelta(days=1), called_at__lte=now
        )
        .order_by()
        .values("orchestrator", "generation")
        .annotate(calls=Count("pk"))
        .filter(calls__gt=CALLS_PER_DAY)
        .values_list("orchestrator", flat=True)
    )
    yield from told(
        "I18",
        "orchestrator",
        busy,
        f"More than {CALLS_PER_DAY} certificates were asked for in 24 hours.",
    )
    unpaused = CertificateAuthority.objects.filter(
        failures_in_a_row__gte=BREAKER_AFTER, resume_at=None
    )
    yield from told(
        "I18", "authority", _keys(unpaused), "This CA fails again and again and is not left alone."
    )


def _delivered_over_a_fence() -> QuerySet[Enrollment]:
    """Return enrollments whose certificate is accepted though it was issued after the generation
    had been raised. The audit log's own order tells, never a clock.
    """
    issue = AuditEntry.objects.filter(
        object_type="enrollment",
        object_id=Cast(OuterRef("pk"), CharField()),
        action="certificate_issued",
    )
    raised_to = Cast(KeyTextTransform("generation", "after"), IntegerField())
    fence = AuditEntry.objects.annotate(raised_to=raised_to).filter(
        orchestrator_id=OuterRef("orchestrator_id"),
        action__in=["reset", "disapproved"],
        pk__lt=OuterRef("issue"),
        raised_to__gt=OuterRef("generation"),
    )
    rows = Enrollment.objects.filter(
        orchestrator__isnull=False, certificate__standing__in=sorted(ACCEPTED)
    ).annotate(issue=Subquery(issue.order_by("pk").values("pk")[:1]))
    return rows.filter(Exists(fence) | Q(generation__gt=F("orchestrator__generation")))


def _other_names(issued: QuerySet[Enrollment]) -> Iterator[int]:
    """Return enrollments whose certificate has other names.

    SANs of all are compared by the database and only those that differ are looked at: a CA may
    change their order. Subjects need parsing; those that can still be handed out are looked at.
    """
    differing = issued.exclude(sans=F("certificate__sans"))
    rows = differing.order_by("pk").values_list("pk", "sans", "certificate__sans")
    yield from (pk for pk, asked, given in rows.iterator() if sorted(asked) != sorted(given))
    unused = issued.filter(certificate__standing__in=sorted(UNPROVEN)).order_by("pk")
    for pk, subject, given in unused.values_list(
        "pk", "subject_der", "certificate__subject_name"
    ).iterator():
        if distinguished_name(x509.Name.from_bytes(bytes(subject)))[:1000] != given:
            yield pk


def _other_keys() -> Iterator[int]:
    """Return enrollments, open or not yet proven, whose intent names another key than the CSR."""
    rows = Enrollment.objects.filter(
        Q(state__in=sorted(OPEN_ENROLLMENT)) | Q(certificate__standing__in=sorted(UNPROVEN))
    ).order_by("pk")
    for pk, csr, spki_sha256 in rows.values_list("pk", "csr_der", "spki_sha256").iterator():
        key = x509.load_der_x509_csr(bytes(csr)).public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if hashlib.sha256(spki).hexdigest() != spki_sha256:
            yield pk


def _keys(rows: QuerySet[Any, Any]) -> Iterable[object]:
    return rows.order_by("pk").values_list("pk", flat=True)
