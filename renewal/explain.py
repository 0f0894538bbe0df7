"""What happens at the next session of a stored orchestrator, and why.

Owns the gathering of facts as if it registered now, with each certificate or credential that it
could come with, without and with a CSR. The answer is `rules/decision.py`'s, the same function
that answers the orchestrator itself; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from orchestrators.credentials import refused_for
from orchestrators.models import BootstrapCredential, EnrollmentClaim, Orchestrator, Status
from orchestrators.protocol.answers import message_text
from orchestrators.protocol.codes import RENEWAL_CODES, TEXTS, Code
from orchestrators.protocol.terms import ResultStatus
from orchestrators.reach import lacking_for
from orchestrators.registration import chain
from portal.access.catalogue import Permission, entry_for
from portal.preferences.store import Preferences
from renewal.configuration import Chosen, NotConfigured, choose, periods
from renewal.enrollment import door, intents
from renewal.gather import certificate_facts, record_facts
from renewal.models import Certificate, CertificateAuthority, Claimant
from renewal.rules.decision import (
    Caller,
    CsrFacts,
    Decision,
    Effect,
    EnrollmentFacts,
    Facts,
    Outcome,
    decide,
)
from renewal.rules.limits import limit
from renewal.rules.periods import Periods, days_left, window
from renewal.rules.reasons import Reason, weigh
from renewal.rules.standing import ACCEPTED, UNPROVEN, Standing
from renewal.selectors.marks import TO_ENROL_AGAIN

TO_USE_THE_NEW_ONE = (
    "Have it use the certificate that was delivered to it: that one gets a session. Reset it, and "
    "approve its return, only if that certificate or its key is lost."
)

_CANNOT_ENROL = frozenset({Code.CLAIM_OVER, Code.CREDENTIAL_SPENT})
_LOST = _CANNOT_ENROL | {Code.CERTIFICATE_EXPIRED, Code.CERTIFICATE_REVOKED}
"""Answers from which only a Reset leads on."""


@dataclass(frozen=True)
class Answer:
    """The reply to one kind of Register, in the words of the orchestrator's own log."""

    decision: Decision

    @property
    def message(self) -> str:
        """The sentence that the orchestrator logs."""
        code = self.decision.code
        return message_text(code, self.decision.detail) if code else ""

    @property
    def remedy(self) -> str:
        """What a person can do about it; at row 6 more than the orchestrator is told."""
        if self.decision.row == "6":
            return "Look at its log for why it does not use the certificate that it was given."
        if self.decision.row == "12":
            return "It asks again by itself. Look after what it waits for if that lasts."
        return TEXTS[self.decision.code].remedy if self.decision.code else ""

    @property
    def outcome(self) -> str:
        """One sentence: session or none, certificate or none."""
        if self.decision.gives_certificate:
            return "Gets a session and a new certificate."
        if self.decision.grants_session:
            return "Gets a session; work goes on."
        return "Gets no session."

    @property
    def tone(self) -> str:
        status = self.decision.status
        if status is ResultStatus.SUCCESS:
            return "healthy"
        return "warning" if status is ResultStatus.WARNING else "failed"


@dataclass(frozen=True)
class Dates:
    """When a certificate's periods begin: the rule behind the level."""

    counted_from: datetime
    warning_from: datetime
    expiry_from: datetime
    not_after: datetime
    days_left: int
    level: int

    @property
    def lifetime_days(self) -> int:
        return (self.not_after - self.counted_from) // timedelta(days=1)


@dataclass(frozen=True)
class Outlook:
    """What happens if the orchestrator comes with this certificate or credential."""

    without_csr: Answer
    with_csr: Answer
    certificate: Certificate | None = None
    credential: BootstrapCredential | None = None
    dates: Dates | None = None
    used_last: bool = False
    reasons: tuple[Reason, ...] = ()

    @property
    def is_same_with_csr(self) -> bool:
        """A CSR changes nothing in what is answered."""
        one, other = self.without_csr.decision, self.with_csr.decision
        return (one.code, one.reason, one.gives_certificate) == (
            other.code,
            other.reason,
            other.gives_certificate,
        )

    @property
    def leads_on(self) -> bool:
        """It gets a session, with a CSR or without."""
        answers = (self.without_csr.decision, self.with_csr.decision)
        return any(decision.grants_session for decision in answers)

    @property
    def standing(self) -> str:
        return Standing(self.certificate.standing).value if self.certificate else ""


@dataclass(frozen=True)
class Prospect:
    """What would become of a CSR at the door and at the CA, as far as is known without one."""

    missing_permission: str
    refused: CsrFacts
    enrollment: EnrollmentFacts
    issued_recently: bool
    chosen: Chosen | None
    refused_for_account: str = ""
    """Why the service account gets none, as a sentence."""
    lacks_permission: bool = False
    """It is for want of a permission: the record bears the mark *Cannot renew*."""
    fails: CertificateAuthority | None = None
    """The CA that is left alone for now, because it failed several times."""
    disabled: CertificateAuthority | None = None
    """The chosen CA, if all that stands against a CSR is that it is disabled."""
    remedy: str = ""
    """What a person can do against the obstacle; empty: it passes by itself."""

    @property
    def handlers(self) -> list[str]:
        """Registration handlers that are asked first and may choose another CA or template."""
        return [handler.name for handler in chain.handlers()]

    @property
    def obstacle(self) -> str:
        """Why a CSR would lead to no certificate; empty if nothing stands against it."""
        if self.refused_for_account:
            return self.refused_for_account
        if self.refused.refused is not None:
            return self.refused.detail
        return self.enrollment.detail


@dataclass(frozen=True)
class Explanation:
    """The outlooks of one orchestrator, the likeliest first."""

    outlooks: list[Outlook]
    prospect: Prospect | None
    flag: int

    @property
    def way_back(self) -> Outlook | None:
        """The delivered and unproven certificate with which it gets a session, if it gets none
        with an older one; one that it has called with already comes first.
        """
        held = [outlook for outlook in self.outlooks if outlook.certificate]
        older = [outlook for outlook in held if outlook.standing not in UNPROVEN]
        if not older or any(outlook.leads_on for outlook in older):
            return None
        unproven = (outlook for outlook in held if outlook.standing in UNPROVEN)
        return next((outlook for outlook in unproven if outlook.leads_on), None)

    @property
    def needs_reset(self) -> bool:
        """An approved one can come with nothing that leads on, and no waiting changes that."""
        answers = [outlook.without_csr.decision.code for outlook in self.outlooks]
        return self.prospect is not None and bool(answers) and set(answers) <= _LOST

    @property
    def remedy(self) -> str:
        """What the likeliest answer asks of a person.

        Nothing, if that is to wait for the next CSR while something stands against each.
        """
        if not self.outlooks:
            return ""
        if self.way_back is not None and not self.way_back.used_last:
            return TO_USE_THE_NEW_ONE
        answer = self.outlooks[0].without_csr
        if self.prospect is not None and answer.decision.code in _CANNOT_ENROL:
            return TO_ENROL_AGAIN
        waits_in_vain = self.prospect is not None and bool(self.prospect.obstacle)
        return "" if waits_in_vain and answer.decision.code in RENEWAL_CODES else answer.remedy


def explain(
    orchestrator: Orchestrator,
    preferences: Preferences,
    *,
    now: datetime,
    claim: EnrollmentClaim | None = None,
    claimants: Sequence[Claimant] = (),
) -> Explanation:
    """Return what the next Register would be answered. A constant number of queries."""
    rules = periods(preferences)
    prospect = None
    if orchestrator.status == Status.APPROVED:
        prospect = prospect_of(orchestrator, preferences, now=now)
    base = Facts(
        now=now,
        caller=Caller.CERTIFICATE,
        periods=rules,
        record=record_facts(
            orchestrator,
            has_open_claim=claim is not None and claim.is_open(now),
            is_claim_over=claim is not None and not claim.is_open(now),
        ),
        issued_recently=prospect.issued_recently if prospect else False,
    )
    held = list(
        Certificate.objects.filter(orchestrator=orchestrator, standing__in=sorted(ACCEPTED))
        .defer("der")
        .order_by("-id")
    )
    seen = [c.certificate for c in claimants if c.certificate is not None]
    outlooks = [
        _outlook(
            replace(base, certificate=certificate_facts(certificate, None)),
            prospect,
            certificate=certificate,
            dates=_dates(certificate, rules, now=now),
            used_last=certificate.thumbprint == orchestrator.last_thumbprint_used,
        )
        for certificate in [*held, *(c for c in seen if c not in held)]
    ]
    credentials = [claim.credential] if claim is not None else []
    credentials += [c.credential for c in claimants if c.credential is not None]
    outlooks += [
        _outlook(
            replace(
                base,
                caller=Caller.BOOTSTRAP,
                credential_refused=refused_for(credential, orchestrator, now=now),
            ),
            prospect,
            credential=credential,
        )
        for credential in dict.fromkeys(credentials)
    ]
    outlooks.sort(key=lambda o: not o.used_last)
    return Explanation(outlooks, prospect, orchestrator.flag)


def prospect_of(orchestrator: Orchestrator, preferences: Preferences, *, now: datetime) -> Prospect:
    """Return what is known of the way of a good CSR before there is one."""
    account = orchestrator.service_account
    lacking = " and ".join(
        entry_for(p).access_string
        for p in lacking_for(orchestrator, Permission.ENROLL_CSR, Permission.CERTIFICATES_READ)
    )
    refused, chosen, disabled = CsrFacts(), None, None
    why, remedy, lacks_permission = "", "", bool(lacking)
    if lacking:
        why = f"The service account lacks {lacking}."
        remedy = (
            f"Give its service account {account.username} the role Orchestrator, or another that "
            "grants both Enroll CSR and Certificates Read and is not limited to others."
        )
    try:
        chosen = choose(preferences, group_id=orchestrator.group_id)
        door.check_requester(account, chosen)
    except NotConfigured as problem:
        refused = CsrFacts(Code.ENROLLMENT_NOT_CONFIGURED, str(problem))
        remedy = remedy or problem.remedy
        disabled = None if problem.settings else problem.disabled
    except door.NotAdmitted as problem:
        if not lacking:
            lacking, why = problem.detail, f"{problem.detail}."
            remedy = f"Add {account.username} to the allowed requesters there."
    enrollment = _enrollment(orchestrator, chosen, preferences, now=now)
    fails = None
    if chosen is not None and intents.is_broken(chosen.authority, now=now):
        fails = chosen.authority
        remedy = remedy or f"Look after the CA {fails.name}: its page says what it answered last."
    return Prospect(
        missing_permission=lacking,
        refused=refused,
        enrollment=enrollment,
        issued_recently=door.issued_recently(orchestrator, preferences=preferences, now=now),
        chosen=chosen,
        refused_for_account=why,
        lacks_permission=lacks_permission,
        fails=fails,
        disabled=disabled,
        remedy=remedy,
    )


def _enrollment(
    orchestrator: Orchestrator, chosen: Chosen | None, preferences: Preferences, *, now: datetime
) -> EnrollmentFacts:
    limited = limit(
        intents.history(orchestrator, now=now),
        now=now,
        unused_grace=timedelta(minutes=preferences.number("UnusedCertificateGraceMinutes")),
    )
    if limited is not None:
        return EnrollmentFacts(Outcome.WAITING, detail=limited.sentence)
    if chosen is not None and intents.is_broken(chosen.authority, now=now):
        return EnrollmentFacts(
            Outcome.WAITING, detail=f"The CA {chosen.authority.name} does not answer."
        )
    return EnrollmentFacts(Outcome.DELIVERED)


def _outlook(
    facts: Facts,
    prospect: Prospect | None,
    *,
    certificate: Certificate | None = None,
    credential: BootstrapCredential | None = None,
    dates: Dates | None = None,
    used_last: bool = False,
) -> Outlook:
    asked = replace(facts, csr=CsrFacts())
    with_csr = decide(asked)
    if prospect is not None and Effect.ENROLL in with_csr.effects:
        with_csr = decide(
            replace(
                asked,
                csr=prospect.refused,
                missing_permission=prospect.missing_permission,
                enrollment=prospect.enrollment,
            )
        )
    return Outlook(
        without_csr=Answer(decide(facts)),
        with_csr=Answer(with_csr),
        certificate=certificate,
        credential=credential,
        dates=dates,
        used_last=used_last,
        reasons=weigh(facts),
    )


def _dates(certificate: Certificate, rules: Periods, *, now: datetime) -> Dates:
    dates = (certificate.counted_from, certificate.not_after)
    return Dates(
        counted_from=certificate.counted_from,
        warning_from=rules.warning_from(*dates),
        expiry_from=rules.expiry_from(*dates),
        not_after=certificate.not_after,
        days_left=days_left(certificate.not_after, now),
        level=int(
            window(
                rules,
                counted_from=certificate.counted_from,
                not_after=certificate.not_after,
                now=now,
            )
        ),
    )
