"""Filters that are easy on rounding and filters that are not, and what they exactly do."""

from __future__ import annotations

import numpy as np
import scipy.signal as sps


def _notches(*frequencies: float, quality: float) -> np.ndarray:
    return np.concatenate([sps.tf2sos(*sps.iirnotch(f, quality, fs=1000)) for f in frequencies])


EASY = {
    "butter 4": sps.butter(4, 0.1, output="sos"),
    "butter 5, first-order section": sps.butter(5, 0.2, output="sos"),
    "ellip 5": sps.ellip(5, 0.5, 60, 0.2, output="sos"),
    "bandpass, 6 sections": sps.butter(6, [0.1, 0.4], btype="band", output="sos"),
    "butter 16": sps.butter(16, 0.3, output="sos"),
    "FIR": np.array([[0.25, 0.5, 0.25, 1.0, 0.0, 0.0]]),
    "ten sections": _notches(*range(40, 440, 40), quality=10),
}

HARD = {
    "elliptic 12": sps.ellip(12, 0.1, 80, 0.02, output="sos"),
    "high-pass 0.05 Hz at 1 kHz": sps.butter(4, 0.05, btype="high", fs=1000, output="sos"),
    "low-pass 0.05 Hz at 1 kHz": sps.butter(4, 0.05, fs=1000, output="sos"),
    "band-pass 0.05 to 0.1 Hz at 1 kHz": sps.butter(4, [0.05, 0.1], btype="band", fs=1000, output="sos"),
    "narrow elliptic band-pass": sps.ellip(6, 0.1, 60, [0.1, 0.105], btype="band", output="sos"),
    "notch, Q = 500": _notches(60, quality=500),
    "three notches, Q = 500": _notches(60, 120, 180, quality=500),
    "the same notch twice": _notches(60, 60, quality=500),
    "chebyshev 2, order 10": sps.cheby2(10, 100, 0.05, output="sos"),
}

_BITS = 400


def exact(sos: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cascade in fixed point with 400 binary places, as the sum of two float64 arrays."""
    signal = [_fixed(value) for value in x]
    for b0, b1, b2, _, a1, a2 in (map(_fixed, section) for section in sos):
        s0 = s1 = 0
        out = []
        for value in signal:
            y = (b0 * value >> _BITS) + s0
            s0 = (b1 * value - a1 * y >> _BITS) + s1
            s1 = b2 * value - a2 * y >> _BITS
            out.append(y)
        signal = out
    high = [value / (1 << _BITS) for value in signal]  # Python rounds such a quotient correctly
    low = [(value - _fixed(part)) / (1 << _BITS) for value, part in zip(signal, high, strict=True)]
    return np.array(high), np.array(low)


def _fixed(value: float) -> int:
    numerator, denominator = float(value).as_integer_ratio()
    return (numerator << _BITS) // denominator
