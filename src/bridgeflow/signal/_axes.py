"""The axis of time: said as an integer, moved to the end for the arithmetic, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bridgeflow.errors import ConfigError, DataError

__all__ = ["axis_of", "is_in_place", "moved", "parse_axis", "permuted", "time_last", "time_where_it_was"]


def parse_axis(axis: object) -> int:
    """The number of an axis.

    Raises:
        ConfigError: it is not an integer.

    >>> parse_axis(np.int64(-2))
    -2
    """
    if isinstance(axis, (bool, np.bool_)) or not isinstance(axis, (int, np.integer)):
        raise ConfigError(
            f"axis must be an integer, such as -1 for the last or 0 for the first, got {axis!r}", field="axis"
        )
    return int(axis)


def axis_of(axis: int, shape: Sequence[int | None]) -> int:
    """The axis of an array of this shape, counted from the front.

    Raises:
        DataError: the array has no such axis.
    """
    count = len(shape)
    if not count:
        raise DataError("x must have at least one axis, got a single number")
    if not -count <= axis < count:
        lengths = ", ".join("?" if n is None else str(n) for n in shape)
        raise DataError(
            f"axis {axis} does not exist, x has {count} axes, [{lengths}]; pass one from {-count} to {count - 1}"
        )
    return range(count)[axis]


def is_in_place(order: Sequence[int]) -> bool:
    """Whether an order of axes is the one that they have."""
    return list(order) == list(range(len(order)))


def permuted(x: Any, order: Sequence[int]) -> Any:
    """An ndarray or tensor seen with its axes in this order."""
    if is_in_place(order):
        return x
    return x.transpose(order) if isinstance(x, np.ndarray) else x.permute(*order)


def time_last(x: Any, axis: int) -> Any:
    """An ndarray or tensor seen with the filtered axis at the end."""
    if axis.__class__ is not int:
        axis = parse_axis(axis)
    if not -x.ndim <= axis < x.ndim:
        axis_of(axis, x.shape)
    if axis in (-1, x.ndim - 1):
        return x
    return np.moveaxis(x, axis, -1) if isinstance(x, np.ndarray) else x.movedim(axis, -1)


def time_where_it_was(y: Any, axis: int) -> Any:
    """The inverse of `time_last`."""
    if axis in (-1, y.ndim - 1):
        return y
    return np.moveaxis(y, -1, axis) if isinstance(y, np.ndarray) else y.movedim(-1, axis)


def moved(x: Any, source: int, target: int) -> Any:
    """An ndarray or a tensor with one axis moved to another place."""
    if source % x.ndim == target % x.ndim:
        return x
    return np.moveaxis(x, source, target) if isinstance(x, np.ndarray) else x.movedim(source, target)
