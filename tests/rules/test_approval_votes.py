"""When votes are enough: how many, of which roles, and what an Approve of one's own comes to (C13).

A matching of people to roles, tried against every way of choosing by brute force.
"""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewal.rules.acts import CHANGE, UNCHANGED, VOTE, VOTED, Act, ActFacts, Verdict, foresee
from renewal.rules.approval import (
    Asked,
    Policies,
    Question,
    RequestKind,
    RequestState,
    lacking,
    question_of,
)

FIRST, AGAIN = RequestKind.FIRST, RequestKind.AFTER_RESET
SECURITY, NETWORK = frozenset({"Security"}), frozenset({"Network"})
BOTH = SECURITY | NETWORK
TWO_ROLES = Policies(roles_again=("Security", "Network"))

CASES = {
    "one approval is enough without a policy": (Policies(), FIRST, {"amy": frozenset()}, (0, ())),
    "of three approvals two are missing": (
        Policies(needed_first=3),
        FIRST,
        {"amy": frozenset()},
        (2, ()),
    ),
    "a first registration asks for none of the roles of a return": (
        TWO_ROLES,
        FIRST,
        {"amy": frozenset()},
        (0, ()),
    ),
    "each role needs somebody": (TWO_ROLES, AGAIN, {"amy": SECURITY}, (1, ("Network",))),
    "two people of the roles are enough": (
        TWO_ROLES,
        AGAIN,
        {"amy": SECURITY, "bob": NETWORK},
        (0, ()),
    ),
    "one person of both roles speaks for one": (TWO_ROLES, AGAIN, {"amy": BOTH}, (1, ("Network",))),
    "who has both roles makes way for who has one": (
        TWO_ROLES,
        AGAIN,
        {"amy": BOTH, "bob": SECURITY},
        (0, ()),
    ),
    "two people of no role are not enough": (
        TWO_ROLES,
        AGAIN,
        {"amy": frozenset(), "bob": frozenset()},
        (2, ("Security", "Network")),
    ),
    "roles are asked for beside the number": (
        Policies(needed_again=3, roles_again=("Security",)),
        AGAIN,
        {"amy": SECURITY, "bob": NETWORK},
        (1, ()),
    ),
}


@pytest.mark.parametrize(("policies", "kind", "voters", "expected"), CASES.values(), ids=CASES)
def test_what_is_lacking(policies, kind, voters, expected) -> None:
    assert lacking(voters, question=Question(kind), policies=policies) == expected


@given(
    st.lists(st.frozensets(st.sampled_from("ABC")), max_size=4),
    st.lists(st.sampled_from("ABC"), max_size=3, unique=True),
)
def test_roles_are_spoken_for_if_any_choice_of_people_does(people, roles) -> None:
    voters = {f"p{number}": held for number, held in enumerate(people)}
    policies = Policies(roles_first=tuple(roles))
    number, missing = lacking(voters, question=Question(FIRST), policies=policies)
    possible = any(
        all(role in voters[person] for role, person in zip(roles, chosen, strict=True))
        for chosen in permutations(voters, len(roles))
    )
    assert (not missing) is possible
    assert number >= len(missing)


NEW, APPROVED, DISAPPROVED = 1, 2, 3
VERDICTS = {
    "with the last vote it is approved": (ActFacts(NEW), CHANGE),
    "a vote is a change": (ActFacts(NEW, is_enough=False), VOTE),
    "a vote already given changes nothing": (ActFacts(NEW, is_enough=False, has_voted=True), VOTED),
    "a vote already given that is enough by now approves": (ActFacts(NEW, has_voted=True), CHANGE),
    "an approved one stays": (ActFacts(APPROVED, is_enough=False), UNCHANGED),
    "a policy bars before all else": (
        ActFacts(NEW, refusal="conflict", is_barred=True),
        Verdict("skip", "policy"),  # type: ignore[arg-type]
    ),
    "nobody is approved unseen": (
        ActFacts(DISAPPROVED, refusal="nobody_seen"),
        Verdict("skip", "nobody_seen"),  # type: ignore[arg-type]
    ),
    "what it holds needs nobody who came forward": (
        ActFacts(DISAPPROVED, holds_accepted=True, refusal="nobody_seen"),
        CHANGE,
    ),
    "nobody votes for a name that is taken": (
        ActFacts(NEW, is_name_taken=True, is_enough=False),
        Verdict("skip", "name_taken"),  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize(("facts", "expected"), VERDICTS.values(), ids=VERDICTS)
def test_what_an_approve_comes_to(facts: ActFacts, expected: Verdict) -> None:
    assert foresee(Act.APPROVE, facts) == expected


CAME = Asked(FIRST, RequestState.WITHDRAWN)


def by(resetter: str, state: RequestState = RequestState.OPEN) -> Asked:
    return Asked(AGAIN, state, resetter)


QUESTIONS = {
    "nothing was asked before": ([], {}, Question(FIRST)),
    "it was Reset, and nothing was asked": ([], {"was_reset": True}, Question(AGAIN)),
    "it was entered by hand and disapproved": (
        [],
        {"is_disapproved": True},
        Question(RequestKind.AFTER_DISAPPROVE),
    ),
    "what was granted is asked anew, and its resetter is free": (
        [by("rita", RequestState.APPROVED)],
        {"was_reset": True},
        Question(RequestKind.AFTER_DISAPPROVE),
    ),
    "what was never granted keeps its kind and resetter": (
        [by("rita", RequestState.DISAPPROVED)],
        {"was_reset": True},
        Question(AGAIN, frozenset({"rita"})),
    ),
    "whoever Reset it before is a resetter still": (
        [CAME, by("rita", RequestState.WITHDRAWN), by("ruth", RequestState.EXPIRED), by("ruth")],
        {"was_reset": True},
        Question(AGAIN, frozenset({"rita", "ruth"}), is_also_first=True),
    ),
    "a first registration that was Reset is a first one too": (
        [CAME, by("rita")],
        {"was_reset": True},
        Question(AGAIN, frozenset({"rita"}), is_also_first=True),
    ),
    "what was approved once is no first registration any more": (
        [Asked(FIRST, RequestState.APPROVED), by("rita")],
        {"was_reset": True},
        Question(AGAIN, frozenset({"rita"})),
    ),
    "what was entered by hand never was a first registration": (
        [by("rita")],
        {"was_reset": True},
        Question(AGAIN, frozenset({"rita"})),
    ),
    "whoever Reset it before it was granted is none": (
        [by("rita", RequestState.APPROVED), by("ruth")],
        {"was_reset": True},
        Question(AGAIN, frozenset({"ruth"})),
    ),
    "a Reset by nobody who is known names nobody": ([by("")], {"was_reset": True}, Question(AGAIN)),
}


STRICTER = {
    "the first one asks for more": (
        Policies(needed_first=2, roles_first=("Security",)),
        (2, ("Security",)),
    ),
    "the return asks for more": (
        Policies(needed_again=3, roles_again=("Network",)),
        (3, ("Network",)),
    ),
    "both name roles": (
        Policies(roles_first=("Security",), roles_again=("Security", "Network")),
        (2, ("Security", "Network")),
    ),
}


@pytest.mark.parametrize(("policies", "expected"), STRICTER.values(), ids=STRICTER)
def test_a_first_registration_that_was_reset_is_decided_by_the_stricter_policy(
    policies, expected
) -> None:
    assert lacking({}, question=Question(AGAIN, is_also_first=True), policies=policies) == expected


@pytest.mark.parametrize(("history", "record", "expected"), QUESTIONS.values(), ids=QUESTIONS)
def test_what_an_approve_decides(history, record, expected) -> None:
    assert question_of(history, **record) == expected
