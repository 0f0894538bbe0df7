"""Certificates and who came forward with one.

A certificate's standing says what it is to its orchestrator; only `renewal/standings.py` and
`renewal/approvals.py` write it.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from orchestrators.models import BootstrapCredential, Orchestrator
from renewal.models.authorities import CertificateAuthority
from renewal.rules.standing import IN_USE, Standing


def _standing_choices() -> list[tuple[str, str]]:
    return [(s.value, s.value.capitalize()) for s in Standing]


class Certificate(models.Model):
    """One certificate that the portal has seen, issued or uses itself."""

    fingerprint_sha256 = models.CharField(max_length=64, unique=True)
    """What authenticates: SHA-256 of the whole DER, lower-case hex."""
    thumbprint = models.CharField(max_length=40, db_index=True)
    """SHA-1, upper-case hex: what Keyfactor's pages and API show."""
    der = models.BinaryField()
    serial_number = models.CharField(max_length=40, db_index=True)
    issuer_name = models.CharField(max_length=1000)
    subject_name = models.CharField(max_length=1000)
    common_name = models.CharField(max_length=255, blank=True)
    name_key = models.CharField(max_length=255, blank=True, default="", db_index=True)
    """Canonical common name: finds it by its beginning. Other names: `CertificateName`."""
    sans = models.JSONField(default=list)
    """[[kind, value], …]"""
    not_before = models.DateTimeField()
    not_after = models.DateTimeField(db_index=True)
    counted_from = models.DateTimeField()
    """Begins the lifetime for the periods: issue through this portal, else notBefore."""
    spki_sha256 = models.CharField(max_length=64, db_index=True)
    key_algorithm = models.CharField(max_length=20)
    key_size = models.PositiveIntegerField(default=0)
    signature_hash = models.CharField(max_length=20, blank=True)
    authority = models.ForeignKey(
        CertificateAuthority, null=True, on_delete=models.PROTECT, related_name="certificates"
    )
    """The CA of this portal that issued it; null for foreign ones."""

    orchestrator = models.ForeignKey(
        Orchestrator, null=True, on_delete=models.SET_NULL, related_name="certificates"
    )
    generation = models.PositiveIntegerField(default=0)
    standing = models.CharField(max_length=12, choices=_standing_choices())
    standing_since = models.DateTimeField()
    intent_flag_counter = models.PositiveIntegerField(null=True)
    predecessor = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="successors"
    )
    delivered_at = models.DateTimeField(null=True)
    proven_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    """From this moment the portal refuses it, whatever its CA says."""
    revocation_reason = models.CharField(max_length=30, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["issuer_name", "serial_number"], name="one_serial_per_issuer"
            ),
            models.UniqueConstraint(
                fields=["orchestrator", "standing"],
                condition=Q(standing__in=["named", "current", "legacy", "issued", "overtaken"]),
                name="one_certificate_per_standing",
            ),
            models.CheckConstraint(
                condition=Q(standing__in=[s.value for s in Standing]),
                name="certificate_standing_known",
            ),
        ]
        indexes = [
            models.Index(fields=["orchestrator", "id"], name="cert_of_orchestrator"),
            models.Index(fields=["authority", "not_after", "id"], name="cert_ends_by_issuer"),
            models.Index(
                fields=["key_algorithm", "key_size", "not_after", "id"], name="cert_ends_by_key"
            ),
            models.Index(
                fields=["not_after", "id"],
                condition=Q(revoked_at__isnull=False),
                name="cert_ends_revoked",
            ),
            models.Index(
                fields=["standing", "not_after", "id"],
                condition=Q(revoked_at__isnull=False),
                name="cert_revoked_by_standing",
            ),
            # A NULL at an index's begin keeps no order: other CAs' have an index of their own.
            models.Index(
                fields=["not_after", "id"],
                condition=Q(revoked_at__isnull=False, authority__isnull=True),
                name="cert_ends_revoked_elsewhere",
            ),
            models.Index(fields=["standing", "not_after", "id"], name="cert_ends_by_standing"),
            # What a census reads of every certificate in use, without the rows themselves.
            models.Index(
                fields=[
                    "orchestrator",
                    "authority",
                    "key_algorithm",
                    "key_size",
                    "signature_hash",
                    "not_after",
                    "revoked_at",
                ],
                condition=Q(standing__in=sorted(IN_USE)),
                name="cert_in_use",
            ),
            # Most certificates of a key that end last are not revoked.
            models.Index(
                fields=["key_algorithm", "key_size", "not_after", "id"],
                condition=Q(revoked_at__isnull=False),
                name="cert_revoked_by_key",
            ),
            models.Index(fields=["signature_hash", "not_after", "id"], name="cert_ends_by_hash"),
            models.Index(
                fields=["authority", "not_after", "id"],
                condition=Q(revoked_at__isnull=False),
                name="cert_revoked",
            ),
            models.Index(fields=["not_after"], condition=Q(standing="own"), name="cert_own"),
        ]


class CertificateName(models.Model):
    """An alternative name of a certificate that is not its common name, to be found by."""

    certificate = models.ForeignKey(Certificate, on_delete=models.CASCADE, related_name="names")
    name_key = models.CharField(max_length=255, db_index=True)
    """Canonical."""

    class Meta:
        default_permissions = ()


class Claimant(models.Model):
    """Somebody who came forward for a New record: with a certificate or a credential."""

    orchestrator = models.ForeignKey(
        Orchestrator, on_delete=models.CASCADE, related_name="claimants"
    )
    generation = models.PositiveIntegerField()
    certificate = models.ForeignKey(Certificate, null=True, on_delete=models.CASCADE)
    credential = models.ForeignKey(BootstrapCredential, null=True, on_delete=models.CASCADE)
    client_machine = models.CharField(max_length=255, blank=True)
    address = models.CharField(max_length=64, blank=True)
    held_before = models.BooleanField(default=False)
    """This record held the certificate before its Reset: gives way to any later one."""
    places = models.JSONField(default=list)
    """[[name, address, first seen, last seen], …], the newest few: tells one host from two."""
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["orchestrator", "generation", "certificate"],
                condition=Q(certificate__isnull=False),
                name="one_claimant_per_certificate",
            ),
            models.UniqueConstraint(
                fields=["orchestrator", "generation", "credential"],
                condition=Q(credential__isnull=False),
                name="one_claimant_per_credential",
            ),
        ]
