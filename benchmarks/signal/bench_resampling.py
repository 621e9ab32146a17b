"""Resampling against SciPy, and against julius, which has kernels of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.signal
import torch

from benchmarks.harness import MissingPeer, Race, benchmark, faster, need
from bridgeflow import signal

RATIOS = {"360 to 250 Hz": (25, 36), "44.1 to 48 kHz": (160, 147), "up by 2": (2, 1), "down by 4": (1, 4)}


def noise(*shape: int, dtype: str) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def close(ours: Any, theirs: Any) -> None:
    """Equal within the rounding of float32, where the filters are the same."""
    if isinstance(theirs, np.ndarray):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    else:
        assert ours.shape == tuple(theirs.shape)


@benchmark("resample_poly, [64, 16384] {dtype}, {ratio}", ratio=RATIOS, dtype=["float32", "float64"])
def poly(ratio: str, dtype: str) -> Race:
    up, down = RATIOS[ratio]
    x = noise(64, 16384, dtype=dtype)
    peers: dict[str, Any] = {"scipy.signal.resample_poly": partial(scipy.signal.resample_poly, x, up, down, axis=-1)}
    try:
        julius = need("julius")
    except MissingPeer:
        pass
    else:
        length = -(-x.shape[-1] * up // down)
        other = julius.ResampleFrac(down, up).to(getattr(torch, dtype))
        peers["julius.ResampleFrac"] = partial(other, torch.from_numpy(x), output_length=length)
    return Race(
        ours=partial(signal.resample_poly, x, up, down, axis=-1),
        peers=peers,
        targets={"scipy.signal.resample_poly": faster(4)},
        work=(x.size, "sample"),
        agree=close,
    )


@benchmark("decimate by 4, [64, 65536] {dtype}, {ftype}", dtype=["float32", "float64"], ftype=["iir", "fir"])
def decimate(dtype: str, ftype: str) -> Race:
    x = noise(64, 65536, dtype=dtype)
    return Race(
        ours=partial(signal.decimate, x, 4, ftype=ftype),
        peers={"scipy.signal.decimate": partial(scipy.signal.decimate, x, 4, ftype=ftype)},
        work=(x.size, "sample"),
        agree=close,
    )
