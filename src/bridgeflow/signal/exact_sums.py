"""Sums of float64 numbers without rounding: whatever the order, and by any caller, the sum is the same."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np

__all__ = ["ExactSums", "exact_square"]

_UNIT: Final = 1130
"""Sums are whole numbers of 2**-1130, of which every float64 is a multiple."""

_HALF: Final = 26
_SPLIT: Final = float(2**27 + 1)


class ExactSums:
    """Sums of numbers at several places, kept as whole numbers of 2**-1130.

    >>> sums = ExactSums(1)
    >>> sums.add(np.array([[1e300], [1.0], [-1e300], [2.0**-60]]))
    >>> sums[0] == 1 + Fraction(1, 2**60)
    True
    """

    def __init__(self, places: int, units: Sequence[int] | None = None) -> None:
        self.units = [0] * places if units is None else list(units)

    def add(self, x: np.ndarray[Any, Any]) -> None:
        """Add numbers [n, places], all finite."""
        mantissas, exponents = np.frexp(np.asarray(x, np.float64))
        whole = (mantissas * 2.0**53).astype(np.int64)
        shifts = exponents.astype(np.int64) + (_UNIT - 53)
        high, low = whole >> _HALF, whole & ((1 << _HALF) - 1)
        for shift in np.unique(shifts[whole != 0]).tolist():
            here = shifts == shift
            highs, lows = np.where(here, high, 0).sum(0).tolist(), np.where(here, low, 0).sum(0).tolist()
            for place, (upper, lower) in enumerate(zip(highs, lows, strict=True)):
                if upper or lower:
                    self.units[place] += ((upper << _HALF) + lower) << shift

    def merge(self, other: ExactSums) -> None:
        """Add the sums of others, place by place."""
        self.units = [mine + theirs for mine, theirs in zip(self.units, other.units, strict=True)]

    def __getitem__(self, place: int) -> Fraction:
        return Fraction(self.units[place], 1 << _UNIT)

    def __len__(self) -> int:
        return len(self.units)


def exact_square(x: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The square of numbers as the sum of two, without rounding (Dekker 1971), where neither over- nor underflows.

    >>> upper, lower = exact_square(np.array([0.1]))
    >>> Fraction(float(upper[0])) + Fraction(float(lower[0])) == Fraction(0.1) ** 2
    True
    """
    upper = x * x
    spread = _SPLIT * x
    high = spread - (spread - x)
    low = x - high
    return upper, ((high * high - upper) + 2 * high * low) + low * low
