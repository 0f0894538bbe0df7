"""One line of the list of certificates. Owns what it says beside what the row of the table does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from renewal.models import Certificate
from renewal.rules.periods import days_left


@dataclass(frozen=True)
class CertificateRow:
    """One line of the list."""

    certificate: Certificate
    days_left: int

    @classmethod
    def of(cls, certificate: Certificate, *, now: datetime) -> CertificateRow:
        return cls(certificate, days_left(certificate.not_after, now))

    @property
    def state(self) -> str:
        """What stands beside its end; a revoked one may have expired as well."""
        if self.certificate.revoked_at is not None:
            return "revoked"
        return "expired" if self.days_left < 0 else "valid"

    @property
    def names(self) -> list[str]:
        """Its alternative names."""
        return [str(value) for _, value in self.certificate.sans]
