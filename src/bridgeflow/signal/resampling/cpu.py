"""Polyphase sums on the CPU: the native kernel where it is built, else `scipy.signal.upfirdn`, with the same bits."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from bridgeflow._threads import compute_threads
from bridgeflow.signal._memory import empty
from bridgeflow.signal.iir.engine import why_unavailable

try:
    from bridgeflow.signal.resampling import _native

    _is_built = True
except ImportError:
    _is_built = False

__all__ = ["instruction_sets", "run", "run_native", "run_scipy"]

Array: TypeAlias = np.ndarray[Any, Any]


def run(x: Array, table: Array, up: int, down: int, *, phase: int, first: int, outputs: int) -> Array:
    """Output i of each row is the sum over k of `table[t % up, k] * x[first + t // up + k]`, `t = phase + i * down`.

    Args:
        x: [..., T] of any strides, float32 or float64; zero outside of its samples. Only read.
        table: [up, taps], C order, of x's dtype.
        up, down: positive, without a common factor.
        phase: in `range(up)`.
        first: may be negative, or lie after the end.
        outputs: how many.

    Returns:
        y: [..., outputs], new memory, of x's dtype.
    """
    if not _is_built:
        why_unavailable("native")  # says so, once: both kernels are built together
    return (run_native if _is_built else run_scipy)(x, table, up, down, phase=phase, first=first, outputs=outputs)


def run_native(
    x: Array, table: Array, up: int, down: int, *, phase: int, first: int, outputs: int, isa: str = ""
) -> Array:
    """`run` by the kernel; `isa` names an instruction set, for tests."""
    rows = np.ascontiguousarray(x).reshape(int(np.prod(x.shape[:-1])), x.shape[-1])
    y = empty((*x.shape[:-1], outputs), x.dtype)
    if y.size:
        _native.run(rows, y.reshape(len(rows), outputs), table, up, down, phase, first, compute_threads(), isa)
    return y


def instruction_sets() -> list[str]:
    """Those that the kernel was built for and this machine has, best first; none where it was not built."""
    return _native.instruction_sets() if _is_built else []


def run_scipy(x: Array, table: Array, up: int, down: int, *, phase: int, first: int, outputs: int) -> Array:
    """`run` by SciPy."""
    from scipy.signal import upfirdn

    if not outputs:
        return np.zeros((*x.shape[:-1], 0), x.dtype)
    taps = table.shape[1]
    # Output 0 is to be at tick (taps - 1) * up + phase, and SciPy puts outputs at multiples of `down`: so many samples
    # more in front bring the one to the other.
    tick = (taps - 1) * up + phase
    more = -tick * pow(up, -1, down) % down
    begin, end = first - more, first + (phase + (outputs - 1) * down) // up + taps
    piece = np.zeros((*x.shape[:-1], end - begin), x.dtype)
    inside = slice(min(max(begin, 0), x.shape[-1]), min(max(end, 0), x.shape[-1]))
    piece[..., inside.start - begin : inside.stop - begin] = x[..., inside]
    filtered = upfirdn(table.T[::-1].ravel(), piece, up, down, axis=-1)
    at = (tick + more * up) // down
    return np.ascontiguousarray(filtered[..., at : at + outputs])
