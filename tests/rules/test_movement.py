"""Who goes where when a certificate is delivered or proven, and when the flag is cleared.

Owns the movements as tables; the rows that follow them are the agent protocol's tests.
"""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewal.rules.movement import Held, Movement, flag_after_proof, on_delivery, on_promotion
from renewal.rules.standing import ACCEPTED, UNPROVEN, Standing

S = Standing
A, B, C, D = 1, 2, 3, 4


def held(**standings: Standing) -> list[Held]:
    return [Held("ABCD".index(key) + 1, standing) for key, standing in standings.items()]


DELIVERIES: dict[str, tuple[list[Held], Movement]] = {
    "a first certificate finds nothing to move": ([], Movement()),
    "the current certificate becomes legacy": (
        held(A=S.CURRENT),
        Movement(moves=((A, S.LEGACY),)),
    ),
    "a certificate that the approval named becomes legacy": (
        held(A=S.NAMED),
        Movement(moves=((A, S.LEGACY),)),
    ),
    "after a lost reply legacy stays and the first becomes overtaken": (
        held(A=S.LEGACY, B=S.ISSUED),
        Movement(moves=((B, S.OVERTAKEN),)),
    ),
    "a third gives up the one overtaken first": (
        held(A=S.LEGACY, B=S.OVERTAKEN, C=S.ISSUED),
        Movement(moves=((B, S.DISCARDED), (C, S.OVERTAKEN)), given_up=(B,)),
    ),
    "a second first enrollment overtakes the first": (
        held(A=S.ISSUED),
        Movement(moves=((A, S.OVERTAKEN),)),
    ),
    "legacy stays what it is beside a current one": (
        held(A=S.LEGACY, B=S.CURRENT),
        Movement(),
    ),
}


@pytest.mark.parametrize(("before", "movement"), DELIVERIES.values(), ids=DELIVERIES.keys())
def test_delivery(before: list[Held], movement: Movement) -> None:
    assert on_delivery(before) == movement


PROMOTIONS: dict[str, tuple[list[Held], int, Movement]] = {
    "the issued one becomes current and legacy is replaced": (
        held(A=S.LEGACY, B=S.ISSUED),
        B,
        Movement(
            moves=((A, S.SUPERSEDED), (B, S.CURRENT)),
            replaced=A,
            legacy_cleared=True,
        ),
    ),
    "the first certificate of all becomes current": (
        held(A=S.ISSUED),
        A,
        Movement(moves=((A, S.CURRENT),)),
    ),
    "the newest proven gives up the one overtaken": (
        held(A=S.LEGACY, B=S.OVERTAKEN, C=S.ISSUED),
        C,
        Movement(
            moves=((A, S.SUPERSEDED), (B, S.DISCARDED), (C, S.CURRENT)),
            replaced=A,
            given_up=(B,),
            legacy_cleared=True,
        ),
    ),
    "an overtaken one proven becomes legacy and the newer one stays issued": (
        held(A=S.LEGACY, B=S.OVERTAKEN, C=S.ISSUED),
        B,
        Movement(
            moves=((A, S.SUPERSEDED), (B, S.LEGACY)),
            replaced=A,
            legacy_cleared=True,
        ),
    ),
    "an overtaken first enrollment proven becomes legacy": (
        held(A=S.OVERTAKEN, B=S.ISSUED),
        A,
        Movement(moves=((A, S.LEGACY),)),
    ),
}


@pytest.mark.parametrize(
    ("before", "proven", "movement"), PROMOTIONS.values(), ids=PROMOTIONS.keys()
)
def test_promotion(before: list[Held], proven: int, movement: Movement) -> None:
    assert on_promotion(before, proven) == movement


def applied(before: dict[int, Standing], movement: Movement) -> dict[int, Standing]:
    """Apply in the order given; no two may ever hold the same accepted standing."""
    now = dict(before)
    for key, standing in movement.moves:
        now[key] = standing
        accepted = [s for s in now.values() if s in ACCEPTED]
        assert len(accepted) == len(set(accepted)), f"two of a kind in {now}"
    return now


@given(st.lists(st.sampled_from(["deliver", "prove newest", "prove overtaken", "lose"])))
def test_any_sequence_keeps_one_of_each_and_two_unproven(acts: list[str]) -> None:
    standings: dict[int, Standing] = {0: S.CURRENT}
    for number, act in enumerate(acts, start=1):
        pairs = [Held(key, standing) for key, standing in standings.items() if standing in ACCEPTED]
        by_standing = {pair.standing: pair.key for pair in pairs}
        if act == "deliver":
            standings = applied(standings, on_delivery(pairs))
            standings[number] = S.ISSUED
        else:
            wanted = S.ISSUED if act == "prove newest" else S.OVERTAKEN
            if act != "lose" and wanted in by_standing:
                standings = applied(standings, on_promotion(pairs, by_standing[wanted]))
        accepted = [s for s in standings.values() if s in ACCEPTED]
        assert len(accepted) == len(set(accepted))
        assert len([s for s in accepted if s in UNPROVEN]) <= 2
        assert set(accepted) & {S.CURRENT, S.LEGACY}, "nothing proven is left"


@pytest.mark.parametrize(
    ("flag", "counter", "intent"), list(product((0, 1, 2), (3,), (None, 2, 3, 4)))
)
def test_a_proof_clears_the_flag_only_for_an_intent_made_after_it_was_set(
    flag: int, counter: int, intent: int | None
) -> None:
    after = flag_after_proof(flag=flag, flag_counter=counter, intent_flag_counter=intent)
    assert after == (0 if intent in (3, 4) else flag)
