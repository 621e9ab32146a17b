"""Columns that are in memory already: tables, dicts of arrays, and what any library hands over as an Arrow capsule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bridgeflow._frames import as_column, as_table, is_foreign_table
from bridgeflow.bridge import describe, kind_of, to_arrow, to_numpy
from bridgeflow.bridge.tracing import at
from bridgeflow.errors import BridgeflowError, NoRoute, StageId
from bridgeflow.io.base import Columns, Reader, pick_columns
from bridgeflow.io.columns import Nulls, column_spec
from bridgeflow.io.epochs import EpochsReader, is_epochs
from bridgeflow.io.files import data_error
from bridgeflow.io.mapped import Held
from bridgeflow.io.options import OpenOptions, parse_settings
from bridgeflow.io.pieces import PieceReader
from bridgeflow.io.plain import as_array, gather, numbers

__all__ = ["memory_reader"]

NAME = "values"
"""What an array without a name is called."""

_NARROW = ("bfloat16", "float8_")
"""Floats of torch and ml_dtypes for which NumPy has no type of its own."""


def memory_reader(x: Any, path: Path, options: OpenOptions) -> Reader:
    """The reader of columns in memory.

    Args:
        path: what messages call it.
        options: `columns` also gives an array without a name its own.

    Raises:
        DataError: neither columns by name nor an Arrow array.
    """
    if isinstance(x, Mapping):
        return ArraysReader(x, path, options)
    if is_epochs(x):
        return EpochsReader(x, path, options)
    if isinstance(x, (pa.Table, pa.RecordBatch)):
        return TableReader(x if isinstance(x, pa.Table) else pa.table(x), path, options)
    if hasattr(x, "__arrow_c_stream__") or hasattr(x, "__arrow_c_array__"):
        return TableReader(_imported(x, options.columns), path, options)
    remedy = "give a path, a table, a dict of arrays, or an object with __arrow_c_stream__ or __arrow_c_array__"
    remedy = "run its query: .collect()" if type(x).__name__ == "LazyFrame" else remedy
    raise data_error(path, f"a {type(x).__name__} has no columns", remedy)


def _imported(x: Any, columns: Sequence[str] | None) -> pa.Table:
    """What a capsule holds, as a table; a single array becomes its one column."""
    if isinstance(x, (pa.Array, pa.ChunkedArray)):
        array = x
    elif is_foreign_table(x):
        return as_table(x)
    elif hasattr(x, "__arrow_c_stream__"):
        try:
            return pa.RecordBatchReader.from_stream(x).read_all()
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # a stream of arrays, such as a column of polars
            array = as_column(x)
    else:
        array = pa.array(x)
        if pa.types.is_struct(array.type) and not array.null_count:
            return pa.Table.from_batches([pa.RecordBatch.from_struct_array(array)])
    name = columns[0] if columns is not None and len(columns) == 1 else NAME
    return pa.table({name: array})


class TableReader(PieceReader):
    """The record batches of a table; rows are copied when they are handed out to be written to."""

    random_access = True

    def __init__(self, table: pa.Table, path: Path, options: OpenOptions) -> None:
        table.validate(full=True)
        names = pick_columns(path, options.columns, table.column_names)
        self.reopened = chosen = table.select(names)
        self._batches = chosen.to_batches()
        self.settings = parse_settings(path, table.schema.metadata)
        nulls = {name: Nulls.of(chosen.column(name)) for name in names}
        rows = [batch.num_rows for batch in self._batches]
        self._begin(Held(path), list(chosen.schema), rows, nulls, keep_nulls=options.nulls == "keep")

    def _load(self, number: int) -> pa.RecordBatch:
        return self._batches[number]


class ArraysReader(Reader):
    """Arrays by name: what is not an Arrow array becomes an ndarray, and so do Arrow's of plain numbers."""

    random_access = True

    def __init__(self, arrays: Mapping[str, Any], path: Path, options: OpenOptions) -> None:
        if not all(isinstance(name, str) for name in arrays):
            raise data_error(path, "columns are named by text", "give every array such a name")
        self.file = Held(path)
        self.settings = {}
        names = pick_columns(path, options.columns, list(arrays))
        self._columns = {name: _array(path, name, arrays[name]) for name in names}
        lengths = {name: len(column) for name, column in self._columns.items()}
        if len(set(lengths.values())) != 1:
            listing = ", ".join(f"{name} {length}" for name, length in lengths.items()) or "none"
            raise data_error(path, f"needs columns of one length, got {listing}", "choose with `columns`")
        self.rows = next(iter(lengths.values()))
        self.specs = {name: self._spec(path, name, column) for name, column in self._columns.items()}

    def _spec(self, path: Path, name: str, column: Any) -> Any:
        if isinstance(column, pa.Array):
            return column_spec(path, pa.field(name, column.type), self.rows, Nulls.of(column), keep_nulls=True)
        return replace(describe(column), writable=True)

    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """Views, or where they are to be written to, copies."""
        views = {name: column[start:stop] for name, column in self._columns.items()}
        return {name: _own(view) if writable else _frozen(view) for name, view in views.items()}

    def take(self, indices: Any) -> Columns:
        """Copies of the rows."""
        return {name: gather(column, indices) for name, column in self._columns.items()}


def _array(path: Path, name: str, x: Any) -> Any:
    """A column as an ndarray or an Arrow array in one piece."""
    if kind_of(x) is None:
        raise data_error(path, f"is {type(x).__name__}, not an array", "make an array of it", column=name)
    try:
        with at(f"$.{name}", StageId((), "source")):
            array = x if isinstance(x, pa.Array) else _arrow_or_numpy(x)
    except BridgeflowError as error:
        raise data_error(path, f"has no rows to read: {error}", column=name) from error
    if isinstance(array, pa.Array):
        array.validate(full=True)
        kind = numbers(array.type)
        return array if kind is None else as_array(array, kind)
    if not array.ndim:
        raise data_error(path, "is a single value without rows", "leave it out", column=name)
    return array


def _arrow_or_numpy(x: Any) -> Any:
    if isinstance(x, pa.ChunkedArray):
        return x.combine_chunks()
    if kind_of(x) == "capsule":
        return _imported(x, None).column(0).combine_chunks()
    dtype = describe(x).dtype
    if dtype == "complex32":
        raise NoRoute("dtype", "neither NumPy nor Arrow has complex32", "pass x.to(torch.complex64): equal values")
    if dtype.startswith(_NARROW):  # NumPy would have to widen them
        return x if isinstance(x, np.ndarray) else to_arrow(x)
    return to_numpy(x)


def _own(column: Any) -> Any:
    return column.copy() if isinstance(column, np.ndarray) else column


def _frozen(column: Any) -> Any:
    if isinstance(column, np.ndarray):
        column = column.view()
        column.flags.writeable = False
    return column
