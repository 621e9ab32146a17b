"""Mel spectra against librosa's and torchaudio's, whose conventions and numbers they have."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Race, benchmark, need
from bridgeflow import MelSpectrogram, Mfcc

FS = 16_000


def close(ours: Any, theirs: Any) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * abs(theirs).max())


@benchmark(
    "MelSpectrogram, {shape} float32, 16 kHz, {n_fft} samples, hop 160, {n_mels} filters, librosa's convention",
    shape=[(1, 480_000), (64, 16_000)],
    n_fft=[512],
    n_mels=[80],
)
def against_librosa(shape: tuple[int, int], n_fft: int, n_mels: int) -> Race:
    librosa = need("librosa")
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    ours = MelSpectrogram(fs=float(FS), n_fft=n_fft, hop=160, n_mels=n_mels)
    same = {"sr": FS, "n_fft": n_fft, "hop_length": 160, "n_mels": n_mels}
    return Race(
        ours=partial(ours, x),
        peers={"librosa.feature.melspectrogram": lambda: librosa.feature.melspectrogram(y=x, **same)},
        work=(x.size, "sample"),
        agree=close,
    )


@benchmark(
    "MelSpectrogram, {shape} float32, 16 kHz, {n_fft} samples, hop 160, {n_mels} filters, torchaudio's convention",
    shape=[(1, 480_000), (64, 16_000)],
    n_fft=[512],
    n_mels=[80],
)
def against_torchaudio(shape: tuple[int, int], n_fft: int, n_mels: int) -> Race:
    transforms = need("torchaudio.transforms")
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(shape).astype("float32"))
    ours = MelSpectrogram(fs=float(FS), n_fft=n_fft, hop=160, n_mels=n_mels, convention="torchaudio")
    theirs = transforms.MelSpectrogram(FS, n_fft=n_fft, hop_length=160, n_mels=n_mels)
    return Race(
        ours=partial(ours, x),
        peers={"torchaudio.transforms.MelSpectrogram": partial(theirs, x)},
        work=(x.numel(), "sample"),
        agree=close,
    )


@benchmark("Mfcc of 13, [1, 480000] float32, 16 kHz, 512 samples, hop 160, 80 filters, librosa's convention")
def cepstra() -> Race:
    librosa = need("librosa")
    x = np.random.default_rng(0).standard_normal((1, 480_000)).astype("float32")
    ours = Mfcc(fs=float(FS), n_fft=512, hop=160, n_mels=80, n_mfcc=13)
    same = {"sr": FS, "n_fft": 512, "hop_length": 160, "n_mels": 80, "n_mfcc": 13}
    return Race(
        ours=partial(ours, x),
        peers={"librosa.feature.mfcc": lambda: librosa.feature.mfcc(y=x, **same)},
        work=(x.size, "sample"),
        agree=close,
    )
