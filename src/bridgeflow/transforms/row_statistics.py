"""Statistics of rows along their last axis, in NumPy and torch alike; NaN and infinity are left out.

Sums are made by halving: only elementwise additions, in an order that depends on the length alone. So a row has the
same bits alone, in a batch, on any number of threads, and gradients flow. Every result keeps the last axis, with
length 1, and is 0 where a row has no finite number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bridgeflow._optional import loaded

__all__ = ["extremes", "mean_of", "peak", "power", "quantiles"]


def _sum(x: Any) -> Any:
    """The sum along the last axis, which stays with length 1."""
    while x.shape[-1] > 1:
        half, odd = divmod(x.shape[-1], 2)
        total = x[..., :half] + x[..., half : 2 * half]
        if odd:
            total[..., :1] += x[..., -1:]
        x = total
    return x


def mean_of(x: Any) -> Any:
    """The mean of the finite numbers along the last axis, which stays with length 1; 0 where there are none."""
    xp: Any = np if isinstance(x, np.ndarray) else loaded("torch")
    finite = xp.isfinite(x)
    count = finite.sum(-1)[..., None]
    total = _sum(xp.where(finite, x, xp.zeros_like(x)))
    return total / (count + (count == 0))


def power(x: Any) -> Any:
    """The mean square along the last axis, which stays with length 1; NaN and infinity are left out."""
    is_complex = x.dtype.kind == "c" if isinstance(x, np.ndarray) else x.is_complex()
    return mean_of(x.real * x.real + x.imag * x.imag if is_complex else x * x)


def peak(x: Any) -> Any:
    """The largest absolute value along the last axis, which stays with length 1; NaN and infinity are left out."""
    xp: Any = np if isinstance(x, np.ndarray) else loaded("torch")
    size = xp.where(xp.isfinite(x), abs(x), xp.zeros_like(x.real))
    return size.max(-1, keepdims=True) if isinstance(x, np.ndarray) else size.amax(-1, keepdim=True)


def extremes(x: Any) -> tuple[Any, Any]:
    """The smallest and the largest value."""
    xp: Any = np if isinstance(x, np.ndarray) else loaded("torch")
    finite = xp.isfinite(x)
    low: Any = xp.where(finite, x, xp.full_like(x, np.inf))
    high: Any = xp.where(finite, x, xp.full_like(x, -np.inf))
    if isinstance(x, np.ndarray):
        low, high = low.min(-1, keepdims=True), high.max(-1, keepdims=True)
    else:
        low, high = low.amin(-1, keepdim=True), high.amax(-1, keepdim=True)
    known = xp.isfinite(low)  # no row without a finite number
    return xp.where(known, low, xp.zeros_like(low)), xp.where(known, high, xp.zeros_like(high))


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
        known = xp.isfinite(low)  # no row without a finite number
        low, high = (xp.where(known, one, xp.zeros_like(one)) for one in (low, high))
        results.append(low + (high - low) * weight)
    return results
