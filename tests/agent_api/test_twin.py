"""The stories of the model against the real endpoint and database: both must say the same.

Owns the differential run. A sample is part of the suite; PORTAL_TORTURE=1 plays many more.
"""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings

from renewal.models import Template
from tests.agent_api.front_door import FrontDoor
from tests.agent_api.twin import Twin
from tests.rules.model.portal import Portal
from tests.rules.model.story import STORIES, RunOnce, RunTwice, SetFlag, Stage, Story, World

EXAMPLES = 1500 if os.environ.get("PORTAL_TORTURE") else 50
_PHASES = tuple(Phase) if os.environ.get("PORTAL_TORTURE") else (Phase.explicit, Phase.generate)


def play(door: FrontDoor, story: Story) -> None:
    """Play in a transaction of its own that is rolled back."""
    began = door.now
    door.ca.is_slow = door.ca.is_down = False
    with transaction.atomic():
        Template.objects.update(validity_seconds=int(story.lifetime.total_seconds()))
        world: World = Twin(Portal(door.now, story.lifetime), door)
        Stage(world, story).play()
        transaction.set_rollback(True)
    door.now = began


@pytest.mark.both_databases
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=_PHASES,
    derandomize=not os.environ.get("PORTAL_TORTURE"),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=STORIES)
def test_the_portal_answers_as_the_rules_say(door: FrontDoor, story: Story) -> None:
    play(door, story)


@pytest.mark.both_databases
@pytest.mark.parametrize("is_c_agent", [True, False], ids=["C agent", "reference"])
def test_a_story_with_lost_replies_and_two_runs_at_once(door: FrontDoor, is_c_agent: bool) -> None:
    lost = RunOnce(lost=(False, True, True))
    acts = [SetFlag(2, False), lost, RunTwice(order=(True, False, True)), lost, RunOnce()]
    play(door, Story(is_c_agent, timedelta(days=90), acts))
