"""Requests for approval: what is asked, by whom, what was seen, and how it was decided.

`renewal/identity/approval_requests.py` writes the rows, in the transactions that create, Reset and
decide records. Names and thumbprints are copied: a request is read long after what it was about.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from orchestrators.models import BootstrapCredential, Orchestrator
from renewal.models.certificates import Certificate
from renewal.rules.approval import RequestKind, RequestState

MOST_COMMENT_CHARACTERS = 2000


class ApprovalRequest(models.Model):
    """One question to the approvers: may this orchestrator work, with what was seen?"""

    orchestrator = models.ForeignKey(
        Orchestrator, on_delete=models.CASCADE, related_name="approval_requests"
    )
    generation = models.PositiveIntegerField()
    kind = models.CharField(
        max_length=16,
        choices=[
            (RequestKind.FIRST.value, "First registration"),
            (RequestKind.AFTER_RESET.value, "Re-approval after Reset"),
            (RequestKind.AFTER_DISAPPROVE.value, "Re-approval after Disapprove"),
        ],
    )
    state = models.CharField(
        max_length=12,
        choices=[(s.value, s.value.capitalize()) for s in RequestState],
        default=RequestState.OPEN,
    )
    opened_at = models.DateTimeField()
    caused_by = models.CharField(max_length=200)
    """Who Reset the record, or the orchestrator that registered."""
    caused_by_key = models.CharField(max_length=220, blank=True)
    """The same, comparable; empty for an orchestrator."""
    caused_by_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    address = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=1000, blank=True)
    """Why the record was Reset."""

    old_client_machine = models.CharField(max_length=255, blank=True)
    old_certificate = models.ForeignKey(
        Certificate, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    old_thumbprint = models.CharField(max_length=40, blank=True)
    old_address = models.CharField(max_length=64, blank=True)

    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=200, blank=True)
    decided_by_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    decision_reason = models.CharField(max_length=1000, blank=True)
    is_override = models.BooleanField(default=False)
    """Approved against the policies, by somebody who may."""
    rule = models.CharField(max_length=200, blank=True)
    """The rule that approved a first registration."""
    new_client_machine = models.CharField(max_length=255, blank=True)
    new_certificate = models.ForeignKey(
        Certificate, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    new_credential = models.ForeignKey(
        BootstrapCredential, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    new_thumbprint = models.CharField(max_length=40, blank=True)
    new_address = models.CharField(max_length=64, blank=True)
    new_network = models.CharField(max_length=64, blank=True)
    """The network of that address: of an approved request, a known one."""

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["orchestrator"],
                condition=Q(state=RequestState.OPEN),
                name="one_open_request_per_record",
            ),
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in RequestState]),
                name="approval_request_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state=RequestState.OPEN, decided_at=None)
                | (~Q(state=RequestState.OPEN) & Q(decided_at__isnull=False)),
                name="approval_request_decided_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["opened_at", "id"],
                name="approval_open",
                condition=Q(state=RequestState.OPEN),
            ),
            models.Index(
                fields=["-decided_at", "-id"],
                name="approval_done",
                condition=Q(decided_at__isnull=False),
            ),
            models.Index(
                fields=["new_network"],
                name="approval_network",
                condition=Q(state=RequestState.APPROVED),
            ),
        ]


class ApprovalVote(models.Model):
    """One person's Approve of a request; void once what it named is not what is there."""

    request = models.ForeignKey(ApprovalRequest, on_delete=models.CASCADE, related_name="votes")
    voter = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    voter_name = models.CharField(max_length=200)
    voter_key = models.CharField(max_length=220)
    named = models.CharField(max_length=64)
    """Digest of what the voter approved: certificate or credential, and name."""
    named_text = models.CharField(max_length=400)
    reason = models.CharField(max_length=1000, blank=True)
    voted_at = models.DateTimeField()
    voided_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["request", "voter_key"],
                condition=Q(voided_at=None),
                name="one_vote_per_person",
            )
        ]
        indexes = [models.Index(fields=["voter", "request"], name="vote_of")]


class ApprovalComment(models.Model):
    """What somebody says to a request; never changed."""

    request = models.ForeignKey(ApprovalRequest, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    author_name = models.CharField(max_length=200)
    text = models.CharField(max_length=MOST_COMMENT_CHARACTERS)
    written_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["author", "request"], name="comment_of")]
