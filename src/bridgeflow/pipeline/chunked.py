"""Passages: rows of a file on their way through transforms into rows of another.

In files the row comes first; transforms want time last. Where a row is a time step, as in recordings, the axis of rows
is time and moves; where a row is an example, a whole piece of signal, everything stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from bridgeflow._optional import require
from bridgeflow._state import pack_state, unpack_state
from bridgeflow.bridge import has_numpy_dtype, kind_of, route, shape_of, strided
from bridgeflow.bridge.rules import Target
from bridgeflow.errors import BridgeflowError, DataError, at_place
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.joining import joined, len_along
from bridgeflow.pipeline.streams import Chunk, Streams
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.plan import assumed, is_spec
from bridgeflow.tree import place

__all__ = ["ChunkedRun", "Layout", "RowsAre", "require_columns"]

Columns: TypeAlias = dict[str, Any]

RowsAre: TypeAlias = Literal["instants", "examples"]
"""What a row of a file is: a time step of a recording, `[time, ...]`, or an example, `[rows, ..., time]`.
"""


@dataclass(frozen=True)
class Layout:
    """How columns of a file and arrays of transforms go together.

    Args:
        rows: what a row is. Columns of one number a row are the same to both: their one axis is time.
    """

    rows: RowsAre

    @property
    def axis(self) -> int:
        """The axis of rows in the arrays that transforms are given."""
        return -1 if self.rows == "instants" else 0

    def specs(self, columns: Mapping[str, ArraySpec]) -> dict[str, ArraySpec]:
        """What transforms are given of columns described by these."""
        return {name: self._moved(name, spec) for name, spec in columns.items()}

    def _moved(self, name: str, spec: ArraySpec) -> ArraySpec:
        if self.axis == 0 or spec.ndim < 2:
            return spec
        target: Target = "numpy" if has_numpy_dtype(spec.dtype) else "torch"
        try:
            moved = spec if spec.kind == target else route(assumed(spec), target, writable=None).target
        except BridgeflowError as error:
            raise at_place(error, place([name])) from error
        return moved.fresh(shape=(*spec.shape[1:], spec.shape[0]), fs=spec.fs)

    def opened(self, columns: Mapping[str, Any]) -> Columns:
        """The arrays that transforms are given: views with time last.

        Raises:
            NoRoute: rows of several numbers that are null, or of unequal length.
        """
        if self.axis == 0:
            return dict(columns)
        return {name: _time_last(name, column) for name, column in columns.items()}

    def closed(self, result: Any, axes: Mapping[str, int]) -> Columns:
        """Columns for a file: the axis of rows first again.

        Args:
            result: what the transforms made.
            axes: where rows are in each of its arrays; see `Compose.out_axes`. Time is last where nothing is known.

        Raises:
            DataError: what came out is not columns by name.
        """
        require_columns(result, lambda value: kind_of(value) is not None)
        return {name: _rows_first(value, axes.get(place([name]), self.axis)) for name, value in result.items()}


class ChunkedRun:
    """One recording, or one set of examples, on its way in chunks; not for several threads at once.

    Args:
        transform: what all rows go through; it must stream.
        layout: what rows are.
        specs: what each column is; its number of rows does not matter.
        name: of the stream, for errors.

    Rows that come out are columns of equal length: what has come of one column and not yet of another is held back.
    """

    def __init__(self, transform: Compose, layout: Layout, specs: Mapping[str, ArraySpec], *, name: str) -> None:
        self._layout = layout
        self._name = name
        self._streams = Streams(transform, axis=layout.axis)
        self._axes = transform.out_axes(layout.specs(specs), axis=layout.axis)
        self._held: Columns = {}

    @property
    def position(self) -> int:
        """The row that comes next."""
        return self._streams.position(self._name)

    def push(self, columns: Columns, *, last: bool = False) -> Columns:
        """The next rows: those that have become certain, maybe none; with the last, all that are left.

        Raises:
            DataError: the transforms have made columns of different lengths in the end.
            BridgeflowError: what a transform refuses.
        """
        chunk = Chunk(stream=self._name, start=self.position, data=self._layout.opened(columns), last=last)
        results = self._layout.closed(self._streams.push(chunk), self._axes)
        together = {
            name: joined([self._held[name], part], 0) if name in self._held else part for name, part in results.items()
        }
        lengths = {name: len_along(part, 0) for name, part in together.items()}
        ready = min(lengths.values(), default=0)
        if last and len(set(lengths.values())) > 1:
            raise DataError(different_lengths(lengths))
        self._held = {name: _own(part[ready:]) for name, part in together.items() if lengths[name] > ready}
        return {name: part[:ready] for name, part in together.items()}

    def begin(self, empty: Columns) -> bool:
        """Begin with columns without rows; whether anything but the position is carried from there to later rows."""
        self.push(empty)
        return self._streams.carries(self._name)

    def skip(self, to: int) -> None:
        """Go on at a later row, after `begin` has said that nothing is carried."""
        self._streams.skip(self._name, to)

    def state_dict(self) -> dict[str, Any]:
        """How far the run has got, as plain values that JSON can hold."""
        return {"streams": self._streams.state_dict(), "held": pack_state(self._held)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from where the saved run had got to."""
        self._streams.load_state_dict(saved["streams"])
        self._held = unpack_state(saved["held"])


def different_lengths(lengths: Mapping[str, int]) -> str:
    """The message about columns that cannot stand in one file."""
    named = ", ".join(f"{name} {length}" for name, length in lengths.items())
    return (
        f"the transforms make columns of different lengths ({named}), and a file has one; "
        "window or resample them alike, or leave columns out with `columns` of the source"
    )


def lengths_of(specs: Any, axes: Mapping[str, int]) -> dict[str, int]:
    """How many rows each column will have, as far as that is known."""
    if not isinstance(specs, dict):
        return {}
    lengths = {}
    for name, spec in specs.items():
        axis = axes.get(place([name]))
        if is_spec(spec) and axis is not None:
            rows = spec.shape[axis] if spec.shape else 1
            lengths.update({} if rows is None else {name: rows})
    return lengths


def require_columns(result: Any, is_column: Callable[[Any], bool]) -> None:
    """Refuse what cannot be the columns of a file: anything but arrays by name.

    Args:
        result: what the transforms make, or the plan of it.
        is_column: whether a value is an array, or stands for one.

    Raises:
        DataError: it is not a dict, has no entries, or has an entry that is not an array.
    """
    if not isinstance(result, dict):
        raise DataError(
            f"a file takes columns by name, and the transforms make {type(result).__name__} of them; "
            "end with a dict of arrays"
        )
    if not result:
        raise DataError("a file takes columns by name, and the transforms leave none; keep one")
    for name, value in result.items():
        if not isinstance(name, str) or not is_column(value):
            what = "is not named by text" if not isinstance(name, str) else f"is {type(value).__name__}, not an array"
            raise DataError(f"the transforms make a column {name!r} that {what} with rows; leave it out")


def _time_last(name: str, column: Any) -> Any:
    """Rows of several numbers as a view with time last; other columns as they are."""
    if len(shape_of(column)) < 2:
        return column
    try:
        moved = strided(column)
    except BridgeflowError as error:
        raise at_place(error, place([name])) from error
    return np.moveaxis(moved, 0, -1) if isinstance(moved, np.ndarray) else moved.movedim(0, -1)


def _rows_first(value: Any, axis: int) -> Any:
    """The array with this axis first, as a view. A single number is a column with one row."""
    if kind_of(value) not in {"numpy", "torch", "arrow"}:
        value = strided(value)
    ndim = len(shape_of(value))
    if ndim >= 2 and axis % ndim:
        value = strided(value)
        return np.moveaxis(value, axis, 0) if isinstance(value, np.ndarray) else value.movedim(axis, 0)
    if ndim:
        return value
    return (
        require("pyarrow", needed_for="Arrow scalars").repeat(value, 1)
        if kind_of(value) == "arrow"
        else value.reshape(1)
    )


def _own(rows: Any) -> Any:
    """Held rows in memory of their own: a view would keep its whole chunk alive."""
    if kind_of(rows) == "torch":
        return rows.clone()
    return rows.copy() if isinstance(rows, np.ndarray) else rows
