"""What the native engine does beside the everyday pass: segments in time, silence, both ways, banks of filters."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.signal

from benchmarks.harness import MissingPeer, Race, benchmark, faster, within
from benchmarks.signal.iir.bench_grid import SCIPY, noise, race
from bridgeflow.signal._memory import empty
from bridgeflow.signal.iir import native
from bridgeflow.signal.iir.engine import Pass, Precision, why_unavailable

FILTER = scipy.signal.butter(4, 0.2, output="sos")


@benchmark(
    'one row of 2^20 {dtype}, {count} sections, parallel="time"', count=[1, 2, 4, 6], dtype=["float32", "float64"]
)
def one_row_in_segments(count: int, dtype: str) -> Race:
    return race((1, 1 << 20), dtype, "float64", count, 1, {SCIPY: faster(5)}, parallel="time")


@benchmark(
    "a tail of silence, [64, 16384] {precision}: against noise of the same shape", precision=["float32", "float64"]
)
def silence(precision: Precision) -> Race:
    quiet = race((64, 16384), precision, precision, 2, 1, {})
    x = noise((64, 16384), precision)
    x[:, 50:] = 0
    out = np.empty_like(x)
    return Race(
        ours=partial(native.sosfilt, FILTER, x, None, Pass(precision), out),
        peers={"noise": quiet.ours, "scipy.signal.sosfilt, silence": quiet.peers[SCIPY]},
        targets={"noise": within(1.2)},
        work=(x.size, "sample"),
    )


@benchmark("sosfiltfilt, {shape} {dtype}, 2 sections", shape=[(512, 4096), (8, 4096)], dtype=["float32", "float64"])
def both_ways(shape: tuple[int, int], dtype: str) -> Race:
    if (reason := why_unavailable("native")) is not None:
        raise MissingPeer(reason)
    x = noise(shape, dtype)
    return Race(
        ours=partial(native.sosfiltfilt, FILTER, x, "odd", 15, Pass()),
        peers={"scipy.signal.sosfiltfilt": partial(scipy.signal.sosfiltfilt, FILTER.astype(dtype), x, padlen=15)},
        targets={"scipy.signal.sosfiltfilt": faster(8)},
        work=(x.size, "sample"),
        agree=partial(np.testing.assert_allclose, rtol=0, atol=1e-4 if dtype == "float32" else 1e-12),
    )


@benchmark(
    "bank of 8 filters of 2 sections, {shape} {dtype}",
    shape=[(1, 1 << 18), (8, 100), (64, 1024), (512, 4096)],
    dtype=["float32", "float64"],
)
def bank(shape: tuple[int, int], dtype: str) -> Race:
    """Eight band-pass filters over one input, against one of them, and against eight calls of SciPy."""
    if (reason := why_unavailable("native")) is not None:
        raise MissingPeer(reason)
    edges = [(0.02 + 0.05 * f, 0.06 + 0.05 * f) for f in range(8)]
    filters = np.stack([scipy.signal.butter(2, edge, btype="bandpass", output="sos") for edge in edges])
    x, theirs = noise(shape, dtype), filters.astype(dtype)
    together, alone = empty((shape[0], 8, shape[1]), dtype), empty(shape, dtype)

    def scipys() -> list[Any]:
        return [scipy.signal.sosfilt(sos, x) for sos in theirs]

    def agree(ours: Any, others: Any) -> None:
        if isinstance(others, list):
            atol = 1e-3 if dtype == "float32" else 1e-12
            np.testing.assert_allclose(ours[0], np.stack(others, axis=-2), rtol=0, atol=atol)

    return Race(
        ours=partial(native.sosfilt_bank, filters, x, None, Pass(), together),
        peers={
            "one filter": partial(native.sosfilt, filters[0], x, None, Pass(), alone),
            "8 x scipy.signal.sosfilt": scipys,
        },
        targets={"one filter": within(5), "8 x scipy.signal.sosfilt": faster(8)},
        work=(8 * x.size, "sample"),
        agree=agree,
    )
