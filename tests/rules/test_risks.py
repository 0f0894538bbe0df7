"""Hints of requests for approval: each fact its hint, and when one certificate is two hosts'."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from renewal.rules.risks import (
    BEYOND,
    MOST_PLACES,
    Place,
    Predecessor,
    Risk,
    RiskFacts,
    hints,
    is_two_hosts,
    placed,
)

ENDED = datetime(2026, 5, 1, tzinfo=UTC)
MOVED: list[Place] = [("a", "10.0.0.1", "1", "2"), ("a", "10.0.0.2", "3", "4")]
IN_TURN: list[Place] = [("a", "10.0.0.1", "1", "4"), ("a", "10.0.0.2", "3", "3")]
TWO_NAMES: list[Place] = [("a", "10.0.0.1", "1", "2"), ("b", "10.0.0.1", "3", "4")]


@pytest.mark.parametrize(
    ("facts", "risks"),
    [
        (RiskFacts("web"), []),
        (RiskFacts("web", strangers=1), []),
        (RiskFacts("web", strangers=2), [Risk.CONFLICT]),
        (RiskFacts("web", same_name=["Web"]), [Risk.SAME_NAME]),
        (RiskFacts("vveb", lookalikes=["web"]), [Risk.LOOKALIKE]),
        (RiskFacts("web", predecessors=[Predecessor("web", ENDED)]), []),
        (
            RiskFacts("web_20260601120000", predecessors=[Predecessor("web", ENDED)],
                      is_stamped=True),
            [Risk.SUCCESSOR],
        ),
        (RiskFacts("web", places=MOVED), []),
        (RiskFacts("web", places=IN_TURN), [Risk.TWO_HOSTS]),
        (RiskFacts("web", other_records=["db"]), [Risk.SEVERAL_RECORDS]),
        (RiskFacts("web", other_name="db"), [Risk.OTHER_NAME]),
        (RiskFacts("web", address="10.0.0.1", is_known_network=False), [Risk.UNKNOWN_ADDRESS]),
        (RiskFacts("web", address="", is_known_network=False), []),
    ],
    ids=[
        "nothing is odd",
        "one stranger is no conflict",
        "two strangers are",
        "an approved one has the name",
        "an approved one looks like it",
        "a relative without a stamp is none",
        "a stamp after an approved name is a successor",
        "a host that moved is one host",
        "two addresses in turn are two hosts",
        "one certificate for two records",
        "another name than before",
        "a network that nobody was approved from",
        "no address is no risk",
    ],
)  # fmt: skip
def test_each_fact_has_its_hint(facts: RiskFacts, risks: list[Risk]) -> None:
    found = hints(facts)
    assert [hint.risk for hint in found] == risks
    assert all(hint.sentence and hint.check for hint in found)


def test_the_predecessor_that_expired_is_named_with_its_end() -> None:
    kin = [Predecessor("web-alive", None), Predecessor("web", ENDED)]
    (hint,) = hints(RiskFacts("web_20260601120000", predecessors=kin, is_stamped=True))
    assert "successor of web, whose certificate expired on 2026-05-01" in hint.sentence


def test_two_names_are_two_hosts() -> None:
    assert is_two_hosts(TWO_NAMES)
    assert not is_two_hosts(MOVED)


def test_places_are_bounded_and_remember_when_each_began() -> None:
    places: list[Place] = []
    for number in range(20):
        places = placed(places, name="a", address=f"10.0.0.{number}", at=f"{number:02}")
    assert len(places) == MOST_PLACES
    again = placed(places, name="a", address="10.0.0.17", at="20")
    assert again[-1] == ("a", "10.0.0.17", "17", "20")


@pytest.mark.parametrize(
    "facts",
    [
        RiskFacts("web", same_name=[BEYOND]),
        RiskFacts("web", lookalikes=[BEYOND]),
        RiskFacts("web", other_records=[BEYOND]),
        RiskFacts("web_1", is_stamped=True, predecessors=[Predecessor(BEYOND, None)]),
    ],
)
def test_who_is_beyond_the_readers_reach_is_warned_of_and_not_named(facts: RiskFacts) -> None:
    (hint,) = hints(facts)
    assert "one beyond your reach" in hint.sentence
    assert "“”" not in hint.sentence
