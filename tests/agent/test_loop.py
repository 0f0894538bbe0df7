"""The pure rules: reply to action, sums of passes, delays; and the reading of replies."""

from __future__ import annotations

import pytest

from orchestrators.agent.loop import (
    Action,
    Beat,
    Outcome,
    Phase,
    after_heartbeat,
    after_register,
    pass_outcome,
    retry_delay,
)
from orchestrators.agent.wire import (
    HeartbeatReply,
    RegisterReply,
    Result,
    read_heartbeat,
    read_register,
)
from orchestrators.protocol.answers import JobTicket, SessionGrant, problem, register_reply, success
from orchestrators.protocol.codes import NEW_KEY_CODES, Code
from orchestrators.protocol.terms import Capability, ResultStatus


def reply(status: int, code: str = "", *, token: str = "", certificate: str = "") -> RegisterReply:
    return RegisterReply(Result(status, code, ""), token=token, certificate=certificate)


BARE_TABLE = [
    ("nothing due", reply(1, token="t"), Action(True, ask_extension=False)),
    ("should renew", reply(2, "A0100007", token="t"), Action(True, ask_extension=True)),
    ("should renew, no session", reply(2, "A0100007"), Action(False, ask_extension=True)),
    ("must renew", reply(3, "A0100008"), Action(False, ask_extension=True)),
    ("not approved", reply(3, Code.NOT_APPROVED), Action(False)),
    ("unknown warning", reply(2, "A0109999", token="t"), Action(True, ask_extension=False)),
    ("unknown error", reply(3, "A0109999"), Action(False)),
    (
        "unasked certificate",
        reply(1, token="t", certificate="c"),
        Action(True, False, False, False),
    ),
]


@pytest.mark.parametrize(
    ("given", "expected"), [row[1:] for row in BARE_TABLE], ids=[row[0] for row in BARE_TABLE]
)
def test_after_a_bare_registration(given: RegisterReply, expected: Action) -> None:
    assert after_register(given, Phase.BARE) == expected


@pytest.mark.parametrize("token", ["", "t"])
@pytest.mark.parametrize("certificate", ["", "c"])
def test_a_certificate_is_installed_only_together_with_a_token(
    token: str, certificate: str
) -> None:
    action = after_register(reply(1, token=token, certificate=certificate), Phase.CSR)
    assert action.install == bool(token and certificate)
    assert action.ask_extension is None


@pytest.mark.parametrize("code", list(Code))
def test_the_key_is_dropped_exactly_at_the_codes_that_refuse_it(code: Code) -> None:
    assert after_register(reply(3, code), Phase.CSR).drop_pending == (code in NEW_KEY_CODES)
    assert not after_register(reply(3, code), Phase.BARE).drop_pending


def test_a_confirming_registration_starts_no_second_renewal() -> None:
    action = after_register(reply(2, "A0100007", token="t", certificate="c"), Phase.CONFIRM)
    assert action == Action(take_session=True)


@pytest.mark.parametrize(
    ("status", "code", "valid", "expected"),
    [
        (1, "", True, Beat.CONTINUE),
        (1, "", False, Beat.REGISTER),
        (0, "", False, Beat.REGISTER),
        (2, "A0109999", False, Beat.CONTINUE),
        (3, "A0109999", False, Beat.CONTINUE),
        (3, Code.SESSION_INVALID, False, Beat.REGISTER),
    ],
)
def test_after_a_heartbeat(status: int, code: str, valid: bool, expected: Beat) -> None:
    assert after_heartbeat(HeartbeatReply(Result(status, code, ""), valid, 5)) is expected


@pytest.mark.parametrize(
    ("code", "session", "asked", "installed", "expected"),
    [
        ("", True, False, False, Outcome.OK),
        ("", True, True, True, Outcome.OK),
        ("A0100007", True, True, True, Outcome.OK),
        ("A0100008", False, True, True, Outcome.NO_SESSION),
        ("A0100007", True, True, False, Outcome.NOT_READY),
        (Code.ENROLLMENT_WAITING, False, True, False, Outcome.NOT_READY),
        (Code.CSR_NAMES, True, True, False, Outcome.RENEWAL_REFUSED),
        (Code.CERTIFICATE_EXPIRED, False, False, False, Outcome.EXPIRED),
        (Code.NOT_APPROVED, False, True, False, Outcome.WAITING_FOR_APPROVAL),
        (Code.CERTIFICATE_REVOKED, False, False, False, Outcome.NO_SESSION),
        ("", False, False, False, Outcome.NO_SESSION),
    ],
)
def test_the_sum_of_a_pass(
    code: str, session: bool, asked: bool, installed: bool, expected: Outcome
) -> None:
    result = Result(3, code, "")
    assert (
        pass_outcome(result=result, session=session, asked=asked, installed=installed) is expected
    )


def test_exit_statuses_are_distinct_and_only_ok_is_0() -> None:
    assert len({int(outcome) for outcome in Outcome}) == len(Outcome)
    assert [outcome for outcome in Outcome if outcome == 0] == [Outcome.OK]


def test_delays_double_up_to_a_quarter_of_an_hour_and_differ_between_orchestrators() -> None:
    delays = [retry_delay(failures, "a") for failures in range(100)]
    assert delays == [retry_delay(failures, "a") for failures in range(100)]
    assert all(3 < delay < 1126 for delay in delays)
    assert 3.75 <= delays[0] <= 6.25
    assert min(delays[8:]) >= 675
    assert len({retry_delay(0, name) for name in "abcdefgh"}) == 8


def test_a_reply_of_the_portal_is_read_in_full() -> None:
    job = JobTicket("job-1", Capability.FETCH_LOGS, "/c", "/d")
    grant = SessionGrant("token", "id", 7, "name", "Y2VydA==", {}, (job,))
    read = read_register(register_reply(problem(ResultStatus.WARNING, Code.SHOULD_RENEW), grant))
    assert (read.token, read.agent_id, read.heartbeat_minutes) == ("token", "id", 7)
    assert read.certificate == "Y2VydA=="
    assert read.jobs[0].capability == Capability.FETCH_LOGS
    assert read.result.code is Code.SHOULD_RENEW


@pytest.mark.parametrize(
    "body",
    [None, [], "x", {}, {"Result": 1, "Session": []}, {"session": {"Token": 5, "Jobs": [1, None]}}],
)
def test_any_json_is_read_without_an_error(body: object) -> None:
    assert read_register(body).token == ""
    assert not read_heartbeat(body).session_valid


def test_member_names_count_in_any_case() -> None:
    read = read_register({"RESULT": success(), "session": {"TOKEN": "t", "agentid": "i"}})
    assert (read.token, read.agent_id) == ("t", "i")
