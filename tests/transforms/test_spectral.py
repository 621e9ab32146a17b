"""`Stft`, `Spectrogram`, `Istft`, `Welch`: the contract, SciPy's numbers, rates checked against the data's."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch

from bridgeflow.bridge import describe
from bridgeflow.errors import CannotStream, ConfigError, DataError
from bridgeflow.pipeline import Compose
from bridgeflow.testing import check_transform
from bridgeflow.transforms.base import Transform
from bridgeflow.transforms.spectral import Istft, Spectrogram, Stft, Welch
from tests.transforms.kinds import check_kinds

SAME = {"fs": 100.0, "nperseg": 16, "hop": 4}
FORWARD = [
    Stft(**SAME),
    Stft(**SAME, fft_mode="centered", mfft=20, phase_shift=None, padding="edge"),
    Stft(**SAME, padding="odd"),
    Spectrogram(**SAME, scale_to="psd", fft_mode="onesided2X", detr="linear"),
    Spectrogram(fs=100.0, hop=5, win=(0.5, 1.0, 0.5), scale_to="magnitude"),
    Spectrogram(fs=100.0, hop=5, nperseg=12, win=("kaiser", 8.0)),
    Welch(fs=100.0, nperseg=16),
    Welch(fs=100.0, nperseg=16, noverlap=3, nfft=32, detrend="linear", scaling="spectrum", average="median"),
    Welch(window=(1.0, 2.0, 1.0), detrend=None, return_onesided=False),
]
BACK = [
    Istft(**SAME),
    Istft(**SAME, k1=90),
    Istft(**SAME, fft_mode="twosided", phase_shift=None),
]


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("transform", FORWARD, ids=repr)
def test_contract(transform):
    check_kinds(transform)


@pytest.mark.parametrize("transform", BACK, ids=repr)
def test_contract_of_the_inverse(transform):
    forward = Stft(**{name: value for name, value in transform.to_config()["Istft"].items() if name != "k1"})
    x = noise(3, 96)
    for S in (forward(x), forward(x.astype("float32")), forward(torch.from_numpy(x)), forward(pa.array(x[0]))):
        check_transform(transform, S)
    check_transform(transform, forward(torch.from_numpy(x).requires_grad_()).detach().requires_grad_(), tolerance=1e-9)


def test_scipys_numbers():
    x = noise(2, 300)
    sft = scipy.signal.ShortTimeFFT.from_window("hann", 100.0, 16, 12)
    np.testing.assert_array_equal(Stft(**SAME)(x), sft.stft(x))
    np.testing.assert_array_equal(Spectrogram(**SAME)(x), sft.spectrogram(x))
    np.testing.assert_array_equal(Istft(**SAME, k1=300)(sft.stft(x)), sft.istft(sft.stft(x), k1=300))
    f, power = scipy.signal.welch(x, 100.0, nperseg=64)
    welch = Welch(fs=100.0, nperseg=64)
    np.testing.assert_allclose(welch(x), power, rtol=1e-12)
    np.testing.assert_array_equal(welch.frequencies, f)


def test_rates_are_checked_and_passed_on():
    spec = replace(describe(noise(2, 360)), fs=100.0)
    slices = Stft(**SAME).out_spec(spec)
    assert slices.fs == 25.0
    assert Istft(**SAME).out_spec(slices).fs == 100.0
    assert Welch(fs=100.0, nperseg=16).out_spec(spec).fs is None
    other = replace(spec, fs=99.0)
    for transform in (Stft(**SAME), Welch(fs=100.0, nperseg=16)):
        with pytest.raises(ConfigError, match="99"):
            transform.out_spec(other)
    with pytest.raises(ConfigError, match="slices at 25 Hz"):
        Istft(**SAME).out_spec(replace(slices, fs=100.0))


def test_there_and_back_in_a_composition():
    x = noise(2, 300)
    pipeline = Compose([Stft(**SAME), Istft(**SAME, k1=300)])
    np.testing.assert_allclose(pipeline(x), x, atol=1e-12)
    assert pipeline.explain(x).result.shape == (2, 300)
    check_transform(pipeline, x)


def test_obstacles():
    for transform, word in [(FORWARD[2], "'zeros' and 'edge'"), (FORWARD[7], "average='mean'")]:
        assert not transform.streams
        with pytest.raises(CannotStream, match=word):
            transform.init_state(describe(noise(100)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stft(fs=100.0, hop=4), "needs its number of samples, nperseg"),
        (lambda: Stft(fs=100.0, hop=4, nperseg=8, win=(1.0, 1.0)), "nperseg=8, but the window has 2 samples"),
        (lambda: Stft(fs=100.0, hop=4, nperseg=8, win="round"), "'round'"),
        (lambda: Stft(fs=100.0, hop=0, nperseg=8), "hop"),
        (lambda: Stft(**SAME, fft_mode="half"), "fft_mode"),
        (lambda: Stft(**SAME, padding="zero"), "padding must be one of"),
        (lambda: Spectrogram(**SAME, detr="square"), "detr must be one of"),
        (lambda: Istft(fs=1.0, nperseg=8, hop=9), "cannot be undone with hop=9"),
        (lambda: Istft(**SAME, k1=0), "k1 must be from 1"),
        (lambda: Welch(nperseg=8, noverlap=8), "noverlap must be less than the 8 samples"),
        (lambda: Welch(average="mode"), "average must be one of"),
        (lambda: Welch(scaling="power"), "scaling must be one of"),
        (lambda: Transform.from_config({"Stft": {"fs": 100.0}}), "needs the field 'hop'"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_data_that_do_not_fit():
    with pytest.raises(DataError, match="complex data need fft_mode"):
        Stft(**SAME).out_spec(describe(noise(50) + 0j))
    with pytest.raises(DataError, match="complex data have no one-sided spectrum"):
        Welch(nperseg=16).out_spec(describe(noise(50) + 0j))
    with pytest.raises(DataError, match="a segment has 16 samples, and the recording 5"):
        Welch(nperseg=16)(noise(5))
    with pytest.raises(DataError, match="9 frequencies, slices"):
        Istft(**SAME).out_spec(describe(noise(5, 7)))


@pytest.mark.parametrize("slices", [0, 1, 2, 3, 10])
@pytest.mark.parametrize("k1", [None, 1, 8, 9, 100])
@pytest.mark.parametrize("hop", [4, 8])
def test_istft_plans_what_it_runs(slices, k1, hop):
    transform, x = Istft(fs=100.0, hop=hop, nperseg=16, k1=k1), np.ones((9, slices), complex)
    try:
        planned = tuple(transform.out_spec(describe(x)).shape)
    except DataError as error:
        with pytest.raises(DataError, match=re.escape(str(error))):
            transform(x)
    else:
        assert transform(x).shape == planned
