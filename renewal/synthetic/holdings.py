"""The certificates of one synthetic orchestrator, with their enrollments and revocations.

Owns their chain: who followed whom, which standing each has, what was revoked. The record itself is
`lives.py`'s.
"""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrators.names import canonical
from orchestrators.protocol.codes import TEXTS, Code
from portal.audit.models import Category
from renewal.ca.base import CLIENT_AUTH
from renewal.models import Certificate, Enrollment, Revocation
from renewal.rules.lifecycle import EnrollmentState, RevocationState
from renewal.rules.standing import UNPROVEN, Standing
from renewal.synthetic import draw
from renewal.synthetic.documents import ISSUERS, Document, Printer
from renewal.synthetic.draw import DAY, Fate, Plan
from renewal.synthetic.ledger import SECOND, Ledger

_FAILED = (
    (EnrollmentState.REFUSED, Code.ENROLLMENT_REFUSED),
    (EnrollmentState.REJECTED, Code.ENROLLMENT_REFUSED),
    (EnrollmentState.DISCARDED, None),
    (EnrollmentState.EXPIRED, Code.ENROLLMENT_WAITING),
)
_OPEN = (
    EnrollmentState.WAITING,
    EnrollmentState.SUBMITTED,
    EnrollmentState.PENDING,
    EnrollmentState.UNKNOWN,
)
_ENDINGS: dict[Fate, tuple[Standing, ...]] = {
    Fate.PROVEN: (Standing.CURRENT,),
    Fate.DISAPPROVED: (Standing.CURRENT,),
    Fate.BOUND: (Standing.CURRENT,),
    Fate.NAMED: (Standing.NAMED,),
    Fate.UNUSED: (Standing.LEGACY, Standing.ISSUED),
    Fate.OVERTAKEN: (Standing.LEGACY, Standing.OVERTAKEN, Standing.ISSUED),
    Fate.STRANGER: (Standing.SEEN,),
}


@dataclass
class Held:
    """A certificate whose row is being made."""

    standing: Standing
    not_before: datetime
    not_after: datetime
    is_ours: bool
    document: Document
    since: datetime
    delivered_at: datetime | None = None
    proven_at: datetime | None = None
    revoked_at: datetime | None = None


class Holdings:
    """Draws and writes certificates."""

    def __init__(self, ledger: Ledger, printer: Printer) -> None:
        self._ledger = ledger
        self._printer = printer

    def drawn(self, plan: Plan, name: str) -> list[Held]:
        """Return all certificates of a life, oldest first."""
        random, now = self._ledger.random, self._ledger.world.now
        if not plan.certificates:
            return []
        endings = _ENDINGS.get(plan.fate, ())
        past = plan.certificates - len(endings)
        lasts = draw.lifetime(random)
        end = draw.end_of_current(random, lasts, now, self._ledger.world.spread)
        spans: list[tuple[datetime, datetime]] = [(end - lasts, end)]
        for _ in range(past if endings else past - 1):
            # Each was replaced when a tenth to a half of its life was left.
            left = lasts * random.uniform(0.1, 0.5)
            replaced = spans[0][0].replace(microsecond=0)
            end = replaced + timedelta(seconds=int(left.total_seconds()))
            spans.insert(0, (end - lasts, end))
        for _ in endings[1:]:
            since = now - random.randrange(3600, 5 * 86400) * SECOND
            half = int((now - spans[-1][0]).total_seconds() / 2) * SECOND
            since = max(since, now - half)
            spans.append((since, since + lasts))
        archived = plan.fate is Fate.RESET
        standings = [Standing.ARCHIVED if archived else Standing.SUPERSEDED] * (
            len(spans) - len(endings)
        ) + list(endings)
        return self._chain(plan.fate, name, spans, standings)

    def _chain(
        self,
        fate: Fate,
        name: str,
        spans: list[tuple[datetime, datetime]],
        standings: list[Standing],
    ) -> list[Held]:
        random, now = self._ledger.random, self._ledger.world.now
        if len(spans) == 1:
            # What an approval named came with the orchestrator; what it enrolled is ours.
            is_first_ours = fate in (Fate.PROVEN, Fate.DISAPPROVED)
        else:
            is_first_ours = random.random() < 0.7
        held: list[Held] = []
        for place, ((not_before, not_after), standing) in enumerate(
            zip(spans, standings, strict=True)
        ):
            is_ours = place > 0 or is_first_ours
            document = self._printer.document(name, not_before, not_after, is_ours=is_ours)
            one = Held(standing, not_before, not_after, is_ours, document, since=not_before)
            if is_ours:
                one.delivered_at = not_before + SECOND
            if standing not in (*UNPROVEN, Standing.NAMED, Standing.SEEN):
                one.proven_at = min(not_before + random.randrange(60, 7200) * SECOND, now)
                one.since = one.proven_at
            held.append(one)
        for old, new in itertools.pairwise(held):
            if old.standing == Standing.SUPERSEDED and new.proven_at is not None:
                # It gave way when a session proved the next one.
                old.since = new.proven_at
                if old.is_ours and random.random() < 0.9:
                    old.revoked_at = old.since
            elif old.standing in (Standing.LEGACY, Standing.OVERTAKEN):
                old.since = new.delivered_at or old.since
        return held

    def write(self, pk: uuid.UUID, name: str, held: list[Held]) -> None:
        predecessor: int | None = None
        for one in held:
            document = one.document
            number = self._ledger.sheets[Certificate].add(
                fingerprint_sha256=document.fingerprint_sha256,
                thumbprint=document.thumbprint,
                der=document.der,
                serial_number=document.serial_number,
                issuer_name=f"CN={ISSUERS[0 if one.is_ours else 1]}",
                subject_name=f"CN={name}",
                common_name=name,
                name_key=canonical(name),
                sans=[["dns", name]],
                not_before=one.not_before,
                not_after=one.not_after,
                counted_from=counted_from(one),
                spki_sha256=document.spki_sha256,
                key_algorithm=document.key_algorithm,
                key_size=document.key_size,
                signature_hash="sha256",
                authority_id=self._ledger.world.authority if one.is_ours else None,
                orchestrator_id=pk,
                standing=str(one.standing),
                standing_since=one.since,
                intent_flag_counter=0 if one.is_ours else None,
                predecessor_id=predecessor,
                delivered_at=one.delivered_at,
                proven_at=one.proven_at,
                revoked_at=one.revoked_at,
                revocation_reason="superseded" if one.revoked_at else "",
                created_at=one.not_before,
            )
            predecessor = number
            if one.is_ours:
                self._issued(pk, name, one, number)
            if one.revoked_at is not None:
                self._revocation(pk, one, number)
            if one.standing in (Standing.SEEN,):
                self._ledger.came_forward(pk, name, certificate=number)

    def _issued(self, pk: uuid.UUID, name: str, one: Held, certificate: int) -> None:
        number = self._enrollment(
            pk,
            one.document,
            name,
            one.not_before,
            one.not_after,
            state=str(EnrollmentState.ISSUED),
            attempts=1,
            called_at=one.not_before,
            certificate_id=certificate,
            finished_at=one.delivered_at,
        )
        if one.standing in (Standing.CURRENT, *UNPROVEN):
            self._ledger.audit(
                pk,
                name,
                one.not_before + SECOND,
                "certificate_issued",
                category=Category.ENROLLMENT,
                object_type="enrollment",
                object_id=str(number),
                after={"thumbprint": one.document.thumbprint, "serial": one.document.serial_number},
            )
        if one.standing == Standing.CURRENT and one.proven_at is not None:
            self._ledger.audit(
                pk,
                name,
                one.proven_at,
                "certificate_proven",
                after={"thumbprint": one.document.thumbprint},
            )

    def _enrollment(
        self,
        pk: uuid.UUID,
        document: Document,
        name: str,
        not_before: datetime,
        not_after: datetime,
        **values: Any,
    ) -> int:
        return self._ledger.sheets[Enrollment].add(
            **{
                "orchestrator_id": pk,
                "spki_sha256": document.spki_sha256,
                "csr_der": document.csr_der,
                "subject_der": document.subject_der,
                "sans": [["dns", name]],
                "authority_id": self._ledger.world.authority,
                "template_id": self._ledger.world.template,
                "chosen_by": "settings",
                "requested_by": name,
                "service_account": self._ledger.world.service_account_name,
                "extended_key_usages": [CLIENT_AUTH],
                "serial_number": document.serial_number,
                "not_before": not_before,
                "not_after": not_after,
                "next_attempt_at": not_before,
                "created_at": not_before,
                **values,
            }
        )

    def write_requests(self, pk: uuid.UUID, name: str, fate: Fate, held: list[Held]) -> None:
        """Add the enrollments of some that brought no certificate, or not yet."""
        random, now = self._ledger.random, self._ledger.world.now
        spread = self._ledger.world.spread
        drawn = random.random()
        asked = spread.open_request + spread.failed_request
        if fate is not Fate.PROVEN or drawn > asked or not held:
            return
        lasts = held[-1].not_after - held[-1].not_before
        document = self._printer.document(name, now, now + lasts, is_ours=True)
        if drawn > spread.open_request:
            state, code = random.choice(_FAILED)
            begun = now - random.randrange(3600, spread.failed_within_days * 86400) * SECOND
            values: dict[str, Any] = {
                "attempts": 1,
                "called_at": begun,
                "last_error_code": str(code or ""),
                "last_error": TEXTS[code].sentence if code else "A newer request took its place.",
                "finished_at": begun + 60 * SECOND,
            }
        else:
            state, begun = random.choice(_OPEN), now - random.randrange(5, 240) * SECOND
            values = {"attempts": 1, "called_at": begun, "next_attempt_at": now + 3600 * SECOND}
            if state is EnrollmentState.SUBMITTED:
                values |= {"lease_until": now + 300 * SECOND, "lease_holder": "synthetic"}
        values = {"created_at": begun, **values, "state": str(state)}
        self._enrollment(pk, document, name, now, now + lasts, **values)

    def _revocation(self, pk: uuid.UUID, one: Held, certificate: int) -> None:
        random, now = self._ledger.random, self._ledger.world.now
        recorded = one.revoked_at
        assert recorded is not None
        values: dict[str, Any] = {
            "state": str(RevocationState.DONE),
            "attempts": 1,
            "next_attempt_at": recorded,
            "finished_at": recorded + 2 * SECOND,
        }
        drawn = random.random()
        late = self._ledger.world.spread.late_revocation
        if drawn < late and one.not_after > now + DAY:
            is_failed = drawn < late / 4
            state = RevocationState.FAILED if is_failed else RevocationState.WAITING
            values = {
                "state": str(state),
                "attempts": 6,
                "next_attempt_at": now + 6 * 3600 * SECOND,
                "last_error": "The CA refuses."
                if is_failed
                else "The CA could not be reached: connection refused.",
            }
        elif drawn > 0.998 and one.not_after < now:
            values["state"] = str(RevocationState.LAPSED)
            values["finished_at"] = one.not_after
        self._ledger.sheets[Revocation].add(
            certificate_id=certificate,
            orchestrator_id=pk,
            reason="superseded",
            cause="replaced by a newer certificate",
            requested_by=self._ledger.world.service_account_name,
            by_service_account=True,
            created_at=recorded,
            **values,
        )


def counted_from(one: Held) -> datetime:
    return one.delivered_at or one.not_before
