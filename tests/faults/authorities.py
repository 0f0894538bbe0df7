"""CA types that a test can break: slow, down, refusing, wrong, hanging, dying with their worker.

Named to the portal through PORTAL_CA_TYPES, as a deployment names its own. Each type differs in
what it can do after a lost answer, for that alone decides what the portal may do.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from cryptography.hazmat.primitives.serialization import Encoding

from renewal.ca.base import (
    CAMisconfigured,
    CARejected,
    CAUnavailable,
    Issued,
    IssueRequest,
    Option,
    Pending,
    RevokeRequest,
    RevokeResult,
    check_options,
)
from renewal.x509.certificates import CertificateFacts, read_certificate, serial_text
from tests.faults import wrong_answers
from tests.faults.ledger import Ledger, key_hash

TYPES = ("plain", "finding", "repeating", "prompt", "pending")


def ca_types() -> str:
    """Return the value of PORTAL_CA_TYPES."""
    return ",".join(f"{name}={__name__}.{name.capitalize()}CA" for name in TYPES)


class PlainCA:
    """Takes its time, and cannot say what became of a lost request."""

    answers_at_once: ClassVar[bool] = False
    options_schema: ClassVar[tuple[Option, ...]] = (
        Option("folder", "where its ledger and its orders are", is_required=True),
    )
    secret_options: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, options: Mapping[str, object]) -> None:
        self.validate_options(options)
        self.ledger = Ledger(Path(str(options["folder"])))

    @classmethod
    def validate_options(cls, options: Mapping[str, object]) -> None:
        check_options(cls.options_schema, options)

    def trust_anchors(self) -> tuple[bytes, ...]:
        return (self.ledger.root.public_bytes(Encoding.DER),)

    def issuing_certificate(self) -> CertificateFacts:
        """Return what signs, so that the portal knows its own certificates."""
        return read_certificate(self.trust_anchors()[0])

    def issue(self, request: IssueRequest) -> Issued | Pending:
        self.ledger.write("asked", request_id=request.request_id, key=key_hash(request))
        order = self.ledger.order()
        how = order.issue
        if how == "down":
            raise CAUnavailable("the test's CA is down", timedelta(seconds=order.seconds))
        if how == "refuse":
            raise CARejected("the test's CA refuses")
        if how == "misconfigured":
            raise CAMisconfigured("the test's CA has a wrong option")
        if how == "cut off":
            raise ConnectionResetError("the test's CA hung up")
        if how == "die before":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "hold before":
            self.ledger.wait_while(how)
        if how == "hold, then down":
            self.ledger.wait_while(how)
            raise CAUnavailable("the test's CA was too busy")
        if how == "pending":
            self.ledger.sign(request, event="kept")
            return Pending(request.request_id, timedelta(0))
        answer = (
            wrong_answers.ANSWERS[how.removeprefix("wrong: ")](self.ledger, request)
            if how.startswith("wrong: ")
            else self.certificate(request)
        )
        if how == "die after":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "hold after":
            self.ledger.wait_while(how)
        if how == "cut off after":
            raise ConnectionResetError("the test's CA hung up with the certificate signed")
        return answer

    def certificate(self, request: IssueRequest) -> Issued:
        """Sign once more whatever was signed before."""
        return self.ledger.sign(request)

    def revoke(self, request: RevokeRequest) -> RevokeResult:
        how = self.ledger.order().revoke
        serial = serial_text(request.serial_number)
        self.ledger.write("revocation asked", serial=serial)
        if how == "down":
            raise CAUnavailable("the test's CA is down")
        if how == "refuse":
            raise CARejected("the test's CA does not know this certificate")
        if how == "cut off":
            raise ConnectionResetError("the test's CA hung up")
        if how == "already" or self.ledger.lines("revoked", serial=serial):
            return RevokeResult.ALREADY_REVOKED
        self.ledger.write("revoked", serial=serial, reason=request.reason.value)
        return RevokeResult.DONE


class FindingCA(PlainCA):
    """Can be asked what became of a request."""

    def find(self, request: IssueRequest) -> Issued | None:
        self.ledger.write("looked for", request_id=request.request_id)
        return self.ledger.signed(request.request_id)


class RepeatingCA(PlainCA):
    """Gives the same certificate to the same request."""

    repeats_identically: ClassVar[bool] = True

    def certificate(self, request: IssueRequest) -> Issued:
        return self.ledger.signed(request.request_id) or self.ledger.sign(request)


class PromptCA(RepeatingCA):
    """As a local CA: served in batches by the drain task."""

    answers_at_once: ClassVar[bool] = True


class PendingCA(PlainCA):
    """Answers later when its orders say so, and can be polled."""

    def poll(self, reference: str) -> Issued | Pending:
        self.ledger.write("polled", request_id=reference)
        if self.ledger.order().issue == "pending":
            return Pending(reference, timedelta(0))
        return self.ledger.release(reference)
