"""No lock-out: random stories of agents, network, CA, operator and time, on the rules alone.

Owns the model's run. The same stories against the real endpoint are in
`tests/agent_api/test_twin.py`. PORTAL_TORTURE=1 plays many more of them.
"""

from __future__ import annotations

import os
from datetime import timedelta

from hypothesis import HealthCheck, given, settings

from tests.rules.facts import NOW
from tests.rules.model.portal import Portal
from tests.rules.model.rows import Mood
from tests.rules.model.story import (
    DAY,
    HOUR,
    STORIES,
    ModelWorld,
    Operate,
    RunOnce,
    RunTwice,
    SetFlag,
    SetMood,
    Stage,
    Story,
    Wait,
    Work,
)

EXAMPLES = 20_000 if os.environ.get("PORTAL_TORTURE") else 600


def stage_of(story: Story) -> Stage:
    return Stage(ModelWorld(Portal(NOW, story.lifetime)), story)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STORIES)
def test_nobody_is_locked_out_with_a_healthy_ca_and_a_willing_operator(story: Story) -> None:
    stage_of(story).play()


def played(*acts: object, is_c_agent: bool = True, lifetime: timedelta = 365 * DAY) -> Stage:
    stage = stage_of(Story(is_c_agent, lifetime, acts))  # type: ignore[arg-type]
    stage.begin()
    for act in acts:
        stage.do(act)  # type: ignore[arg-type]
        stage.check()
    return stage


LOST = RunOnce(lost=(False, True, True))
"""The first reply comes, the one with the certificate does not, not even the second time."""


def standings(stage: Stage) -> list[str]:
    return sorted(str(c.standing) for c in stage.model.held().values())


def test_a_renewal_on_request() -> None:
    stage = played(SetFlag(1, False), RunOnce(), RunOnce())
    assert standings(stage) == ["current"]
    assert stage.model.flag == 0


def test_a_lost_reply_leaves_the_old_certificate_and_a_second_key_gets_a_second_one() -> None:
    assert standings(played(SetFlag(1, False), LOST)) == ["issued", "legacy"]
    twice = played(SetFlag(1, False), LOST, LOST)
    assert standings(twice) == ["issued", "legacy", "overtaken"]


def test_a_third_key_waits_an_hour_and_then_gives_up_the_first() -> None:
    thrice = played(SetFlag(1, False), LOST, LOST, LOST)
    assert len(thrice.model.rows) == 2
    later = played(SetFlag(1, False), LOST, LOST, Wait(2 * HOUR), LOST)
    assert standings(later) == ["issued", "legacy", "overtaken"]
    assert sum(c.revoked for c in later.model.certificates) == 1


def test_the_reference_orchestrator_gets_the_same_certificate_after_a_lost_reply() -> None:
    lost = RunOnce(lost=(False, True))
    stage = played(SetFlag(2, False), lost, lost, RunOnce(), is_c_agent=False)
    assert standings(stage) == ["current"]
    assert len(stage.model.rows) == 1


def test_a_slow_ca_serves_a_client_that_keeps_its_key() -> None:
    stage = played(
        SetFlag(1, False),
        SetMood(Mood.SLOW),
        RunOnce(),
        Work(),
        RunOnce(),
        is_c_agent=False,
    )
    assert standings(stage) == ["current"]


def test_a_slow_ca_is_not_asked_for_a_new_key_at_every_try() -> None:
    late = [RunOnce(), Work()] * 5
    stage = played(SetFlag(1, False), SetMood(Mood.SLOW), *late)
    assert len(stage.model.rows) == 1


def test_what_the_ca_makes_for_a_record_that_was_reset_is_revoked_on_arrival() -> None:
    # The worker has claimed the row before the Reset and comes back after it.
    stage = played(SetFlag(1, False), SetMood(Mood.SLOW), RunOnce())
    row = stage.model.rows[-1]
    stage.model.status, stage.model.generation = None, stage.model.generation + 1
    stage.do(Work())
    assert row.certificate is not None
    assert row.certificate.revoked
    assert row.state == "discarded"


def test_a_disapproved_orchestrator_is_restored_as_it_was() -> None:
    stage = played(SetFlag(1, False), LOST)
    before = standings(stage)
    stage.do(Operate("disapprove"))
    stage.do(Operate("approve"))
    assert standings(stage) == before


def test_two_runs_at_once_end_with_a_certificate_that_works() -> None:
    for order in ((False,) * 6, (False, False, True, False), (True, False, True, False, True)):
        stage = played(SetFlag(1, False), RunTwice(order=order), RunOnce())
        stage.recover()
