"""Windows by name: SciPy's samples, and parameters that it cannot work with refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from bridgeflow import signal
from bridgeflow.errors import BridgeflowError, ConfigError, DataError, naming
from bridgeflow.signal._windows import named_window, refuse_parameters
from bridgeflow.signal.scipy_call import ScipyCall
from bridgeflow.transforms import Resample, SignalFilter, Stft, Welch

WRONG = [
    ("taylor", 10**7),
    ("taylor", 0),
    ("taylor", 4.5),
    ("kaiser", 10**400),
    ("kaiser", float("nan")),
    ("gaussian", float("inf")),
]
USES = {
    "welch": lambda x, window: signal.welch(x, window=window, nperseg=64),
    "csd": lambda x, window: signal.csd(x, x[::-1], window=window, nperseg=64),
    "stft": lambda x, window: signal.stft(x, window=window, nperseg=64),
    "spectrogram": lambda x, window: signal.spectrogram(x, window=window, nperseg=64),
    "ShortTimeFFT": lambda x, window: signal.ShortTimeFFT.from_window(window, 1.0, 64, 32),
    "resample": lambda x, window: signal.resample(x, 100, window=window),
    "resample_poly": lambda x, window: signal.resample_poly(x, 3, 2, window=window),
    "Resample": lambda x, window: Resample(from_hz=10, to_hz=15, window=window),
    "Stft": lambda x, window: Stft(fs=1.0, win=window, nperseg=64, hop=8),
    "Welch": lambda x, window: Welch(fs=1.0, window=window, nperseg=64),
    "firwin": lambda x, window: SignalFilter(design="firwin", numtaps=21, cutoff=0.1, fs=1.0, window=window),
    "curated": lambda x, window: ScipyCall("signal.periodogram", {"window": window})(x),
}


@pytest.mark.parametrize("name", ["hann", ("kaiser", 5.0), ("taylor", 4, 30.0), ("tukey", 0.25), ("dpss", 2.5)])
@pytest.mark.parametrize("periodic", [True, False])
def test_samples_are_scipys(name, periodic):
    np.testing.assert_array_equal(
        named_window(name, 31, periodic=periodic), scipy.signal.get_window(name, 31, fftbins=periodic)
    )


@pytest.mark.parametrize("window", WRONG, ids=lambda one: str(one)[:20])
@pytest.mark.parametrize("use", USES)
def test_parameters_out_of_range_are_refused_wherever_a_window_is_named(use, window):
    with pytest.raises(BridgeflowError, match="win"):
        USES[use](np.random.default_rng(0).standard_normal(300), window)


@pytest.mark.parametrize(
    "window", ["nonesuch", ("general_cosine", 1.0), ("chebwin", 1e9), ("kaiser", 1e9), ("dpss", 1e9)]
)
@pytest.mark.parametrize("error", [ConfigError, DataError])
def test_what_scipy_cannot_make_is_refused_by_name(window, error):
    with pytest.raises(error, match="reading: window"), naming("reading"):
        named_window(window, 31, error=error)


def test_samples_and_callables_are_left_alone():
    for window in ([1.0] * 5000, np.ones(5000), np.hanning, 5.0, None, ("hann",)):
        refuse_parameters(window)
