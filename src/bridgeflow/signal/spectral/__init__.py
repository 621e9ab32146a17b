"""Spectra over time and on average: SciPy's `ShortTimeFFT` and `welch` on NumPy, torch and Arrow arrays, and live.

Where they differ from SciPy's, apart from taking more kinds of arrays: spectra of single (and half) precision data are
single precision; SciPy gives double always.
"""

from __future__ import annotations

from bridgeflow.signal.spectral.average import Average, Scaling, WelchAverage, named_window, welch
from bridgeflow.signal.spectral.cross import coherence, csd, periodogram
from bridgeflow.signal.spectral.live import LiveIstft, LiveStft
from bridgeflow.signal.spectral.segments import istft, spectrogram, stft
from bridgeflow.signal.spectral.short_time import Detrend, FftMode, Padding, ScaleTo, ShortTimeFFT

__all__ = [
    "Average",
    "Detrend",
    "FftMode",
    "LiveIstft",
    "LiveStft",
    "Padding",
    "ScaleTo",
    "Scaling",
    "ShortTimeFFT",
    "WelchAverage",
    "coherence",
    "csd",
    "istft",
    "named_window",
    "periodogram",
    "spectrogram",
    "stft",
    "welch",
]
