"""The two life cycles: every state against every event.

Owns that the tables say all there is to say: what is not in them is refused.
"""

from __future__ import annotations

from itertools import product

import pytest

from renewal.rules.lifecycle import (
    ENROLLMENT,
    IN_FLIGHT,
    OPEN_ENROLLMENT,
    OPEN_REVOCATION,
    REVOCATION,
    TERMINAL_ENROLLMENT,
    TERMINAL_REVOCATION,
    EnrollmentEvent,
    EnrollmentState,
    InvalidTransition,
    RevocationEvent,
    RevocationState,
    diagram,
    next_enrollment,
    next_revocation,
)


@pytest.mark.parametrize(("state", "event"), list(product(EnrollmentState, EnrollmentEvent)))
def test_enrollment(state: EnrollmentState, event: EnrollmentEvent) -> None:
    if (state, event) in ENROLLMENT:
        assert next_enrollment(state, event) is ENROLLMENT[state, event]
    else:
        with pytest.raises(InvalidTransition, match=f"{event} is not possible in state {state}"):
            next_enrollment(state, event)


@pytest.mark.parametrize(("state", "event"), list(product(RevocationState, RevocationEvent)))
def test_revocation(state: RevocationState, event: RevocationEvent) -> None:
    if (state, event) in REVOCATION:
        assert next_revocation(state, event) is REVOCATION[state, event]
    else:
        with pytest.raises(InvalidTransition):
            next_revocation(state, event)


def test_the_ends_are_ends_and_everything_leads_to_one() -> None:
    assert sorted(TERMINAL_ENROLLMENT) == ["discarded", "expired", "issued", "refused", "rejected"]
    assert sorted(OPEN_ENROLLMENT) == ["pending", "submitted", "unknown", "waiting"]
    assert IN_FLIGHT < OPEN_ENROLLMENT
    assert {RevocationState.DONE, RevocationState.LAPSED} == TERMINAL_REVOCATION
    assert set(RevocationState) == OPEN_REVOCATION | TERMINAL_REVOCATION


def test_every_state_and_event_is_used() -> None:
    assert {event for _, event in ENROLLMENT} == set(EnrollmentEvent)
    assert {event for _, event in REVOCATION} == set(RevocationEvent)
    assert {s for s, _ in ENROLLMENT} | set(ENROLLMENT.values()) == set(EnrollmentState)
    assert {s for s, _ in REVOCATION} | set(REVOCATION.values()) == set(RevocationState)


def test_a_lost_request_is_never_sent_again_blindly() -> None:
    """From "outcome unknown" only a look at the CA leads back to waiting."""
    ways = {e for (s, e), to in ENROLLMENT.items() if to is EnrollmentState.WAITING}
    assert ways == {EnrollmentEvent.DEFER, EnrollmentEvent.RESUBMIT}
    assert (EnrollmentState.UNKNOWN, EnrollmentEvent.CLAIM) not in ENROLLMENT
    assert (EnrollmentState.UNKNOWN, EnrollmentEvent.DEFER) not in ENROLLMENT


def test_the_diagram_begins_at_the_first_state_and_ends_at_the_ends() -> None:
    drawn = diagram(REVOCATION).splitlines()
    assert drawn[:2] == ["stateDiagram-v2", "    [*] --> waiting"]
    assert "    waiting --> submitted: claim" in drawn
    assert {"    done --> [*]", "    lapsed --> [*]"} <= set(drawn)
    assert "    failed --> [*]" not in drawn
