"""Measurements that a job reports, taken from the data itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridgeflow.errors import DataError

__all__ = ["hum_db", "spectrum"]

_SEGMENT_SECONDS = 5.0
"""At least this long is a segment of the averaged spectrum, so bins are at most 0.2 Hz apart."""


def spectrum(x: Any, fs: float) -> tuple[np.ndarray, np.ndarray]:
    """Power spectral density by Welch's method, in segments of 5 to 10 s under a Hann window, overlapping by half.

    Args:
        x: `[..., time]`, real; the spectra of several rows are averaged.
        fs: sampling rate in Hz.

    Returns:
        Frequencies in Hz and power per Hz, both `[frequency]`, float64.

    Source: P. D. Welch, IEEE Trans. Audio Electroacoust. AU-15(2):70-73, 1967, as `scipy.signal.welch` has it.
    """
    from scipy import signal

    length = min(1 << int(np.ceil(np.log2(fs * _SEGMENT_SECONDS))), np.shape(x)[-1])
    frequency, power = signal.welch(np.asarray(x, dtype=np.float64), fs, nperseg=length)
    return frequency, power.reshape(-1, power.shape[-1]).mean(axis=0)


def hum_db(x: Any, fs: float, frequency: float) -> float:
    """How far a line in the spectrum stands above its neighbours, in dB; negative where a filter has cut a hole.

    The highest of the three bins around `frequency`, against the median of the bins from 1 to 3 Hz away on both sides.

    Args:
        x: `[..., time]`, real.
        fs: sampling rate in Hz.
        frequency: of the line in Hz, 3 Hz from 0 and from fs/2 at least.

    Raises:
        DataError: the recording is too short to tell the line from its neighbours, or the frequency near an end.

    >>> t = np.arange(0, 60, 1 / 360)
    >>> noise = np.random.default_rng(0).normal(size=t.size)
    >>> round(hum_db(noise, 360, 60)), round(hum_db(noise + np.sin(2 * np.pi * 60 * t), 360, 60))
    (0, 25)
    """
    if not 3 < frequency < fs / 2 - 3:
        raise DataError(
            f"hum: a frequency between 3 and {fs / 2 - 3:g} Hz can be measured at fs {fs:g}, got {frequency:g}"
        )
    frequencies, power = spectrum(x, fs)
    step = frequencies[1] if len(frequencies) > 1 else np.inf
    if step > 0.5:
        raise DataError(f"hum: needs a recording of at least 2 s, got {np.shape(x)[-1] / fs:g} s; leave `hum` out")
    distance = np.abs(frequencies - frequency)
    line = power[distance <= 1.5 * step].max()
    around = np.median(power[(distance >= 1) & (distance <= 3)])
    tiny = np.finfo(np.float64).tiny
    return float(10 * np.log10(max(line, tiny) / max(around, tiny)))
