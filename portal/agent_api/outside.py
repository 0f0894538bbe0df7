"""What a Register asks registration handlers, outside of any transaction, and remembers for it.

Owns the requests that handlers get, the time that they may take together, and what is written
when the reply stands (hits of rules, failures that showed late). Decides nothing: a handler's
answer is a fact of the decision.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar
from uuid import UUID

from django.db.models import Max

from orchestrators.labels import labels_of
from orchestrators.models import BootstrapCredential, Orchestrator
from orchestrators.protocol.requests import RegisterRequest
from orchestrators.registration import chain
from orchestrators.registration.chain import HandlerChoice, HandlerFailed, HandlerVerdict
from orchestrators.registration.handler import (
    EnrollmentRequest,
    PresentedCertificate,
    RegistrationRequest,
)
from portal.access.roles import SHARED_SERVICE_ACCOUNT
from portal.preferences.store import Preferences
from renewal.models import CertificateAuthority
from renewal.x509.certificates import CertificateFacts
from renewal.x509.csr_door import CSRRefused, open_csr
from renewal.x509.names import distinguished_name

REQUEST_PARAMETER = "RegistrationRequest"
"""Client parameter with which the C agent asks handlers for something."""
_USUAL_HOLD_SECONDS = 25
T = TypeVar("T")


@dataclass
class Outside:
    """The handlers' part in one Register."""

    body: RegisterRequest
    address: str
    preferences: Preferences
    now: datetime
    parsed: CertificateFacts | None = None
    credential: BootstrapCredential | None = None
    verdict: HandlerVerdict | None = None
    """None: not asked yet."""
    choice: HandlerChoice | None = None
    failure: HandlerFailed | None = None
    seconds_spent: float = 0.0
    afterwards: list[Callable[[], object]] = field(default_factory=list)
    _chosen_for: UUID | None = None

    def must_ask_to_decide(self) -> bool:
        """Say whether a first registration waits for the handlers' verdict."""
        if self.verdict is None and not chain.handlers():
            self.verdict = HandlerVerdict()
        return self.verdict is None

    def must_ask_to_enroll(self, orchestrator: Orchestrator) -> bool:
        """Say whether a CSR waits for the handlers' choice of CA and template."""
        return bool(chain.handlers()) and self._chosen_for != orchestrator.pk

    def ask_to_decide(self, orchestrator: Orchestrator | None) -> None:
        """Get the verdict on a first registration; what fails defers."""
        request = self._request(orchestrator)
        self.verdict = self._timed(lambda left: chain.ask_to_decide(request, seconds=left))

    def ask_to_enroll(self, orchestrator: Orchestrator) -> None:
        """Get the choice for a CSR. One that the CSR door refuses is nobody's business."""
        self._chosen_for = orchestrator.pk
        self.choice = self.failure = None
        try:
            csr = open_csr(self.body.csr)
        except CSRRefused:
            return
        request = EnrollmentRequest(
            registration=self._request(orchestrator),
            csr_subject=distinguished_name(csr.subject),
            csr_sans=tuple((str(kind), value) for kind, value in csr.sans),
            key_type=csr.key_type,
            csr_der=csr.der,
            is_first=not orchestrator.had_session,
        )
        try:
            self.choice = self._timed(lambda left: chain.ask_to_enroll(request, seconds=left))
        except HandlerFailed as failed:
            self.failure = failed

    def tell(self, orchestrator: Orchestrator) -> None:
        """Tell the handlers what an approved orchestrator asked for with its Register."""
        what = self.body.client_parameters.get(REQUEST_PARAMETER, "")
        if what and chain.handlers():
            request = self._request(orchestrator)
            self._timed(lambda left: chain.tell(request, what, seconds=left))

    def finish(self) -> None:
        """Write what does not belong into the transaction of the reply."""
        for write in self.afterwards:
            write()
        self.afterwards.clear()

    def _timed(self, ask: Callable[[float], T]) -> T:
        """Ask with what is left of the handlers' time, at most as long as a CA may take."""
        hold = CertificateAuthority.objects.filter(enabled=True).aggregate(
            longest=Max("hold_seconds")
        )["longest"]
        most = min(
            self.preferences.number("RegistrationHandlerTimeoutSeconds"),
            hold or _USUAL_HOLD_SECONDS,
        )
        began = time.monotonic()
        try:
            return ask(max(0.0, most - self.seconds_spent))
        finally:
            self.seconds_spent += time.monotonic() - began

    def _request(self, orchestrator: Orchestrator | None) -> RegistrationRequest:
        account = SHARED_SERVICE_ACCOUNT
        group = orchestrator.group if orchestrator is not None else None
        if self.credential is not None:
            account = self.credential.service_account.username
        elif orchestrator is not None:
            account = orchestrator.service_account.username
        presented = self.parsed if self.credential is None else None
        return RegistrationRequest(
            now=self.now,
            client_machine=self.body.client_machine,
            agent_platform=self.body.agent_platform,
            agent_version=self.body.agent_version,
            source_address=self.address,
            service_account=account,
            credential=self.credential.name if self.credential is not None else "",
            certificate=_presented(presented) if presented is not None else None,
            capabilities=self.body.capabilities,
            client_parameters=MappingProxyType(dict(self.body.client_parameters)),
            has_csr=bool(self.body.csr),
            agent_id=str(orchestrator.pk) if orchestrator is not None else "",
            group=group.name if group is not None else "",
            labels=MappingProxyType(labels_of(orchestrator) if orchestrator is not None else {}),
        )


def _presented(facts: CertificateFacts) -> PresentedCertificate:
    return PresentedCertificate(
        subject=facts.subject,
        issuer=facts.issuer,
        serial_number=facts.serial_number,
        thumbprint=facts.thumbprint_sha1,
        fingerprint_sha256=facts.fingerprint_sha256,
        not_before=facts.not_before,
        not_after=facts.not_after,
        der=facts.der,
    )
