"""Polyphase sums on the CPU: the native kernel where it is built, else `scipy.signal.upfirdn`, with the same bits."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

from bridgeflow._threads import compute_threads
from bridgeflow.signal._memory import empty
from bridgeflow.signal.iir.engine import why_unavailable

try:
    from bridgeflow.signal.resampling import _native

    _is_built = True
except ImportError:
    _is_built = False

__all__ = ["instruction_sets", "run", "run_between", "run_native", "run_scipy", "weights_between"]

Array: TypeAlias = np.ndarray[Any, Any]


def run(
    x: Array, table: Array, up: int, down: int, *, phase: int, first: int, outputs: int, fused: bool = False
) -> Array:
    """Output i of each row is the sum over k of `table[t % up, k] * x[first + t // up + k]`, `t = phase + i * down`.

    Args:
        x: [..., T] of any strides, float32 or float64; zero outside of its samples. Only read.
        table: [up, taps], C order, of x's dtype.
        up, down: positive, without a common factor.
        phase: in `range(up)`.
        first: may be negative, or lie after the end.
        outputs: how many.
        fused: each product and its sum are rounded once, not twice; SciPy, where it stands in, rounds twice.

    Returns:
        y: [..., outputs], new memory, of x's dtype.
    """
    if not _is_built:
        why_unavailable("native")  # says so, once: both kernels are built together
        return run_scipy(x, table, up, down, phase=phase, first=first, outputs=outputs)
    return run_native(x, table, up, down, phase=phase, first=first, outputs=outputs, fused=fused)


def run_native(
    x: Array,
    table: Array,
    up: int,
    down: int,
    *,
    phase: int,
    first: int,
    outputs: int,
    fused: bool = False,
    isa: str = "",
) -> Array:
    """`run` by the kernel; `isa` names an instruction set, for tests."""
    rows = np.ascontiguousarray(x).reshape(int(np.prod(x.shape[:-1])), x.shape[-1])
    y = empty((*x.shape[:-1], outputs), x.dtype)
    if y.size:
        _native.run(rows, y.reshape(len(rows), outputs), table, up, down, phase, first, fused, compute_threads(), isa)
    return y


def run_between(
    x: Array, table: Array, up: int, down: int, *, phase: int, first: int, outputs: int, isa: str = ""
) -> Array:
    """As `run`, with taps that are computed for each output: there may be any number of phases.

    Args:
        x: [..., T] of any strides, float32 or float64; zero outside of its samples. Only read.
        table: [pieces, 4, taps], C order, of x's dtype: at `t = pieces * phase / up`, tap k is the polynomial with
            coefficients `table[floor(t), :, k]`, the lowest power first, of `t - floor(t)`. A multiple of 16 taps.
        up, down: positive, at most 2**40.
        phase, first, outputs: as for `run`.
        isa: an instruction set, for tests.

    Returns:
        y: [..., outputs], new memory, of x's dtype.
    """
    if not _is_built:
        why_unavailable("native")
        return _run_between_by_numpy(x, table, up, down, phase, first, outputs)
    rows = np.ascontiguousarray(x).reshape(int(np.prod(x.shape[:-1])), x.shape[-1])
    y = empty((*x.shape[:-1], outputs), x.dtype)
    if y.size:
        _native.run_between(rows, y.reshape(len(rows), outputs), table, up, down, phase, first, compute_threads(), isa)
    return y


_OUTPUTS_AT_A_TIME: Final = 512


def _run_between_by_numpy(x: Array, table: Array, up: int, down: int, phase: int, first: int, outputs: int) -> Array:
    y = np.zeros((*x.shape[:-1], outputs), x.dtype)
    taps, samples = table.shape[2], x.shape[-1]
    for begin in range(0, outputs, _OUTPUTS_AT_A_TIME):
        count = min(_OUTPUTS_AT_A_TIME, outputs - begin)
        weights, offsets = weights_between(table, up, down, phase + begin * down, count)
        places = first + offsets[:, np.newaxis] + np.arange(taps)
        inside = (places >= 0) & (places < samples)
        windows = np.where(inside, x[..., places.clip(0, samples - 1)], 0) if samples else np.zeros(1, x.dtype)
        y[..., begin : begin + count] = (windows * weights).sum(-1)
    return y


def weights_between(table: Array, up: int, down: int, tick: int, outputs: int) -> tuple[Array, Array]:
    """The taps of outputs, and where their windows begin.

    Args:
        table, up, down: as for `run_between`.
        tick: what `phase + i * down` is for the first of them.
        outputs: how many; `outputs * down` must be less than 2**63.

    Returns:
        weights: [outputs, taps], of the table's dtype.
        offsets: int64 [outputs], in samples.
    """
    whole, phase = divmod(tick, up)
    ticks = phase + np.arange(outputs, dtype=np.int64) * down
    places = (ticks % up) * (len(table) / up)
    piece = places.astype(np.int64)
    t = (places - piece).astype(table.dtype)[:, np.newaxis]
    c = table[piece]
    return ((c[:, 3] * t + c[:, 2]) * t + c[:, 1]) * t + c[:, 0], whole + ticks // up


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
