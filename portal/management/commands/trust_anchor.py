"""``manage.py trust_anchor``: adds, removes and lists the trusted issuers of orchestrators.

Owns the flags; trust belongs to `renewal/identity/trust.py`.
"""

from __future__ import annotations

from datetime import datetime

from django.core.management.base import CommandParser

from portal.audit.trail import Actor
from portal.management.base import Answer, CommandFailed, JSONCommand, read_file, the_authority
from renewal.authority_trust import trust_authority
from renewal.identity.trust import add_anchor, remove_anchor
from renewal.models import TrustAnchor


class Command(JSONCommand):
    help = "Trust an issuer of orchestrators' certificates, trust it no longer, or list them."

    def add_arguments(self, parser: CommandParser) -> None:
        act = parser.add_mutually_exclusive_group(required=True)
        act.add_argument("--file", help="one CA certificate, PEM or DER")
        act.add_argument("--authority", help="a CA of this portal: its roots and issuing CA")
        act.add_argument("--remove", metavar="FINGERPRINT", help="SHA-256 of the certificate")
        act.add_argument("--list", action="store_true")
        parser.add_argument("--name", default="", help="with --file: what to call it")
        parser.add_argument(
            "--intermediate",
            action="store_true",
            help="with --file: only helps to build paths, trusts nothing by itself",
        )

    def answer(self, options: Answer, *, actor: Actor, now: datetime) -> Answer:
        if options["list"]:
            rows = TrustAnchor.objects.order_by("pk")
            return {"changed": False, "trust_anchors": [_shown(row) for row in rows]}
        if options["authority"]:
            authority = the_authority(options["authority"])
            changed = trust_authority(authority, actor=actor, now=now)
            return {"changed": changed, "authority": authority.name}
        if options["remove"]:
            row = _known(options["remove"])
            changed = remove_anchor(row, actor=actor, now=now)
        else:
            if len(options["name"]) > 200:
                raise CommandFailed("trust_anchor_refused", "A name has at most 200 characters.")
            row, changed = add_anchor(
                read_file(options["file"]),
                name=options["name"],
                is_intermediate=options["intermediate"],
                actor=actor,
                now=now,
            )
        row.refresh_from_db()
        return {"changed": changed, **_shown(row)}


def _known(fingerprint: str) -> TrustAnchor:
    wanted = fingerprint.replace(":", "").strip().lower()
    row = TrustAnchor.objects.filter(fingerprint_sha256=wanted).first()
    if row is None:
        raise CommandFailed("unknown_trust_anchor", f"No trusted issuer is {fingerprint!r}.")
    return row


def _shown(row: TrustAnchor) -> Answer:
    return {
        "name": row.name,
        "fingerprint_sha256": row.fingerprint_sha256,
        "subject": row.subject_name,
        "not_after": row.not_after.isoformat(),
        "intermediate": row.is_intermediate,
        "trusted": row.enabled,
    }
