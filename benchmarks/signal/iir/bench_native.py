"""What the native engine does beside the everyday pass: segments in time, silence, both ways."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.signal

from benchmarks.harness import MissingPeer, Race, benchmark, faster, within
from benchmarks.signal.iir.bench_grid import SCIPY, noise, race
from bridgeflow.signal.iir import native
from bridgeflow.signal.iir.engine import Pass, Precision, why_unavailable

FILTER = scipy.signal.butter(4, 0.2, output="sos")


@benchmark(
    'one row of 2^20 {dtype}, {count} sections, parallel="time"', count=[1, 2, 4, 6], dtype=["float32", "float64"]
)
def one_row_in_segments(count: int, dtype: str) -> Race:
    return race((1, 1 << 20), dtype, "float64", count, 1, {SCIPY: faster(4)}, parallel="time")


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
