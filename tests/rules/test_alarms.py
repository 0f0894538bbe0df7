"""When somebody has to look after the portal's own certificates, lists and keys."""

from __future__ import annotations

from datetime import timedelta

import pytest

from renewal.rules.alarms import (
    GIVEN_UP_AFTER,
    SILENT_AFTER,
    UNSEALED_AFTER,
    Kind,
    Signer,
    of_disabled,
    of_revocation_list,
    of_sealer,
    of_server,
    of_settings,
    of_signer,
    of_workers,
    renewed_from,
)
from tests.rules.facts import DAY, NOW, SECOND

HOUR = timedelta(hours=1)
LOOKED = Signer("local", NOW)


@pytest.mark.parametrize(
    ("lifetime", "grace", "urgent"),
    [
        (90 * DAY, DAY, 7.5 * DAY),
        (1800 * DAY, DAY, 150 * DAY),
        (12 * HOUR, HOUR / 2, HOUR),
    ],
    ids=["90 days", "five years", "half a day"],
)
def test_a_certificate_that_was_not_renewed_in_time_is_told_from_its_second_on(
    lifetime: timedelta, grace: timedelta, urgent: timedelta
) -> None:
    end = NOW + lifetime
    late = renewed_from(NOW, end) + grace
    assert renewed_from(NOW, end) == end - lifetime / 3
    assert of_server(NOW, end, now=late - SECOND) is None
    alarm = of_server(NOW, end, now=late)
    assert alarm is not None
    assert (alarm.kind, alarm.is_critical) == (Kind.SERVER_CERTIFICATE, False)
    for moment, critical in ((end - urgent - SECOND, False), (end - urgent, True), (end, True)):
        told = of_server(NOW, end, now=moment)
        assert told is not None
        assert (told.is_critical, "ends at" in told.reason) == (critical, True)
    ended = of_server(NOW, end, now=end + SECOND)
    assert ended is not None
    assert "ended at" in ended.reason
    assert of_server(NOW, end, now=end + GIVEN_UP_AFTER + SECOND) is None


def test_a_revocation_list_is_told_from_half_its_time_on() -> None:
    def judged(left: timedelta) -> tuple[bool, str] | None:
        alarm = of_revocation_list("local", NOW, NOW + 7 * DAY, now=NOW + 7 * DAY - left)
        return (alarm.is_critical, alarm.reason.split(" ")[1]) if alarm else None

    assert judged(3.5 * DAY + SECOND) is None
    assert judged(3.5 * DAY) == (False, "ends")
    assert judged(DAY + SECOND) == (False, "ends")
    assert judged(DAY) == (True, "ends")
    assert judged(SECOND) == (True, "ends")
    assert judged(timedelta(0)) == (True, "ended")


@pytest.mark.parametrize(
    ("signer", "told"),
    [
        (LOOKED, []),
        (Signer("local"), []),
        (Signer("local", NOW, works=False, problem="gone"), [(Kind.CA_KEY, True)]),
        (Signer("local", NOW, problem="no root"), [(Kind.ISSUING_CERTIFICATE, False)]),
        (
            Signer("local", NOW, True, "no root", NOW - 90 * DAY, NOW + 20 * DAY),
            [(Kind.ISSUING_CERTIFICATE, False)],
        ),
        (
            Signer("local", NOW, False, "gone", NOW - 90 * DAY, NOW + DAY),
            [(Kind.CA_KEY, True), (Kind.ISSUING_CERTIFICATE, True)],
        ),
    ],
    ids=[
        "all is well",
        "not looked at yet",
        "it cannot sign",
        "it cannot be renewed yet",
        "it was not renewed, and why",
        "it cannot sign and ends",
    ],
)
def test_a_ca_of_this_host_is_told(signer: Signer, told: list[tuple[Kind, bool]]) -> None:
    alarms = of_signer(signer, now=NOW)
    assert [(alarm.kind, alarm.is_critical) for alarm in alarms] == told
    for alarm in alarms:
        assert signer.name in alarm.what
        assert alarm.owner
        assert alarm.remedy.endswith(".")
    if signer.problem:
        assert signer.problem in alarms[0].reason


def test_workers_that_have_not_begun_what_is_due_are_told() -> None:
    assert of_workers(NOW - SILENT_AFTER, now=NOW) is None
    alarm = of_workers(NOW - SILENT_AFTER - SECOND, now=NOW)
    assert alarm is not None
    assert (alarm.kind, alarm.is_critical) == (Kind.BACKGROUND_WORK, True)


def test_a_log_that_is_not_sealed_is_told_after_a_minute() -> None:
    assert of_sealer(None, now=NOW) is None
    assert of_sealer(NOW - UNSEALED_AFTER, now=NOW) is None
    alarm = of_sealer(NOW - UNSEALED_AFTER - SECOND, now=NOW)
    assert alarm is not None
    assert (alarm.kind, alarm.is_critical) == (Kind.AUDIT_SEAL, False)


@pytest.mark.parametrize(
    ("by_settings", "by_groups", "told"),
    [
        (True, False, "chosen for submitted CSRs: nothing can be renewed"),
        (True, True, "chosen for submitted CSRs and by groups: nothing can be renewed"),
        (False, True, "groups choose it: their orchestrators cannot renew"),
    ],
)
def test_a_disabled_ca_that_somebody_needs_is_told_with_whom_it_stops(
    by_settings: bool, by_groups: bool, told: str
) -> None:
    alarm = of_disabled("local", 7, by_settings=by_settings, by_groups=by_groups)
    assert told in alarm.reason
    assert (alarm.kind, alarm.is_critical) == (Kind.ENROLLMENT_NOT_CONFIGURED, True)
    assert (alarm.what, alarm.authority, alarm.setting) == ("CA local", 7, "")


def test_settings_that_choose_nothing_are_told_with_the_one_to_set() -> None:
    alarm = of_settings("Not set: Template.", "TemplateForSubmittedCSRs")
    assert alarm.reason.startswith("Not set: Template. Nothing can be renewed, except")
    assert (alarm.authority, alarm.setting) == (None, "TemplateForSubmittedCSRs")
