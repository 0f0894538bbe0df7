"""The cells of the list of enrollments: what stands in each column of a row.

Owns how they look. The words are `enrollment_words.py`'s.
"""

from __future__ import annotations

from collections.abc import Set
from datetime import datetime

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from portal.pages.enrollment_words import Line
from portal.pages.pieces import NONE, chip, icon, middle, when
from renewal.models import Enrollment

_NAMELESS = "without a name"


def cells(line: Line, *, shown_certificates: Set[int], now: datetime) -> SafeString:
    """Return a row's cells.

    ``shown_certificates``: those that the visitor may look at, by key.
    """
    row = line.row
    return format_html(
        '<th scope="row">{}</th><td class="whole">{}</td><td class="whole">{}</td>'
        '<td data-head="CA, template">{}<small>{}</small></td>'
        '<td data-head="Belongs to">{}</td><td data-head="Certificate">{}</td>',
        _name(row, now),
        _state(line, now),
        _sentence(line, now),
        row.authority.name,
        row.template.name,
        _owner(row),
        _certificate(row, shown_certificates),
    )


def _name(row: Enrollment, now: datetime) -> SafeString:
    number = f"No. {row.pk:,}"
    return format_html(
        '<a class="name" id="e-{}" href="{}">{}</a><small>{}CSR {}</small>',
        row.pk,
        reverse("enrollment", args=[row.pk]),
        (row.orchestrator.client_machine or _NAMELESS) if row.orchestrator else number,
        f"{number}, " if row.orchestrator else "",
        when(row.created_at, now),
    )


def _state(line: Line, now: datetime) -> SafeString:
    state = chip(line.label)
    if line.row.finished_at is not None:
        return format_html("{}<small>{}</small>", state, when(line.row.finished_at, now))
    if line.matter is not None and line.matter.is_stuck:
        sign = icon("alert-triangle")
        return format_html('{}<small class="tone-required">{} stuck</small>', state, sign)
    return state


def _sentence(line: Line, now: datetime) -> SafeString:
    said = format_html('<span class="break">{}</span>', capfirst(line.sentence))
    if line.matter is None:
        return said
    next_try, ends = line.matter.next_try, line.gives_up_at
    return format_html(
        "{}<small>It is up to {}{}{}.</small>",
        said,
        line.matter.owner,
        format_html("; {} {}", "next try" if next_try > now else "due since", when(next_try, now))
        if next_try is not None
        else "",
        format_html("; given up {}", when(ends, now)) if ends is not None else "",
    )


def _owner(row: Enrollment) -> SafeString:
    if row.orchestrator is not None:
        return format_html(
            '<a id="o-{}" href="{}" aria-label="Orchestrator {}">Orchestrator</a>',
            row.pk,
            reverse("orchestrator", args=[row.orchestrator_id]),
            row.orchestrator.client_machine or _NAMELESS,
        )
    said = f"{row.requested_by}, an operator" if row.for_operator else "deleted"
    return format_html('<span class="muted">{}</span>', said)


def _certificate(row: Enrollment, shown_certificates: Set[int]) -> SafeString:
    if row.certificate is None:
        return NONE
    shown = format_html('<code class="nowrap">{}</code>', middle(row.certificate.thumbprint))
    if row.certificate_id not in shown_certificates:
        return shown
    return format_html(
        '<a id="c-{}" href="{}">{}</a>',
        row.pk,
        reverse("certificate", args=[row.certificate_id]),
        shown,
    )
