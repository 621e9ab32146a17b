"""Statistics of rows along their last axis, in NumPy and torch alike; NaN and infinity are left out.

Sums are made of blocks of fixed length, each by halving: only elementwise additions, in an order that depends on the
length alone. So a row has the same bits alone, in a batch, on any number of threads, and read in pieces (`Pieces`), and
gradients flow. Every result keeps the last axis, with length 1, and is 0 where a row has no finite number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import numpy as np

from bridgeflow._optional import loaded

__all__ = [
    "BLOCK",
    "Pieces",
    "extremes",
    "extremes_of",
    "mean_of",
    "mean_over",
    "peak",
    "power",
    "quantiles",
    "square",
    "sum_of",
]

BLOCK: Final = 4096
"""Samples of a block of a sum."""

Pieces: TypeAlias = Callable[[], Iterable[Any]]
"""Gives a row, or rows, as pieces [..., t] one after the other; all but the last have a multiple of `BLOCK` samples."""


def _halved(x: Any) -> Any:
    """The sum along the last axis, which stays with length 1."""
    while x.shape[-1] > 1:
        half, odd = divmod(x.shape[-1], 2)
        total = x[..., :half] + x[..., half : 2 * half]
        if odd:
            total[..., :1] += x[..., -1:]
        x = total
    return x


def _block_sums(x: Any) -> Any:
    """The sum of each block along the last axis."""
    whole = x.shape[-1] - x.shape[-1] % BLOCK
    sums = [_halved(x[..., :whole].reshape(*x.shape[:-1], whole // BLOCK, BLOCK))[..., 0]] if whole else []
    return _joined(sums if whole == x.shape[-1] and whole else [*sums, _halved(x[..., whole:])])


def _joined(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts, axis=-1) if isinstance(parts[0], np.ndarray) else loaded("torch").cat(parts, dim=-1)  # type: ignore[union-attr]


def _sum(x: Any) -> Any:
    while x.shape[-1] > BLOCK:
        x = _block_sums(x)
    return _halved(x)


def sum_of(x: Any) -> Any:
    """The sum along the last axis."""
    return _sum(x)[..., 0] if x.shape[-1] else x.sum(-1)


def mean_over(pieces: Pieces, function: Callable[[Any], Any] | None = None, *, together: bool = False) -> Any:
    """The mean of the finite numbers of rows, [..., 1]; 0 where there are none.

    Args:
        pieces: of the rows.
        function: of each number, whose mean it is; `None` for the numbers themselves.
        together: one mean [1] of all rows.
    """
    sums: list[Any] = []
    count: Any = 0
    for piece in pieces():
        x = piece if function is None else function(piece)
        xp: Any = np if isinstance(x, np.ndarray) else loaded("torch")
        finite = xp.isfinite(x)
        count = count + finite.sum(-1)[..., None]
        sums.append(_block_sums(xp.where(finite, x, xp.zeros_like(x))))
    total = _sum(_joined(sums))
    if together:
        total, count = _sum(total.reshape(-1)), count.sum().reshape(1)
    count = count + (count == 0)
    return total / (count.astype(total.real.dtype) if isinstance(total, np.ndarray) else count)


def square(x: Any) -> Any:
    """The squared magnitude of numbers."""
    is_complex = x.dtype.kind == "c" if isinstance(x, np.ndarray) else x.is_complex()
    return x.real * x.real + x.imag * x.imag if is_complex else x * x


def mean_of(x: Any) -> Any:
    """The mean of the finite numbers along the last axis, which stays with length 1; 0 where there are none."""
    return mean_over(lambda: (x,))


def power(x: Any) -> Any:
    """The mean square along the last axis, which stays with length 1; NaN and infinity are left out."""
    return mean_over(lambda: (x,), square)


def peak(x: Any) -> Any:
    """The largest absolute value along the last axis, which stays with length 1; NaN and infinity are left out."""
    xp: Any = np if isinstance(x, np.ndarray) else loaded("torch")
    size = xp.where(xp.isfinite(x), abs(x), xp.zeros_like(x.real))
    return size.max(-1, keepdims=True) if isinstance(x, np.ndarray) else size.amax(-1, keepdim=True)


def extremes(x: Any) -> tuple[Any, Any]:
    """The smallest and the largest value."""
    return extremes_of(lambda: (x,))


def extremes_of(pieces: Pieces, *, together: bool = False) -> tuple[Any, Any]:
    """The smallest and the largest value of rows, [..., 1] each; of all rows together [1]."""
    lows: list[Any] = []
    highs: list[Any] = []
    for x in pieces():
        xp: Any = np if isinstance(x, np.ndarray) else loaded("torch")
        finite = xp.isfinite(x)
        lows.append(_least(xp.where(finite, x, xp.full_like(x, np.inf))))
        highs.append(_least(xp.where(finite, -x, xp.full_like(x, np.inf))))
    low, high = _least(_joined(lows)), _least(_joined(highs))
    if together:
        low, high = _least(low.reshape(-1)), _least(high.reshape(-1))
    has_numbers = xp.isfinite(low)  # no row without a finite number
    return xp.where(has_numbers, low, xp.zeros_like(low)), xp.where(has_numbers, -high, xp.zeros_like(high))


def _least(x: Any) -> Any:
    return x.min(-1, keepdims=True) if isinstance(x, np.ndarray) else x.amin(-1, keepdim=True)


def quantiles(x: Any, parts: tuple[float, ...]) -> list[Any]:
    """Quantiles, linear between neighbours, as `numpy.nanquantile` gives them.

    >>> [float(one[0]) for one in quantiles(np.array([3.0, 1.0, 2.0, np.nan]), (0.25, 0.5))]
    [1.5, 2.0]
    """
    xp: Any = np if isinstance(x, np.ndarray) else loaded("torch")
    finite = xp.isfinite(x)
    filled = xp.where(finite, x, xp.full_like(x, np.inf))
    ordered = np.sort(filled, axis=-1) if isinstance(x, np.ndarray) else filled.sort(-1).values
    last = (finite.sum(-1)[..., None] - 1).clip(0)
    take: Any = np.take_along_axis if isinstance(x, np.ndarray) else xp.take_along_dim
    results = []
    for part in parts:
        place = last * part
        below = xp.floor(place)
        weight = place - below
        below = below.astype(np.int64) if isinstance(x, np.ndarray) else below.long()
        low, high = take(ordered, below, -1), take(ordered, xp.minimum(below + 1, last), -1)
        weight = weight.astype(x.dtype) if isinstance(x, np.ndarray) else weight.to(x.dtype)
        has_numbers = xp.isfinite(low)  # no row without a finite number
        low, high = (xp.where(has_numbers, one, xp.zeros_like(one)) for one in (low, high))
        results.append(low + (high - low) * weight)
    return results
