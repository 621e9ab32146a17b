"""The gradients of `derivatives.all_gradients` by the native engine, a few rows at a time, which stay in the cache.

For first derivatives on the CPU. Where derivatives have derivatives, or torch is tracing, `derivatives` says the same
in terms of the operator.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Final, NamedTuple

import numpy as np

from bridgeflow._threads import compute_threads, share_threads
from bridgeflow.signal._memory import empty
from bridgeflow.signal.iir.engine import Array

__all__ = ["Gradients", "all_gradients"]

_IN_CACHE: Final = 1 << 21
"""Bytes of signals worked on at once. Threads do not change it: sums have the same bits with any number of them."""

_FEWEST_ROWS: Final = 16
"""Rows that fill two vectors."""

_DOT: Final = 1 << 13
"""Samples of a row that are summed up at once; longer sums the BLAS library may divide among threads."""

_WORTH_THREADS: Final = 1 << 17
"""Samples times sections that are worth starting threads."""


class Gradients(NamedTuple):
    """Of a scalar, with respect to each; `x` is `None` where it was not asked for."""

    sos: Array
    x: Array | None
    zi: Array


def all_gradients(sos: Array, x: Array, zi: Array | None, gy: Array, gzf: Array | None, *, wants_x: bool) -> Gradients:
    """The gradients with respect to everything; see `derivatives` for the formulas.

    Args:
        sos: sections [S, 6], float64.
        x: data [..., T], float32 or float64, of any strides.
        zi: state [S, ..., 2], or `None` for zero.
        gy: gradient with respect to y [..., T], float32 or float64.
        gzf: gradient with respect to zf [S, ..., 2], or `None` for zero.
        wants_x: whether to compute the gradient with respect to x.

    Returns:
        sos [S, 6], x [..., T] in its dtype, zi [S, ..., 2]. Sums are float64, whatever the data.

    >>> mean = np.array([[0.5, 0.5, 0, 1, 0, 0]])
    >>> gradients = all_gradients(mean, np.array([1.0, 2.0, 3.0]), None, np.ones(3), None, wants_x=True)
    >>> gradients.sos[0, :3], gradients.x  # b0 meets all of x, b1 all but the last sample, b2 the first
    (array([6., 3., 1.]), array([1. , 1. , 0.5]))
    """
    count, time = len(sos), x.shape[-1]
    rows = prod(x.shape[:-1])
    data, given = x.reshape(rows, time), gy.reshape(rows, time)
    begun = None if zi is None else zi.reshape(count, rows, 2).astype(np.float64, copy=False)
    left = np.zeros((count, rows, 2)) if gzf is None else gzf.reshape(count, rows, 2).astype(np.float64, copy=False)
    gx = empty((rows, time), x.dtype) if wants_x else None
    gzi = np.empty((count, rows, 2))
    height = max(_FEWEST_ROWS, _IN_CACHE // (8 * (count + 4) * (time + 2)))

    def work(first: int) -> Array:
        part = slice(first, first + height)
        target = None if gx is None else gx[part]
        before = None if begun is None else begun[:, part]
        return _some_rows(sos, data[part], before, given[part], left[:, part], target, gzi[:, part])

    starts = range(0, rows, height)
    threads = min(compute_threads(), len(starts))
    if threads > 1 and data.size * count > _WORTH_THREADS:
        with ThreadPoolExecutor(threads, initializer=share_threads, initargs=(threads,)) as pool:
            sums = list(pool.map(work, starts))
    else:
        sums = [work(first) for first in starts]
    gsos = np.sum(sums, axis=0) if sums else np.zeros((count, 6))
    return Gradients(gsos, None if gx is None else gx.reshape(x.shape), gzi.reshape(count, *x.shape[:-1], 2))


def _some_rows(sos: Array, x: Array, zi: Array | None, gy: Array, left: Array, gx: Array | None, gzi: Array) -> Array:
    """Writes gx [r, T] and gzi [S, r, 2]; returns the part [S, 6] of these rows in the gradient of the sections."""
    count, (rows, time) = len(sos), x.shape
    gsos = np.zeros((count, 6))
    signals = empty((count + 3, rows, time + 2), np.float64)
    through = signals[: count + 1, :, :time]  # what comes into each section, and the output
    through[0] = x
    for i in range(count):
        begin = None if zi is None else zi[i : i + 1]
        _run(sos[i : i + 1], through[i], begin, through[i + 1])
    poles = np.array([[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
    v, g = signals[count + 1], signals[count + 2, :, :time]
    g[:] = gy
    backwards = slice(None, None, -1)
    for i in reversed(range(count)):
        b0, b1, b2, _, a1, a2 = sos[i]
        v1, v2 = left[i, :, 0], left[i, :, 1]
        poles[0, 4:] = a1, a2
        after = np.stack([-a1 * v1 - a2 * v2, -a2 * v1], axis=-1)[None]
        _run(poles, g[:, backwards], after, v[:, :time][:, backwards])
        v[:, time:] = left[i]
        for k in range(3):
            late = v[:, k : k + time]
            gsos[i, k] = _inner(late, through[i])
            if k > 0:
                gsos[i, 3 + k] = -_inner(late, through[i + 1])
        gzi[i] = v[:, :2]
        if i > 0 or gx is not None:
            cross = b2 - a2 * b0
            state = np.stack([(b1 - a1 * b0) * v1 + cross * v2, cross * v1 + (a1 * b2 - a2 * b1) * v2], axis=-1)[None]
            _run(sos[i : i + 1], g[:, backwards], state, g[:, backwards])
    if gx is not None:
        gx[:] = g
    return gsos


def _run(sos: Array, x: Array, zi: Array | None, out: Array) -> None:
    from bridgeflow.signal.iir import _native

    threads = compute_threads() if x.size > _native.SMALL else 1
    _native.run(sos, x, out, zi, None, False, 1.0, 0.0, threads, "", 0, 0, None)


def _inner(u: Array, v: Array) -> float:
    pieces = (slice(start, start + _DOT) for start in range(0, u.shape[1], _DOT))
    return float(sum(np.matmul(u[:, None, piece], v[:, piece, None]).sum() for piece in pieces))
