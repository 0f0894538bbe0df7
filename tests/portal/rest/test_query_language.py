"""The query language: its syntax, its limits, and that nothing else is ever raised."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.rest.agent_listing import agent_listing
from portal.rest.codes import ErrorCode
from portal.rest.query_fields import condition
from portal.rest.query_language import (
    DEEPEST,
    LONGEST,
    MOST_COMPARISONS,
    Comparison,
    Either,
    Every,
    Node,
    Operator,
    QueryInvalid,
    parse,
)
from renewal.rules.periods import Periods

FIELDS = agent_listing(datetime(2026, 6, 1, tzinfo=UTC), Periods).fields


def eq(field: str, value: str | None) -> Comparison:
    return Comparison(field, Operator.EQ, value)


PARSED: dict[str, tuple[str, Node | None]] = {
    "nothing": ("", None),
    "spaces only": (" \t ", None),
    "a quoted value": ('ClientMachine -eq "host"', eq("ClientMachine", "host")),
    "a bare value": ("Status -eq 2", eq("Status", "2")),
    "curly quotes": ("ClientMachine -eq “my host”", eq("ClientMachine", "my host")),
    "low and high quotes": ("ClientMachine -eq „host“", eq("ClientMachine", "host")),
    "a curly quote closed by a straight one": ('A -eq “host"', eq("A", "host")),
    "curly quotes within straight ones": ('A -eq "a “b” c"', eq("A", "a “b” c")),
    "a dash for a hyphen": ("Status –eq 2", eq("Status", "2")),
    "an operator in capitals": ("Status -EQ 2", eq("Status", "2")),
    "no space around a quoted value": ('A -eq"x"AND B -eq 1', Every((eq("A", "x"), eq("B", "1")))),
    "a backslash is no escape": ('Identity -eq "CORP\\ada"', eq("Identity", "CORP\\ada")),
    "a doubled quote is one": ('A -eq "say ""hi"""', eq("A", 'say "hi"')),
    "an empty value": ('A -eq ""', eq("A", "")),
    "NULL": ("LastSeen -eq NULL", eq("LastSeen", None)),
    "null in small letters": ("LastSeen -ne null", Comparison("LastSeen", Operator.NE, None)),
    "NULL in quotes is a text": ('A -eq "NULL"', eq("A", "NULL")),
    "a joint as a value": ("A -eq AND", eq("A", "AND")),
    "a value that begins like a joint": ("A -eq ORange", eq("A", "ORange")),
    "AND": ("A -eq 1 AND B -eq 2", Every((eq("A", "1"), eq("B", "2")))),
    "or in small letters": ("A -eq 1 or B -eq 2", Either((eq("A", "1"), eq("B", "2")))),
    "AND binds closer than OR": (
        "A -eq 1 OR B -eq 2 AND C -eq 3",
        Either((eq("A", "1"), Every((eq("B", "2"), eq("C", "3"))))),
    ),
    "parentheses bind closest": (
        "(A -eq 1 OR B -eq 2) AND C -eq 3",
        Every((Either((eq("A", "1"), eq("B", "2"))), eq("C", "3"))),
    ),
    "superfluous parentheses": ("((A -eq 1))", eq("A", "1")),
    "a new line": ("A -eq 1\nAND B -eq 2", Every((eq("A", "1"), eq("B", "2")))),
}

REFUSED: dict[str, tuple[str, ErrorCode]] = {
    "a field alone": ("ClientMachine", ErrorCode.QUERY_INVALID),
    "no value": ("ClientMachine -eq", ErrorCode.QUERY_INVALID),
    "no field": ('-eq "x"', ErrorCode.QUERY_INVALID),
    "an unfinished value": ('ClientMachine -eq "x', ErrorCode.QUERY_INVALID),
    "an unfinished curly value": ("ClientMachine -eq “x", ErrorCode.QUERY_INVALID),
    "an unfinished joint": ("A -eq 1 AND", ErrorCode.QUERY_INVALID),
    "a joint first": ("AND A -eq 1", ErrorCode.QUERY_INVALID),
    "two joints": ("A -eq 1 AND OR B -eq 2", ErrorCode.QUERY_INVALID),
    "two comparisons without a joint": ("A -eq 1 B -eq 2", ErrorCode.QUERY_INVALID),
    "a parenthesis too many": ("(A -eq 1))", ErrorCode.QUERY_INVALID),
    "a parenthesis too few": ("((A -eq 1)", ErrorCode.QUERY_INVALID),
    "empty parentheses": ("()", ErrorCode.QUERY_INVALID),
    "SQL": ("1=1; DROP TABLE x --", ErrorCode.QUERY_INVALID),
    "a control character": ('A -eq "\0"', ErrorCode.QUERY_INVALID),
    "an unknown operator": ("A -like x", ErrorCode.QUERY_OPERATOR_UNKNOWN),
    "a regular expression": ('A -match "(a+)+$"', ErrorCode.QUERY_OPERATOR_UNKNOWN),
    "too many characters": ("A -eq " + "x" * LONGEST, ErrorCode.QUERY_TOO_LARGE),
    "too many comparisons": (
        " OR ".join(["A -eq 1"] * (MOST_COMPARISONS + 1)),
        ErrorCode.QUERY_TOO_LARGE,
    ),
    "parentheses too deep": (
        "(" * (DEEPEST + 1) + "A -eq 1" + ")" * (DEEPEST + 1),
        ErrorCode.QUERY_TOO_LARGE,
    ),
    "parentheses far too deep": ("(" * LONGEST, ErrorCode.QUERY_TOO_LARGE),
}

CONDITIONS_REFUSED: dict[str, tuple[str, ErrorCode]] = {
    "a field that does not exist": ("Nothing -eq 1", ErrorCode.QUERY_FIELD_UNKNOWN),
    "a column that is not a field": ("generation -eq 1", ErrorCode.QUERY_FIELD_UNKNOWN),
    "a look-up of Django": ("service_account__password -eq x", ErrorCode.QUERY_FIELD_UNKNOWN),
    "a secret elsewhere": ("token_digest -startswith a", ErrorCode.QUERY_FIELD_UNKNOWN),
    "a part of a number": ("Status -contains 1", ErrorCode.QUERY_OPERATOR_UNKNOWN),
    "an order of names": ("ClientMachine -lt b", ErrorCode.QUERY_OPERATOR_UNKNOWN),
    "a part of a GUID": ("AgentId -contains 3f", ErrorCode.QUERY_OPERATOR_UNKNOWN),
    "a part of NULL": ("ClientMachine -contains NULL", ErrorCode.QUERY_OPERATOR_UNKNOWN),
    "a text for a number": ("Platform -eq x", ErrorCode.QUERY_VALUE_INVALID),
    "a negative number": ("Platform -eq -1", ErrorCode.QUERY_VALUE_INVALID),
    "a number of 2,000 digits": (f"Status -eq {'9' * 1900}", ErrorCode.QUERY_VALUE_INVALID),
    "digits that are not ASCII": ("Status -eq ٢", ErrorCode.QUERY_VALUE_INVALID),
    "no GUID": ("AgentId -eq host", ErrorCode.QUERY_VALUE_INVALID),
    "no date": ("LastSeen -ge yesterday", ErrorCode.QUERY_VALUE_INVALID),
    "a date before all dates": (
        'LastSeen -ge "0001-01-01T00:00:00+14:00"',
        ErrorCode.QUERY_VALUE_INVALID,
    ),
}


@pytest.mark.parametrize(("text", "tree"), PARSED.values(), ids=PARSED.keys())
def test_a_query_becomes_a_tree(text: str, tree: Node | None) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(("text", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_query_is_refused_with_its_code(text: str, code: ErrorCode) -> None:
    with pytest.raises(QueryInvalid) as refused:
        parse(text)
    assert refused.value.code == code
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("text", "code"), CONDITIONS_REFUSED.values(), ids=CONDITIONS_REFUSED.keys()
)
def test_what_a_field_cannot_mean_is_refused_with_its_code(text: str, code: ErrorCode) -> None:
    tree = parse(text)
    with pytest.raises(QueryInvalid) as refused:
        condition(tree, FIELDS)
    assert refused.value.code == code


def test_a_message_names_the_place() -> None:
    with pytest.raises(QueryInvalid, match="at character 12: a field is expected"):
        parse("A -eq 1 OR ")


def test_the_limits_themselves_are_within_the_limits() -> None:
    assert parse(" OR ".join(["A -eq 1"] * MOST_COMPARISONS))
    assert parse("(" * DEEPEST + "A -eq 1" + ")" * DEEPEST)


words = st.sampled_from(
    [*FIELDS, *(f"-{o}" for o in Operator), "AND", "OR", "(", ")", "NULL", "2", "“", "”", '"']
)


def only_refuses(text: str) -> None:
    with suppress(QueryInvalid):
        condition(parse(text), FIELDS)


@given(st.text(max_size=200))
def test_any_text_is_understood_or_refused(text: str) -> None:
    only_refuses(text)


@given(st.lists(words | st.text(max_size=8), max_size=40).map(" ".join))
def test_any_words_are_understood_or_refused(text: str) -> None:
    only_refuses(text)


@given(
    st.sampled_from(list(FIELDS)),
    st.sampled_from(list(Operator)),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40),
)
def test_a_quoted_value_is_read_as_it_was_written(
    field: str, operator: Operator, value: str
) -> None:
    quoted = value.replace('"', '""')
    assert parse(f'{field} -{operator} "{quoted}"') == Comparison(field, operator, value)
