"""The views of the list of orchestrators that everybody has: their names and queries."""

from __future__ import annotations

SHIPPED_VIEWS = (
    ("Could be locked out within 30 days", "ends=30d"),
    ("Ends within 30 days, and cannot renew", "mark=cannot-renew&ends=30d"),
    ("Locked out: expired", "state=expired"),
    ("Must renew at the next session", "state=required"),
    ("Enrollment failed within 24 hours", "mark=enrollment-failed"),
    ("Issued, not used", "mark=unused"),
    ("Revocation overdue", "mark=revocation"),
    ("Offline, longest first", "mark=offline&sort=seen"),
)
