"""Plain columns: rows of one width, one behind the other, without nulls. What can be cut and gathered as bytes.

Numbers, instants, fixed-shape tensors and fixed-size lists of them are plain, as Arrow arrays or as NumPy's. They are
handed out in memory that belongs to the caller alone. What is not plain (text, ragged rows, nulls) goes through Arrow,
which takes such memory to be immutable, and so does everybody who reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from bridgeflow.bridge.arrow_layout import element_of, levels
from bridgeflow.bridge.private import private_buffer
from bridgeflow.io.arrow_take import take

__all__ = [
    "adopt",
    "by_part",
    "gather",
    "gather_from",
    "join",
    "numbers",
    "over",
    "own",
    "row_width",
    "rows_of",
]

_MAX_WIDTH = 1 << 30


def row_width(type: pa.DataType) -> int | None:
    """Bytes of a row, for types whose rows can be plain; `None` for all others.

    >>> row_width(pa.list_(pa.float32(), 12)), row_width(pa.string()), row_width(pa.bool_())
    (48, None, None)
    """
    try:
        return _row_width(type)
    except TypeError:  # somebody's own extension type need not be hashable
        return None


@lru_cache(maxsize=1024)
def _row_width(type: pa.DataType) -> int | None:
    if isinstance(type, pa.BaseExtensionType):
        return _row_width(type.storage_type)
    if pa.types.is_fixed_size_list(type):
        inner = _row_width(type.value_type)
        width = None if inner is None else inner * type.list_size
        return width if width and width <= _MAX_WIDTH else None
    is_number = pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_temporal(type)
    return type.bit_width // 8 if is_number and type.bit_width >= 8 else None


def numbers(type: pa.DataType) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
    """Element type and shape of a row whose bytes, as they lie, are real numbers to NumPy; `None` for all others.

    >>> numbers(pa.fixed_shape_tensor(pa.int16(), (2, 3))), numbers(pa.date64())
    ((dtype('int16'), (2, 3)), None)
    """
    element = element_of(type)
    if row_width(type) is None or element.permutation or (element.layout, element.encoding) != ("strided", ""):
        return None
    is_real = element.dtype.startswith(("int", "uint", "float")) and element.dtype == element.stored
    return (np.dtype(element.dtype), element.inner) if is_real else None


def rows_of(column: pa.Array) -> Any:
    """The rows of a plain Arrow column as opaque values, `[rows]` of `V<width>`; `None` for a column that is not."""
    width = row_width(column.type)
    if width is None:
        return None
    for level in levels(column):
        if level.null_count:
            return None
        bottom = level
    buffer = bottom.buffers()[1]
    if buffer is None or not len(column):
        return np.empty(0, f"V{width}")
    start = bottom.offset * (bottom.type.bit_width // 8)
    return np.frombuffer(buffer, f"V{width}", len(column), start)


def over(type: pa.DataType, rows: int, memory: Any) -> pa.Array:
    """The plain column whose bytes `memory` holds (a contiguous ndarray), writable where that is."""
    buffer = private_buffer(memory) if memory.flags.writeable else pa.py_buffer(memory)
    return _array(type, rows, buffer)


def _array(type: pa.DataType, rows: int, buffer: pa.Buffer) -> pa.Array:
    if isinstance(type, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(type, _array(type.storage_type, rows, buffer))
    if pa.types.is_fixed_size_list(type):
        values = _array(type.value_type, rows * type.list_size, buffer)
        return pa.Array.from_buffers(type, rows, [None], children=[values])
    return pa.Array.from_buffers(type, rows, [None, buffer])


def adopt(column: Any) -> Any:
    """A column in newly made memory that nobody else will be given, as one that may be written to; a view."""
    if isinstance(column, np.ndarray):
        return column if column.flags.writeable else column.copy()
    rows = rows_of(column)
    if rows is None:
        return column
    return over(column.type, len(column), rows if rows.flags.writeable else rows.copy())


def own(column: Any) -> Any:
    """A column copied into memory for one caller, where it is plain; others stay as they are, immutable."""
    if isinstance(column, np.ndarray):
        return column.copy()
    rows = rows_of(column)
    return column if rows is None else over(column.type, len(column), rows.copy())


def gather(column: Any, indices: Any) -> Any:
    """The rows at `indices`, in their order, in memory for one caller."""
    if isinstance(column, np.ndarray):
        return column[indices]
    rows = rows_of(column)
    if rows is None:
        return take(column, indices)
    return over(column.type, len(indices), rows[indices])


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
    """The rows `chosen[i]` of the i-th column at `places[i]`, which fill one column, in memory for one caller."""
    count = sum(map(len, places))
    if isinstance(columns[0], np.ndarray):
        array = np.empty((count, *columns[0].shape[1:]), columns[0].dtype)
        for column, rows, place in zip(columns, chosen, places, strict=True):
            array[place] = column[rows]
        return array
    pieces = [rows_of(column) for column in columns]
    if any(piece is None for piece in pieces):
        back = np.empty(count, np.int64)
        back[np.concatenate(places)] = np.arange(count)
        return gather(join([gather(column, rows) for column, rows in zip(columns, chosen, strict=True)]), back)
    made = np.empty(count, pieces[0].dtype)
    for piece, rows, place in zip(pieces, chosen, places, strict=True):
        made[place] = piece[rows]
    return over(columns[0].type, count, made)


def join(columns: Sequence[Any]) -> Any:
    """Columns of one type, one behind the other, in memory for one caller."""
    first = columns[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(columns)
    pieces = [rows_of(column) for column in columns]
    if any(piece is None for piece in pieces):
        return pa.concat_arrays(columns)
    rows = np.concatenate(pieces)
    return over(first.type, len(rows), rows)
