"""Certificate authorities, templates, trusted issuers and revocation lists, as rows.

What a CA type can do is its code's (`renewal/ca`); a row holds options, encrypted secrets and what
the portal learnt of it.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models


class CertificateAuthority(models.Model):
    """One configured CA. Its type names code that the deployment's settings know."""

    name = models.CharField(max_length=100, unique=True)
    type = models.CharField(max_length=100)
    options = models.JSONField(default=dict)
    encrypted_secrets = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=1)
    """Raised by each change, so that workers reload their signer."""
    enabled = models.BooleanField(default=True)
    hold_seconds = models.PositiveIntegerField(default=25)
    """How long a Register may wait for this CA (at most 300)."""
    allowed_requesters = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True)
    """Empty: everybody."""
    failures_in_a_row = models.PositiveIntegerField(default=0)
    resume_at = models.DateTimeField(null=True)
    """After failures the CA is left alone until then: one probe a minute at most."""
    last_error = models.CharField(max_length=500, blank=True)
    last_answer_seconds = models.FloatField(null=True)
    asked_until = models.DateTimeField(null=True)
    """Somebody asks it about earlier requests (polls, look-ups) until then at the latest."""
    tested_at = models.DateTimeField(null=True)
    """The last test call that an operator asked for."""
    test_passed = models.BooleanField(null=True)
    test_message = models.CharField(max_length=500, blank=True)
    signer_checked_at = models.DateTimeField(null=True)
    """When the worker last looked after the keys of a local CA."""
    signer_works = models.BooleanField(null=True)
    signer_problem = models.CharField(max_length=500, blank=True, default="")
    issuing_not_before = models.DateTimeField(null=True)
    issuing_not_after = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=models.Q(hold_seconds__lte=300), name="hold_at_most_300_s"
            )
        ]


class NamesPolicy(models.TextChoices):
    """Where a certificate's names come from."""

    MATCH = "match", "The CSR's names must be the orchestrator's own or match a pattern"
    PORTAL = "portal", "The portal's record gives the names, the CSR its key"
    OPEN = "open", "Any name (for closed test CAs)"


class Template(models.Model):
    """What a certificate of this kind may be."""

    name = models.CharField(max_length=100, unique=True)
    key_types = models.JSONField(default=list)
    validity_seconds = models.PositiveBigIntegerField(default=365 * 86400)
    backdate_seconds = models.PositiveIntegerField(default=60)
    extended_key_usages = models.JSONField(default=list)
    """Dotted OIDs."""
    names_policy = models.CharField(
        max_length=10, choices=NamesPolicy.choices, default=NamesPolicy.MATCH
    )
    name_patterns = models.JSONField(default=list, blank=True)
    allowed_requesters = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        default_permissions = ()


class GroupIssuance(models.Model):
    """Which CA and template enrol the orchestrators of a group, instead of the settings' ones."""

    group = models.OneToOneField(
        "orchestrators.OrchestratorGroup", on_delete=models.CASCADE, related_name="issuance"
    )
    authority = models.ForeignKey(CertificateAuthority, null=True, on_delete=models.PROTECT)
    template = models.ForeignKey(Template, null=True, on_delete=models.PROTECT)

    class Meta:
        default_permissions = ()


class TrustAnchor(models.Model):
    """An issuer whose certificates may prove who an orchestrator is."""

    name = models.CharField(max_length=200)
    fingerprint_sha256 = models.CharField(max_length=64, unique=True)
    subject_name = models.CharField(max_length=1000)
    der = models.BinaryField()
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()
    is_intermediate = models.BooleanField(default=False)
    """Helps to build a path to an anchor; trusts nothing by itself."""
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        default_permissions = ()


class RevocationList(models.Model):
    """The newest CRL of a CA of this portal."""

    authority = models.OneToOneField(
        CertificateAuthority, on_delete=models.CASCADE, related_name="revocation_list"
    )
    number = models.PositiveBigIntegerField()
    der = models.BinaryField()
    this_update = models.DateTimeField()
    next_update = models.DateTimeField()
    entries = models.PositiveIntegerField(default=0)

    class Meta:
        default_permissions = ()
