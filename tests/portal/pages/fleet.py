"""A small fleet in every state, for the tests of the pages.

Owns rows only: certificates are real, nothing is enrolled. Everything is counted from `now`, so
that a test can stand at a boundary.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group

from orchestrators import credentials
from orchestrators.confusables import skeleton
from orchestrators.contact_day import day_of
from orchestrators.models import (
    AgentSession,
    AutoRegistrationRule,
    EnrollmentClaim,
    Job,
    JobState,
    Orchestrator,
    Reenrollment,
    Status,
)
from orchestrators.names import canonical, claim_key
from orchestrators.protocol.codes import TEXTS, Code
from orchestrators.registration import editing
from orchestrators.registration.contents import Contents
from portal.access.models import User
from portal.access.roles import SHARED_SERVICE_ACCOUNT
from portal.audit.models import Category
from portal.audit.trail import Actor, record
from portal.preferences.models import Setting
from renewal import certificates
from renewal.bulk import service, work
from renewal.bulk.selection import Selection
from renewal.bulk.service import Order
from renewal.identity import approval_requests
from renewal.models import (
    BulkJob,
    Certificate,
    CertificateAuthority,
    Claimant,
    Enrollment,
    Revocation,
    Template,
    TrustAnchor,
)
from renewal.rules.acts import Act
from renewal.rules.standing import Standing
from renewal.selectors.filters import Filters
from renewal.selectors.states import RenewalState
from renewal.x509.certificates import read_certificate
from tests import pki

PASSWORD = "correct horse battery staple"
DAY = timedelta(days=1)
YEAR = 365 * DAY
_numbers = itertools.count(0x10_0000_0001)
ALICE = Actor("alice", source_address="192.0.2.7")
AGENT = Actor("agent", source_address="10.20.30.40")


def user(name: str, role: str | None) -> User:
    """A person with one of the shipped roles, or none."""
    made = User.objects.create_user(name, password=PASSWORD)
    if role:
        made.groups.add(Group.objects.get(name=role))
    return made


def service_account() -> User:
    return User.objects.get(username=SHARED_SERVICE_ACCOUNT)


def bulk_job(by: User, now: datetime) -> BulkJob:
    """A finished job that asked all that work to renew; the one that there is."""
    order = Order(Act.REQUEST, Selection(filters=Filters(state=RenewalState.OK)), "New CA")
    job = BulkJob.objects.first()
    if job is None:
        frozen = service.preview(order, user=by, now=now).frozen
        job = service.submit(order, frozen, user=by, actor=Actor(by.username, by.pk), now=now)
        work.run(job.pk, now=now)
    return job


def authority(now: datetime, name: str = "Portal CA") -> CertificateAuthority:
    row, _ = CertificateAuthority.objects.get_or_create(
        name=name, defaults={"type": "local", "created_at": now, "last_answer_seconds": 0.02}
    )
    return row


def template(now: datetime) -> Template:
    row, _ = Template.objects.get_or_create(
        name="Orchestrator",
        defaults={
            "key_types": ["EC-P256", "RSA-3072"],
            "extended_key_usages": ["1.3.6.1.5.5.7.3.2"],
            "created_at": now,
        },
    )
    return row


def set_up(now: datetime) -> None:
    """What every portal has before its first orchestrator."""
    for name, value in (
        ("CertificateAuthorityForSubmittedCSRs", authority(now).name),
        ("TemplateForSubmittedCSRs", template(now).name),
    ):
        Setting.objects.update_or_create(
            name=name, defaults={"value": value, "changed_at": now, "changed_by": "alice"}
        )
    facts = read_certificate(pki.root(not_before=now - 10 * YEAR, not_after=now + 10 * YEAR))
    TrustAnchor.objects.get_or_create(
        fingerprint_sha256=facts.fingerprint_sha256,
        defaults={
            "name": "Test Root CA",
            "subject_name": facts.subject,
            "der": facts.der,
            "not_before": facts.not_before,
            "not_after": facts.not_after,
            "created_at": now,
        },
    )


def orchestrator(name: str, *, now: datetime, **fields: Any) -> Orchestrator:
    """A record; approved unless said otherwise."""
    defaults: dict[str, Any] = {
        "client_machine": name,
        "name_key": canonical(name),
        "claim_key": claim_key(name),
        "name_skeleton": skeleton(name),
        "service_account": service_account(),
        "status": Status.APPROVED,
        "platform": 7,
        "version": "25.1.0",
        "capabilities": ["Custom.FetchLogs"],
        "client_parameters": {"ExtensionName": "Built-in", "ExtensionVersion": "1.0"},
        "had_session": True,
        "last_seen": now - timedelta(minutes=3),
        "last_address": "10.20.30.40",
        "created_at": now - 200 * DAY,
    }
    known = {**defaults, **fields}
    seen = known["last_seen"]
    return Orchestrator.objects.create(**known, seen_on=day_of(seen) if seen else None)


def certificate(
    holder: Orchestrator | None,
    *,
    now: datetime,
    left: timedelta = 300 * DAY,
    lifetime: timedelta = YEAR,
    standing: Standing = Standing.CURRENT,
    **fields: Any,
) -> Certificate:
    """A certificate of ``holder``; not written into its columns."""
    name = (holder.client_machine if holder else "") or "nobody"
    escaped = "".join(f"\\{ch}" if ch in ',+"\\<>;=' else ch for ch in name)
    facts = read_certificate(
        pki.certificate(
            f"CN={escaped}",
            not_before=now + left - lifetime,
            not_after=now + left,
            serial_number=next(_numbers) << 64,
        )
    )
    row = certificates.create(
        facts, standing=standing, now=now - DAY, orchestrator=holder, authority=authority(now)
    )
    if fields:
        Certificate.objects.filter(pk=row.pk).update(**fields)
        row.refresh_from_db()
    return row


def approved(
    name: str, *, now: datetime, left: timedelta, lifetime: timedelta = YEAR, **fields: Any
) -> Orchestrator:
    """An approved record with a current certificate that has ``left`` to go."""
    made = orchestrator(name, now=now, **fields)
    row = certificate(made, now=now, left=left, lifetime=lifetime, proven_at=now - 20 * DAY)
    made.thumbprint = row.thumbprint
    made.last_thumbprint_used = fields.get("last_thumbprint_used", row.thumbprint)
    made.certificate_not_after = row.not_after
    made.certificate_counted_from = row.counted_from
    made.save()
    return made


def failed_with(made: Orchestrator, code: Code, *, now: datetime) -> Orchestrator:
    made.last_error_code = code.value
    made.last_error_message = TEXTS[code].sentence
    made.last_error_at = now - timedelta(minutes=40)
    made.save()
    return made


def rule(
    name: str, outcome: str = "defer", *, now: datetime, **contents: Any
) -> AutoRegistrationRule:
    """A rule of auto-registration behind the others."""
    return editing.save(name, Contents(outcome, **contents), actor=ALICE, now=now)[0]


def noted(made: Orchestrator, action: str, *, actor: Actor = ALICE, **more: Any) -> None:
    record(
        actor,
        more.pop("category", Category.ORCHESTRATOR),
        action,
        object_type="orchestrator",
        object_id=made.pk,
        object_name=made.client_machine,
        orchestrator_id=made.pk,
        **more,
    )


@dataclass
class Fleet:
    """One record of every kind."""

    calm: Orchestrator
    warned: Orchestrator
    must_renew: Orchestrator
    expired: Orchestrator
    renewed: Orchestrator
    unused: Orchestrator
    waiting: Orchestrator
    conflicting: Orchestrator
    returning: Orchestrator
    enrolling: Orchestrator
    disapproved: Orchestrator
    requested: Orchestrator
    wrong: Orchestrator


def fleet(now: datetime) -> Fleet:
    """Make one record of every kind, with what pages show around them."""
    set_up(now)
    made = Fleet(
        calm=approved("app-server-01.example.com", now=now, left=301 * DAY),
        warned=failed_with(
            approved("db-primary.example.com", now=now, left=100 * DAY), Code.SHOULD_RENEW, now=now
        ),
        must_renew=failed_with(
            approved("edge-gateway-07", now=now, left=20 * DAY), Code.MUST_RENEW, now=now
        ),
        expired=failed_with(
            approved("legacy-host", now=now, left=-1 * DAY), Code.CERTIFICATE_EXPIRED, now=now
        ),
        renewed=_renewed(now),
        unused=_unused(now),
        waiting=_waiting("new-host.example.com", now),
        conflicting=_waiting("contested-host", now, strangers=2),
        returning=_waiting("returning-host", now, reset_at=now - 2 * timedelta(hours=1)),
        enrolling=_enrolling(now),
        disapproved=approved("retired-host", now=now, left=150 * DAY, status=Status.DISAPPROVED),
        requested=approved(
            "app-server-02.example.com",
            now=now,
            left=310 * DAY,
            flag=Reenrollment.REQUESTED,
            flag_counter=1,
        ),
        wrong=approved(
            "cloned-vm",
            now=now,
            left=250 * DAY,
            last_thumbprint_used="0123456789ABCDEF0123456789ABCDEF01234567",
            client_machine_seen="cloned-vm-copy",
        ),
    )
    rule("Build agents", "allow", now=now, name_patterns=("build-*",), networks=("10.0.0.0/8",))
    rule("Everybody else", "defer", now=now)
    approved("demo-1", now=now, left=300 * DAY, demonstration=True)
    approved("demo-2", now=now, left=20 * DAY, demonstration=True)
    noted(
        made.requested,
        "renewal_requested",
        before={"flag": 0},
        after={"flag": 1, "at_once": False},
        message="New CA from Monday on",
    )
    return made


def _renewed(now: datetime) -> Orchestrator:
    made = approved("mail-relay.example.com", now=now, left=364 * DAY)
    new = made.certificates.get()
    old = certificate(
        made,
        now=now,
        left=20 * DAY,
        standing=Standing.SUPERSEDED,
        proven_at=now - 300 * DAY,
        delivered_at=now - 345 * DAY,
        revoked_at=now - timedelta(hours=5),
        revocation_reason="superseded",
    )
    new.predecessor, new.delivered_at = old, now - timedelta(hours=5)
    new.save()
    enrollment(made, now=now - timedelta(hours=5), certificate=new, state="issued")
    Revocation.objects.create(
        certificate=old,
        orchestrator=made,
        reason="superseded",
        cause="replaced by a newer certificate",
        requested_by="agent",
        state="failed",
        attempts=3,
        last_error="The CA does not answer.",
        next_attempt_at=now + DAY,
        created_at=now - timedelta(hours=5),
        finished_at=now - timedelta(hours=4),
    )
    noted(made, "approved", after={"status": "Approved", "thumbprint": old.thumbprint})
    noted(made, "renewal_requested", after={"flag": 2, "at_once": True}, message="Key rotation")
    noted(
        made,
        "enrollment_requested",
        actor=AGENT,
        category=Category.ENROLLMENT,
        after={"authority": "Portal CA", "template": "Orchestrator", "key": "EC P-256"},
    )
    noted(
        made,
        "certificate_issued",
        actor=Actor("portal"),
        category=Category.ENROLLMENT,
        after={"thumbprint": new.thumbprint, "serial": new.serial_number},
    )
    noted(made, "flag_cleared", actor=AGENT, before={"flag": 2}, after={"flag": 0})
    noted(made, "certificate_proven", actor=AGENT, after={"thumbprint": new.thumbprint})
    noted(
        made,
        "legacy_thumbprint_cleared",
        actor=AGENT,
        before={"legacy_thumbprint": old.thumbprint},
        after={"legacy_thumbprint": ""},
    )
    noted(
        made,
        "revocation_failed",
        actor=Actor("portal"),
        category=Category.CERTIFICATE,
        after={"thumbprint": old.thumbprint, "cause": "The CA does not answer."},
    )
    AgentSession.objects.create(
        orchestrator=made,
        token_digest="d" * 64,
        started_at=now - timedelta(hours=5),
        expires_at=now + timedelta(hours=18),
        heartbeat_minutes=5,
        thumbprint=new.thumbprint,
    )
    Job.objects.create(
        orchestrator=made,
        capability="Custom.FetchLogs",
        state=JobState.COMPLETED,
        result=2,
        log="2026-11-24 09:00:01 Info  Session registered\n2026-11-24 09:05:01 Info  Heartbeat\n",
        requested_at=now - timedelta(hours=2),
        requested_by="alice",
        finished_at=now - timedelta(hours=1),
    )
    return made


def _unused(now: datetime) -> Orchestrator:
    made = approved("batch-runner", now=now, left=90 * DAY)
    old = made.certificates.get()
    Certificate.objects.filter(pk=old.pk).update(standing=Standing.LEGACY)
    since = now - timedelta(hours=9)
    new = certificate(
        made,
        now=now,
        left=365 * DAY - timedelta(hours=9),
        standing=Standing.ISSUED,
        delivered_at=since,
        predecessor=old,
        intent_flag_counter=0,
    )
    enrollment(made, now=since, certificate=new, state="issued")
    made.thumbprint, made.legacy_thumbprint = new.thumbprint, old.thumbprint
    made.awaiting_first_use_since = since
    made.save()
    return made


def _waiting(name: str, now: datetime, *, strangers: int = 1, **fields: Any) -> Orchestrator:
    made = orchestrator(name, now=now, status=Status.NEW, had_session=False, **fields)
    cause = approval_requests.Cause(f"orchestrator {name}", address="10.20.30.1")
    approval_requests.ensure_open(made, cause, now=now - timedelta(hours=1))
    for number in range(strangers):
        seen = certificate(made, now=now, standing=Standing.SEEN)
        Claimant.objects.create(
            orchestrator=made,
            generation=made.generation,
            certificate=seen,
            client_machine=name,
            address=f"10.20.30.{number + 1}",
            first_seen=now - timedelta(hours=1),
            last_seen=now - timedelta(minutes=2),
        )
    return made


def _enrolling(now: datetime) -> Orchestrator:
    made = orchestrator("fresh-install", now=now, had_session=False, last_seen=None)
    credential, _ = credentials.create(
        name="fresh-install-20261124", actor=ALICE, now=now, one_time=True, valid_for=7 * DAY
    )
    EnrollmentClaim.objects.create(
        orchestrator=made,
        generation=made.generation,
        credential=credential,
        claim_key=made.claim_key,
        opened_at=now,
        expires_at=now + 7 * DAY,
    )
    return made


def enrollment(holder: Orchestrator, *, now: datetime, **fields: Any) -> Enrollment:
    number = f"{next(_numbers):032x}"
    defaults: dict[str, Any] = {
        "orchestrator": holder,
        "generation": holder.generation,
        "spki_sha256": number * 2,
        "csr_der": b"",
        "subject_der": b"",
        "authority": authority(now),
        "template": template(now),
        "chosen_by": "settings",
        "requested_by": holder.client_machine,
        "serial_number": number,
        "not_before": now,
        "not_after": now + YEAR,
        "next_attempt_at": now,
        "created_at": now,
        "finished_at": now if fields.get("state") not in (None, "waiting") else None,
    }
    return Enrollment.objects.create(**{**defaults, **fields})
