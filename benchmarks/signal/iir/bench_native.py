"""The native engine alone, on ndarrays, beside SciPy and a copy of the data; results go into memory already there."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.signal

from benchmarks.harness import MissingPeer, Race, Target, benchmark, faster, within
from bridgeflow.signal.iir import native
from bridgeflow.signal.iir.engine import Pass, Precision

SCIPY, COPY = "scipy.signal.sosfilt", "copy"


def sections(count: int) -> Any:
    return scipy.signal.butter(2 * count, 0.2, output="sos")


def noise(shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 1000 if np.dtype(dtype).itemsize > 1 else 256, shape).astype(dtype)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def close(ours: Any, theirs: Any) -> None:
    """A copy has nothing to agree about; filters agree within the rounding of the narrower of them."""
    if isinstance(theirs, np.ndarray):
        ours = ours[0] if isinstance(ours, tuple) else ours
        narrow = "float32" if min(ours.dtype.itemsize, theirs.dtype.itemsize) in (4, 8) else "float64"
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e3 * np.finfo(narrow).eps * np.abs(theirs).max())


def race(
    shape: tuple[int, ...],
    dtype: str,
    precision: Precision,
    count: int,
    *,
    targets: dict[str, Target] | None = None,
    threads: int = 1,
    **options: Any,
) -> Race:
    """Our engine on one block of data; SciPy in the precision that this dtype gets from it."""
    if native.unavailable() is not None:
        raise MissingPeer("the native engine was not built")
    sos, x = sections(count), noise(shape, dtype)
    theirs = sos.astype(np.float32) if np.dtype(dtype).char in "fF" else sos
    out = np.empty_like(x) if np.dtype(dtype).kind in "fc" else np.empty(shape)
    return Race(
        ours=partial(native.sosfilt, sos, x, None, Pass(precision), out, **options),
        peers={SCIPY: partial(scipy.signal.sosfilt, theirs, x), COPY: partial(np.copyto, out.copy(), x)},
        targets=targets or {},
        work=(x.size, "sample"),
        agree=close,
        threads=threads,
    )


@benchmark(
    "[512, 4096] float32, recursion in float32, {count} sections, {threads} threads", count=[1, 2, 4, 6], threads=[1, 2]
)
def batch_in_float32(count: int, threads: int) -> Race:
    promised = {SCIPY: faster(12), COPY: within(2.2)} if count in (2, 4) and threads == 1 else None
    return race((512, 4096), "float32", "float32", count, targets=promised, threads=threads)


@benchmark(
    "[512, 4096] float32, recursion in float64, {count} sections, {threads} threads", count=[1, 2, 4, 6], threads=[1, 2]
)
def batch(count: int, threads: int) -> Race:
    promised = {SCIPY: faster(9)} if count in (2, 4) and threads == 1 else None
    return race((512, 4096), "float32", "float64", count, targets=promised, threads=threads)


@benchmark("[512, 4096] float64, {count} sections, {threads} threads", count=[1, 2, 4, 6], threads=[1, 2])
def batch_of_float64(count: int, threads: int) -> Race:
    promised = {SCIPY: faster(7)} if count in (2, 4) and threads == 1 else None
    return race((512, 4096), "float64", "float64", count, targets=promised, threads=threads)


@benchmark("[256, 1024] {dtype}, 2 sections", dtype=["int16", "int32", "uint8", "uint16", "complex64", "complex128"])
def other_types(dtype: str) -> Race:
    return race((256, 1024), dtype, "float64", 2)


@benchmark("{shape} {dtype}, 2 sections", shape=[(256, 1024), (64, 65536), (8, 65536)], dtype=["float32", "float64"])
def other_shapes(shape: tuple[int, int], dtype: str) -> Race:
    return race(shape, dtype, "float64", 2)


@benchmark("one row of 2^20 {dtype}, {count} sections", count=[1, 2, 4, 6], dtype=["float32", "float64"])
def one_row(count: int, dtype: str) -> Race:
    return race((1, 1 << 20), dtype, "float64", count, targets={SCIPY: faster(1.5)})


@benchmark(
    'one row of 2^20 {dtype}, {count} sections, parallel="time"', count=[1, 2, 4, 6], dtype=["float32", "float64"]
)
def one_row_in_segments(count: int, dtype: str) -> Race:
    return race((1, 1 << 20), dtype, "float64", count, targets={SCIPY: faster(4)}, parallel="time")


@benchmark("chunk [8, 100] float32, 2 sections")
def small_chunk() -> Race:
    return race((8, 100), "float32", "float64", 2, targets={SCIPY: faster(5)})


@benchmark(
    "a tail of silence, [64, 16384] {precision}: against noise of the same shape", precision=["float32", "float64"]
)
def silence(precision: Precision) -> Race:
    quiet = race((64, 16384), precision, precision, 2)
    x = noise((64, 16384), precision)
    x[:, 50:] = 0
    out = np.empty_like(x)
    return Race(
        ours=partial(native.sosfilt, sections(2), x, None, Pass(precision), out),
        peers={"noise": quiet.ours, "scipy.signal.sosfilt, silence": quiet.peers[SCIPY]},
        targets={"noise": within(1.2)},
        work=(x.size, "sample"),
    )


@benchmark("sosfiltfilt, {shape} {dtype}, 2 sections", shape=[(512, 4096), (8, 4096)], dtype=["float32", "float64"])
def both_ways(shape: tuple[int, int], dtype: str) -> Race:
    if native.unavailable() is not None:
        raise MissingPeer("the native engine was not built")
    sos, x = sections(2), noise(shape, dtype)
    return Race(
        ours=partial(native.sosfiltfilt, sos, x, "odd", 15, Pass()),
        peers={"scipy.signal.sosfiltfilt": partial(scipy.signal.sosfiltfilt, sos.astype(dtype), x, padlen=15)},
        targets={"scipy.signal.sosfiltfilt": faster(8)},
        work=(x.size, "sample"),
        agree=close,
    )
