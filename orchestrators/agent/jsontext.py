"""JSON text with positions: read it, point at a place in it, change a member of it in place.

PURE. Owns parsing with line numbers (messages name path and line) and edits that leave every
other character of the text as it is. Accepts comments, as .NET configuration files may have
them. Does not know any of the files' members.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

_SPACE = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_DEPTH_LIMIT = 64


class JsonTextError(ValueError):
    """The text is not JSON, or not of the expected shape; the message names path and line."""


@dataclass(frozen=True)
class Node:
    """One JSON value with its place: ``text[start:end]``, first character in line ``line``."""

    value: Any
    start: int
    end: int
    line: int
    path: str
    key_start: int = 0
    members: Mapping[str, Node] = field(default_factory=dict)

    def error(self, problem: str) -> JsonTextError:
        """Return an error that names this place."""
        return JsonTextError(f"{self.path} (line {self.line}): {problem}")


def parse(text: str) -> Node:
    """Return the root of ``text``. Raises JsonTextError."""
    parser = _Parser(text)
    root, end = parser.value(parser.skip(0), "$", 0)
    if parser.skip(end) != len(text):
        parser.fail(parser.skip(end), "$", "text after the end of the document")
    return root


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._decoder = json.JSONDecoder(parse_constant=self._no_constant)

    def skip(self, position: int) -> int:
        found = _SPACE.match(self._text, position)
        return found.end() if found else position

    def fail(self, position: int, path: str, problem: str) -> NoReturn:
        raise JsonTextError(f"{path} (line {self._line(position)}): {problem}")

    def value(self, start: int, path: str, depth: int) -> tuple[Node, int]:
        if depth > _DEPTH_LIMIT:
            self.fail(start, path, "nested too deeply")
        character = self._text[start : start + 1]
        if character == "{":
            return self._object(start, path, depth)
        if character == "[":
            return self._array(start, path, depth)
        value, end = self._scalar(start, path)
        return Node(value, start, end, self._line(start), path), end

    def _line(self, position: int) -> int:
        return self._text.count("\n", 0, position) + 1

    def _scalar(self, start: int, path: str) -> tuple[Any, int]:
        try:
            return self._decoder.raw_decode(self._text, start)
        except ValueError as error:
            problem = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            place = error.pos if isinstance(error, json.JSONDecodeError) else start
            self.fail(place, path, problem)

    def _object(self, start: int, path: str, depth: int) -> tuple[Node, int]:
        members: dict[str, Node] = {}
        position = self.skip(start + 1)
        while self._text[position : position + 1] != "}":
            if members:
                position = self._expect(",", position, path)
            if self._text[position : position + 1] != '"':
                self.fail(position, path, "a member name in double quotes is expected")
            key_start = position
            name, position = self._scalar(position, path)
            if name in members:
                self.fail(key_start, f"{path}.{name}", "this member appears twice")
            position = self._expect(":", self.skip(position), path)
            node, position = self.value(position, f"{path}.{name}", depth + 1)
            members[name] = Node(
                node.value, node.start, node.end, node.line, node.path, key_start, node.members
            )
            position = self.skip(position)
        value = {name: node.value for name, node in members.items()}
        line, end = self._line(start), position + 1
        return Node(value, start, end, line, path, members=members), end

    def _array(self, start: int, path: str, depth: int) -> tuple[Node, int]:
        items: list[Any] = []
        position = self.skip(start + 1)
        while self._text[position : position + 1] != "]":
            if items:
                position = self._expect(",", position, path)
            node, position = self.value(position, f"{path}[{len(items)}]", depth + 1)
            items.append(node.value)
            position = self.skip(position)
        return Node(items, start, position + 1, self._line(start), path), position + 1

    def _expect(self, character: str, position: int, path: str) -> int:
        if self._text[position : position + 1] != character:
            self.fail(position, path, f"'{character}' is expected")
        return self.skip(position + 1)

    @staticmethod
    def _no_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")


def with_member(text: str, path: Sequence[str], value: str) -> str:
    """Return ``text`` with the string member at ``path`` set; all else stays as it is.

    The object that holds the member must exist. Raises JsonTextError.
    """
    parent = _find(text, path[:-1])
    written = json.dumps(value, ensure_ascii=False)
    present = parent.members.get(path[-1])
    if present is not None:
        return text[: present.start] + written + text[present.end :]
    member = f"{json.dumps(path[-1], ensure_ascii=False)}: {written}"
    if not parent.members:
        line = text[: parent.start].rpartition("\n")[2]
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        return f"{text[: parent.start]}{{\n{indent}    {member}\n{indent}}}{text[parent.end :]}"
    last = list(parent.members.values())[-1]
    before = text[: last.key_start]
    gap = before[len(before.rstrip(" \t\r\n")) :]
    return f"{text[: last.end]},{gap}{member}{text[last.end :]}"


def without_member(text: str, path: Sequence[str]) -> str:
    """Return ``text`` without the member at ``path``; unchanged if it is not there."""
    parent = _find(text, path[:-1])
    gone = parent.members.get(path[-1])
    if gone is None:
        return text
    siblings = list(parent.members.values())
    place = siblings.index(gone)
    if place + 1 < len(siblings):
        return text[: gone.key_start] + text[siblings[place + 1].key_start :]
    start = siblings[place - 1].end if place else parent.start + 1
    return text[:start] + text[gone.end :]


def _find(text: str, path: Sequence[str]) -> Node:
    node = parse(text)
    for name in path:
        if name not in node.members:
            raise node.error(f"'{name}' is missing")
        node = node.members[name]
    if not isinstance(node.value, dict):
        raise node.error("an object is expected")
    return node
