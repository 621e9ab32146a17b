"""Trends taken off: `detrend`, SciPy's function, on NumPy, torch and Arrow arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, TypeAlias, overload

import numpy as np

from bridgeflow.bridge import kind_of
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.policy import parse_word, words
from bridgeflow.signal._arguments import names_arguments
from bridgeflow.signal._input import as_ndarray, prepare
from bridgeflow.signal._typing import SameKind

__all__ = ["Detrend", "Trend", "detrend", "detrended", "without_trend"]

Trend: TypeAlias = Literal["linear", "constant", "l", "c"]
"""The straight line of least squares, or the mean; in SciPy's words."""

Detrend: TypeAlias = Trend | Callable[[Any], Any] | None
"""What is taken off each slice: its mean, a line, what a function takes off [..., samples], or nothing."""


@overload
def detrend(
    data: SameKind, axis: int = ..., type: Trend = ..., bp: int | Sequence[int] = ..., overwrite_data: bool = ...
) -> SameKind: ...
@overload
def detrend(
    data: Any, axis: int = ..., type: Trend = ..., bp: int | Sequence[int] = ..., overwrite_data: bool = ...
) -> Any: ...
@names_arguments
def detrend(
    data: Any, axis: int = -1, type: Trend = "linear", bp: int | Sequence[int] = 0, overwrite_data: bool = False
) -> Any:
    """Take a trend off along one axis, as `scipy.signal.detrend` does.

    Args:
        data: data of any shape: ndarray, tensor, Arrow array or nested lists; real, complex, integer or boolean.
        axis: the axis of time.
        type: `"linear"`: the straight line of least squares; `"constant"`: the mean.
        bp: for `"linear"`, where a new line begins: an index, or several.
        overwrite_data: write the result over the data, which must then be a floating ndarray or tensor.

    Returns:
        As data in kind, device and dtype, but for integers and booleans, which become float64. Sums are float64.
        Gradients flow.

    Raises:
        DataError: no samples, break points beyond the data, data that cannot be overwritten.
        ValueError: a type that is not one of the words.

    >>> detrend([1.0, 2.0, 3.0, 5.0]).round(9)
    array([ 0.2, -0.1, -0.4,  0.3])
    """
    kind = parse_word(type, Trend, field="type")
    rows = prepare(data, axis)
    x, samples = rows.values, int(rows.values.shape[-1])
    if not samples:
        raise DataError("detrend: no trend runs through no samples")
    places = sorted({0, *np.atleast_1d(as_ndarray(bp)).tolist(), samples})
    if places[0] < 0 or places[-1] > samples:
        raise DataError(f"detrend: break points must lie within the {samples} samples, got {bp!r}")
    wide = _widened(x)
    pieces = [wide] if kind[0] == "c" else [wide[..., begin:end] for begin, end in pairwise(places)]
    flat = [detrended(piece, kind) for piece in pieces]
    if isinstance(x, np.ndarray):
        y: Any = np.concatenate(flat, axis=-1).astype(x.dtype if x.dtype.kind in "fc" else np.float64, copy=False)
    else:
        import torch

        y = torch.cat(flat, dim=-1).to(x.dtype if x.is_floating_point() or x.is_complex() else torch.float64)
    result = rows.restore(y)
    return _overwritten(data, result) if overwrite_data else result


def detrended(x: Any, kind: str) -> Any:
    """Rows [..., T], T > 0, floating, less their trend, in their own precision.

    The line is found from the mean and from the slope against centred time, which is orthogonal to it.
    """
    samples = x.shape[-1]
    flat = x - (x.mean(-1, keepdims=True) if isinstance(x, np.ndarray) else x.mean(-1, keepdim=True))
    if kind[0] == "c" or samples == 1:
        return flat
    time = np.arange(samples) - (samples - 1) / 2
    energy = float(time @ time)
    if isinstance(x, np.ndarray):
        time = time.astype(x.real.dtype)
        return flat - (flat * time).sum(-1, keepdims=True) / energy * time
    line = x.new_tensor(time.tolist(), dtype=x.dtype.to_real() if x.is_complex() else x.dtype)
    return flat - (flat * line).sum(-1, keepdim=True) / energy * line


def _widened(x: Any) -> Any:
    """In double precision; what is wider stays."""
    if isinstance(x, np.ndarray):
        return x.astype(np.result_type(x.dtype, np.float64), copy=False)
    from bridgeflow.signal._torch import float_dtype

    return x.to(float_dtype(x, double=True))


def _overwritten(data: Any, result: Any) -> Any:
    if kind_of(data) not in {"numpy", "torch"} or data.dtype != result.dtype:
        raise DataError("detrend: overwrite_data=True needs a floating ndarray or tensor to write to")
    if isinstance(data, np.ndarray) and not data.flags.writeable:
        raise DataError("detrend: overwrite_data=True, but the array is read-only")
    data[...] = result
    return data


def without_trend(slices: Any, detr: Detrend) -> Any:
    """Slices [..., samples] of which a trend was taken off.

    Raises:
        ConfigError: a trend that is not one.
    """
    if detr is None:
        return slices
    if callable(detr):
        return detr(slices)
    if not isinstance(detr, str):
        raise ConfigError(f"stft: Parameter detr={detr!r} is not a str, function or None!")
    if detr not in words(Trend):
        raise ConfigError(f"stft: Trend type must be 'linear' or 'constant', got {detr!r}")
    return detrended(slices, detr)
