"""How a recording goes on beyond its ends: the modes of `scipy.signal.upfirdn`, on ndarrays and tensors."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import numpy as np

from bridgeflow.bridge import kind_of

__all__ = ["BACKGROUNDS", "Extension", "extend", "without_background"]

Extension: TypeAlias = Literal[
    "constant",
    "line",
    "mean",
    "median",
    "maximum",
    "minimum",
    "symmetric",
    "reflect",
    "edge",
    "wrap",
    "smooth",
    "antisymmetric",
    "antireflect",
]
"""`cval` (or zero); a line through both ends; a level that is taken off and put back; mirrored at the edge or about the
last sample; held; periodic; a line through the last two samples; and the mirrored ones upside down."""

BACKGROUNDS: Final = ("mean", "median", "maximum", "minimum")
"""Extensions that are a level, one for each row."""


def without_background(x: Any, padtype: str) -> tuple[Any, Any]:
    """Rows [..., T], T > 0, with their level taken off; and the level [..., 1]."""
    if isinstance(x, np.ndarray):
        function: Any = {"mean": np.mean, "median": np.median, "maximum": np.max, "minimum": np.min}[padtype]
        level = np.asarray(function(x, axis=-1, keepdims=True)).astype(x.dtype, copy=False)
    elif padtype == "median":  # torch's own takes the lower of the two in the middle
        middle = (x.shape[-1] - 1) // 2, x.shape[-1] // 2
        level = x.sort(dim=-1).values[..., list(middle)].mean(dim=-1, keepdim=True)
    else:
        level = {"mean": x.mean, "maximum": x.amax, "minimum": x.amin}[padtype](dim=-1, keepdim=True)
    return x - level, level


def extend(x: Any, padtype: str, cval: float, before: int, behind: int) -> Any:
    """Rows [..., T], T > 0, with samples more at either end.

    A single sample has no slope and no neighbour: modes that need one hold it.

    >>> extend(np.array([1.0, 2.0, 4.0]), "antisymmetric", 0.0, 2, 2)
    array([-2., -1.,  1.,  2.,  4., -4., -2.])
    """
    samples = x.shape[-1]
    if samples == 1 and padtype in {"line", "reflect", "smooth", "antireflect"}:
        padtype = "edge"
    places = np.arange(-before, 0), np.arange(samples, samples + behind)
    left, right = (_beyond(x, at, padtype, cval) for at in places)
    if kind_of(x) == "torch":
        import torch

        return torch.cat([left, x, right], dim=-1)
    return np.concatenate([left, x, right], axis=-1)


def _beyond(x: Any, at: np.ndarray[Any, Any], padtype: str, cval: float) -> Any:
    """What stands at indices that lie all before or all behind the recording."""
    samples = x.shape[-1]
    left = len(at) > 0 and at[0] < 0
    first, last = x[..., :1], x[..., -1:]
    if padtype == "constant":
        return _spread(_numbers(x, np.full(len(at), cval)), x)
    if padtype == "edge":
        return _take(x, np.full(len(at), 0 if left else samples - 1))
    if padtype in {"line", "smooth"}:
        slope = (last - first) / (samples - 1)
        if padtype == "smooth":
            slope = x[..., 1:2] - first if left else last - x[..., -2:-1]
        return first + _numbers(x, at) * slope if left else last + _numbers(x, at - (samples - 1)) * slope
    if padtype == "wrap":
        return _take(x, at % samples)
    # mirrored at the edge, each sample counts; mirrored about the last sample, that one counts once
    period = samples if padtype.endswith("symmetric") else samples - 1
    turns, place = np.divmod(at, period)
    odd = turns % 2
    mirrored = _take(x, np.where(odd, samples - 1 - place, place))
    if padtype in {"symmetric", "reflect"}:
        return mirrored
    sign = _numbers(x, np.where(odd, -1, 1))
    if padtype == "antisymmetric":
        return sign * mirrored
    return sign * (mirrored - first) + first + _numbers(x, turns + odd) * (last - first)


def _take(x: Any, at: np.ndarray[Any, Any]) -> Any:
    return x[..., at] if isinstance(x, np.ndarray) else x[..., at.tolist()]


def _numbers(x: Any, values: np.ndarray[Any, Any]) -> Any:
    """Numbers as an array of x's kind, device and dtype."""
    return values.astype(x.dtype) if isinstance(x, np.ndarray) else x.new_tensor(values.tolist())


def _spread(row: Any, x: Any) -> Any:
    """One row for all rows of x."""
    shape = (*x.shape[:-1], len(row))
    return np.broadcast_to(row, shape) if isinstance(x, np.ndarray) else row.expand(shape)
