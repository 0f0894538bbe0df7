"""The cells of the list of certificates: what stands in each column of a row.

Owns how they look. Which columns there are and what they export is `certificate_columns.py`'s.
"""

from __future__ import annotations

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from portal.pages.certificate_row import CertificateRow
from portal.pages.list_columns import Here
from portal.pages.pieces import NONE, day, days, icon, short, when

_NAMES = 3
"""So many alternative names are shown of a certificate; the rest on hover."""


def _by_labels(name: str) -> SafeString:
    """A host name that breaks before a dot, and in the middle of a word only where it has to."""
    return format_html_join(mark_safe("<wbr>."), "{}", ((label,) for label in name.split(".")))


def name(row: CertificateRow, here: Here) -> str:
    certificate = row.certificate
    return format_html(
        '<a class="name" href="{}">{}</a>',
        reverse("certificate", args=[certificate.pk]),
        _by_labels(certificate.common_name or certificate.subject_name or "without a subject"),
    )


def orchestrator(row: CertificateRow, here: Here) -> str:
    certificate = row.certificate
    whose = (
        format_html(
            '<a href="{}">{}</a>',
            reverse("orchestrator", args=[certificate.orchestrator_id]),
            _by_labels(certificate.orchestrator.client_machine or "without a name"),
        )
        if certificate.orchestrator
        else NONE
    )
    return format_html("{}<small>{}</small>", whose, certificate.get_standing_display().lower())


def ends(row: CertificateRow, here: Here) -> str:
    tone, sign, word = {
        "revoked": ("neutral", "lock", "Revoked"),
        "expired": ("failed", "clock-x", "Expired"),
    }.get(row.state, ("", "", ""))
    shown = (
        format_html('<span class="chip tone-{}">{}<span>{}</span></span>', tone, icon(sign), word)
        if word
        else format_html('<span class="days">{}</span>', days(row.days_left))
    )
    return format_html("{}<small>{}</small>", shown, day(row.certificate.not_after))


def key(row: CertificateRow, here: Here) -> str:
    certificate = row.certificate
    size = f" {certificate.key_size}" if certificate.key_size else ""
    return f"{certificate.key_algorithm}{size}"


def thumbprint(row: CertificateRow, here: Here) -> str:
    return short(row.certificate.thumbprint, "thumbprint")


def serial_number(row: CertificateRow, here: Here) -> str:
    return short(row.certificate.serial_number, "serial number")


def issuer(row: CertificateRow, here: Here) -> str:
    return row.certificate.issuer_name


def authority(row: CertificateRow, here: Here) -> str:
    return row.certificate.authority.name if row.certificate.authority else "–"


def names(row: CertificateRow, here: Here) -> str:
    every = row.names
    if not every:
        return NONE
    shown = ", ".join(every[:_NAMES])
    if len(every) <= _NAMES:
        return shown
    return format_html('{}<small title="{}">{} in all</small>', shown, ", ".join(every), len(every))


def begins(row: CertificateRow, here: Here) -> str:
    return day(row.certificate.not_before)


def first_used(row: CertificateRow, here: Here) -> str:
    return when(row.certificate.proven_at, here.now)


def signature_hash(row: CertificateRow, here: Here) -> str:
    return row.certificate.signature_hash or "–"


def fingerprint(row: CertificateRow, here: Here) -> str:
    return short(row.certificate.fingerprint_sha256, "fingerprint")


def added(row: CertificateRow, here: Here) -> str:
    return when(row.certificate.created_at, here.now)
