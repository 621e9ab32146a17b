"""The block engine on the CPU, which runs there only where it is asked for, against SciPy: nothing is promised."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.signal
import torch

from benchmarks.harness import Race, benchmark, within
from bridgeflow.signal.iir import blocks

SHAPES = {
    "[512, 4096]": (512, 4096),
    "[256, 1024]": (256, 1024),
    "[1, 2^20]": (1, 2**20),
    "[8, 100]": (8, 100),
}
KINDS = {
    "float32": ("float32", "float32"),
    "float32, recursion in float64": ("float32", "float64"),
    "float64": ("float64", "float64"),
}


@benchmark("blocks {shape} {kind}, 4 sections, 2 threads", shape=SHAPES, kind=KINDS)
def shapes(shape: str, kind: str) -> Race:
    return against_scipy(shape, kind, sections=4, threads=2)


def against_scipy(shape: str, kind: str, sections: int, threads: int) -> Race:
    dtype, precision = KINDS[kind]
    sos = scipy.signal.butter(2 * sections, 0.2, output="sos")
    x = np.random.default_rng(0).standard_normal(SHAPES[shape]).astype(dtype)
    return Race(
        ours=lambda: blocks.filter_tensor(sos, torch.from_numpy(x), None, precision)[0].numpy(),
        peers={
            "scipy.signal.sosfilt": partial(scipy.signal.sosfilt, sos.astype(dtype), x),
            "memcpy": partial(np.copyto, np.empty_like(x), x),
        },
        work=(x.size, "sample"),
        agree=partial(_agree, 1e-4 if precision == "float32" else 1e-5),
        threads=threads,
    )


def _agree(tolerance: float, ours: Any, theirs: Any) -> None:
    if theirs is not None:  # memcpy gives nothing back
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


@benchmark("blocks [64, 16384] float32, silence after a sound beside a sound that goes on")
def silence() -> Race:
    sos = scipy.signal.butter(8, 0.2, output="sos")
    sound = torch.randn(64, 16384)
    fading = sound.clone()
    fading[:, 100:] = 0
    return Race(
        ours=lambda: blocks.filter_tensor(sos, fading, None, "float32"),
        peers={"sound": lambda: blocks.filter_tensor(sos, sound, None, "float32")},
        targets={"sound": within(1.5)},
        work=(sound.numel(), "sample"),
    )
