"""From a plan to rows: record, certificates, enrollments, revocations, sessions, jobs, audit.

Owns that the rows of one orchestrator agree with each other and with every invariant of
`renewal/invariants`. What happened is drawn in `draw.py`.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from orchestrators.confusables import skeleton
from orchestrators.contact_day import day_of
from orchestrators.models import (
    AgentSession,
    EnrollmentClaim,
    Job,
    JobState,
    Orchestrator,
    OrchestratorLabel,
    Reenrollment,
    Status,
)
from orchestrators.protocol.codes import TEXTS, Code
from portal.audit.models import AuditEntry
from renewal.models import ApprovalRequest, Certificate, Claimant, Enrollment, Revocation
from renewal.rules.standing import IN_USE, Standing
from renewal.synthetic import draw
from renewal.synthetic.documents import Printer
from renewal.synthetic.draw import DAY, Fate, Plan
from renewal.synthetic.holdings import Held, Holdings, counted_from
from renewal.synthetic.ledger import OPERATORS, SECOND, Ledger

MODELS = (
    Orchestrator,
    OrchestratorLabel,
    Certificate,
    Enrollment,
    Revocation,
    Claimant,
    ApprovalRequest,
    EnrollmentClaim,
    AgentSession,
    Job,
    AuditEntry,
)
"""In the order in which they are written."""

_PLATFORMS = (1, 2, 3, 5)
_VERSIONS = ("2.8.8.0", "2.14.0.0", "10.4.1.0", "24.4.0.0")
_CAPABILITIES = (
    ["Custom.FetchLogs"],
    ["Custom.FetchLogs", "CertStores.PEM.Inventory", "CertStores.PEM.Management"],
    ["Custom.FetchLogs", "CertStores.IIS.Inventory"],
)
_TROUBLES = (
    Code.CSR_NAMES,
    Code.KEY_WEAK,
    Code.ENROLLMENT_WAITING,
    Code.PERMISSION_MISSING,
    Code.BUSY,
)


class Lives:
    """Writes lives into sheets, one orchestrator after the other."""

    def __init__(self, ledger: Ledger, printer: Printer) -> None:
        self._ledger = ledger
        self._holdings = Holdings(ledger, printer)

    def live(self, number: int, plan: Plan) -> None:
        """Add the rows of one orchestrator."""
        random, now = self._ledger.random, self._ledger.world.now
        pk = uuid.UUID(int=random.getrandbits(128), version=4)
        name = draw.name_of(random, number)
        held = self._holdings.drawn(plan, name)
        in_use = next((c for c in held if c.standing in IN_USE), None)
        newest = next((c for c in reversed(held) if c.standing == Standing.ISSUED), in_use)
        legacy = next((c for c in held if c.standing == Standing.LEGACY), None)
        born = (held[0].not_before if held else now - 3 * DAY) - DAY
        status = _status(plan.fate)
        is_fenced = plan.fate in (Fate.RESET, Fate.DISAPPROVED)
        has_worked = in_use is not None and in_use.standing != Standing.NAMED
        is_live = (
            has_worked
            and status == Status.APPROVED
            and in_use is not None
            and in_use.not_after > now + 2 * DAY
            and random.random() < 0.85
        )
        seen = (
            draw.last_contact(random, now, is_live=is_live)
            if held or random.random() > self._ledger.world.spread.never_seen
            else None
        )
        flag, counter = self._flag(plan.fate, has_worked=has_worked)
        trouble = self._trouble(in_use, flag, status)
        values: dict[str, Any] = {
            "id": pk,
            "client_machine": name,
            "name_key": name,
            "claim_key": name,
            "name_skeleton": skeleton(name),
            "service_account_id": self._ledger.world.service_account,
            "platform": random.choice(_PLATFORMS),
            "version": random.choice(_VERSIONS),
            "capabilities": random.choice(_CAPABILITIES),
            "client_parameters": {"site": draw.site_of(name)},
            "status": int(status),
            "generation": int(is_fenced),
            "flag": flag,
            "flag_counter": counter,
            "had_session": any(c.proven_at for c in held) and plan.fate is not Fate.RESET,
            "last_seen": seen,
            "seen_on": day_of(seen) if seen is not None else None,
            "last_address": draw.address_of(random),
            "created_at": born,
            "demonstration": self._ledger.world.is_demonstration,
        }
        if newest is not None:
            values["thumbprint"] = newest.document.thumbprint
        if legacy is not None:
            values["legacy_thumbprint"] = legacy.document.thumbprint
        if in_use is not None:
            values["certificate_not_after"] = in_use.not_after
            values["certificate_counted_from"] = counted_from(in_use)
            values["last_thumbprint_used"] = in_use.document.thumbprint if has_worked else ""
        if newest is not None and newest.standing == Standing.ISSUED:
            values["awaiting_first_use_since"] = newest.delivered_at
        if trouble is not None and seen is not None:
            values["last_error_code"] = str(trouble)
            values["last_error_message"] = TEXTS[trouble].sentence
            values["last_error_at"] = seen
        reset_at = now - random.randrange(1, 10) * DAY if plan.fate is Fate.RESET else None
        values["reset_at"] = reset_at
        group = draw.group_of(random, name)
        if group is not None:
            values["group_id"] = self._ledger.world.groups[group]
        self._ledger.sheets[Orchestrator].add(**values)
        for key, value in draw.labels_of(random, name).items():
            self._ledger.sheets[OrchestratorLabel].add(orchestrator_id=pk, key=key, value=value)
        if status == Status.NEW:
            by = OPERATORS[0] if reset_at is not None else ""
            self._ledger.asks_for_approval(pk, name, reset_at or born, reset_by=by)
        if plan.fate not in (Fate.STRANGER, Fate.BOOTSTRAPPING):
            after = {"status": "Approved"}
            self._ledger.audit(pk, name, born, "approved", after=after, by_operator=True)
        self._holdings.write(pk, name, held)
        self._holdings.write_requests(pk, name, plan.fate, held)
        self._acts(pk, name, plan.fate, flag, counter, reset_at)
        self._contacts(pk, name, plan.fate, held, seen, is_live=is_live, in_use=in_use)

    # --- the record's own story -----------------------------------------------------------------

    def _flag(self, fate: Fate, *, has_worked: bool) -> tuple[int, int]:
        """Return flag and counter."""
        drawn = self._ledger.random.random()
        spread = self._ledger.world.spread
        asked = spread.required + spread.requested
        if fate is Fate.RESET:
            return int(Reenrollment.NONE), 1
        if not has_worked or drawn > asked + 0.02:
            return int(Reenrollment.NONE), 0
        if drawn > asked:
            # Was asked once, and a renewal or an operator cleared it.
            return int(Reenrollment.NONE), 2
        return int(Reenrollment.REQUESTED if drawn > spread.required else Reenrollment.REQUIRED), 1

    def _trouble(self, in_use: Held | None, flag: int, status: Status) -> Code | None:
        now, random = self._ledger.world.now, self._ledger.random
        if status == Status.NEW:
            return Code.NOT_APPROVED
        if status == Status.DISAPPROVED:
            return Code.DISAPPROVED
        if in_use is None:
            return None
        if in_use.not_after < now:
            return Code.CERTIFICATE_EXPIRED
        left, lasts = in_use.not_after - now, in_use.not_after - in_use.not_before
        if flag == Reenrollment.REQUIRED or left <= min(30 * DAY, lasts / 12):
            return Code.MUST_RENEW
        if flag == Reenrollment.REQUESTED or left <= min(180 * DAY, lasts / 2):
            return Code.SHOULD_RENEW
        failing = self._ledger.world.spread.failing
        return random.choice(_TROUBLES) if random.random() < failing else None

    def _acts(
        self,
        pk: uuid.UUID,
        name: str,
        fate: Fate,
        flag: int,
        counter: int,
        reset_at: datetime | None,
    ) -> None:
        """Add what operators did, last."""
        at = self._ledger.world.now - self._ledger.random.randrange(3600, 20 * 86400) * SECOND
        if reset_at is not None:
            after = {"status": "New", "generation": 1}
            self._ledger.audit(pk, name, reset_at, "reset", after=after, by_operator=True)
        elif fate is Fate.DISAPPROVED:
            after = {"status": "Disapproved", "generation": 1}
            self._ledger.audit(pk, name, at, "disapproved", after=after, by_operator=True)
        if reset_at is None and counter:
            asked = flag or int(Reenrollment.REQUESTED)
            self._ledger.audit(
                pk, name, at, "renewal_requested", after={"flag": asked}, by_operator=True
            )
            if not flag:
                cleared = at + 1800 * SECOND
                after = {"flag": 0}
                self._ledger.audit(
                    pk, name, cleared, "renewal_request_cleared", after=after, by_operator=True
                )

    def _contacts(
        self,
        pk: uuid.UUID,
        name: str,
        fate: Fate,
        held: list[Held],
        seen: datetime | None,
        *,
        is_live: bool,
        in_use: Held | None,
    ) -> None:
        random, now = self._ledger.random, self._ledger.world.now
        if fate in (Fate.BOOTSTRAPPING, Fate.RESET) and not held:
            self._ledger.came_forward(pk, name)
        if fate is Fate.ENROLLING:
            self._ledger.sheets[EnrollmentClaim].add(
                orchestrator_id=pk,
                generation=0,
                credential_id=self._ledger.world.credential,
                claim_key=name,
                opened_at=now - DAY,
                expires_at=now + 6 * DAY,
            )
        if in_use is None or seen is None or fate is Fate.NAMED:
            return
        begun = now - random.randrange(60, 80_000) * SECOND if is_live else seen
        self._session(pk, begun, in_use, is_open=is_live)
        if random.random() < 0.3:
            self._session(pk, begun - DAY, in_use, is_open=False)
        if random.random() < 0.004:
            self._ledger.sheets[Job].add(
                job_id=uuid.UUID(int=random.getrandbits(128), version=4),
                orchestrator_id=pk,
                capability="Custom.FetchLogs",
                state=int(random.choice((JobState.WAITING, JobState.COMPLETED))),
                requested_at=now - 3600 * SECOND,
                requested_by=random.choice(OPERATORS),
            )

    def _session(self, pk: uuid.UUID, begun: datetime, in_use: Held, *, is_open: bool) -> None:
        lasts = timedelta(minutes=1380)
        self._ledger.sheets[AgentSession].add(
            orchestrator_id=pk,
            # Nobody knows a token of which this were the digest.
            token_digest=self._ledger.random.randbytes(32).hex(),
            started_at=begun,
            expires_at=begun + lasts,
            ended_at=None if is_open else begun + 3600 * SECOND,
            end_reason="" if is_open else "a new session",
            heartbeat_minutes=5,
            thumbprint=in_use.document.thumbprint,
            address=draw.address_of(self._ledger.random),
        )


def _status(fate: Fate) -> Status:
    if fate in (Fate.STRANGER, Fate.BOOTSTRAPPING, Fate.RESET):
        return Status.NEW
    return Status.DISAPPROVED if fate is Fate.DISAPPROVED else Status.APPROVED
