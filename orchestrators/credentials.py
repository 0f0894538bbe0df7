"""Bootstrap credentials: made, found, judged, spent; and the claims of an approval.

Owns what a new orchestrator proves itself with before it has a certificate. Such a credential can
create or refresh a New record and nothing else, except under the open claim of an approval.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from django.db import transaction

from orchestrators.models import BootstrapCredential, EnrollmentClaim, Orchestrator
from orchestrators.names import claim_key
from portal.access.models import User
from portal.access.roles import SHARED_SERVICE_ACCOUNT
from portal.audit.models import Category
from portal.audit.trail import Actor, record

LEAST_SECRET_CHARACTERS = 20


class CredentialInvalid(ValueError):
    """A bootstrap credential cannot be made like this; the message says why."""


def secret_digest(secret: str) -> str:
    """Return the stored form of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find_basic(username: str, password: str) -> BootstrapCredential | None:
    """Return the credential of a Basic header, or None if it is none.

    The whole string if such a credential exists, else the part after the last backslash. An empty
    user name with an empty password is no credential at all.
    """
    if not username or not password:
        return None
    names = [username, username.rpartition("\\")[2]]
    found = {c.name: c for c in BootstrapCredential.objects.filter(name__in=names)}
    credential = found.get(names[0]) or found.get(names[1])
    # The comparison runs for unknown names too, so that time does not tell them apart.
    stored = credential.secret_digest if credential else "0" * 64
    if hmac.compare_digest(stored, secret_digest(password)) and credential is not None:
        return credential
    return None


def find_certificate(fingerprint_sha256: str) -> BootstrapCredential | None:
    """Return the credential that a bootstrap certificate is."""
    return BootstrapCredential.objects.filter(fingerprint_sha256=fingerprint_sha256).first()


def refused_for(
    credential: BootstrapCredential, orchestrator: Orchestrator | None, *, now: datetime
) -> bool:
    """Say whether a credential may not be used for a record (None: one that does not exist)."""
    if credential.revoked_at is not None or credential.spent_at is not None:
        return True
    if credential.expires_at is not None and credential.expires_at <= now:
        return True
    if credential.one_time and credential.bound_to_id is not None:
        return orchestrator is None or orchestrator.pk != credential.bound_to_id
    return False


def note_use(credential: BootstrapCredential, orchestrator: Orchestrator, *, now: datetime) -> None:
    """Note the use; bind a one-time credential to the first record that it names."""
    fields = {"last_used_at": now}
    BootstrapCredential.objects.filter(pk=credential.pk).update(**fields)
    if credential.one_time:
        BootstrapCredential.objects.filter(pk=credential.pk, bound_to=None).update(
            bound_to=orchestrator
        )


def spend(orchestrator: Orchestrator, *, now: datetime) -> int:
    """Spend the one-time credential of a record at its first session with a certificate."""
    return BootstrapCredential.objects.filter(
        bound_to=orchestrator, one_time=True, spent_at=None
    ).update(spent_at=now)


def create(
    *,
    name: str,
    actor: Actor,
    now: datetime,
    secret: str = "",
    fingerprint_sha256: str = "",
    service_account: User | None = None,
    one_time: bool = False,
    valid_for: timedelta | None = None,
) -> tuple[BootstrapCredential, str]:
    """Make a credential; return it and its secret (empty for a certificate), shown once.

    Raises CredentialInvalid.
    """
    if not name or len(name) > 150 or not name.isprintable() or ":" in name:
        raise CredentialInvalid(
            "The name has 1 to 150 characters, all of which are seen, and no colon."
        )
    if BootstrapCredential.objects.filter(name=name).exists():
        raise CredentialInvalid(f"There is a bootstrap credential {name!r} already.")
    if secret and len(secret) < LEAST_SECRET_CHARACTERS:
        raise CredentialInvalid(f"A secret has at least {LEAST_SECRET_CHARACTERS} characters.")
    if not fingerprint_sha256 and not secret:
        secret = secrets.token_urlsafe(24)
    account = service_account or User.objects.get(username=SHARED_SERVICE_ACCOUNT)
    if not account.is_service_account:
        raise CredentialInvalid(f"{account.username} is not a service account.")
    with transaction.atomic():
        credential = BootstrapCredential.objects.create(
            name=name,
            secret_digest=secret_digest(secret) if secret else "",
            fingerprint_sha256=fingerprint_sha256,
            service_account=account,
            one_time=one_time,
            created_at=now,
            expires_at=now + valid_for if valid_for else None,
        )
        _audit(credential, "bootstrap_credential_added", actor)
    return credential, secret


def revoke(credential: BootstrapCredential, *, actor: Actor, now: datetime) -> bool:
    """Revoke a credential at once; say whether it changed."""
    with transaction.atomic():
        changed = BootstrapCredential.objects.filter(pk=credential.pk, revoked_at=None).update(
            revoked_at=now
        )
        if changed:
            _audit(credential, "bootstrap_credential_revoked", actor)
    return bool(changed)


def open_claim(
    orchestrator: Orchestrator,
    credential: BootstrapCredential,
    client_machine: str,
    *,
    lasts: timedelta,
    now: datetime,
) -> EnrollmentClaim:
    """Open the claim of an approval of a record without a certificate."""
    EnrollmentClaim.objects.filter(orchestrator=orchestrator, closed_at=None).update(closed_at=now)
    return EnrollmentClaim.objects.create(
        orchestrator=orchestrator,
        generation=orchestrator.generation,
        credential=credential,
        claim_key=claim_key(client_machine),
        opened_at=now,
        expires_at=now + lasts,
    )


def follow(orchestrator: Orchestrator, *, generation: int) -> None:
    """Keep an open claim over a Disapprove, which raised the generation from ``generation``.

    A disapproved record serves no claim; approving it again restores what it had.
    """
    EnrollmentClaim.objects.filter(
        orchestrator=orchestrator, generation=generation, closed_at=None
    ).update(generation=orchestrator.generation)


def claim_of(
    orchestrator: Orchestrator, credential: BootstrapCredential, client_machine: str
) -> EnrollmentClaim | None:
    """Return the claim of this credential for this record under this name: open, or over unused.

    The name is the one that the approval showed, whatever start stamp it has.
    """
    key = claim_key(client_machine)
    if not key:
        return None
    return EnrollmentClaim.objects.filter(
        orchestrator=orchestrator,
        credential=credential,
        generation=orchestrator.generation,
        claim_key=key,
        closed_at=None,
    ).first()


def ends_at(claim: EnrollmentClaim) -> datetime:
    """Return when a claim (read with its credential) ends, or ended, if it is not used."""
    credential = claim.credential
    ends = (claim.expires_at, credential.expires_at, credential.revoked_at, credential.spent_at)
    return min(moment for moment in ends if moment is not None)


def over_since(claim: EnrollmentClaim, *, now: datetime) -> datetime | None:
    """Return since when a claim that is over is so; None: nobody noted it, for its one-time
    credential became another record's.
    """
    ended = ends_at(claim)
    return ended if ended <= now else None


def is_over(claim: EnrollmentClaim, orchestrator: Orchestrator, *, now: datetime) -> bool:
    """Say whether nobody can enrol under a claim (read with its credential) any more: its own time
    is over, or its credential is refused.
    """
    return not claim.is_open(now) or refused_for(claim.credential, orchestrator, now=now)


def _audit(credential: BootstrapCredential, action: str, actor: Actor) -> None:
    record(
        actor,
        Category.ACCESS,
        action,
        object_type="bootstrap_credential",
        object_id=credential.pk,
        object_name=credential.name,
        after={
            "one_time": credential.one_time,
            "expires_at": credential.expires_at.isoformat() if credential.expires_at else None,
            "service_account": credential.service_account.username,
        },
    )
