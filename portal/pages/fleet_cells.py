"""The cells of the list of orchestrators: what stands in each column of a row.

Owns how they look. Which columns there are and what they export is `fleet_columns.py`'s.
"""

from __future__ import annotations

from django.urls import reverse
from django.utils.html import format_html, format_html_join

from portal.pages.list_columns import Here
from portal.pages.pieces import NONE, chip, day, days, platform, short, when
from renewal.selectors.fleet import FleetRow


def orchestrator(row: FleetRow, here: Here) -> str:
    record = row.orchestrator
    return format_html(
        '<a class="name" href="{}">{}</a>{}',
        reverse("orchestrator", args=[record.pk]),
        record.client_machine or "without a name",
        format_html(' <span class="badge-demo">{}</span>', "demonstration")
        if record.demonstration
        else "",
    )


def state(row: FleetRow, here: Here) -> str:
    shown = (row.label, *row.mark_labels)
    return format_html(
        '<span class="chips">{}</span>', format_html_join("", "{}", ((chip(x),) for x in shown))
    )


def ends(row: FleetRow, here: Here) -> str:
    if row.days_left is None:
        return format_html('<span class="muted">{}</span>', "none yet")
    return format_html(
        '<span class="left-line"><span class="days">{}</span> <small>{}</small></span>'
        '<svg class="bar tone-{}" viewBox="0 0 100 4" preserveAspectRatio="none"'
        ' aria-hidden="true"><rect class="bar-track" width="100" height="4" rx="2"></rect>'
        '<rect class="bar-fill" width="{}" height="4" rx="2"></rect></svg>',
        days(row.days_left),
        day(row.orchestrator.certificate_not_after),
        row.label.tone,
        row.share,
    )


def next_step(row: FleetRow, here: Here) -> str:
    if row.next.at is None:
        return row.next.words
    return format_html("{} {}", row.next.words, day(row.next.at))


def seen(row: FleetRow, here: Here) -> str:
    moment = when(row.orchestrator.last_seen, here.now)
    return format_html("{}<small>in session</small>", moment) if row.in_session else moment


def answer(row: FleetRow, here: Here) -> str:
    record = row.orchestrator
    if not record.last_error_code:
        return NONE
    return format_html(
        '<a href="{}"><abbr class="code" title="{}">{}</abbr></a><small>{}</small>',
        here.filtered("answer", record.last_error_code),
        record.last_error_message,
        record.last_error_code,
        when(record.last_error_at, here.now),
    )


def thumbprint(row: FleetRow, here: Here) -> str:
    record = row.orchestrator
    expected = short(record.thumbprint, "thumbprint")
    if not record.legacy_thumbprint:
        return expected
    legacy = short(record.legacy_thumbprint, "legacy thumbprint")
    return format_html("{}<small>legacy {}</small>", expected, legacy)


def used(row: FleetRow, here: Here) -> str:
    record = row.orchestrator
    last = short(record.last_thumbprint_used, "thumbprint used last")
    if not record.last_thumbprint_used or record.last_thumbprint_used != record.legacy_thumbprint:
        return last
    return format_html("{}<small>the legacy one</small>", last)


def asked(row: FleetRow, here: Here) -> str:
    return row.orchestrator.get_flag_display() if row.orchestrator.flag else NONE


def group(row: FleetRow, here: Here) -> str:
    return row.orchestrator.group.name if row.orchestrator.group else NONE


def labels(row: FleetRow, here: Here) -> str:
    shown = ((f"{each.key}={each.value}", each) for each in row.labels)
    return (
        format_html_join(
            " ",
            '<a class="label-tag" href="{}">{}</a>',
            (
                (here.filtered("label", value), value if each.value else each.key)
                for value, each in shown
            ),
        )
        or NONE
    )


def account(row: FleetRow, here: Here) -> str:
    name = row.orchestrator.service_account.get_username()
    return format_html('<a href="{}">{}</a>', here.filtered("account", name), name)


def platform_said(row: FleetRow, here: Here) -> str:
    return platform(row.orchestrator.platform)


def version(row: FleetRow, here: Here) -> str:
    return row.orchestrator.version or "–"


def address(row: FleetRow, here: Here) -> str:
    return row.orchestrator.last_address or "–"


def added(row: FleetRow, here: Here) -> str:
    return when(row.orchestrator.created_at, here.now)
