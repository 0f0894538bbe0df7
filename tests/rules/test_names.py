"""When two names of orchestrators are the same, and what finds a record.

Owns the canonical forms; that a name authenticates nobody is the agent protocol's tests'.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrators.names import MOST_CHARACTERS, canonical, claim_key, without_start_stamp


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Agent01", "AGENT01"),
        ("agent01.example.com.", "agent01.example.com"),
        (" agent01 ", "agent01"),
        ("ａｇｅｎｔ０１", "agent01"),
        ("straße", "STRASSE"),
        ("ﬁle", "file"),
    ],
)
def test_twins_are_one_name(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), [("agent01", "agent02"), ("agent01", "аgent01")])
def test_different_names_stay_different(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("agent01_20260601120000", "agent01"),
        ("AGENT01_20260601120000", "agent01"),
        ("agent01", "agent01"),
        ("agent_01", "agent_01"),
        ("agent01_2026060112000", "agent01_2026060112000"),
        ("agent01_202606011200000", "agent01_202606011200000"),
        ("agent01_20260601120000_20260601120001", "agent01_20260601120000"),
        ("agent01_２０２６０６０１１２００００", "agent01_20260601120000"),
        ("_20260601120000", ""),
        ("", ""),
        ("  ", ""),
    ],
)
def test_a_claim_ignores_one_final_start_stamp(name: str, key: str) -> None:
    assert claim_key(name) == key


def test_a_name_that_folds_into_more_than_a_column_is_cut_everywhere() -> None:
    assert len(canonical("ﷺ" * 255)) == MOST_CHARACTERS


@given(st.text(max_size=255))
def test_canonical_forms_are_stable(name: str) -> None:
    once = canonical(name)
    assert canonical(once) == once or len(once) == MOST_CHARACTERS
    assert without_start_stamp(name) == name.strip() or len(name) >= 15
