"""Rows of a source as arrays, before any transform: one slice or one gather of columns, converted as columns."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from bridgeflow.bridge import Masked, describe, to_numpy, to_tensor
from bridgeflow.errors import DataError, NoRoute
from bridgeflow.io import Source
from bridgeflow.pipeline.batches import Parts, SampleSet, Values, plain_row
from bridgeflow.policy import Nulls

__all__ = ["ArrayKind", "ColumnFetcher"]

ArrayKind: TypeAlias = Literal["torch", "numpy"]
"""What a dataset's columns are before any transform."""

Conversion: TypeAlias = Literal["arrays", "lists", "values"]
"""How a column is converted: to one array; to an array, or to one for each row where their lengths differ; to plain
Python values."""


class ColumnFetcher:
    """Fetches rows of a source, and converts their columns.

    Args:
        source: where the rows are.
        kind, nulls: as for `SignalDataset`.
    """

    def __init__(self, source: Source, kind: ArrayKind, nulls: Nulls | float) -> None:
        self.source = source
        self.kind = kind
        self.nulls = nulls

    def fetch(self, rows: Any, read_only: frozenset[str] = frozenset()) -> SampleSet:
        """The rows' columns, before any transform.

        Args:
            rows: their numbers, int64, checked.
            read_only: columns that may be given in memory that must not be written to.
        """
        start, stop = int(rows[0]), int(rows[-1]) + 1
        in_a_row = stop - start == len(rows) and bool((rows[1:] > rows[:-1]).all())
        shared = read_only if in_a_row else frozenset()
        source = self.source
        columns = source.rows_between(start, stop, writable=not shared) if in_a_row else source.rows_at(rows)
        data: dict[str, Any] = {}
        for name, column in columns.items():
            data[name] = values = self._converted(name, column, rows, writable=name not in shared)
            if type(values) is Masked:
                data[name], data[f"{name}_mask"] = values
        ragged = any(self.conversions[name] == "lists" and type(data[name]) is Values for name in columns)
        return SampleSet(None, len(rows), Parts(data, len(rows))) if ragged else SampleSet(data, len(rows))

    def _converted(self, name: str, column: Any, rows: Any, *, writable: bool) -> Any:
        how = self.conversions[name]
        if how == "values":
            values = column.tolist() if isinstance(column, np.ndarray) else column.to_pylist()
            return Values(list(map(plain_row, values)))
        try:
            return self._lists(column, rows, writable) if how == "lists" else self._arrays(column, "error", writable)
        except NoRoute as error:
            error.place = f"$.{name}"
            raise

    def _lists(self, column: Any, rows: Any, writable: bool) -> Any:
        """A column of lists: an array where they have one length here, else `Values`."""
        if isinstance(column, np.ndarray):  # of arrays, one for each row
            each = [self._arrays(row, "error", writable) for row in column]
            is_one = len(each) > 0 and len({row.shape for row in each}) == 1
            return self._arrays(np.stack(list(column)), "error", writable) if is_one else Values(each)
        if column.null_count:
            first = rows[column.is_null().to_pylist().index(True)]
            what = f"row {first} is null, and a list that is missing would look like an empty one"
            raise NoRoute("nulls", what, "leave such rows out, or fill the column first")
        try:
            return self._arrays(column, "error", writable)
        except NoRoute as error:
            if error.reason != "ragged":
                raise
        if self.nulls == "mask":  # rows of unequal length have no mask together, but each by itself
            each = [self._arrays(column[n : n + 1], "error", writable) for n in range(len(column))]
            return Masked(Values([row.values[0] for row in each]), Values([row.mask[0] for row in each]))
        return Values(self._arrays(column, "list", writable))

    def _arrays(self, column: Any, ragged: Literal["error", "list"], writable: bool) -> Any:
        is_array = type(column) is np.ndarray
        nulls = "error" if is_array and self.nulls != "mask" else self.nulls  # an ndarray has none
        if self.kind == "torch":
            return to_tensor(column, nulls=nulls, ragged=ragged, writable=writable)
        if is_array and not column.dtype.isnative:  # samples and batches have the byte order that stacking gives
            column = column.astype(column.dtype.newbyteorder("="))
        if is_array and (column.dtype.isbuiltin == 2 or (nulls == "error" and column.flags.writeable >= writable)):
            return column  # of ml_dtypes, or what `to_numpy` would give
        return to_numpy(column, nulls=nulls, ragged=ragged, writable=True if writable else None)

    @cached_property
    def conversions(self) -> dict[str, Conversion]:
        """How each column is converted, by its type alone."""
        return {name: self._conversion(column) for name, column in self.source.slice(0, 0).items()}

    def _conversion(self, column: Any) -> Conversion:
        if isinstance(column, np.ndarray) and column.dtype == object:
            return "lists"
        try:
            self._arrays(column, "error", True)
        except NoRoute:
            return "values"
        if isinstance(column, np.ndarray):
            return "arrays"
        tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_list_view, pa.types.is_large_list_view)
        return "lists" if any(test(column.type) for test in tests) else "arrays"

    def describe(self, name: str) -> Any:
        """What `fetch` gives of a column, for a batch of two."""
        how, spec = self.conversions[name], self.source.specs[name]
        if how == "values":
            return Values(())
        if how == "lists" or self.nulls == "mask":
            raise DataError("what reaches the transform is not known from the schema alone")
        empty = describe(self._arrays(self.source.slice(0, 0)[name], "error", True))
        return empty.fresh(shape=(2, *spec.shape[1:]))
