"""``manage.py bootstrap_credential``: what a new orchestrator proves itself with, or its end.

Owns the flags and what "the same credential" means; credentials are
`orchestrators/credentials.py`'s.
"""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta

from django.core.management.base import CommandParser

from orchestrators import credentials
from orchestrators.models import BootstrapCredential
from portal.audit.trail import Actor
from portal.management.base import (
    Answer,
    CommandFailed,
    JSONCommand,
    number,
    read_file,
    read_secret,
    the_service_account,
)
from renewal.models import Certificate
from renewal.rules.standing import Standing
from renewal.x509.certificates import read_certificate

_MOST_HOURS = 24 * 366


class Command(JSONCommand):
    help = "Make a bootstrap credential (a secret is printed once), or revoke it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="also the user name of a Basic header")
        proof = parser.add_mutually_exclusive_group()
        proof.add_argument(
            "--secret-stdin",
            action="store_true",
            help="the secret is one line of stdin; default: one is made",
        )
        proof.add_argument("--certificate", metavar="FILE", help="a bootstrap certificate")
        parser.add_argument("--service-account", metavar="USER", help="default: the shared one")
        parser.add_argument(
            "--one-time", action="store_true", help="for the first orchestrator that uses it"
        )
        parser.add_argument(
            "--hours", type=number(0, _MOST_HOURS), default=72, help="0: until it is revoked"
        )
        parser.add_argument("--revoke", action="store_true")

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        known = BootstrapCredential.objects.filter(name=options["name"]).first()
        if options["revoke"]:
            if known is None:
                raise CommandFailed(
                    "unknown_credential", f"There is no bootstrap credential {options['name']!r}."
                )
            changed = credentials.revoke(known, actor=actor, now=now)
            known.refresh_from_db()
            return {"changed": changed, **_shown(known)}
        given = read_secret() if options["secret_stdin"] else ""
        fingerprint = _fingerprint(options["certificate"]) if options["certificate"] else ""
        account = options["service_account"]
        account = the_service_account(account) if account else None
        if known is not None:
            _check_same(known, given, fingerprint, options, now=now)
            return {"changed": False, **_shown(known)}
        if fingerprint and (other := credentials.find_certificate(fingerprint)):
            raise CommandFailed(
                "credential_exists", f"This certificate is the credential {other.name!r} already."
            )
        row, secret = credentials.create(
            name=options["name"],
            secret=given,
            fingerprint_sha256=fingerprint,
            service_account=account,
            one_time=options["one_time"],
            valid_for=timedelta(hours=options["hours"]) if options["hours"] else None,
            actor=actor,
            now=now,
        )
        return {
            "changed": True,
            **_shown(row),
            **({"secret": secret} if secret and not given else {}),
        }


def _fingerprint(path: str) -> str:
    """Return the fingerprint of a certificate that may be a bootstrap certificate."""
    facts = read_certificate(read_file(path))
    if facts.is_ca or not facts.has_client_auth:
        raise CommandFailed(
            "certificate_unsuitable",
            "A bootstrap certificate has the extended key usage clientAuth and is no CA's.",
        )
    held = Certificate.objects.filter(
        fingerprint_sha256=facts.fingerprint_sha256, orchestrator__isnull=False
    ).exclude(standing=Standing.SEEN)
    if held.exists():
        raise CommandFailed("certificate_of_another", "This certificate is an orchestrator's.")
    return facts.fingerprint_sha256


def _check_same(
    known: BootstrapCredential, secret: str, fingerprint: str, options: Answer, *, now: datetime
) -> None:
    """Refuse to take another credential of this name for the one that was asked for."""
    expired = known.expires_at is not None and known.expires_at <= now
    if known.revoked_at is not None or known.spent_at is not None or expired:
        raise CommandFailed(
            "credential_ended",
            f"The credential {known.name!r} is spent, revoked or expired; choose another name.",
        )
    other_secret = secret and not hmac.compare_digest(
        credentials.secret_digest(secret), known.secret_digest
    )
    other_account = options["service_account"] not in (None, known.service_account.username)
    if (
        other_secret
        or other_account
        or fingerprint != known.fingerprint_sha256
        or options["one_time"] != known.one_time
    ):
        raise CommandFailed(
            "credential_exists",
            f"There is another credential {known.name!r}: revoke it, and choose another name.",
        )


def _shown(row: BootstrapCredential) -> Answer:
    return {
        "name": row.name,
        "fingerprint_sha256": row.fingerprint_sha256,
        "service_account": row.service_account.username,
        "one_time": row.one_time,
        "expires_at": row.expires_at.isoformat() if row.expires_at else None,
        "revoked": row.revoked_at is not None,
    }
