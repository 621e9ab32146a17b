"""The sums of FIR filters over ndarrays: pinned in their order, or by overlap-add."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridgeflow.signal.iir.engine import Array, Pass, result_dtype, rounded

__all__ = ["direct", "direct_by_kernel", "direct_by_numpy", "overlap_add"]

_TILE: Final = 1 << 14
"""Samples that NumPy works on at once: three arrays of this size stay in the second-level cache."""

_STRETCH: Final = 1 << 20
"""Samples that the kernel gets at once: enough for its threads, little beside the recording."""

_WORTH_A_KERNEL: Final = 1 << 10
"""Samples from which on the kernel is faster than NumPy."""


def direct(taps: NDArray[np.float64], x: Array, zi: Array, settings: Pass, work: np.dtype[Any]) -> tuple[Array, Array]:
    """Rows [..., T] and a state [..., n - 1] to output and next state, each sum in the same order."""
    if x.shape[-1] > 2 * len(taps) and x.size >= _WORTH_A_KERNEL and work.char in "dD":
        from bridgeflow.signal.resampling import cpu

        if cpu.instruction_sets():
            return direct_by_kernel(taps, x, zi, settings, work)
    return direct_by_numpy(taps, x, zi, settings, work)


def direct_by_kernel(
    taps: NDArray[np.float64], x: Array, zi: Array, settings: Pass, work: np.dtype[Any]
) -> tuple[Array, Array]:
    """The same sums by the kernel for resampling, which adds them up in the same order, at a rate of 1 to 1.

    It knows no sums begun before; those go into the first outputs, and the sums left behind come of the last samples.
    """
    from bridgeflow.signal.resampling.cpu import run_native

    memory = len(taps) - 1
    table = np.ascontiguousarray(taps[::-1])[None]
    y = np.empty(x.shape, result_dtype(x.dtype))
    y[..., :memory], _ = direct_by_numpy(taps, x[..., :memory], zi, settings, work)
    _, zf = direct_by_numpy(taps, x[..., x.shape[-1] - memory :], np.zeros_like(zi), settings, work)
    rows_x, rows_y = (part.reshape(-1, part.shape[-1]) for part in (x, y))
    height = max(1, _STRETCH // x.shape[-1])
    for top in range(0, len(rows_x), height):
        units, out = settings.units(rows_x[top : top + height], work), rows_y[top : top + height, memory:]
        with np.errstate(over="ignore"):
            for part, target in (
                ((units.real, out.real), (units.imag, out.imag)) if work.kind == "c" else ((units, out),)
            ):
                target[...] = run_native(part, table, 1, 1, phase=0, first=0, outputs=out.shape[-1])
    return y, zf


def direct_by_numpy(
    taps: NDArray[np.float64], x: Array, zi: Array, settings: Pass, work: np.dtype[Any]
) -> tuple[Array, Array]:
    """The sums tap by tap, over tiles of samples."""
    samples, memory = x.shape[-1], len(taps) - 1
    y = np.empty(x.shape, result_dtype(x.dtype))
    zf = zi.copy()
    if not x.size:
        return y, zf
    rows_x, rows_y, rows_z = (part.reshape(-1, part.shape[-1]) if part.size else part for part in (x, y, zf))
    height = max(1, _TILE // samples)
    for top in range(0, len(rows_x), height):
        state = rows_z[top : top + height] if memory else np.empty((min(height, len(rows_x) - top), 0), work)
        for left in range(0, samples, _TILE):
            piece = settings.units(rows_x[top : top + height, left : left + _TILE], work)
            width = piece.shape[-1]
            sums = np.zeros((len(piece), width + memory), work)
            sums[:, :memory] = state
            products = np.empty_like(piece)
            with np.errstate(invalid="ignore", over="ignore"):
                for k in range(memory, -1, -1):
                    np.multiply(piece, taps[k], out=products)
                    sums[:, k : k + width] += products
                rows_y[top : top + height, left : left + width] = sums[:, :width]
            state = sums[:, width:]
        if memory:
            rows_z[top : top + height] = state
    return y, zf


def overlap_add(
    taps: NDArray[np.float64], x: Array, zi: Array, settings: Pass, work: np.dtype[Any]
) -> tuple[Array, Array]:
    """The sums by Fourier transforms of blocks, equal within rounding."""
    from scipy.signal import oaconvolve

    samples, memory = x.shape[-1], len(taps) - 1
    if not x.size:
        return np.empty(x.shape, result_dtype(x.dtype)), zi.copy()
    weights = taps.reshape((1,) * (x.ndim - 1) + (-1,))
    sums = oaconvolve(settings.units(x, work), weights, mode="full", axes=-1)
    sums[..., :memory] += zi
    return rounded(sums[..., :samples], x.dtype), sums[..., samples:].copy()
