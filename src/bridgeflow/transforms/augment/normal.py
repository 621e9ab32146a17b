"""Normal numbers in float32, drawn by a table: several times as fast as NumPy's, with bits that stay.

The normal distribution is cut into 65,536 cells of equal probability. Sixteen random bits choose a cell, whose middle
(by probability) is the number; in the two outermost cells it is drawn from the tail itself. So numbers are normal to
the resolution of 16 bits, and follow from the bits of the generator by look-ups alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np

__all__ = ["draw_normal"]

Array = np.ndarray[Any, Any]

_CELLS: Final = 1 << 16


@cache
def _middles() -> Array:
    """The number for each cell."""
    from scipy.special import ndtri

    middles: Array = ndtri((np.arange(_CELLS) + 0.5) / _CELLS).astype(np.float32)
    return middles


def draw_normal(rngs: Sequence[np.random.Generator], out: Array) -> None:
    """Fill the rows of an array with independent numbers of mean 0 and variance 1.

    Args:
        rngs: of each row, whose next bits are used: sixteen for each number, and one number from 0 to 1 for each in a
            tail.
        out: float32 [rows, ...], C-contiguous.

    >>> x = np.empty((2, 100_000), np.float32)
    >>> draw_normal([np.random.default_rng(0), np.random.default_rng(1)], x)
    >>> bool(abs(x.mean()) < 0.01), bool(abs(x.std() - 1) < 0.01)
    (True, True)
    """
    table, one = _middles(), np.uint16(1)
    for row, rng in zip(out.reshape(len(rngs), -1), rngs, strict=True):
        words: Any = rng.bit_generator.random_raw(-(-len(row) // 4))
        cells = words.astype("<u8", copy=False).view("<u2")[: len(row)]
        table.take(cells, out=row, mode="clip")
        in_tail = (cells + one) < 2
        if in_tail.any():
            tails = np.flatnonzero(in_tail)
            from scipy.special import ndtri

            sizes = -ndtri((1 - rng.random(tails.size)) / _CELLS)
            row[tails] = np.where(cells[tails] == 0, -sizes, sizes)
