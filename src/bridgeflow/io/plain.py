"""Plain columns: numbers, rows of one shape, no nulls. These are ndarrays; all other columns are Arrow arrays.

Real and complex numbers and booleans of one byte are plain, alone or in fixed-shape tensors and fixed-size lists. Text,
dates, bits, rows of unequal length and whatever has nulls stay in Arrow, which takes its memory to be immutable: such
columns are never written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from bridgeflow.bridge.arrow_layout import element_of, levels
from bridgeflow.bridge.dtypes import SHARED_DTYPES
from bridgeflow.io.arrow_take import take

__all__ = ["Numbers", "as_array", "as_arrow", "by_part", "gather", "gather_from", "join", "like", "numbers", "own"]

_MOST_AXES = 64
"""Most axes of an ndarray."""


class Numbers(NamedTuple):
    """The rows of a plain column: their element type and shape, and the bytes of one."""

    dtype: np.dtype[Any]
    inner: tuple[int, ...]
    width: int

    def empty(self, rows: int = 0) -> Any:
        """New memory for rows."""
        return np.empty((rows, *self.inner), self.dtype)


def numbers(type: pa.DataType) -> Numbers | None:
    """What the rows of an Arrow type are as ndarrays whose bytes are Arrow's; `None` for types that are not plain.

    >>> numbers(pa.fixed_shape_tensor(pa.int16(), (2, 3)))
    Numbers(dtype=dtype('int16'), inner=(2, 3), width=12)
    >>> numbers(pa.list_(pa.float32())), numbers(pa.date64()), numbers(pa.bool_())
    (None, None, None)
    """
    try:
        return _numbers(type)
    except TypeError:  # an extension type of a user's own need not be hashable
        return None


@lru_cache(maxsize=1024)
def _numbers(type: pa.DataType) -> Numbers | None:
    element = element_of(type)
    if element.permutation or (element.layout, element.encoding) != ("strided", ""):
        return None
    if element.dtype not in SHARED_DTYPES:
        return None
    dtype, inner = np.dtype(element.dtype), element.inner
    return Numbers(dtype, inner, prod(inner) * dtype.itemsize) if len(inner) < _MOST_AXES else None


def as_array(column: Any, kind: Numbers) -> Any:
    """The rows of an Arrow column of this kind as an ndarray, a view where values are aligned; the column itself where
    a row, or a number within one, is null.
    """
    if isinstance(column, np.ndarray):
        return column
    for level in levels(column):
        if level.null_count:
            return column
        bottom = level
    buffer = bottom.buffers()[1]
    if buffer is None or not len(column) * kind.width:
        return kind.empty(len(column))
    start = bottom.offset * (bottom.type.bit_width // 8)
    array: np.ndarray = np.ndarray((len(column), *kind.inner), kind.dtype, buffer, start)
    return array if array.flags.aligned else array.copy()


def as_arrow(type: pa.DataType, rows: int, buffer: pa.Buffer) -> pa.Array:
    """The column of a plain type whose bytes these are."""
    if isinstance(type, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(type, as_arrow(type.storage_type, rows, buffer))
    if pa.types.is_fixed_size_list(type):
        values = as_arrow(type.value_type, rows * type.list_size, buffer)
        return pa.Array.from_buffers(type, rows, [None], children=[values])
    return pa.Array.from_buffers(type, rows, [None, buffer])


def own(column: Any) -> Any:
    """A column for one caller, who may write to it: an ndarray that is not writable is copied; Arrow arrays stay."""
    return column if not isinstance(column, np.ndarray) or column.flags.writeable else column.copy()


def gather(column: Any, indices: Any) -> Any:
    """The rows at `indices`, in their order, in new memory."""
    return column[indices] if isinstance(column, np.ndarray) else take(column, indices)


def by_part(parts: Any) -> tuple[list[int], list[Any]]:
    """The parts that rows lie in, given the part of each row, and for each of them which of the rows these are.

    >>> needed, groups = by_part(np.array([3, 0, 3]))
    >>> needed, [group.tolist() for group in groups]
    ([0, 3], [[1], [0, 2]])
    """
    needed = np.unique(parts)
    order = np.argsort(parts, kind="stable")
    return needed.tolist(), np.split(order, np.searchsorted(parts[order], needed[1:]))


def gather_from(columns: Sequence[Any], chosen: Sequence[Any], places: Sequence[Any]) -> Any:
    """The rows `chosen[i]` of the i-th column at `places[i]`, which fill one column, in new memory."""
    count = sum(map(len, places))
    if all(isinstance(column, np.ndarray) for column in columns):
        array = np.empty((count, *columns[0].shape[1:]), columns[0].dtype)
        for column, rows, place in zip(columns, chosen, places, strict=True):
            array[place] = column[rows]
        return array
    order = np.empty(count, np.int64)
    order[np.concatenate(places)] = np.arange(count)
    return gather(join([gather(column, rows) for column, rows in zip(columns, chosen, strict=True)]), order)


def join(columns: Sequence[Any]) -> Any:
    """Columns of one type, one after the other, in new memory. Where one of them has nulls, so that it is Arrow's, all
    become Arrow's.
    """
    arrow = next((column for column in columns if not isinstance(column, np.ndarray)), None)
    return np.concatenate(columns) if arrow is None else pa.concat_arrays([like(arrow, column) for column in columns])


def like(arrow: pa.Array, column: Any) -> pa.Array:
    """The rows of an ndarray in the type of an Arrow column of the same numbers; Arrow columns as they are."""
    if not isinstance(column, np.ndarray):
        return column
    return as_arrow(arrow.type, len(column), pa.py_buffer(np.ascontiguousarray(column)))
