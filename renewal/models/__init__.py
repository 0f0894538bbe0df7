"""Rows of what happens to certificates; see the modules for what each owns."""

from renewal.models.approvals import ApprovalComment, ApprovalRequest, ApprovalVote
from renewal.models.authorities import (
    CertificateAuthority,
    GroupIssuance,
    RevocationList,
    Template,
    TrustAnchor,
)
from renewal.models.bulk import BulkItem, BulkJob
from renewal.models.census import Census
from renewal.models.certificates import Certificate, CertificateName, Claimant
from renewal.models.enrollments import Enrollment, Revocation

__all__ = [
    "ApprovalComment",
    "ApprovalRequest",
    "ApprovalVote",
    "BulkItem",
    "BulkJob",
    "Census",
    "Certificate",
    "CertificateAuthority",
    "CertificateName",
    "Claimant",
    "Enrollment",
    "GroupIssuance",
    "Revocation",
    "RevocationList",
    "Template",
    "TrustAnchor",
]
