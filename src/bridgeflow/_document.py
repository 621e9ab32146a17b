"""YAML of unknown origin: bytes to a tree of plain values with the place of each.

Nothing is constructed from what the text says: the parser's events are counted against limits as they come, and become
null, true, false, numbers, texts, lists and maps, by the core schema of YAML 1.2. What YAML can do beyond that (tags,
anchors, aliases, merge keys, several documents) is refused, because a configuration does not need it.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

import yaml

from bridgeflow.errors import ConfigError, Location, printable, quoted

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NODES",
    "MAX_OVERRIDES",
    "Document",
    "Node",
    "Steps",
    "overridden",
    "read_document",
    "shown",
    "spell",
]

MAX_BYTES: Final = 256 << 10
MAX_DEPTH: Final = 32
MAX_NODES: Final = 10_000
MAX_OVERRIDES: Final = 100
"""Most values that a caller may put in the place of a configuration's."""
MAX_INTEGER: Final = 2**63 - 1

Scalar: TypeAlias = "bool | int | float | str | None"
Steps: TypeAlias = Sequence["str | int"]
"""The way to a node: keys and list positions."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it: its parser takes milliseconds where the Python one may take a second."""

_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"]),
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN")


class Mark(NamedTuple):
    """A place in the text; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Node:
    """A value and where it stands; children of lists and maps are nodes again.

    Attributes:
        keys: where a map's keys stand.
        name: what messages call the text that it stands in; empty for the document's own.
    """

    value: Scalar | list[Node] | dict[str, Node]
    mark: Mark
    keys: dict[str, Mark] = field(default_factory=dict)
    name: str = ""

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def at(self, steps: Steps) -> Node:
        """The node that `steps` lead to, or the last on the way that exists."""
        node = self
        for step in steps:
            children = node.value
            if isinstance(children, dict) and step in children:
                node = children[str(step)]
            elif isinstance(children, list) and isinstance(step, int) and step < len(children):
                node = children[step]
            else:
                break
        return node

    def mark_of(self, steps: Steps) -> Mark:
        """Where the key that ends `steps` stands."""
        *parents, last = steps
        return self.at(parents).keys.get(str(last), self.at(steps).mark)


@dataclass(frozen=True)
class Document:
    """A parsed configuration: its name for messages, and its root."""

    name: str
    root: Node

    def error(self, steps: Steps, problem: str, *, at_key: bool = False) -> ConfigError:
        """A `ConfigError` about the node that `steps` lead to: `file:line:column: path: problem`."""
        node = self.root.at(steps)
        mark = self.root.mark_of(steps) if at_key else node.mark
        return _error(node.name or self.name, Mark(1, 1) if node.name and at_key else mark, problem, path=spell(steps))

    def places(self) -> dict[tuple[str | int, ...], Location]:
        """Where each value stands, by the steps that lead to it."""
        locations: dict[tuple[str | int, ...], Location] = {}
        waiting: list[tuple[tuple[str | int, ...], Node]] = [((), self.root)]
        while waiting:
            steps, node = waiting.pop()
            locations[steps] = Location(node.name or self.name, *node.mark, spell(steps))
            children = node.value
            if isinstance(children, dict):
                waiting += [((*steps, key), child) for key, child in children.items()]
            elif isinstance(children, list):
                waiting += [((*steps, index), child) for index, child in enumerate(children)]
        return locations


def spell(steps: Steps) -> str:
    """Steps in words.

    >>> spell(["transforms", 1, "Scale", "scale"])
    'transforms[1].Scale.scale'
    """
    words = (f"[{step}]" if isinstance(step, int) else f".{printable(step, 60)}" for step in steps)
    return printable("".join(words).removeprefix("."), 300)


def read_document(data: bytes, name: str) -> Document:
    """Parse a configuration.

    Args:
        data: the bytes of the file, UTF-8.
        name: what messages call it.

    Raises:
        ConfigError: not valid YAML, or more of it than a configuration needs; with file, line and column.

    Example:
        >>> document = read_document(b"version: 1\\nlimits: [1e5, no]", "job.yaml")
        >>> document.root.plain()
        {'version': 1, 'limits': [100000.0, 'no']}
        >>> str(document.error(["limits", 1], "expected a number, got 'no'"))
        "job.yaml:2:15: limits[1]: expected a number, got 'no'"
    """
    return Document(name, _Builder(name, _decode(data, name)).build())


def _error(name: str, mark: Mark, problem: str, *, path: str = "") -> ConfigError:
    error = ConfigError(problem)
    error.location = Location(name, mark.line, mark.column, path)
    return error


def _decode(data: bytes, name: str) -> str:
    """The text, if it is UTF-8, of a size, and of characters that can be seen."""
    if len(data) > MAX_BYTES:
        raise _error(name, Mark(1, 1), f"a configuration has at most {MAX_BYTES:,} bytes, got {len(data):,}")
    data = data.removeprefix(codecs.BOM_UTF8)  # editors on Windows put one there
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise _error(name, _position(before), f"is not UTF-8 (byte 0x{data[error.start]:02x})") from None
    unseen = _unseen(text, allowed="\n\r\t")
    if unseen is not None:
        raise _error(name, _position(text[:unseen]), f"holds {_character(text[unseen])}, which cannot be seen")
    return text


def _unseen(text: str, allowed: str) -> int | None:
    """Where the first invisible character is: control, bidirectional, zero-width, odd spaces."""
    if text.isascii() and text.isprintable():
        return None
    return next((i for i, char in enumerate(text) if not char.isprintable() and char not in allowed), None)


def _position(before: str) -> Mark:
    return Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _character(char: str) -> str:
    return f"the character U+{ord(char):04X}"


class _Builder:
    """Builds the tree while the events come, and counts."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._nodes = 0
        self._mark = Mark(1, 1)

    def build(self) -> Node:
        try:
            next(self._events)  # StreamStartEvent
            start = next(self._events)
            if isinstance(start, yaml.StreamEndEvent):
                self._refuse(start, "is empty; a job begins with `version: 1`")
            if start.version or start.tags:
                self._refuse(start, "directives (%YAML, %TAG) are not allowed")
            root = self._node(next(self._events), 0)
            next(self._events)  # DocumentEndEvent
            after = next(self._events)
            if isinstance(after, yaml.DocumentStartEvent):
                self._refuse(after, "a second document begins here; a configuration is one")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = Mark(mark.line + 1, mark.column + 1) if mark else self._mark
            problem = printable(" ".join(filter(None, [error.context, error.problem])), 300)
            raise _error(self._name, where, f"is not valid YAML: {problem}") from None
        except yaml.YAMLError as error:  # the reader's, which knows no line
            raise _error(self._name, self._mark, f"is not valid YAML: {printable(str(error), 300)}") from None
        return root

    def _refuse(self, event: Any, problem: str) -> NoReturn:
        raise _error(self._name, _mark(event), problem)

    def _node(self, event: Any, depth: int) -> Node:
        self._mark = _mark(event)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(event, f"a configuration has at most {MAX_NODES:,} values")
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"aliases (*{printable(str(event.anchor), 60)}) are not allowed; write the value out")
        if event.anchor is not None:
            self._refuse(
                event,
                f"anchors (&{printable(str(event.anchor), 60)}) are not allowed; write the value where it is needed",
            )
        if event.tag is not None:
            self._refuse(event, f"tags ({printable(event.tag, 60)}) are not allowed; names come from `bridgeflow list`")
        if isinstance(event, yaml.ScalarEvent):
            return Node(self._scalar(event), self._mark)
        if depth >= MAX_DEPTH:
            self._refuse(event, f"a configuration is at most {MAX_DEPTH} levels deep")
        return self._list(depth) if isinstance(event, yaml.SequenceStartEvent) else self._map(depth)

    def _list(self, depth: int) -> Node:
        mark, items = self._mark, []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Node(items, mark)

    def _map(self, depth: int) -> Node:
        mark, children, keys = self._mark, dict[str, Node](), dict[str, Mark]()
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            node = self._node(event, depth + 1)
            key = node.value
            if event.__class__ is yaml.ScalarEvent and event.value == "<<":
                self._refuse(event, "merge keys (<<) are not allowed; write the values out")
            if not isinstance(key, str):
                self._refuse(event, f"a key must be a word, got {shown(node)}; put it in quotes if it is meant as text")
            if key in children:
                self._refuse(event, f"the key {quoted(key)} stands here a second time, first in line {keys[key].line}")
            keys[key] = node.mark
            children[key] = self._node(next(self._events), depth + 1)
        return Node(children, mark, keys)

    def _scalar(self, event: Any) -> Scalar:
        text: str = event.value
        unseen = _unseen(text, allowed="\n\t")
        if unseen is not None:
            self._refuse(event, f"this text holds {_character(text[unseen])}, which cannot be seen")
        return text if event.style else self._plain(event, text)

    def _plain(self, event: Any, text: str) -> Scalar:
        """What a scalar without quotes means in the core schema: `no`, `1:30` and `1_000` are texts, `010` is ten."""
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            digits = text.lstrip("+-0ox")  # Python reads no more than some thousands of digits, zeros included
            base = {"o": 8, "x": 16}.get(text[1:2], 10)
            number = int(digits or "0", base) if len(digits) < 24 else MAX_INTEGER + 1
            if number > MAX_INTEGER:
                self._refuse(event, f"an integer of {len(digits)} digits is too large; at most {MAX_INTEGER}")
            return -number if text.startswith("-") else number
        if _FLOAT.fullmatch(text):
            value = float(text)
            if not math.isinf(value):
                return value
        if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
            self._refuse(event, f"numbers must be finite, got {text[:40]}")
        return text


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def shown(node: Node) -> str:
    """A value as messages show it: short, in one line."""
    if isinstance(node.value, (dict, list)):
        what = "map" if isinstance(node.value, dict) else "list"
        return f"a {what} of {len(node.value)}" if node.value else f"an empty {what}"
    return "nothing" if node.value is None else quoted(node.value)


# --- values that a caller puts in the place of a configuration's ---

_STEP = re.compile(r"\.?([^.\[\]=]+)|\[([0-9]{1,6})\]")


def overridden(document: Document, overrides: Sequence[str]) -> Document:
    """The document with other values at some places.

    Args:
        overrides: `key.path=value` each, where a number, bare or in brackets, is a position in a list. Keys that are
            not there are added. The value is read as one of the document is.

    Raises:
        ConfigError: no such text; a way that leads into a value, or beyond a list.

    >>> document = read_document(b"source: {fs: 100}\\nsteps: [1, {a: 2}]", "job.yaml")
    >>> overridden(document, ["source.fs=250.5", "steps[1].a=[x, y]", "threads=2"]).root.plain()
    {'source': {'fs': 250.5}, 'steps': [1, {'a': ['x', 'y']}], 'threads': 2}
    """
    if len(overrides) > MAX_OVERRIDES:
        raise ConfigError(f"{len(overrides)} values to override, at most {MAX_OVERRIDES}; write them into the file")
    root = document.root
    for text in overrides:
        way, equals, value = text.partition("=")
        name = printable(text, 100)
        if not equals or not value.strip():
            raise ConfigError(f"{quoted(text)}: an override is written as key.path=value")
        offset = len(way) + 1
        parsed = read_document(value.encode("utf-8", "surrogatepass"), name).root
        root = _put(root, _steps_of(way, name), _moved(parsed, name, offset), name, ())
    return Document(document.name, root)


def _steps_of(way: str, name: str) -> list[str | int]:
    """The steps that `source.fs` or `transforms[1].Scale.scale` means."""
    steps: list[str | int] = []
    position = 0
    while position < len(way):
        match = _STEP.match(way, position)
        if match is None or (position == 0) != (not match[0].startswith((".", "["))):
            raise _error(name, Mark(1, position + 1), "expected keys with dots between them, as in source.fs=250")
        steps.append(int(match[2]) if match[2] else match[1])
        position = match.end()
    if not steps or len(steps) > MAX_DEPTH:
        raise _error(name, Mark(1, 1), f"expected 1 to {MAX_DEPTH} keys, got {len(steps)}")
    return steps


def _moved(node: Node, name: str, offset: int) -> Node:
    """A node of a value, with its place in the whole override."""

    def at(mark: Mark) -> Mark:
        return Mark(mark.line, mark.column + offset if mark.line == 1 else mark.column)

    value: Any = node.value
    if isinstance(value, dict):
        value = {key: _moved(child, name, offset) for key, child in value.items()}
    elif isinstance(value, list):
        value = [_moved(child, name, offset) for child in value]
    return Node(value, at(node.mark), {key: at(mark) for key, mark in node.keys.items()}, name)


def _put(node: Node, steps: Sequence[str | int], value: Node, name: str, before: tuple[str | int, ...]) -> Node:
    """A node with a value at the end of some steps; what is on the way is copied."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(node.value, list):
        text = str(step)
        if not text.isdecimal() or int(text) >= len(node.value):
            what = f"{spell(before) or 'it'} is a list of {len(node.value)}, counted from 0"
            raise _error(name, Mark(1, 1), f"there is no {quoted(text)} here: {what}")
        items = list(node.value)
        items[int(text)] = _put(items[int(text)], rest, value, name, (*before, int(text)))
        return replace(node, value=items)
    if node.value is None:
        node = Node({}, node.mark, {}, node.name)
    if not isinstance(node.value, dict) or isinstance(step, int):
        what = "a map" if isinstance(node.value, dict) else shown(node)
        raise _error(name, Mark(1, 1), f"{quoted(str(step))} leads nowhere: {spell(before) or 'the whole'} is {what}")
    child = node.value.get(step, Node(None, Mark(1, 1), {}, name))
    children = {**node.value, step: _put(child, rest, value, name, (*before, step))}
    return replace(node, value=children, keys={**node.keys, step: node.keys.get(step, Mark(1, 1))})
