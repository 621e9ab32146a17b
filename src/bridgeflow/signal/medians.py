"""Medians over windows: `medfilt`, SciPy's function, on NumPy, torch and Arrow arrays, and live."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import numpy as np

from bridgeflow.errors import ConfigError, DataError, names_errors
from bridgeflow.ranges import hold, hold_window
from bridgeflow.signal._chunks import State, as_marked, join, kind_mark, own, rows_shape, together
from bridgeflow.signal._input import prepare
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal.fourier import is_complex
from bridgeflow.signal.framing import strided_windows
from bridgeflow.signal.padding import pad_zeros
from bridgeflow.spec import ArraySpec

__all__ = ["RunningMedian", "medfilt"]

Array: TypeAlias = np.ndarray[Any, Any]


@overload
def medfilt(volume: SameKind, kernel_size: int | Sequence[int] | None = ...) -> SameKind: ...
@overload
def medfilt(volume: Any, kernel_size: int | Sequence[int] | None = ...) -> Any: ...
@names_errors("medfilt")
def medfilt(volume: Any, kernel_size: int | Sequence[int] | None = None) -> Any:
    """The median over a window around each element, as `scipy.signal.medfilt` gives it: zeros beyond the ends.

    Args:
        volume: data of any shape: ndarray, tensor, Arrow array or nested lists; real. Only read.
        kernel_size: odd size of the window along each axis, or along all; `None` for 3. `(1, ..., 1, k)` filters rows,
            as `RunningMedian` does.

    Returns:
        As volume in kind, device, shape and dtype. Gradients flow to the elements that are medians. The median of a
        window that holds NaN is NaN; all others are what they would be without it.

    Raises:
        DataError: complex elements, sizes that do not fit.

    >>> medfilt(np.array([1.0, 9.0, 2.0, 3.0, 2.0]), 3)
    array([1., 2., 3., 2., 2.])
    """
    rows = prepare(volume, -1)
    x = rows.values
    sizes = [3] * x.ndim if kernel_size is None else np.atleast_1d(np.asarray(kernel_size)).tolist()
    sizes = sizes * x.ndim if len(sizes) == 1 else sizes
    if len(sizes) != x.ndim:
        raise DataError(f"medfilt: kernel_size {kernel_size!r} has another number of axes than the data, {x.ndim}")
    for size, samples in zip(sizes, x.shape, strict=True):
        check_odd(size, name="kernel_size")
        hold_window(size, int(samples), name="kernel_size")
    if any(size != 1 for size in sizes[:-1]):
        return rows.restore(_around(_ordered(x), sizes))
    half = sizes[-1] // 2
    return rows.restore(inner_medians(pad_zeros(_ordered(x), half, half), sizes[-1]))


def check_odd(size: object, *, name: str) -> None:
    """A window has a middle."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 1 or size % 2 == 0:
        raise ConfigError(f"{name} must be an odd integer, got {size!r}")


def _ordered(x: Any) -> Any:
    if is_complex(x):
        raise DataError("medfilt: complex numbers are not supported: they have no order, and no median")
    if isinstance(x, np.ndarray) and x.dtype.char == "g":
        raise DataError(f"medfilt: {x.dtype} is not supported; convert it to float64")
    return x


def inner_medians(x: Array | Any, size: int) -> Any:
    """The medians [..., T - size + 1] of all windows that lie within rows [..., T]; NaN for a window that holds NaN."""
    if not isinstance(x, np.ndarray):
        return strided_windows(x, size, 1).median(dim=-1).values
    inner = max(x.shape[-1] - size + 1, 0)
    if size == 1 or not inner or not x.size:
        return x[..., size // 2 : size // 2 + inner].copy()
    line, missing = _comparable(np.ascontiguousarray(x))
    # One row after the other as a single one, for which SciPy has a faster way; no window kept crosses a border.
    medians = _ranked(line.ravel(), size // 2, size).reshape(x.shape)
    kept: Array = medians[..., size // 2 : size // 2 + inner].astype(x.dtype)
    if missing is not None:
        upto = np.concatenate([np.zeros((*x.shape[:-1], 1), np.intp), np.cumsum(missing, axis=-1)], axis=-1)
        kept[upto[..., size:] != upto[..., :-size]] = np.nan
    return kept


def _comparable(x: Array) -> tuple[Array, Array | None]:
    """Numbers of a type that SciPy ranks, each of which has an order; and where they were NaN, if any was.

    The running order of the windows that SciPy keeps is lost for all that follow once NaN, which compares with nothing,
    has entered it. Infinity takes its place here: a window that holds it is NaN in the result anyway.
    """
    x = x.astype(np.float32 if x.dtype == np.float16 else np.uint8 if x.dtype == bool else x.dtype, copy=False)
    missing = np.isnan(x) if x.dtype.kind == "f" else None
    if missing is None or not missing.any():
        return x, None
    return np.where(missing, np.asarray(np.inf, x.dtype), x), missing


def _ranked(x: Array, rank: int, size: int | list[int]) -> Array:
    """The number of that rank in the window around each, zeros beyond the ends."""
    from scipy.ndimage import rank_filter

    ranked: Array = rank_filter(x, rank, size=size, mode="constant")
    return ranked


def _around(x: Any, sizes: list[int]) -> Any:
    if isinstance(x, np.ndarray):
        numbers, missing = _comparable(x)
        medians = _ranked(numbers, math.prod(sizes) // 2, sizes).astype(x.dtype)
        if missing is not None:
            medians[_ranked(missing.view(np.uint8), math.prod(sizes) - 1, sizes) > 0] = np.nan
        return medians
    import torch

    around = torch.nn.functional.pad(x, [side for size in reversed(sizes) for side in (size // 2, size // 2)])
    for axis, size in enumerate(sizes):
        around = around.unfold(axis, size, 1)
    return around.flatten(x.ndim).median(dim=-1).values


@dataclass(frozen=True, kw_only=True)
class RunningMedian:
    """The median over `kernel_size` samples around each, along the last axis; zeros beyond the ends, as `medfilt`.

    Args:
        kernel_size: odd.

    Raises:
        ConfigError: a size that has no middle.

    >>> RunningMedian(kernel_size=3)(np.array([[1.0, 9.0, 2.0, 3.0, 2.0]]))
    array([[1., 2., 3., 2., 2.]])
    """

    kernel_size: int = 3

    def __post_init__(self) -> None:
        check_odd(self.kernel_size, name="kernel_size")

    @names_errors("medfilt")
    def __call__(self, x: Any) -> Any:
        """A whole recording [..., T]."""
        rows = prepare(x, -1)
        hold_window(self.kernel_size, int(rows.values.shape[-1]), name="kernel_size")
        half = self.kernel_size // 2
        return rows.restore(inner_medians(pad_zeros(_ordered(rows.values), half, half), self.kernel_size))

    @property
    def reach(self) -> tuple[int, int, int]:
        """Samples before and after its place that a median depends on, and the least that are taken at once."""
        return self.kernel_size // 2, self.kernel_size // 2, self.kernel_size

    @property
    def latency(self) -> int:
        """By how many samples the output of a stream lags behind."""
        return self.kernel_size // 2

    @names_errors("medfilt")
    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`: the same in new memory."""
        if not spec.shape or spec.dtype.startswith("c"):
            raise DataError(f"medfilt: real numbers along an axis, got {spec}")
        if spec.time is not None:
            hold_window(self.kernel_size, spec.time, name="kernel_size")
        kind = "arrow" if spec.kind == "capsule" else spec.kind
        return spec.fresh(layout="strided", null_count=0, writable=kind != "arrow", kind=kind)

    @names_errors("medfilt")
    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk.

        Returns:
            tail: [..., samples], what windows to come still need; zeros at first, for what is before the recording.
            begun: bool [], whether a sample has come.
            kind: text [], kind and dtype of the chunks.
        """
        self.out_spec(spec.with_time(None))
        rows = rows_shape(spec)
        hold(math.prod(rows) * self.latency, 0, kernel_size=self.kernel_size)
        return {"tail": np.zeros((*rows, self.latency)), "begun": np.zeros((), bool), "kind": kind_mark(spec)}

    @names_errors("medfilt")
    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk [..., t], t >= 0: the medians whose windows it completes."""
        rows = prepare(x, -1)
        tail, chunk = together(state["tail"], _ordered(rows.values))
        if not chunk.shape[-1]:
            return rows.restore(own(chunk)), state
        if not state["begun"]:
            tail = tail.astype(chunk.dtype) if isinstance(tail, np.ndarray) else tail.to(chunk.dtype)
        held = join([tail, chunk])
        kept = held[..., max(int(held.shape[-1]) - self.kernel_size + 1, 0) :]
        next_state: State = {
            "tail": own(kept),
            "begun": np.ones((), bool),
            "kind": state["kind"],
        }
        return rows.restore(inner_medians(held, self.kernel_size)), next_state

    def flush(self, state: State) -> Any | None:
        """The medians whose windows reach beyond the end."""
        if not state["begun"] or not self.latency:
            return None
        medians = inner_medians(pad_zeros(state["tail"], 0, self.latency), self.kernel_size)
        return as_marked(medians, state["kind"], same_dtype=True)
