"""Ranges of numbers: said once, in the type of a field or an option, checked in one place and shown by every schema.

`Annotated[int, Range(1, 100)]` is how a field or an option says it; `Count`, `Finite`, `Positive` and the others below
are the usual ones. `problem` finds the first number of a value that lies outside of what its type says.

What depends on the data, such as the length of a window, is compared with them by `hold`, before memory is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import log10
from numbers import Integral, Real
from operator import index
from types import UnionType
from typing import Annotated, Any, Final, TypeAlias, Union, get_args, get_origin

from bridgeflow.errors import ConfigError, DataError, printable

__all__ = [
    "Axis",
    "Count",
    "Fill",
    "Finite",
    "Length",
    "Natural",
    "NonNegative",
    "Position",
    "Positive",
    "Range",
    "Rate",
    "Seconds",
    "hold",
    "hold_window",
    "longest_window",
    "most_elements",
    "number_text",
    "power_is_beyond",
    "problem",
    "range_words",
    "refuse_outside",
    "whole_number",
]

_LARGEST: Final = 1.7976931348623157e308
_LEAST_LIMIT: Final = 1 << 24
_RATIO: Final = 1024


@dataclass(frozen=True)
class Range:
    """The numbers from `least` to `most`, or above `least`; NaN and infinity are not among them unless `finite=False`.

    >>> Range(1, 100).problem(101)
    'must be from 1 to 100, got 101'
    >>> Range(0, open=True).problem(0.0)
    'must be above 0, got 0.0'
    """

    least: float = -_LARGEST
    most: float = _LARGEST
    open: bool = False
    finite: bool = True

    def problem(self, value: Any) -> str:
        """What is wrong with a number; empty where nothing is."""
        if not self.finite and not -_LARGEST <= value <= _LARGEST:
            return ""
        inside = value <= self.most and (value > self.least if self.open else value >= self.least)  # never for NaN
        return "" if inside else f"must be {self}, got {number_text(value)}"

    def __str__(self) -> str:
        lower, upper = self.least > -_LARGEST, self.most < _LARGEST
        if not upper:
            return "a finite number" if not lower else f"{'above' if self.open else 'at least'} {self.least:g}"
        if not lower:
            return f"at most {_plain(self.most)}"
        if self.open:
            return f"above {_plain(self.least)} and at most {_plain(self.most)}"
        return f"from {_plain(self.least)} to {_plain(self.most)}"

    def __get_pydantic_json_schema__(
        self, core_schema: Any, handler: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        """The same in the JSON Schema."""
        if not self.finite:
            return handler(core_schema)
        lower = {"exclusiveMinimum" if self.open else "minimum": self.least}
        return {**handler(core_schema), **lower, "maximum": self.most}


Finite: TypeAlias = Annotated[float, Range()]
"""Any number but NaN and infinity."""

Fill: TypeAlias = Annotated[float, Range(finite=False)]
"""A value that stands for what is missing: any number, NaN and infinity too."""

NonNegative: TypeAlias = Annotated[float, Range(0)]
"""A number of at least 0."""

Positive: TypeAlias = Annotated[float, Range(0, open=True)]
"""A number above 0."""

Rate: TypeAlias = Annotated[float, Range(1e-12, 1e15)]
"""A frequency in Hz: from one period in thirty thousand years to a petahertz."""

Seconds: TypeAlias = Annotated[float, Range(0, 1e12, open=True)]
"""A stretch of time."""

Length: TypeAlias = Annotated[int, Range(1, (1 << 31) - 1)]
"""How many samples, or steps of as many; more is compared with the data by `hold`."""

Count: TypeAlias = Annotated[int, Range(1, 1 << 20)]
"""How many elements of what a transform derives when it is constructed: taps, samples of a window."""

Natural: TypeAlias = Annotated[int, Range(0, (1 << 31) - 1)]
"""A number of samples that may be none."""

Axis: TypeAlias = Annotated[int, Range(-64, 63)]
"""Which axis; arrays have at most 64."""

Position: TypeAlias = Annotated[int, Range(-(1 << 31), (1 << 31) - 1)]
"""Where something lies, in samples, or by how many it is moved."""


def number_text(value: Any) -> str:
    """A number in a message; one of many digits by its size.

    >>> number_text(1 << 62), number_text(10**5000)
    ('4611686018427387904', 'an integer of 16610 bits')
    """
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)


def problem(hint: Any, value: Any) -> str:
    """What is wrong with the first number in a value that lies outside of the range that its type says; or nothing.

    Args:
        hint: a type with its annotations, as `get_type_hints(cls, include_extras=True)` gives them.
        value: of that type; what is of another is not looked at.

    >>> problem(tuple[Annotated[int, Range(0, 5)], ...] | None, (1, 7))
    'must be from 0 to 5, got 7'
    """
    checked = _check_of(hint)
    return "" if checked is None else checked(value)


_Check: TypeAlias = Callable[[Any], str]


@lru_cache(maxsize=512)
def _check_of(hint: Any) -> _Check | None:
    """The check that a type asks for; `None` where it says nothing of numbers."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        ranges = [one for one in inner[1:] if isinstance(one, Range)]
        if ranges:
            return lambda value: next(filter(None, (one.problem(value) for one in ranges if _is_number(value))), "")
        return _check_of(inner[0])
    if origin in (Union, UnionType):
        checks = [check for check in map(_check_of, inner) if check is not None]
        return (lambda value: next(filter(None, (check(value) for check in checks)), "")) if checks else None
    if origin is tuple:
        each = [_check_of(one) for one in inner if one is not Ellipsis]
        if not any(each):
            return None
        endless = Ellipsis in inner

        def of_items(value: Any) -> str:
            if not isinstance(value, (tuple, list)):
                return ""
            checks = each * len(value) if endless else each
            return next(filter(None, (check(one) for check, one in zip(checks, value, strict=False) if check)), "")

        return of_items
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (Integral, Real)) and not isinstance(value, bool)


def range_words(hint: Any) -> list[str]:
    """The ranges that a type names, in words, each once.

    >>> range_words(Length | tuple[Length, ...] | None), range_words(str)
    (['from 1 to 2147483647'], [])
    """
    if get_origin(hint) is Annotated:
        return [str(one) for one in get_args(hint)[1:] if isinstance(one, Range)]
    return list(dict.fromkeys(words for one in get_args(hint) for words in range_words(one)))


def refuse_outside(hints: Mapping[str, Any], values: object, *, what: str) -> None:
    """Refuse an object with a number outside of its field's range.

    Args:
        hints: the types of the fields, by name.
        values: the object with these attributes.
        what: its name, for errors.

    Raises:
        ConfigError: naming the field, the range and the number.
    """
    for name, hint in hints.items():
        if wrong := problem(hint, getattr(values, name)):
            raise ConfigError(f"{what}: {name} {wrong}", field=name)


def most_elements(data: int) -> int:
    """How many elements a result or a work array may have, for data of `data` elements.

    Padding to a thousand times the data, or to 2**24 elements, can be meant; more is a mistake that would take all
    memory.
    """
    return max(_LEAST_LIMIT, _RATIO * data)


def hold(elements: float, data: int, **values: Any) -> None:
    """Refuse what would make too much of the data, before memory is asked for.

    Args:
        elements: how many the result, or a work array, would have.
        data: how many there are.
        values: the field that says so, with its value.

    Raises:
        ConfigError: more than `most_elements`.

    >>> hold(1 << 62, 500, N=1 << 62)
    Traceback (most recent call last):
    bridgeflow.errors.ConfigError: N=4611686018427387904 takes arrays of 4.61e+18 elements for data of 500...
    """
    most = most_elements(data)
    if elements <= most:
        return
    names = " and ".join(values)
    said = ", ".join(f"{name}={number_text(value)}" for name, value in values.items())
    many = f"{float(elements):.3g}" if elements < _LARGEST else "endlessly many"
    raise ConfigError(
        f"{said} takes arrays of {many} elements for data of {data}, at most {most}; lower {names}",
        field=next(iter(values), None),
    )


def whole_number(
    value: Any,
    *,
    name: str,
    least: int = 1,
    most: int = (1 << 31) - 1,
    error: type[ConfigError | DataError] = ConfigError,
) -> int:
    """A whole number within a range, from an argument that may be anything.

    Raises:
        ConfigError, or `error`: it is not; names it, the range and the value.

    >>> whole_number(7, name="N")
    7
    """
    try:
        number = None if isinstance(value, bool) else index(value)
    except TypeError:
        number = None
    if number is None:
        raise error(f"{name} must be a whole number, got {printable(repr(value), 60)}")
    if wrong := Range(least, most).problem(number):
        raise error(f"{name} {wrong}")
    return number


def power_is_beyond(base: float, exponent: int) -> bool:
    """Whether a power leaves float64, upwards or to zero, or leaves no room for the factors beside it.

    >>> power_is_beyond(0.004, 4), power_is_beyond(1e-200, 2)
    (False, True)
    """
    return exponent * abs(log10(abs(base))) > 250


def longest_window(samples: int) -> int:
    """How long a window over `samples` may be: one reaches over the data from either end, and no further."""
    return max(2 * samples + 1, 1 << 12)


def hold_window(size: int, samples: int, *, name: str) -> None:
    """Refuse a window out of all proportion to the data.

    Raises:
        ConfigError: naming it, the longest and the size.
    """
    if size > longest_window(samples):
        raise ConfigError(
            f"{name} must be at most {longest_window(samples)} for {samples} samples, got {number_text(size)}"
        )


def _plain(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"
