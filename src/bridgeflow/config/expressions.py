"""Regular expressions of unknown origin: those whose search takes time in proportion to the text, or nearly so."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from typing import Any, Final

__all__ = ["expression_problem"]

_parser: Any = import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
_ops: Any = import_module("re._constants" if sys.version_info >= (3, 11) else "sre_constants")

_MOST_REPEATS: Final = 12
_MOST_OPEN: Final = 2
_REPEATS = {_ops.MAX_REPEAT, _ops.MIN_REPEAT, getattr(_ops, "POSSESSIVE_REPEAT", None)}
_REFUSED = {_ops.GROUPREF: "back references", _ops.GROUPREF_EXISTS: "conditions", _ops.ASSERT: "assertions",
            _ops.ASSERT_NOT: "assertions"}  # fmt: skip
_LONGEST: Final = 1000


def expression_problem(text: str) -> str:
    """What is wrong with a regular expression from a configuration; empty where nothing is.

    A search may go back over a text again and again: with repetitions within repetitions for ever, and with n
    repetitions in a row that all match the same characters n times over. So repetitions hold single characters, and at
    most two of them are followed by something that they match themselves.

    >>> expression_problem(r"(?P<subject>S[0-9]+)_(?P<night>[^_]+)")
    ''
    >>> expression_problem(r"(a+)+$")
    'has a repetition within a repetition; repeat single characters'
    """
    try:
        parsed = _parser.parse(text)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is not a regular expression ({error})"
    flat: list[Any] = []
    try:
        if problem := _flatten(parsed, flat, False):
            return problem
    except RecursionError:
        return "is too deep"
    repeats = [number for number, (op, _) in enumerate(flat) if op in _REPEATS]
    if len(repeats) > _MOST_REPEATS:
        return f"has {len(repeats)} repetitions, at most {_MOST_REPEATS}"
    if sum(_is_open(flat, number) for number in repeats) > _MOST_OPEN:
        return "has more than two repetitions that match what follows them; end each with a character it does not match"
    if not parsed.state.groupdict:
        return "has no named group, as in (?P<subject>S[0-9]+)"
    return ""


def _flatten(parsed: Any, flat: list[Any], repeated: bool) -> str:
    """The items in a row, those of groups in their place; what is refused."""
    for op, value in parsed:
        if op in _REFUSED:
            return f"has {_REFUSED[op]}, which configurations cannot use"
        if op is _ops.SUBPATTERN:
            if problem := _flatten(value[-1], flat, repeated):
                return problem
        elif op is _ops.BRANCH:
            if repeated:
                return "has alternatives within a repetition; repeat single characters"
            for branch in value[1]:
                if problem := _flatten(branch, flat, repeated):
                    return problem
        elif op in _REPEATS:
            least, most, inner = value
            if most != _ops.MAXREPEAT and int(most) > _LONGEST:
                return f"repeats {int(most)} times, at most {_LONGEST}"
            items: list[Any] = []
            if repeated or any(kind in _REPEATS for kind, _ in inner):
                return "has a repetition within a repetition; repeat single characters"
            if problem := _flatten(inner, items, True):
                return problem
            if len(items) != 1 and (most == _ops.MAXREPEAT or most > 1):
                return "repeats more than a single character; repeat single characters"
            flat += items if (least, most) == (1, 1) else [(op, items)]
        else:
            flat.append((op, value))
    return ""


def _is_open(flat: list[Any], number: int) -> bool:
    """Whether what follows a repetition may be matched by it too."""
    following = next((one for one in flat[number + 1 :] if one[0] is not _ops.AT), None)
    if following is None:
        return False
    if following[0] is not _ops.LITERAL:
        return True
    character = re.escape(chr(following[1]))
    inner = flat[number][1]
    return bool(inner) and _matches(inner[0], character.removeprefix("\\"))


def _matches(item: Any, character: str) -> bool:
    op, value = item
    if op is _ops.LITERAL:
        return bool(chr(value) == character)
    if op is _ops.NOT_LITERAL:
        return bool(chr(value) != character)
    if op is not _ops.IN:
        return True
    negated = bool(value) and value[0][0] is _ops.NEGATE
    inside = any(_in(one, character) for one in value[negated:])
    return inside != negated


def _in(item: Any, character: str) -> bool:
    op, value = item
    if op is _ops.LITERAL:
        return bool(chr(value) == character)
    if op is _ops.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    words = {_ops.CATEGORY_DIGIT: r"\d", _ops.CATEGORY_WORD: r"\w", _ops.CATEGORY_SPACE: r"\s",
             _ops.CATEGORY_NOT_DIGIT: r"\D", _ops.CATEGORY_NOT_WORD: r"\W", _ops.CATEGORY_NOT_SPACE: r"\S"}  # fmt: skip
    return bool(re.fullmatch(words.get(value, "."), character))
