"""Mel spectra, cepstra, decibels and band powers, compared with librosa, torchaudio and SciPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch

from bridgeflow import (
    BandPower,
    Compose,
    LogAmplitude,
    MelSpectrogram,
    Mfcc,
    SignalDataset,
    Transform,
    Window,
)
from bridgeflow.bridge import describe
from bridgeflow.errors import CannotStream, ConfigError, DataError
from bridgeflow.signal import stream
from bridgeflow.testing import check_transform
from tests.pipeline.stand_in_recordings import of_arrays
from tests.signal.spectral.mel_reference import FILE, FS, HOP, N_FFT, N_MELS, signal

SAME: dict[str, Any] = {"fs": float(FS), "n_fft": N_FFT, "hop": HOP, "n_mels": N_MELS}
TORCHAUDIO: dict[str, Any] = {**SAME, "convention": "torchaudio"}
CASES = {
    "librosa default": MelSpectrogram(**SAME),
    "librosa htk": MelSpectrogram(**SAME, mel_scale="htk", norm="none", fmin=100.0, fmax=3000.0),
    "librosa amplitude": MelSpectrogram(**SAME, power=1.0),
    "librosa reflect": MelSpectrogram(**SAME, padding="reflect"),
    "librosa uncentered": MelSpectrogram(**SAME, center=False),
    "librosa short window": MelSpectrogram(**SAME, win="hamming", win_length=200),
    "librosa db": Compose([MelSpectrogram(**SAME), LogAmplitude()]),
    "librosa db 60": Compose([MelSpectrogram(**SAME), LogAmplitude(top_db=60.0, ref=2.0)]),
    "librosa amplitude db": Compose(
        [MelSpectrogram(**SAME, power=2.0), np.sqrt, LogAmplitude(of="amplitude", floor=1e-5)]
    ),
    "librosa mfcc": Mfcc(**SAME, n_mfcc=13),
    "librosa mfcc lifter": Mfcc(**SAME, n_mfcc=13, lifter=22),
    "torchaudio default": MelSpectrogram(**TORCHAUDIO),
    "torchaudio slaney": MelSpectrogram(**TORCHAUDIO, mel_scale="slaney", norm="slaney", fmin=50.0),
    "torchaudio amplitude": MelSpectrogram(**TORCHAUDIO, power=1.0, win_length=200),
    "torchaudio mfcc": Mfcc(**TORCHAUDIO, n_mfcc=13),
    "torchaudio mfcc ln": Mfcc(**TORCHAUDIO, n_mfcc=13, log="ln"),
}
LIVE = {
    "zeros": MelSpectrogram(**SAME),
    "reflect": MelSpectrogram(**TORCHAUDIO),
    "far apart": MelSpectrogram(**{**TORCHAUDIO, "hop": 700}),
    "uncentered": MelSpectrogram(**SAME, center=False),
    "odd": Mfcc(**{**TORCHAUDIO, "n_fft": 255}, n_mfcc=5, top_db=None),
    "decibels": Compose([MelSpectrogram(**SAME), LogAmplitude()]),
}


@pytest.mark.parametrize("name", CASES)
def test_answers_of_the_reference(name: str):
    with np.load(FILE) as answers:
        expected = answers[name]
    rounded = 3e-6 if name.startswith("torchaudio") else 2e-7  # their filters are in single precision
    for x, loose in ((signal(), 0.0), (signal().astype("float32"), 2e-5), (torch.from_numpy(signal()), 0.0)):
        if isinstance(x, torch.Tensor) and name == "librosa amplitude db":
            continue
        made = np.asarray(CASES[name](x))
        np.testing.assert_allclose(made, expected, rtol=0, atol=(rounded + loose) * abs(expected).max())


@pytest.mark.parametrize("name", LIVE)
@pytest.mark.parametrize("chunk", [1, 90, 255, 256, 1000])
@pytest.mark.parametrize("samples", [200, 256, 3000])
def test_chunks_have_the_bits_of_the_whole(name: str, chunk: int, samples: int):
    transform, x = LIVE[name], signal()[:samples].astype("float32")
    if chunk == 1 and samples > 256:
        return
    if samples < 256 and name == "uncentered":
        with pytest.raises(DataError, match="needs 256 samples, got 200"):
            transform(x)
        return
    live = stream(transform)
    pieces = [live.push(x[at : at + chunk]) for at in range(0, samples, chunk)]
    pieces += [] if (last := live.flush()) is None else [last]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=-1), transform(x))


def test_windows_have_the_bits_of_the_whole():
    x = np.stack([signal(), signal()[::-1]])
    transform = MelSpectrogram(**TORCHAUDIO)
    dataset = SignalDataset(of_arrays(x, fs=float(FS)), Compose([transform, Window(length=5)]), kind="numpy")
    whole = transform(x)
    for row in (5, 0, 3):
        np.testing.assert_array_equal(dataset[row]["signal"], whole[..., 5 * row : 5 * row + 5])


@pytest.mark.parametrize(
    "transform",
    [
        MelSpectrogram(fs=100.0, n_fft=8, hop=4, n_mels=3),
        Mfcc(fs=100.0, n_fft=8, hop=4, n_mels=3, n_mfcc=2, convention="torchaudio"),
        BandPower(fs=100.0, bands=((0, 20), (20, 50)), nperseg=8, relative=True),
        Compose([MelSpectrogram(fs=100.0, n_fft=8, hop=4, n_mels=3), LogAmplitude()]),
    ],
    ids=repr,
)
def test_gradients(transform: Transform):
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 20))).requires_grad_()
    assert torch.autograd.gradcheck(transform, (x,))
    np.testing.assert_allclose(np.asarray(transform(x).detach()), np.asarray(transform(x.detach())), rtol=1e-9)


# --- band powers ---


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("average", ["mean", "median"])
def test_band_powers_are_sums_of_scipys_density(relative: bool, average: Any):
    x = np.random.default_rng(0).standard_normal((3, 5000)).cumsum(-1)
    bands = ((0.5, 4.0), (4.0, 8.0), (8.0, 50.0))
    f, density = scipy.signal.welch(x, 100.0, nperseg=400, average=average)
    expected = np.stack(
        [density[:, (f >= a) & ((f < b) | ((b == 50) & (f == 50)))].sum(-1) * f[1] for a, b in bands], -1
    )
    if relative:
        expected /= density.sum(-1, keepdims=True) * f[1]
    transform = BandPower(fs=100.0, bands=bands, nperseg=400, average=average, relative=relative)
    np.testing.assert_allclose(transform(x), expected, rtol=1e-9)
    np.testing.assert_allclose(np.asarray(transform(torch.from_numpy(x))), expected, rtol=1e-9)
    if average == "mean":
        live = stream(transform)
        for at in range(0, 5000, 300):
            assert live.push(x[:, at : at + 300]).shape == (3, 0)
        np.testing.assert_array_equal(live.flush(), transform(x))


def test_powers_of_all_bands_are_the_variance():
    x = np.random.default_rng(0).standard_normal(100_000)
    powers = BandPower(fs=100.0, bands=((0, 10), (10, 30), (30, 50)), nperseg=1000)(x)
    assert abs(powers.sum() / x.var() - 1) < 0.01


# --- decibels ---


def test_decibels_of_a_batch_are_those_of_its_samples():
    x = np.random.default_rng(0).random((3, 2, 5, 7))
    transform = LogAmplitude(top_db=10.0)
    made = transform(x)
    level = 10 * np.log10(x)
    np.testing.assert_allclose(made, np.maximum(level, level.max((-1, -2), keepdims=True) - 10), rtol=1e-12)
    check_transform(transform, x[0, 0])
    with pytest.raises(CannotStream, match="top_db=None looks at none"):
        transform.init_state(None)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_logarithms(kind: Any):
    x = np.array([[0.0, 1e-12, 0.5, 3.0]])
    np.testing.assert_allclose(np.asarray(LogAmplitude(log="ln", floor=1e-6)(kind(x))), np.log(x + 1e-6), rtol=1e-12)
    expected = 20 * np.log10(np.maximum(x, 1e-10) / 2)
    np.testing.assert_allclose(np.asarray(LogAmplitude(of="amplitude", ref=2.0)(kind(x))), expected, rtol=1e-12)


# --- errors ---

SPEC = replace(describe(np.ones(1000)), fs=500.0)
WRONG: dict[str, Any] = {
    "fmin": (lambda: MelSpectrogram(**SAME, fmin=5000.0), ConfigError, "fmin=5000 must be below fmax=4000"),
    "fmax": (lambda: MelSpectrogram(**SAME, fmax=5000.0), ConfigError, "at most fs/2=4000"),
    "window": (lambda: MelSpectrogram(**SAME, win_length=300), ConfigError, "win_length=300 must be at most n_fft=256"),
    "own window": (lambda: MelSpectrogram(**SAME, win=(1.0,) * 300), ConfigError, "the window has 300 samples"),
    "convention": (lambda: MelSpectrogram(**SAME, convention="kaldi"), ConfigError, "convention must be one of"),
    "n_mfcc": (lambda: Mfcc(**SAME, n_mfcc=21), ConfigError, "n_mfcc=21 must be at most n_mels=20"),
    "complex": (lambda: MelSpectrogram(**SAME)(np.ones(999) + 1j), DataError, "real data|fft_mode|Complex"),
    "short": (lambda: MelSpectrogram(**TORCHAUDIO)(np.ones(128)), DataError, "needs 129 samples, got 128"),
    "short plan": (lambda: MelSpectrogram(**TORCHAUDIO).explain(np.ones(128)), DataError, "needs 129 samples, got 128"),
    "rate": (lambda: MelSpectrogram(**SAME).out_spec(SPEC), ConfigError, "8000 Hz"),
    "whole": (lambda: Mfcc(**SAME).init_state(SPEC), CannotStream, "top_db=80"),
    "bands": (lambda: BandPower(fs=100.0, bands=((8, 4),)), ConfigError, "bands must be one or more pairs"),
    "beyond": (lambda: BandPower(fs=100.0, bands=((8, 51),)), ConfigError, "up to fs/2=50 Hz"),
    "empty band": (
        lambda: BandPower(fs=100.0, bands=((1, 2),), nperseg=16),
        ConfigError,
        "no frequency .* raise nperseg",
    ),
    "logarithm": (lambda: LogAmplitude(log="ln", top_db=3.0), ConfigError, "leave them out for 'ln'"),
    "complex numbers": (lambda: LogAmplitude()(np.ones(3) + 1j), DataError, "expected real numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name: str):
    call, error, match = WRONG[name]
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize("nonfinite", ["propagate", "interpolate"])
def test_gaps(nonfinite: Any):
    x = np.stack([signal(), signal()])
    x[1, 1000:1004] = np.nan
    transform = MelSpectrogram(**SAME, nonfinite=nonfinite, max_gap=10 if nonfinite == "interpolate" else None)
    if nonfinite == "propagate":
        made = transform(x)
        np.testing.assert_array_equal(made[0], replace(transform)(x[0]))
        bad = np.isnan(made[1]).any(0)
        assert np.flatnonzero(bad).tolist() == [9, 10, 11]
        return
    kept = replace(transform, keep_gaps=True)(x)
    assert np.flatnonzero(np.isnan(kept[1]).any(0)).tolist() == [9, 10, 11]
    assert np.isfinite(transform(x)).all()


def test_as_a_module_and_exported():
    x = torch.randn(2, 400, generator=torch.Generator().manual_seed(0))
    pipeline = Compose([MelSpectrogram(fs=100.0, n_fft=32, hop=8, n_mels=8, convention="torchaudio"), LogAmplitude()])
    module = pipeline.to_module()
    torch.testing.assert_close(module(x), pipeline(x))
    torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), pipeline(x), rtol=1e-4, atol=1e-4)
