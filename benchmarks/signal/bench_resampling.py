"""Resampling against SciPy; against julius, which has kernels of its own; and against libsoxr at its own quality."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.signal
import torch

from benchmarks.harness import MissingPeer, Race, benchmark, faster, need
from bridgeflow import signal
from bridgeflow.signal.resampling import rate_ratio

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


SOXRS = {"48 to 44.1 kHz": (48000, 44100), "44.1 to 16 kHz": (44100, 16000), "48 to 16 kHz": (48000, 16000)}
ROWS = {"a row of 1 s": (1, 1), "a row of 10 s": (1, 10), "16 rows of 1 s": (16, 1)}


@benchmark("Resampler, quality high, {rates}, {rows}, float32", rates=SOXRS, rows=ROWS)
def soxr(rates: str, rows: str) -> Race:
    (from_hz, to_hz), (count, seconds) = SOXRS[rates], ROWS[rows]
    library = need("soxr")
    x = noise(count, seconds * from_hz, dtype="float32")
    up, down = rate_ratio(from_hz, to_hz)
    ours = signal.Resampler(up=up, down=down, quality="high")
    columns = np.ascontiguousarray(x.T)  # how soxr has several channels
    peers = {
        "soxr HQ, row by row": lambda: np.stack([library.resample(row, from_hz, to_hz, quality="HQ") for row in x]),
        "soxr HQ, rows as channels": partial(library.resample, columns, from_hz, to_hz, quality="HQ"),
    }
    return Race(
        ours=partial(ours, x),
        peers=peers,
        targets=dict.fromkeys(peers, faster(2)),
        work=(x.size, "sample"),
        agree=close_inside,
    )


def close_inside(ours: Any, theirs: Any) -> None:
    """Equal but for the transition bands and the ends, which each treats in its own way."""
    theirs = theirs if theirs.shape == ours.shape else theirs.T
    inside = slice(500, -500)
    error = np.sqrt(np.mean((ours[:, inside] - theirs[:, inside]) ** 2))
    assert error < 0.1 * np.sqrt(np.mean(theirs**2))


@benchmark("decimate by 4, [64, 65536] {dtype}, {ftype}", dtype=["float32", "float64"], ftype=["iir", "fir"])
def decimate(dtype: str, ftype: str) -> Race:
    x = noise(64, 65536, dtype=dtype)
    return Race(
        ours=partial(signal.decimate, x, 4, ftype=ftype),
        peers={"scipy.signal.decimate": partial(scipy.signal.decimate, x, 4, ftype=ftype)},
        work=(x.size, "sample"),
        agree=close,
    )
