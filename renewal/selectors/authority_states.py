"""The state of a certificate authority in a word, from what its row knows.

Owns which of several troubles is told first. Asks no CA.
"""

from __future__ import annotations

from renewal import issuers
from renewal.authorities import is_unfinished
from renewal.models import CertificateAuthority
from renewal.selectors.states import Label

OK = Label("OK", "circle-check", "healthy", "It answered when it was asked last.")
_NOT_TRIED = Label("Not tried yet", "hourglass", "waiting", "Nobody has asked it for anything yet.")
_UNKNOWN = Label(
    "Type unknown", "circle-x", "failed", "This portal has no code for its type: PORTAL_CA_TYPES."
)
_UNFINISHED = Label(
    "Unfinished",
    "alert-triangle",
    "warning",
    "The making of its keys broke off. Enabling it finishes them.",
)
_DISABLED = Label("Disabled", "ban", "neutral", "It is asked for nothing until it is enabled.")
_FAILING = Label(
    "Failing", "circle-x", "failed", "It did not answer, or refused, when it was asked last."
)
_KEY = Label("Key unusable", "circle-x", "failed", "Its key cannot sign.")
_TEST_FAILED = Label("Test failed", "circle-x", "failed", "It did not pass its last test.")


def state_of(row: CertificateAuthority) -> Label:
    """Return the state of a CA; its meaning in a sentence."""
    if row.type not in issuers.types():
        return _UNKNOWN
    if not row.enabled:
        return _UNFINISHED if is_unfinished(row) else _DISABLED
    if row.failures_in_a_row:
        return _FAILING
    if row.signer_works is False:
        return _KEY
    if row.test_passed is False:
        return _TEST_FAILED
    if row.test_passed is None and row.last_answer_seconds is None and not row.signer_works:
        return _NOT_TRIED
    return OK
