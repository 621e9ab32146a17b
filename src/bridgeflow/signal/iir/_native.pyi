"""The compiled kernel (native.cpp)."""

from typing import Any, Final

import numpy as np

_Array = np.ndarray[Any, Any]

SMALL: Final[int]
"""Data of at most this many elements run on one thread in any case."""

def instruction_sets() -> list[str]:
    """Those that this build has code for and this machine runs, best first."""

def run(
    sos: _Array,
    x: _Array,
    out: _Array | None,
    zi: _Array | None,
    zf: _Array | None,
    single_precision: bool,
    scale: float,
    offset: float,
    threads: int,
    isa: str,
    padding: int,
    padlen: int,
    steady: _Array | None,
) -> bool:
    """Filter along the last axis; says whether the final state was wanted and is finite throughout.

    Args:
        sos: float64 [S, 6], contiguous; or [F, S, 6], a bank, with which y is [..., F, T] and a state [S, ..., F, 2].
        x: [..., T] of float32, float64, int16, int32, uint8, uint16, complex64 or complex128, any strides.
        out: [..., T] of float32, float64 or their complex twins, as x is; may be x; `None` for the final state alone.
        zi, zf: [S, ..., 2] of the recursion's type; `None` for zero, and for no interest.
        single_precision: of the recursion.
        scale, offset: the filter sees `scale * x + offset`, computed in float64.
        threads: at most.
        isa: one of `instruction_sets()`, or "" for the best.
        padding: 0 none, 1 odd, 2 even, 3 constant; with `padlen` and `steady`.
        padlen: samples at each end.
        steady: float64 [S, 2], the state after ones forever; given, the filter runs forwards and backwards.
    """
