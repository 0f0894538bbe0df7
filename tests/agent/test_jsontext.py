"""Positions in JSON text, and edits that leave every other character as it is."""

from __future__ import annotations

import json
import random

import pytest

from orchestrators.agent.jsontext import JsonTextError, parse, with_member, without_member

TEXT = """{
  // What the portal is called.
  "AppSettings" : {
\t"First":   "1", /* kept */ "Big": 1.50,
\t"List": [ "a",
   {"x": null} ]
  },
  "Other": {}
}
"""


def test_values_lines_and_paths() -> None:
    section = parse(TEXT).members["AppSettings"]
    assert section.value == {"First": "1", "Big": 1.5, "List": ["a", {"x": None}]}
    assert section.members["List"].line == 5
    assert section.members["List"].path == "$.AppSettings.List"
    assert TEXT[section.start] == "{"
    assert TEXT[section.end - 1] == "}"


def test_a_present_member_is_replaced_in_place() -> None:
    assert with_member(TEXT, ["AppSettings", "First"], 'n"ü') == TEXT.replace('"1"', '"n\\"ü"')


def test_a_new_member_goes_to_the_end_with_the_indent_of_its_neighbours() -> None:
    edited = with_member(TEXT, ["AppSettings", "New"], "v")
    assert edited == TEXT.replace('{"x": null} ]', '{"x": null} ],\n\t"New": "v"')


def test_a_new_member_of_an_empty_object_gets_a_line() -> None:
    edited = with_member(TEXT, ["Other", "New"], "v")
    assert edited == TEXT.replace("{}", '{\n      "New": "v"\n  }')


@pytest.mark.parametrize("name", ["First", "Big", "List"])
def test_a_member_is_removed_with_its_comma_and_the_rest_stays(name: str) -> None:
    edited = without_member(TEXT, ["AppSettings", name])
    expected = dict(parse(TEXT).value["AppSettings"])
    del expected[name]
    assert parse(edited).value["AppSettings"] == expected
    assert parse(edited).value["Other"] == {}


def test_removing_the_only_and_an_absent_member() -> None:
    assert without_member('{"a": 1 }', ["a"]) == "{ }"
    assert without_member('{"a": 1 }', ["b"]) == '{"a": 1 }'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", r"\$ \(line 1\)"),
        ("{", r"\$ \(line 1\): a member name"),
        ('{"a": 1,\n}', r"\(line 2\): a member name"),
        ('{"a" 1}', r"':' is expected"),
        ('{"a": 1 "b": 2}', r"',' is expected"),
        ('{"a": NaN}', r"\$\.a \(line 1\): NaN is not JSON"),
        ('{"a": 1, "a": 2}', r"\$\.a \(line 1\): this member appears twice"),
        ("{} x", "text after the end"),
        ("[" * 100, "nested too deeply"),
        ('{"a": [1, tru]}', r"\$\.a\[1\] \(line 1\)"),
        ('"\\ud8', r"line 1"),
        ("[1", "',' is expected"),
    ],
)
def test_what_is_no_json_is_named_with_its_line(text: str, expected: str) -> None:
    with pytest.raises(JsonTextError, match=expected):
        parse(text)


def test_a_member_of_something_that_is_no_object_is_an_error() -> None:
    with pytest.raises(JsonTextError, match=r"\$\.a \(line 1\): an object is expected"):
        with_member('{"a": []}', ["a", "b"], "v")
    with pytest.raises(JsonTextError, match=r"'b' is missing"):
        with_member("{}", ["b", "c"], "v")


@pytest.mark.parametrize("seed", range(50))
def test_json_of_any_layout_reads_and_edits_as_the_standard_library_says(seed: int) -> None:
    random_source = random.Random(seed)

    def value(depth: int) -> object:
        kind = random_source.randrange(7 if depth < 4 else 5)
        if kind == 5:
            return [value(depth + 1) for _ in range(random_source.randrange(4))]
        if kind == 6:
            return {f"k{i}": value(depth + 1) for i in range(random_source.randrange(4))}
        return [None, True, -1.5e3, 12345678901234567890, 'é"\\\n\u2028'][kind]

    document = {f"m{i}": value(0) for i in range(5)}
    indent = random_source.choice([None, 0, 2, "\t"])
    text = json.dumps(document, indent=indent, ensure_ascii=random_source.random() < 0.5)
    assert parse(text).value == document
    for name in ("m0", "m4", "new"):
        assert json.loads(with_member(text, [name], "v")) == {**document, name: "v"}
    without = {name: member for name, member in document.items() if name != "m2"}
    assert json.loads(without_member(text, ["m2"])) == without
