"""Second-order sections on NumPy data: every shape, number of sections, precision and number of threads.

The native engine against SciPy, the block engine and a copy. Its results and the copy go into memory already there,
SciPy's and the block engine's into memory of their own.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.signal
import torch

from benchmarks.harness import MissingPeer, Race, Target, benchmark, faster, within
from bridgeflow.signal._memory import empty
from bridgeflow.signal.iir import blocks, native
from bridgeflow.signal.iir.engine import Pass, Precision, why_unavailable

SCIPY, BLOCKS, COPY = "scipy.signal.sosfilt", "blocks", "copy"

SHAPES = {
    "[512, 4096]": (512, 4096),
    "[64, 65536]": (64, 65536),
    "[256, 1024]": (256, 1024),
    "[8, 65536]": (8, 65536),
    "[1, 2^20]": (1, 2**20),
    "[8, 100]": (8, 100),
}
KINDS: dict[str, tuple[str, Precision]] = {
    "float32": ("float32", "float32"),
    "float32, recursion in float64": ("float32", "float64"),
    "float64": ("float64", "float64"),
}


@benchmark(
    "{shape} {kind}, {sections} sections, {threads} threads",
    shape=SHAPES,
    kind=KINDS,
    sections=[1, 2, 4, 6],
    threads=[1, 2],
)
def grid(shape: str, kind: str, sections: int, threads: int) -> Race:
    dtype, precision = KINDS[kind]
    return race(SHAPES[shape], dtype, precision, sections, threads, promised(shape, kind, sections, threads))


@benchmark("[256, 1024] {dtype}, 2 sections", dtype=["int16", "int32", "uint8", "uint16", "complex64", "complex128"])
def other_types(dtype: str) -> Race:
    return race((256, 1024), dtype, "float64", 2, 1, {})


def promised(shape: str, kind: str, sections: int, threads: int) -> dict[str, Target]:
    if threads == 2 or (shape == "[512, 4096]" and sections not in (2, 4)):
        return {}
    if shape == "[512, 4096]" and kind == "float32":
        return {SCIPY: faster(12), COPY: within(2.2)}
    times = {
        ("[512, 4096]", "float32, recursion in float64"): 9,
        ("[512, 4096]", "float64"): 7,
        ("[1, 2^20]", "float64"): 1.5,
        ("[8, 100]", "float32, recursion in float64"): 5,
    }.get((shape, kind))
    return {} if times is None else {SCIPY: faster(times)}


def race(
    shape: tuple[int, ...],
    dtype: str,
    precision: Precision,
    sections: int,
    threads: int,
    targets: dict[str, Target],
    **options: Any,
) -> Race:
    """The native engine with its options; SciPy works in the precision that it chooses for this dtype."""
    if (reason := why_unavailable("native")) is not None:
        raise MissingPeer(reason)
    sos, x = scipy.signal.butter(2 * sections, 0.2, output="sos"), noise(shape, dtype)
    theirs = sos.astype(np.float32) if np.dtype(dtype).char in "fF" else sos
    out = empty(shape, dtype if np.dtype(dtype).kind in "fc" else np.float64)
    return Race(
        ours=partial(native.sosfilt, sos, x, None, Pass(precision), out, **options),
        peers={
            SCIPY: partial(scipy.signal.sosfilt, theirs, x),
            BLOCKS: partial(blocks.filter_tensor, sos, torch.from_numpy(x), None, precision),
            COPY: partial(np.copyto, out.copy(), x),
        },
        targets=targets,
        work=(x.size, "sample"),
        agree=close,
        threads=threads,
    )


def noise(shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 1000 if np.dtype(dtype).itemsize > 1 else 256, shape).astype(dtype)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def close(ours: Any, theirs: Any) -> None:
    """A copy has nothing to agree about; filters agree within the rounding of the narrower of them."""
    if theirs is None:
        return
    mine, others = ours[0], np.asarray(theirs[0] if isinstance(theirs, tuple) else theirs)
    narrow = "float32" if min(mine.dtype.itemsize, others.dtype.itemsize) in (4, 8) else "float64"
    np.testing.assert_allclose(mine, others, rtol=0, atol=1e3 * np.finfo(narrow).eps * np.abs(others).max())
