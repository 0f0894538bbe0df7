"""Whether a CSR may be enrolled for an orchestrator, before any CA is asked.

Owns the order: configuration, permissions, the CSR door's steps (form, key, names), reuse of
keys. Each refusal has its code. Gathers facts; the decision says what a refusal means for the
reply.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrators.models import Orchestrator, Status
from orchestrators.names import canonical, without_start_stamp
from orchestrators.protocol.codes import Code
from orchestrators.reach import lacking_for
from orchestrators.registration.chain import HandlerChoice
from portal.access.catalogue import Permission, entry_for
from portal.access.models import User
from portal.preferences.store import Preferences
from renewal.configuration import Chosen, HandlerChoiceInvalid, NotConfigured, choose
from renewal.models import Certificate, Enrollment
from renewal.rules.standing import UNPROVEN, Standing
from renewal.x509.certificates import CertificateFacts
from renewal.x509.csr_door import CSRRefused, ParsedCSR, check_key_type, open_csr
from renewal.x509.names_policy import (
    GrantedNames,
    NamesMode,
    NamesPolicy,
    check_names,
    own_names_of,
)


@dataclass(frozen=True)
class Admitted:
    """A CSR that may go to a CA, or whose certificate exists already (``existing``)."""

    csr: ParsedCSR
    names: GrantedNames
    chosen: Chosen
    existing: Certificate | None = None


class NotAdmitted(Exception):
    """The CSR may not go to a CA. ``is_permission`` tells a missing permission apart."""

    def __init__(self, code: Code, detail: str, *, is_permission: bool = False) -> None:
        self.code = code
        self.detail = detail
        self.is_permission = is_permission
        super().__init__(detail)


def admit(
    raw: str,
    orchestrator: Orchestrator,
    *,
    presented: CertificateFacts | None,
    preferences: Preferences,
    named: HandlerChoice | None = None,
) -> Admitted:
    """Judge a CSR of an approved orchestrator. Raises NotAdmitted.

    ``named``: CA and template that a registration handler chose.
    """
    try:
        csr = open_csr(raw)
    except CSRRefused as refusal:
        raise NotAdmitted(refusal.code, refusal.detail) from None
    account = orchestrator.service_account
    if lacking := lacking_for(orchestrator, Permission.ENROLL_CSR, Permission.CERTIFICATES_READ):
        names = " and ".join(entry_for(p).access_string for p in lacking)
        raise NotAdmitted(Code.PERMISSION_MISSING, names, is_permission=True)
    existing = _key_of_own_unused(orchestrator, csr)
    try:
        chosen = choose(preferences, group_id=orchestrator.group_id, named=named)
    except HandlerChoiceInvalid as problem:
        raise NotAdmitted(Code.HANDLER_CHOICE, str(problem)) from None
    except NotConfigured as problem:
        raise NotAdmitted(Code.ENROLLMENT_NOT_CONFIGURED, str(problem)) from None
    check_requester(account, chosen)
    try:
        check_key_type(csr, frozenset(chosen.template.key_types))
        granted = check_names(
            csr, names_policy(orchestrator, chosen, presented=presented, preferences=preferences)
        )
    except CSRRefused as refusal:
        raise NotAdmitted(refusal.code, refusal.detail) from None
    if existing is None:
        _check_key_is_new(orchestrator, csr, preferences)
    return Admitted(csr, granted, chosen, existing)


def names_policy(
    orchestrator: Orchestrator,
    chosen: Chosen,
    *,
    presented: CertificateFacts | None,
    preferences: Preferences,
) -> NamesPolicy:
    """Return the names that this orchestrator may have under a template (T1)."""
    template = chosen.template
    return NamesPolicy(
        mode=NamesMode(template.names_policy),
        own=own_names_of(
            [
                orchestrator.client_machine,
                *_unstamped(orchestrator),
                *orchestrator.extra_names,
            ],
            agent_id=str(orchestrator.pk),
            presented=presented,
        ),
        patterns=tuple(template.name_patterns),
        domain_suffixes=preferences.names("OrchestratorDomainSuffixes"),
    )


def _unstamped(orchestrator: Orchestrator) -> list[str]:
    """Return the name without the stamp that some agents add at every start: the stamp is not part
    of what was approved. Not if it is the name of another one that works or worked.
    """
    name = without_start_stamp(orchestrator.client_machine)
    if name == orchestrator.client_machine.strip():
        return []
    others = Orchestrator.objects.filter(name_key=canonical(name)).exclude(
        status=Status.NEW, reset_at=None
    )
    return [] if others.exclude(pk=orchestrator.pk).exists() else [name]


def issued_recently(orchestrator: Orchestrator, *, preferences: Preferences, now: datetime) -> bool:
    """Say whether a certificate was issued within the interval of unasked renewals (row 4)."""
    since = now - timedelta(hours=preferences.number("UnaskedRenewalIntervalHours"))
    return Certificate.objects.filter(
        orchestrator=orchestrator, delivered_at__gt=since, delivered_at__lte=now
    ).exists()


def _key_of_own_unused(orchestrator: Orchestrator, csr: ParsedCSR) -> Certificate | None:
    """Return the certificate that this key got already, if it may be given again (I10)."""
    return Certificate.objects.filter(
        orchestrator=orchestrator,
        generation=orchestrator.generation,
        spki_sha256=csr.spki_sha256,
        standing__in=sorted(UNPROVEN),
        revoked_at=None,
    ).first()


def _check_key_is_new(orchestrator: Orchestrator, csr: ParsedCSR, preferences: Preferences) -> None:
    """Refuse the key of a used, revoked, archived or foreign certificate (I4, T5)."""
    for certificate in Certificate.objects.filter(spki_sha256=csr.spki_sha256):
        if (
            certificate.orchestrator_id == orchestrator.pk
            and certificate.revoked_at is None
            and certificate.standing in (Standing.CURRENT, Standing.LEGACY, Standing.NAMED)
            and preferences.flag("AllowReuseOfCurrentKey")
        ):
            continue
        detail = "Its certificate is revoked." if certificate.revoked_at is not None else ""
        raise NotAdmitted(Code.KEY_REUSE, detail)
    foreign = (
        Enrollment.objects.filter(spki_sha256=csr.spki_sha256)
        .exclude(orchestrator=orchestrator)
        # A certificate that an operator had made and then bound to this record.
        .exclude(certificate__orchestrator=orchestrator)
        .exists()
    )
    if foreign:
        raise NotAdmitted(Code.KEY_REUSE, "")


def check_requester(account: User, chosen: Chosen) -> None:
    """Refuse a service account that is none of the allowed requesters of CA or template."""
    for what, row in (("CA", chosen.authority), ("template", chosen.template)):
        allowed = {user.pk for user in row.allowed_requesters.all()}
        if allowed and account.pk not in allowed:
            raise NotAdmitted(
                Code.PERMISSION_MISSING,
                f"{account.username} is none of the allowed requesters of the {what} {row.name}",
                is_permission=True,
            )
