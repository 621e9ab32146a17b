"""What an option of a curated function of SciPy may be: types, ranges, and how an error spells them."""

from __future__ import annotations

from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from bridgeflow.ranges import number_text
from bridgeflow.ranges import problem as outside_range

__all__ = ["Option", "fits", "spelled"]


@dataclass(frozen=True)
class Option:
    """What an option may be.

    Args:
        hint: its type: `int`, `float`, `bool`, `str`, a `Literal`, a tuple of such, or a union of them. A number says
            its range: `Annotated[int, Range(1, 5)]`.
        odd: whether it must be an odd number.
        required: whether it must be given; where it need not, SciPy's default holds.
    """

    hint: Any
    odd: bool = False
    required: bool = False

    def problem(self, value: object) -> str:
        """What is wrong with a value; empty where nothing is.

        >>> from bridgeflow.ranges import Length
        >>> Option(Length, odd=True).problem(4)
        'must be odd, got 4'
        """
        if not fits(value, self.hint):
            return f"must be {spelled(self.hint)}, got {number_text(value)}"
        if outside := outside_range(self.hint, value):
            return outside
        if self.odd and isinstance(value, int) and value % 2 == 0:
            return f"must be odd, got {value!r}"
        return "must not be empty" if value == () else ""


def fits(value: object, hint: Any) -> bool:
    """Whether a value is of a type, of which the ranges of numbers are no part."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return fits(value, inner[0])
    if origin in (Union, UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        each = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return len(each) == len(value) and all(map(fits, value, each))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def spelled(hint: Any) -> str:
    """A type in the words of an error message."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return spelled(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(map(spelled, inner))
    if origin is Literal:
        return f"one of {', '.join(map(repr, inner))}"
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"a tuple, each {spelled(inner[0])}"
        return f"a tuple of {len(inner)}, each {spelled(inner[0])}"
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a text", NoneType: "None"}
    return names[hint]
