"""The endpoints under /Enrollment/AvailableRenewal: whether and how a certificate can be renewed.

Owns the answer for certificates of nobody and of orchestrators; nothing is enrolled.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, TypedDict

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access.catalogue import Permission
from portal.rest.certificates import CertificateView
from renewal.models import Certificate
from renewal.rules.standing import ACCEPTED

_NO_RENEWAL, _WITH_A_CSR = 0, 1


class AvailableRenewal(TypedDict):
    """Whether a certificate can be renewed here: 0 not at all, 1 with a CSR of a new key."""

    AvailableRenewalType: int
    Message: str


class RenewalById(CertificateView):
    """GET /Enrollment/AvailableRenewal/Id/{id}: whether and how a certificate can be renewed."""

    needs = {"GET": Permission.CERTIFICATES_READ}
    parameters: ClassVar[frozenset[str]] = frozenset({"collectionid"})
    returns = {"GET": AvailableRenewal}

    def get(self, request: Request, certificate_id: str) -> Response:
        self.check_collection()
        return Response(_available(self.found(certificate_id), timezone.now()))


class RenewalByThumbprint(CertificateView):
    """GET /Enrollment/AvailableRenewal/Thumbprint/{thumbprint}: the same of a thumbprint."""

    needs = {"GET": Permission.CERTIFICATES_READ}
    summaries = {"GET": "Whether and how the certificate of a thumbprint can be renewed"}
    parameters: ClassVar[frozenset[str]] = frozenset({"collectionid"})
    returns = {"GET": AvailableRenewal}

    def get(self, request: Request, thumbprint: str) -> Response:
        self.check_collection()
        return Response(_available(self.found_by_thumbprint(thumbprint), timezone.now()))


def _available(row: Certificate, now: datetime) -> AvailableRenewal:
    """Say how a certificate can be renewed. Only its holder has the key of the next one."""
    if row.revoked_at is not None:
        return _renewal(_NO_RENEWAL, "It is revoked.")
    if row.not_after < now.replace(microsecond=0):
        return _renewal(_NO_RENEWAL, "It has expired.")
    if row.orchestrator_id is not None:
        does = "renews it itself" if row.standing in ACCEPTED else "uses another one by now"
        return _renewal(
            _NO_RENEWAL,
            f"Its orchestrator {does}: ask it with POST /Agents/SetAuthCertificateReenrollment.",
        )
    if row.authority_id is None:
        return _renewal(_NO_RENEWAL, "No CA of this portal issued it.")
    return _renewal(_WITH_A_CSR, "Make a new key and send its CSR to POST /Enrollment/CSR.")


def _renewal(kind: int, message: str) -> AvailableRenewal:
    return {"AvailableRenewalType": kind, "Message": message}
