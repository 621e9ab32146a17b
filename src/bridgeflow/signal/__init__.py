"""Signals: arrays in, arrays out, under SciPy's names and with SciPy's numbers, on NumPy, torch and Arrow arrays.

Functions filter one array; designs (`Butter`, `Firwin`, ...) say which filter; `CausalFilter` and `ZeroPhaseFilter` put
a design to work on recordings. Data go in as `[..., time]` unless `axis` says otherwise, and come out as the kind of
array that went in.
"""

from __future__ import annotations

from typing import Any

from bridgeflow.signal import scipy_names
from bridgeflow.signal.analytic import envelope, hilbert
from bridgeflow.signal.causal import CausalFilter
from bridgeflow.signal.convenience import (
    butter_bandpass_filter,
    butter_bandstop_filter,
    butter_highpass_filter,
    butter_lowpass_filter,
    notch_filter,
)
from bridgeflow.signal.convolution import convolve, correlate, fftconvolve, oaconvolve
from bridgeflow.signal.design import (
    DESIGNS,
    Ba,
    Bessel,
    Butter,
    Cheby1,
    Cheby2,
    Comb,
    Design,
    Ellip,
    FirFilter,
    Firls,
    Firwin,
    IirFilter,
    Notch,
    Peak,
    Remez,
    Savgol,
    Sos,
    Taps,
    Zpk,
    make_design,
)
from bridgeflow.signal.fir import fir_filter, fir_filtfilt, fir_zero_phase
from bridgeflow.signal.framing import frames, labels_of_frames
from bridgeflow.signal.iir import sosfilt, sosfilt_zi, sosfiltfilt
from bridgeflow.signal.medians import medfilt
from bridgeflow.signal.peaks import peak_rate
from bridgeflow.signal.resampling import Resampler, decimate, resample, resample_poly, upfirdn
from bridgeflow.signal.savgol import savgol_filter
from bridgeflow.signal.spectral import ShortTimeFFT, coherence, csd, istft, periodogram, spectrogram, stft, welch
from bridgeflow.signal.streams import Stream, stream
from bridgeflow.signal.transfer import filtfilt, lfilter, lfilter_zi
from bridgeflow.signal.trends import detrend
from bridgeflow.signal.zero_phase import ZeroPhaseFilter

__all__ = [
    "DESIGNS",
    "Ba",
    "Bessel",
    "Butter",
    "CausalFilter",
    "Cheby1",
    "Cheby2",
    "Comb",
    "Design",
    "Ellip",
    "FirFilter",
    "Firls",
    "Firwin",
    "IirFilter",
    "Notch",
    "Peak",
    "Remez",
    "Resampler",
    "Savgol",
    "ShortTimeFFT",
    "Sos",
    "Stream",
    "Taps",
    "ZeroPhaseFilter",
    "Zpk",
    "butter_bandpass_filter",
    "butter_bandstop_filter",
    "butter_highpass_filter",
    "butter_lowpass_filter",
    "coherence",
    "convolve",
    "correlate",
    "csd",
    "decimate",
    "detrend",
    "envelope",
    "fftconvolve",
    "filtfilt",
    "fir_filter",
    "fir_filtfilt",
    "fir_zero_phase",
    "frames",
    "hilbert",
    "istft",
    "labels_of_frames",
    "lfilter",
    "lfilter_zi",
    "make_design",
    "medfilt",
    "notch_filter",
    "oaconvolve",
    "peak_rate",
    "periodogram",
    "resample",
    "resample_poly",
    "savgol_filter",
    "sosfilt",
    "sosfilt_zi",
    "sosfiltfilt",
    "spectrogram",
    "stft",
    "stream",
    "upfirdn",
    "welch",
]


def __getattr__(name: str) -> Any:
    """Names of SciPy that need no engine of ours, see `scipy_names`; each is made once."""
    found = globals()[name] = scipy_names.find(name, globals())
    return found


def __dir__() -> list[str]:
    passed = [name for names in scipy_names.SCIPYS_FUNCTIONS.values() for name in names]
    return sorted({*globals(), *passed, *scipy_names.SCIPYS_OBJECTS})
