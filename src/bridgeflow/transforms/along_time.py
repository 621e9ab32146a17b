"""Transforms along time: what they do to rows [..., time], on whichever axis of the data time lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np

from bridgeflow.bridge import describe, kind_of, like, to_arrow, to_numpy, to_tensor
from bridgeflow.errors import CannotStream, DataError, naming
from bridgeflow.ranges import Axis
from bridgeflow.signal._axes import axis_of, is_in_place, parse_axis, permuted
from bridgeflow.signal._input import require_strided
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms.base import SameKindTransform

__all__ = ["TimeTransform"]

Order = Sequence[int]
"""Axes of an array in another order, by the numbers that they have."""


@dataclass(frozen=True, kw_only=True)
class TimeTransform(SameKindTransform):
    """A transform of arrays along one axis, time; all other axes are rows, each treated alone.

    A subclass says what it does to rows [..., time]: `transform_rows` and `rows_spec`; `rows_exchanges` where the
    result is not one new array; `rows_state`, `step_rows` and `flush_rows` where it streams. What comes in place of
    time (another number of samples, windows and their samples, nothing) stands in the result where time stood.

    Args:
        axis: of time; negative ones count from the end, as in SciPy. A batch has one axis more in front, so that a
            transform with an axis counted from the front is given the samples of a batch one by one.
    """

    reads_numbers: ClassVar[bool] = True
    reads_only: ClassVar[bool] = True

    axis: Axis = -1

    def check_shared_fields(self) -> None:
        """`keys` and `axis`."""
        super().check_shared_fields()
        with naming(type(self).__name__):
            object.__setattr__(self, "axis", parse_axis(self.axis))

    cuts: ClassVar[bool] = False
    """Whether pieces of the result are whole in time, as windows are, and time is another axis than theirs."""

    # --- what a subclass says ---

    def transform_rows(self, x: Any) -> Any:
        """The transform of rows [..., time], which are only read."""
        raise NotImplementedError

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of rows described by `spec`."""
        raise NotImplementedError

    def rows_exchanges(self, spec: ArraySpec) -> tuple[Exchange, ...]:
        """The crossings made on rows described by `spec`: by default one copy, the result."""
        target = self.rows_spec(spec)
        return (Exchange(source=spec, target=target, action="copy", nbytes=target.nbytes, detail="new values"),)

    def rows_state(self, spec: ArraySpec) -> Any:
        """The state before the first chunk of rows described by `spec`."""
        return None

    def step_rows(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One chunk of rows [..., t]."""
        raise CannotStream(self.stream_obstacle)

    def flush_rows(self, state: Any) -> Any | None:
        """What is left after the last chunk."""
        return None

    @property
    def latency(self) -> int:
        """By how many samples the output of a stream lags behind its input, at most."""
        return 0

    # --- where the axes stand ---

    @property
    def core_ndim(self) -> int | None:
        """From the axis of time to the last; `None` for an axis counted from the front, which a batch would move."""
        return None if self.axis >= 0 else -self.axis

    @property
    def time_axis(self) -> int:
        """Chunks follow each other in time."""
        return self.axis

    @property
    def stream_axis(self) -> int:
        """What comes of chunks stands where time stood."""
        return self.axis

    def core_axes(self, ndim: int) -> frozenset[int] | None:
        """Time alone."""
        return frozenset({range(ndim)[self.axis]}) if -ndim <= self.axis < ndim else None

    def rows_order(self, shape: Sequence[int | None]) -> Order:
        """The axes of the data, time last."""
        with naming(type(self).__name__):
            time = axis_of(self.axis, shape)
        return [number for number in range(len(shape)) if number != time] + [time]

    def result_order(self, ndim: int, result_ndim: int) -> Order:
        """The axes of the result [rows..., core...], of `result_ndim` axes for data of `ndim`, where they belong."""
        rows, core = list(range(ndim - 1)), list(range(ndim - 1, result_ndim))
        time = range(ndim)[self.axis]
        return rows[:time] + core + rows[time:]

    def axis_after(self, axis: int, ndim: int, result_ndim: int) -> int:
        """Where another axis of the data than time stands in the result."""
        row = list(self.rows_order([None] * ndim)).index(axis)
        return list(self.result_order(ndim, result_ndim)).index(row)

    # --- arrays with time anywhere ---

    @final
    def apply(self, x: Any) -> Any:
        """The whole array."""
        if self.axis == -1:
            return self.whole(x)
        rows, order = self._opened(x)
        result = self.whole(rows)
        return result if rows is x else self._closed(result, rows, order, x)

    def whole(self, x: Any) -> Any:
        """`transform_rows`, with what a subclass wraps around it."""
        return self.transform_rows(x)

    @final
    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        moved = self._moved(spec)
        return self.rows_spec(moved) if moved is spec else self._returned(self.rows_spec(moved), spec)

    @final
    def exchanges(self, spec: ArraySpec) -> tuple[Exchange, ...]:
        """The crossings, between arrays as they come in and go out."""
        moved = self._moved(spec)
        if moved is spec:
            return self.rows_exchanges(spec)
        steps = self.rows_exchanges(moved)
        target = self._returned(self.rows_spec(moved), spec)
        return (replace(steps[-1], source=spec, target=target),)

    def init_state(self, spec: ArraySpec) -> Any:
        """The state before the first chunk."""
        super().init_state(spec)
        moved = self._moved(spec)
        return self.begun(moved)

    def begun(self, spec: ArraySpec) -> Any:
        """`rows_state`, with what a subclass wraps around it."""
        return self.rows_state(spec)

    @final
    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One chunk."""
        if self.stream_obstacle:
            raise CannotStream(self.stream_obstacle)
        if self.axis == -1:
            return self.advanced(x, state)
        rows, order = self._opened(x)
        result, after = self.advanced(rows, state)
        return (result if rows is x else self._closed(result, rows, order, x)), after

    def advanced(self, x: Any, state: Any) -> tuple[Any, Any]:
        """`step_rows`, with what a subclass wraps around it."""
        return self.step_rows(x, state)

    @final
    def flush(self, state: Any) -> Any | None:
        """What is still to come after the last chunk."""
        result = self.ended(state)
        if result is None or self.axis == -1:
            return result
        values = self._values(result)
        rows = self._rows_before(values.ndim)
        return self._as_kind(permuted(values, self.result_order(rows, values.ndim)), result)

    def ended(self, state: Any) -> Any | None:
        """`flush_rows`, with what a subclass wraps around it."""
        return self.flush_rows(state)

    def _rows_before(self, result_ndim: int) -> int:
        """How many axes data have whose result has `result_ndim`."""
        return result_ndim

    # --- moving ---

    def _opened(self, x: Any) -> tuple[Any, Order]:
        """Data seen with time last: as they are where it is last already."""
        if kind_of(x) is None:
            try:
                x = np.asarray(x)
            except ValueError as error:
                raise DataError(f"{type(self).__name__}: x cannot be read as one array: {error}") from None
        with naming(type(self).__name__):
            require_strided(x)
        shape = describe(x).shape if not isinstance(x, np.ndarray) and kind_of(x) != "torch" else x.shape
        order = self.rows_order(shape)
        return (x, order) if is_in_place(order) else (permuted(self._values(x), order), order)

    def _closed(self, result: Any, rows: Any, order: Order, x: Any) -> Any:
        result = self._values(result)
        return self._as_kind(permuted(result, self.result_order(len(order), result.ndim)), x)

    def _values(self, x: Any) -> Any:
        """An ndarray or a tensor: Arrow arrays of what NumPy has no type for become tensors."""
        kind = kind_of(x)
        if isinstance(x, np.ndarray) or kind == "torch":
            return x
        if kind is None:
            return np.asarray(x)
        return to_tensor(x, writable=False) if describe(x).dtype == "bfloat16" else to_numpy(x)

    def _as_kind(self, result: Any, x: Any) -> Any:
        """A result with its axes in place: new memory in C order, or the view that it is; as x in kind."""
        if not self.gives_views:
            result = np.ascontiguousarray(result) if isinstance(result, np.ndarray) and result.ndim else result
            result = result if isinstance(result, np.ndarray) else result.contiguous()
        kind = kind_of(x)
        if kind in {None, "numpy", "torch"}:
            return result
        return to_arrow(result) if kind == "arrow" and kind_of(result) == "torch" else like(result, x)

    @property
    def gives_views(self) -> bool:
        """Whether results may share memory with the data."""
        return False

    def _moved(self, spec: ArraySpec) -> ArraySpec:
        """The description of the data with time last."""
        order = self.rows_order(spec.shape) if self.axis != -1 else range(spec.ndim)
        if is_in_place(order):
            return spec
        strides = None if spec.strides is None else tuple(spec.strides[number] for number in order)
        return replace(spec, shape=tuple(spec.shape[number] for number in order), strides=strides)

    def _returned(self, result: ArraySpec, spec: ArraySpec) -> ArraySpec:
        """The description of a result with its axes in place."""
        order = self.result_order(spec.ndim, result.ndim)
        shape = tuple(result.shape[number] for number in order)
        if result.strides is None or result.kind != "numpy":
            return replace(result, shape=shape, strides=None)
        strides = tuple(result.strides[number] for number in order)
        lengths = tuple(0 if n is None else n for n in shape)
        never_read = np.lib.stride_tricks.as_strided(np.empty(1, result.dtype), lengths, strides, writeable=False)
        return replace(describe(never_read), shape=shape, nbytes=result.nbytes, fs=result.fs)
