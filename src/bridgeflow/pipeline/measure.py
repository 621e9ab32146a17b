"""Measurements that a job reports, taken from the data itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridgeflow.errors import DataError

__all__ = ["interference_db", "require_line", "spectrum"]

_SEGMENT_SECONDS = 5.0
"""At least this long is a segment of the averaged spectrum, so bins are at most 0.2 Hz apart."""

_WIDEST_BIN = 0.5
"""Hertz between neighbouring frequencies of the spectrum of a short recording, at most."""


def spectrum(x: Any, fs: float) -> tuple[np.ndarray, np.ndarray]:
    """Power spectral density by Welch's method, in segments of 5 to 10 s under a Hann window, overlapping by half.

    Args:
        x: `[..., time]`, real; the spectra of several rows are averaged.
        fs: sampling rate in Hz.

    Segments that hold NaN or infinity are left out.

    Returns:
        Frequencies in Hz and power per Hz, both `[frequency]`, float64.

    Raises:
        DataError: no segment is without NaN or infinity.

    Source: P. D. Welch, IEEE Trans. Audio Electroacoust. AU-15(2):70-73, 1967, as `scipy.signal.welch` has it.
    """
    x = np.asarray(x, dtype=np.float64)
    length = _segment(fs, x.shape[-1])
    rows = x.reshape(-1, x.shape[-1])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length) if length > 1 else np.ones(1)
    power, count = np.zeros(length // 2 + 1), 0
    with np.errstate(over="ignore", invalid="ignore"):  # a power too large for float64 is infinite
        for row in rows:
            frames = _whole_segments(row, length)
            spectra = np.fft.rfft((frames - frames.mean(axis=-1, keepdims=True)) * window)
            power += (spectra.real**2 + spectra.imag**2).sum(axis=0)
            count += len(frames)
        if not count:
            raise DataError(
                f"report: no {length} samples in a row are without NaN or infinity; fill the gaps, or leave it out"
            )
        power /= count * fs * (window * window).sum()
    power[1 : (length + 1) // 2] *= 2  # what lies at negative frequencies; half the rate has no such twin
    return np.fft.rfftfreq(length, 1 / fs), power


def _segment(fs: float, samples: int) -> int:
    """Samples of a segment of the averaged spectrum."""
    return min(1 << int(np.ceil(np.log2(fs * _SEGMENT_SECONDS))), samples) if fs * _SEGMENT_SECONDS > 1 else 1


def _whole_segments(x: np.ndarray, length: int) -> np.ndarray:
    """The segments of a row that hold neither NaN nor infinity, `[segments, length]`."""
    frames = np.lib.stride_tricks.sliding_window_view(x, length)[:: max(length - length // 2, 1)]
    whole: np.ndarray = frames if np.isfinite(x).all() else frames[np.isfinite(frames).all(axis=-1)]
    return whole


def interference_db(x: Any, fs: float, frequency: float) -> float:
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
    >>> round(interference_db(noise, 360, 60)), round(interference_db(noise + np.sin(2 * np.pi * 60 * t), 360, 60))
    (0, 25)
    """
    require_line(fs, frequency, np.shape(x)[-1])
    frequencies, power = spectrum(x, fs)
    step = frequencies[1]
    distance = np.abs(frequencies - frequency)
    line = power[distance <= 1.5 * step].max()
    around = np.median(power[(distance >= 1) & (distance <= 3)])
    tiny = np.finfo(np.float64).tiny
    return float(10 * np.log10(max(line, tiny) / max(around, tiny)))


def require_line(fs: float, frequency: float, samples: int | None) -> None:
    """Refuse to measure a line that cannot be told from its neighbours.

    Args:
        samples: along time; `None` where their number is not known.

    Raises:
        DataError: as for `interference_db`.
    """
    if not 3 < frequency < fs / 2 - 3:
        raise DataError(
            f"hum: a frequency between 3 and {fs / 2 - 3:g} Hz can be measured at fs {fs:g}, got {frequency:g}"
        )
    if samples is not None and fs / max(_segment(fs, samples), 1) > _WIDEST_BIN:
        raise DataError(f"hum: needs a recording of at least 2 s, got {samples / fs:g} s; leave `hum` out")
