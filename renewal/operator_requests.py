"""Certificates that an operator requests with a CSR, for no orchestrator (yet).

Owns what an operator may ask for: the names that the template's policy leaves to them
(`operator_names.py`), and from the host any name, and dates of their own, so that a certificate
that has aged can be made for a demonstration. The path is that of every enrollment: a committed
intent, then the work, then the verified answer. Who may ask is checked by the faces.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from portal.access.models import User
from portal.audit.trail import Actor
from portal.preferences import store
from renewal import issuers, operator_names
from renewal.configuration import Chosen
from renewal.enrollment import door, intents, work
from renewal.enrollment.door import Admitted
from renewal.enrollment.intents import Validity
from renewal.models import Certificate, CertificateAuthority, Enrollment, Template
from renewal.rules.lifecycle import OPEN_ENROLLMENT, EnrollmentState
from renewal.rules.periods import whole_second
from renewal.templates import LEAST_VALIDITY_SECONDS, MOST_VALIDITY_SECONDS
from renewal.x509.csr_door import CSRRefused, ParsedCSR, check_key_type, open_csr
from renewal.x509.names_policy import NamesMode, NamesPolicy, check_names

CHOSEN_BY = "operator"
_LOOK_AGAIN_SECONDS = 0.1


class RequestRefused(ValueError):
    """The CSR is not enrolled; ``reason`` is stable."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True)
class Order:
    """What an operator asks for. Without dates the template says how long it lasts."""

    csr: str
    authority: CertificateAuthority
    template: Template
    not_before: datetime | None = None
    not_after: datetime | None = None


def enroll(
    order: Order,
    *,
    actor: Actor,
    now: datetime,
    requester: User | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Enrollment, bool]:
    """Enrol a CSR and wait for its CA at most its hold time.

    Return the enrollment (with its certificate, or still open if the CA is slow) and whether it is
    a new one: the same key and CA give the same certificate. Raises RequestRefused.
    """
    row, created = intend(order, actor=actor, now=now, requester=requester)
    return _finished(row, now=now, sleep=sleep), created


def intend(
    order: Order, *, actor: Actor, now: datetime, requester: User | None = None
) -> tuple[Enrollment, bool]:
    """Keep what a CA is to be asked, and ask nobody; say whether it is a new request.

    Raises RequestRefused.
    """
    csr, admitted = _admitted(order, requester)
    validity = _validity(order, now)
    with transaction.atomic():
        # Two requests for one key at once: the second finds the first one's intent.
        CertificateAuthority.objects.select_for_update().get(pk=order.authority.pk)
        row = _earlier(csr, order, validity)
        created = row is None
        if row is None:
            _check_key_is_new(csr)
            row = intents.insert(
                admitted,
                orchestrator=None,
                serial_number=intents.new_serial(),
                actor=actor,
                now=now,
                validity=validity,
            )
    return row, created


def open_to(user: User) -> tuple[list[CertificateAuthority], list[Template]]:
    """Return the CAs that are enabled and the templates that a user may ask for certificates."""
    allowed = Q(allowed_requesters=None) | Q(allowed_requesters=user)
    authorities = CertificateAuthority.objects.filter(allowed, enabled=True)
    templates = Template.objects.filter(allowed)
    return (
        list(authorities.distinct().order_by("name")),
        list(templates.distinct().order_by("name")),
    )


def _admitted(order: Order, requester: User | None) -> tuple[ParsedCSR, Admitted]:
    chosen = Chosen(order.authority, order.template, CHOSEN_BY)
    if not order.authority.enabled:
        raise RequestRefused("authority_disabled", f"The CA {order.authority.name!r} is disabled.")
    try:
        if requester is not None:
            door.check_requester(requester, chosen)
        csr = open_csr(order.csr)
        check_key_type(csr, frozenset(order.template.key_types))
        if not csr.subject.rdns and not csr.sans:
            raise RequestRefused("csr_names", "The CSR has neither a subject nor a SAN.")
        names = (
            check_names(csr, NamesPolicy(mode=NamesMode.OPEN))
            if requester is None
            else operator_names.granted(csr, chosen, requester, preferences=store.load())
        )
    except operator_names.NamesNotGranted as refusal:
        raise RequestRefused(refusal.reason, str(refusal)) from None
    except door.NotAdmitted as refusal:
        raise RequestRefused(refusal.code.name.lower(), f"{refusal.detail}.") from None
    except CSRRefused as refusal:
        detail = refusal.detail
        raise RequestRefused(
            refusal.code.name.lower(), f"{detail[:1].upper()}{detail[1:]}."
        ) from None
    return csr, Admitted(csr, names, chosen)


def _validity(order: Order, now: datetime) -> Validity | None:
    """Return the dates that were asked for; the template fills in the one that is missing."""
    if order.not_before is None and order.not_after is None:
        return None
    template = order.template
    begins = order.not_before or now - timedelta(seconds=template.backdate_seconds)
    ends = order.not_after or begins + timedelta(seconds=template.validity_seconds)
    begins, ends = whole_second(begins), whole_second(ends)
    if not LEAST_VALIDITY_SECONDS <= (ends - begins).total_seconds() <= MOST_VALIDITY_SECONDS:
        raise RequestRefused("validity_invalid", "A certificate lasts a minute to 20 years.")
    if begins > now:
        raise RequestRefused("validity_invalid", "A certificate does not begin in the future.")
    return Validity(begins, ends)


def _earlier(csr: ParsedCSR, order: Order, validity: Validity | None) -> Enrollment | None:
    """Return the operator's enrollment of this key that is open or done, if it is the same."""
    row = (
        Enrollment.objects.filter(
            for_operator=True,
            spki_sha256=csr.spki_sha256,
            state__in=[EnrollmentState.ISSUED, *sorted(OPEN_ENROLLMENT)],
        )
        .select_related("authority", "certificate")
        .order_by("-pk")
        .first()
    )
    if row is None:
        return None
    if (row.authority_id, row.template_id) != (order.authority.pk, order.template.pk):
        raise RequestRefused("key_reuse", "This key has a certificate of another CA or template.")
    if validity is not None and Validity(row.not_before, row.not_after) != validity:
        raise RequestRefused("key_reuse", "This key has a certificate with other dates.")
    if row.certificate is not None and row.certificate.revoked_at is not None:
        raise RequestRefused("key_reuse", "The certificate of this key is revoked.")
    return row


def _check_key_is_new(csr: ParsedCSR) -> None:
    """Refuse a key that any certificate or request of an orchestrator has (I4)."""
    held = Certificate.objects.filter(spki_sha256=csr.spki_sha256).exists()
    asked = Enrollment.objects.filter(spki_sha256=csr.spki_sha256, for_operator=False).exists()
    if held or asked:
        raise RequestRefused("key_reuse", "This key has a certificate already; make a new key.")


def _finished(row: Enrollment, *, now: datetime, sleep: Callable[[float], None]) -> Enrollment:
    """Have the row worked, here or by a worker that was faster; raise RequestRefused if refused."""
    if issuers.answers_at_once(row.authority):
        work.enroll_one(row.pk, now=now)
    looks = int(row.authority.hold_seconds / _LOOK_AGAIN_SECONDS)
    for look in range(looks + 1):
        row = Enrollment.objects.select_related("authority", "certificate").get(pk=row.pk)
        if row.state not in OPEN_ENROLLMENT or row.last_error or look == looks:
            break
        sleep(_LOOK_AGAIN_SECONDS)
    if row.state not in (EnrollmentState.ISSUED, *OPEN_ENROLLMENT):
        reason = row.last_error or "it was not answered in time"
        raise RequestRefused(f"enrollment_{row.state}", f"The CA did not issue: {reason}.")
    return row
