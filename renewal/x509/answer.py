"""Whether a CA's answer is the certificate that was asked for.

PURE. Owns every check between a CA's answer and its storage as deliverable: a CA may be buggy,
misconfigured or hostile, and an orchestrator replaces a working certificate by what it is given.
Duplicate serial numbers need the database and are not looked for here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from renewal.ca.base import Issued, IssueRequest
from renewal.x509.certificates import CertificateFacts


class AnswerFault(StrEnum):
    """What is wrong with an answer, stable for logs and filters."""

    TOO_LARGE = "too large"
    UNREADABLE = "unreadable"
    OTHER_KEY = "other key"
    OTHER_SUBJECT = "other subject"
    OTHER_SANS = "other SANs"
    OTHER_EKU = "other EKU"
    IS_CA = "is a CA"
    BAD_SERIAL = "bad serial number"
    BAD_VALIDITY = "bad validity"
    NOT_TRUSTED = "not from this CA"


class AnswerRejected(Exception):  # noqa: N818 - says what happened, as the other refusals do
    """The answer must not be delivered; ``reason`` is a sentence for the operator."""

    def __init__(self, fault: AnswerFault, reason: str) -> None:
        super().__init__(f"{fault.value}: {reason}")
        self.fault = fault
        self.reason = reason


def check_answer(
    request: IssueRequest, issued: Issued, *, anchors: Sequence[bytes], now: datetime
) -> CertificateFacts:
    """Return the facts of a certificate that may be delivered, or raise ``AnswerRejected``."""
    raise NotImplementedError
