"""Audit rows as sentences: what an operator reads in a timeline.

Owns the words and icons. The rows themselves are `portal/audit`'s; an action without words of its
own is shown by its name.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from orchestrators.models import Reenrollment
from orchestrators.protocol.codes import TEXTS, Code
from portal.audit.models import AuditEntry

_WORDS: dict[str, tuple[str, str, str]] = {
    "registered": ("Registered for the first time", "plug-connected", "neutral"),
    "added": ("Added by an operator", "plus", "neutral"),
    "approved": ("Approved", "user-check", "healthy"),
    "approved_by_override": ("Approved against the policies", "alert-triangle", "warning"),
    "approval_vote": ("Approved by one of several", "user-check", "neutral"),
    "approval_votes_voided": ("Approvals void: somebody else came", "alert-triangle", "warning"),
    "approval_comment": ("Comment", "file-text", "neutral"),
    "approval_request_expired": ("Request for approval expired", "clock-x", "neutral"),
    "approval_request_opened_again": ("Asked for approval again", "hourglass", "neutral"),
    "return_refused": ("Return refused", "ban", "failed"),
    "certificates_taken_over": ("Taken in in the middle of a renewal", "certificate", "neutral"),
    "disapproved": ("Disapproved", "ban", "failed"),
    "reset": ("Reset", "rotate-2", "required"),
    "renewal_requested": ("Renewal requested", "flag-3", "warning"),
    "renewal_request_cleared": ("Renewal request cleared", "x", "neutral"),
    "flag_cleared": ("Renewal request fulfilled and cleared", "check", "healthy"),
    "enrollment_requested": ("CSR received, enrollment requested", "send", "neutral"),
    "certificate_issued": ("Certificate issued", "certificate", "healthy"),
    "certificate_proven": ("New certificate used for the first time", "circle-check", "healthy"),
    "legacy_thumbprint_cleared": ("Legacy thumbprint cleared", "x", "neutral"),
    "enrollment_refused": ("Enrollment refused", "circle-x", "failed"),
    "enrollment_rejected": ("The CA's answer was rejected", "circle-x", "failed"),
    "enrollment_discarded": ("Certificate came too late and was discarded", "ban", "warning"),
    "enrollment_dropped": ("Request dropped, nothing was issued", "ban", "neutral"),
    "enrollment_unknown": ("The CA was asked; its answer is unknown", "info-circle", "warning"),
    "enrollment_retried": ("Enrollment tried again at once", "refresh", "neutral"),
    "enrollments_retried": ("Queue of a CA tried again at once", "refresh", "neutral"),
    "enrollment_given_up": ("Enrollment given up by an operator", "ban", "warning"),
    "enrollment_replaced": ("Request replaced by a newer one", "refresh", "neutral"),
    "enrollment_expired": ("Enrollment given up", "clock-x", "failed"),
    "revocation_requested": ("Revocation recorded", "lock", "neutral"),
    "revoked": ("Revoked at its CA", "lock", "neutral"),
    "revocation_failed": ("Revocation failed", "alert-triangle", "failed"),
    "revocation_retried": ("Revocation tried again", "refresh", "neutral"),
    "revocation_lapsed": ("Expired before it could be revoked", "clock-x", "neutral"),
    "revoke_at_its_issuer": ("To be revoked at its own issuer", "info-circle", "warning"),
    "logs_requested": ("Log asked for", "file-text", "neutral"),
    "names_changed": ("Names changed", "user-check", "neutral"),
    "name_accepted": ("Name accepted", "user-check", "neutral"),
    "page_refused": ("Page refused: a permission is missing", "ban", "failed"),
    "permission_missing": ("Call refused: a permission is missing", "ban", "failed"),
    "form_refused": ("Form refused: not of this session", "ban", "failed"),
    "sign_in_failed": ("Sign-in failed", "lock", "warning"),
    "sign_in_locked": ("Sign-in locked", "lock", "failed"),
    "audit_verification_requested": (
        "Verification of the log asked for",
        "clipboard-list",
        "neutral",
    ),
    "audit_verified": ("Audit log verified", "shield-check", "neutral"),
    "bulk_action_submitted": ("Bulk job submitted", "send", "neutral"),
    "bulk_action_retried": ("What was not done is tried again", "refresh", "neutral"),
    "bulk_action_canceled": ("Bulk job canceled", "ban", "warning"),
    "bulk_action_finished": ("Bulk job finished", "circle-check", "neutral"),
    "orchestrators_exported": ("List of orchestrators exported", "download", "neutral"),
    "certificates_exported": ("List of certificates exported", "download", "neutral"),
    "audit_exported": ("Audit log exported", "file-text", "neutral"),
    "setting_changed": ("Setting changed", "settings", "neutral"),
    "authority_added": ("Certificate authority added", "plus", "neutral"),
    "authority_changed": ("Certificate authority changed", "settings", "neutral"),
    "authority_removed": ("Certificate authority removed", "trash", "warning"),
    "authority_tested": ("Certificate authority tested", "refresh", "neutral"),
    "authority_tried": ("Certificate authority tried, not saved", "refresh", "neutral"),
    "crl_published": ("Revocation list published", "send", "neutral"),
    "issuing_certificate_renewed": ("Issuing certificate renewed", "certificate", "healthy"),
    "template_added": ("Template added", "plus", "neutral"),
    "template_changed": ("Template changed", "settings", "neutral"),
    "template_removed": ("Template removed", "trash", "warning"),
    "trust_anchor_added": ("Issuer trusted", "shield-check", "healthy"),
    "trust_anchor_removed": ("Issuer no longer trusted", "shield-check", "warning"),
    "bootstrap_credential_added": ("Bootstrap credential added", "key", "neutral"),
    "bootstrap_credential_revoked": ("Bootstrap credential revoked", "key", "warning"),
}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z")
_MOST_CHANGES = 20
_HIDDEN = frozenset({"generation", "status", "row", "agent_id", "flag", "at_once"})


@dataclass(frozen=True)
class Told:
    """One audit row as a timeline shows it."""

    entry: AuditEntry
    title: str
    icon: str
    tone: str
    details: tuple[tuple[str, str], ...]

    @property
    def by(self) -> str:
        return str(self.entry.actor_name)


def told(entry: AuditEntry) -> Told:
    """Return an audit row with its words."""
    if entry.action.startswith("refused_"):
        code = entry.action.removeprefix("refused_")
        return Told(entry, _refusal(code), "circle-x", "failed", (("code", code), *_details(entry)))
    plain = entry.action.replace("_", " ").capitalize()
    title, icon, tone = _WORDS.get(entry.action, (plain, "info-circle", "neutral"))
    if entry.action == "renewal_requested":
        required = entry.after.get("flag") == Reenrollment.REQUIRED
        title = "Renewal required" if required else title
        title += ", now" if entry.after.get("at_once") else ", at the next session"
    return Told(entry, title, icon, tone, _details(entry))


def changes_of(object_type: str, pk: int) -> list[Told]:
    """Return the newest audit rows of one thing, with their words."""
    rows = AuditEntry.objects.filter(object_type=object_type, object_id=str(pk))
    return [told(entry) for entry in rows.order_by("-id")[:_MOST_CHANGES]]


def _refusal(code: str) -> str:
    try:
        return f"Refused: {TEXTS[Code(code)].sentence}"
    except ValueError:
        return f"Refused: {code}"


def _details(entry: AuditEntry) -> tuple[tuple[str, str], ...]:
    """Return what changed, as short pairs."""
    pairs = []
    for key in dict.fromkeys([*entry.before, *entry.after]):
        before, after = _text(entry.before.get(key)), _text(entry.after.get(key))
        if key in _HIDDEN:
            continue
        if before == after or not (before or after):
            continue
        name = key.replace("_", " ")
        if key in entry.before and key in entry.after:
            pairs.append((name, f"{before or '–'} → {after or '–'}"))
        elif after:
            pairs.append((name, after))
    return tuple(pairs)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}={_text(entry)}" for name, entry in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(str(entry) for entry in value)
    if isinstance(value, str) and _MOMENT.match(value):
        # Rows keep moments as ISO 8601; a person reads them as everywhere else.
        with suppress(ValueError, OverflowError):
            return f"{timezone.localtime(datetime.fromisoformat(value)):%Y-%m-%d %H:%M:%S %Z}"
    return str(value)
