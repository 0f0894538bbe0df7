"""The table of codes: each has a sentence, a remedy and a number, and fits an agent's buffer.

Owns the form of the codes; which decision gives which code is `test_decision_table.py`'s.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrators.protocol.answers import MESSAGE_LIMIT_BYTES, message_text, problem, success
from orchestrators.protocol.codes import (
    NEW_KEY_CODES,
    RENEWAL_CODES,
    TEXTS,
    Code,
    code_number,
)
from orchestrators.protocol.terms import ResultStatus


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_sentence_and_a_remedy(code: Code) -> None:
    text = TEXTS[code]
    assert text.sentence.endswith(".")
    assert text.remedy.endswith(".")
    assert len(text.sentence.encode()) < 300


def test_only_the_sources_two_codes_are_outside_our_own_range() -> None:
    assert {code for code in Code if not re.fullmatch(r"A01F[0-9A-F]{4}", code)} == RENEWAL_CODES
    assert {"A0100007", "A0100008"} == RENEWAL_CODES


def test_no_code_says_two_things_and_no_sentence_is_said_twice() -> None:
    assert len({code_number(code) for code in Code}) == len(Code)
    assert len({text.sentence for text in TEXTS.values()}) == len(Code)


def test_the_number_is_the_code_read_as_hexadecimal() -> None:
    assert code_number(Code.SHOULD_RENEW) == 2685403143
    assert code_number(Code.MUST_RENEW) == 0xA0100008


def test_the_sentences_that_operators_grep_for() -> None:
    should, must = TEXTS[Code.SHOULD_RENEW].sentence, TEXTS[Code.MUST_RENEW].sentence
    assert should == "Agent certificate is approaching expiration and should be renewed."
    assert must == "Agent certificate is approaching expiration and must be renewed."


def test_a_refused_key_is_no_order_to_renew() -> None:
    assert not NEW_KEY_CODES & RENEWAL_CODES
    assert Code.KEY_REUSE in NEW_KEY_CODES


@given(st.sampled_from(list(Code)), st.text(max_size=2000))
def test_a_message_fits_the_buffer_of_existing_agents(code: Code, detail: str) -> None:
    detail = detail.encode("utf-8", "ignore").decode()
    message = message_text(code, detail)
    assert len(message.encode()) <= MESSAGE_LIMIT_BYTES < 950
    assert message.startswith(TEXTS[code].sentence)


def test_a_message_is_never_cut_inside_a_character() -> None:
    message = message_text(Code.CSR_NAMES, "€" * 1000)
    assert message.endswith("€")


def test_the_envelope_has_the_types_that_agents_read() -> None:
    assert success() == {"Status": 1, "Error": None}
    assert problem(ResultStatus.WARNING, Code.SHOULD_RENEW, "Now.") == {
        "Status": 2,
        "Error": {
            "Code": 2685403143,
            "CodeString": "A0100007",
            "HResult": "A0100007",
            "Message": "Agent certificate is approaching expiration and should be renewed. Now.",
        },
    }
