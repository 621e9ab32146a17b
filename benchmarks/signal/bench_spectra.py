"""Spectra against SciPy's, whose conventions and numbers they have."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.signal
import torch

from benchmarks.harness import Race, benchmark
from bridgeflow import signal

WINDOW, HOP, FS = scipy.signal.get_window("hann", 256), 64, 250.0


def noise(dtype: str) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((16, 65536)).astype(dtype)


def close(ours: Any, theirs: Any) -> None:
    ours, theirs = (x[1] if isinstance(x, tuple) else x for x in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)


@benchmark(
    "ShortTimeFFT.{what}, [16, 65536] {dtype}, 256 samples, hop 64",
    what=["stft", "spectrogram"],
    dtype=["float32", "float64"],
)
def short_time(what: str, dtype: str) -> Race:
    x = noise(dtype)
    ours, theirs = signal.ShortTimeFFT(WINDOW, HOP, FS), scipy.signal.ShortTimeFFT(WINDOW, HOP, FS)
    return Race(
        ours=partial(getattr(ours, what), x),
        peers={
            f"scipy.signal.ShortTimeFFT.{what}": partial(getattr(theirs, what), x),
            "torch.stft, complex values alone": partial(_torch_stft, torch.from_numpy(x)),
        },
        work=(x.size, "sample"),
        agree=lambda mine, others: None if isinstance(others, torch.Tensor) else close(mine, others),
    )


def _torch_stft(x: torch.Tensor) -> torch.Tensor:
    window = torch.from_numpy(WINDOW.copy()).to(x.dtype)
    return torch.stft(x, len(window), HOP, window=window, center=True, pad_mode="constant", return_complex=True)


@benchmark("welch, [16, 65536] {dtype}, 256 samples", dtype=["float32", "float64"])
def welch(dtype: str) -> Race:
    x = noise(dtype)
    return Race(
        ours=partial(signal.welch, x, FS),
        peers={"scipy.signal.welch": partial(scipy.signal.welch, x, FS)},
        work=(x.size, "sample"),
        agree=close,
    )
