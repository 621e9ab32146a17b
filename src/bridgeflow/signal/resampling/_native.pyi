"""The compiled kernel (native.cpp)."""

from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]

def instruction_sets() -> list[str]:
    """Those that this build has code for and this machine runs, best first."""

def run(
    x: _Array,
    y: _Array,
    table: _Array,
    up: int,
    down: int,
    phase: int,
    first: int,
    fused: bool,
    threads: int,
    isa: str,
) -> None:
    """See `cpu.run`.

    Args:
        x: [rows, samples], C order, float32 or float64.
        y: [rows, outputs], C order, of the same dtype, to be written.
        table: [up, taps], C order, of the same dtype.
        up, down, phase, first, fused: see there.
        threads: at most.
        isa: one of `instruction_sets()`, or "" for the best.
    """

def run_between(
    x: _Array, y: _Array, table: _Array, up: int, down: int, phase: int, first: int, threads: int, isa: str
) -> None:
    """See `cpu.run_between`.

    Args:
        x: [rows, samples], C order, float32 or float64.
        y: [rows, outputs], C order, of the same dtype, to be written.
        table: [pieces, 4, taps], C order, of the same dtype; a multiple of 16 taps.
        up, down, phase, first: see there.
        threads: at most.
        isa: one of `instruction_sets()`, or "" for the best.
    """
