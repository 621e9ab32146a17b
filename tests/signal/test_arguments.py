"""Arguments of the wrong type: every function ends in an error of ours that names the argument."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest

from bridgeflow import signal
from bridgeflow.errors import BridgeflowError, NoRoute

X = np.random.default_rng(0).standard_normal(300)
TAPS = np.array([0.25, 0.5, 0.25])
NEEDED = {
    "x": X, "data": X, "z": X, "volume": X, "in1": X, "in2": X[:5], "y": X, "sos": np.array([[0.5, 0.5, 0, 1, 0, 0]]),
    "taps": TAPS, "h": TAPS, "b": [0.5], "a": [1.0, -0.5], "cutoff": 10.0, "fs": 100.0, "w0": 10.0, "up": 2, "down": 1,
    "q": 2, "num": 100, "window_length": 5, "polyorder": 2, "length": 50, "labels": np.zeros(300, int),
}  # fmt: skip
WRONG = [None, "x", object(), [], {}, 1 + 2j, b"q", (1, 2, 3), float("nan"), -5, True, [1, "a"]]
OURS = [
    "coherence", "convolve", "correlate", "csd", "decimate", "detrend", "envelope", "fftconvolve", "filtfilt",
    "fir_filter", "fir_filtfilt", "fir_zero_phase", "frames", "hilbert", "istft", "labels_of_frames", "lfilter",
    "lfilter_zi", "medfilt", "notch_filter", "oaconvolve", "peak_rate", "periodogram", "resample", "resample_poly",
    "savgol_filter", "sosfilt", "sosfilt_bank", "sosfilt_zi", "sosfiltfilt", "sosfiltfilt_bank", "spectrogram", "stft",
    "upfirdn", "welch",
]  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_every_argument_of_every_function(name):
    function = getattr(signal, name)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    needed = {p.name: NEEDED.get(p.name) for p in parameters if p.default is p.empty}
    if name == "istft":
        needed = {"Zxx": signal.stft(X)[2]}
    for parameter in parameters:
        for value in WRONG:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    function(**{**needed, parameter.name: value})
                except BridgeflowError:
                    continue
                except ValueError as error:
                    if f"{parameter.name} must be one of" not in str(error):
                        raise


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signal.decimate(X, None), "decimate: q must be an integer, got None"),
        (lambda: signal.decimate(X, 2, "x"), "decimate: n must be an integer or None, got 'x'"),
        (lambda: signal.envelope(X, axis="x"), "envelope: axis must be an integer, got 'x'"),
        (lambda: signal.detrend(X, bp="odd"), "detrend: bp must be an integer or a sequence, got 'odd'"),
        (lambda: signal.savgol_filter(X, 5, 2, delta="x"), "savgol_filter: delta must be a number, got 'x'"),
        (lambda: signal.peak_rate(X, 100.0, height="x"), "peak_rate: height must be a number or None, got 'x'"),
        (lambda: signal.find_peaks(X, height="x"), "find_peaks: with height='x'"),
    ],
    ids=["q", "n", "axis", "bp", "delta", "height", "scipy-height"],
)
def test_the_argument_is_named(call, message):
    with pytest.raises(NoRoute, match=message):
        call()
    with pytest.raises(TypeError):
        call()


def test_a_missing_argument_is_pythons_own_error():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'q'"):
        signal.decimate(X)


def test_an_error_of_a_function_of_the_users_stays():
    def broken(segments):
        raise TypeError("mine")

    with pytest.raises(TypeError, match=r"^mine$"):
        signal.spectrogram(X, nperseg=50, detrend=broken)
