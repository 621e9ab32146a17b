"""What a filter does, as curves: phase and group delay over frequency, impulse response over time.

The gain is `design.response(frequency)`. Phase and delay of an IIR filter are sums over the zeros and poles of its
sections, each in closed form: no unwrapping, no difference quotient, and nothing lost where a product of sections would
underflow.
"""

from __future__ import annotations

from math import ceil, log, pi, sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridgeflow.signal.design import Design, FirFilter, IirFilter
from bridgeflow.signal.design.base import Array, is_symmetric, quadratic_roots
from bridgeflow.signal.iir import sosfilt

__all__ = ["group_delay", "half_power", "impulse_response", "phase_response", "telling_frequencies"]

Complex = NDArray[np.complex128]

_ON_CIRCLE: Final = 1e-7
"""A zero this close to the unit circle was meant to lie on it: of a double zero, rounding leaves 1e-8."""

_LONGEST: Final = 1 << 20
"""Samples of an impulse response, where no caller says how many."""


def phase_response(design: Design, frequency: ArrayLike) -> Array:
    """The phase in radians, continuous but for a step of pi where the gain goes through zero.

    Args:
        design: the filter.
        frequency: [...], in Hz where the design has `fs`, else in cycles per sample; ascending where the design is an
            FIR filter whose taps have no symmetry, because its phase is unwrapped from one to the next.

    >>> from bridgeflow.signal import Butter
    >>> lowpass = Butter(order=2, cutoff=10.0, fs=100.0)
    >>> np.degrees(phase_response(lowpass, [1e-9, 10.0])).round(3) + 0.0
    array([  0., -90.])
    """
    w = _angles(design, frequency)
    if isinstance(design, FirFilter):
        return _fir_phase(design, w)
    assert isinstance(design, IirFilter)
    shift = np.exp(-1j * w)
    phase = np.zeros_like(w)
    for gain, delay, zeros, poles in map(_factors, design.sos):
        phase += (pi if gain < 0 else 0.0) - delay * w
        for zero in zeros:
            if abs(zero) < 1 + _ON_CIRCLE:
                phase += np.angle(1 - zero * shift)
            else:  # 1 - q/z = (-q/z) (1 - z/q), whose last factor stays in the right half plane
                phase += np.angle(-zero) - w + np.angle(1 - 1 / (zero * shift))
        for pole in poles:
            phase -= np.angle(1 - pole * shift)
    return phase


def group_delay(design: Design, frequency: ArrayLike) -> Array:
    """By how much the envelope of a narrow band comes later: minus the derivative of the phase.

    A zero on the unit circle counts its limit, half a sample; the step of the phase is left out. Where an FIR filter
    without symmetry lets nothing through, the delay is NaN.

    Args:
        design: the filter.
        frequency: [...], in Hz where the design has `fs`, else in cycles per sample.

    Returns:
        [...], in seconds where the design has `fs`, else in samples.

    Source: J. O. Smith, Introduction to Digital Filters, "Numerical Computation of Group Delay".

    >>> from bridgeflow.signal import Firwin
    >>> group_delay(Firwin(numtaps=101, cutoff=40.0, fs=1000.0), [10.0, 200.0])
    array([0.05, 0.05])
    """
    w = _angles(design, frequency)
    if isinstance(design, FirFilter):
        samples = _fir_delay(design, w)
    else:
        assert isinstance(design, IirFilter)
        samples = np.zeros_like(w)
        for _, delay, zeros, poles in map(_factors, design.sos):
            samples += delay
            samples += sum(_factor_delay(zero, w) for zero in zeros)
            samples -= sum(_factor_delay(pole, w) for pole in poles)
    return samples / (design.fs or 1.0)


def impulse_response(design: Design, length: int | None = None) -> Array:
    """The answer to a single 1.

    Args:
        design: the filter.
        length: in samples; `None` for all taps, or until an IIR filter has sunk below a thousandth of its largest
            value for good (a million samples at most).

    Returns:
        [length], float64.

    >>> from bridgeflow.signal import Taps
    >>> impulse_response(Taps(values=(0.25, 0.5, 0.25)), 5)
    array([0.25, 0.5 , 0.25, 0.  , 0.  ])
    """
    if isinstance(design, FirFilter):
        taps = design.taps
        return taps if length is None else np.pad(taps, (0, max(length - len(taps), 0)))[:length]
    assert isinstance(design, IirFilter)
    if length is not None:
        impulse = np.zeros(length)
        impulse[:1] = 1.0
        return np.asarray(sosfilt(design, impulse))
    radius = design.pole_radius
    # 1e-6 of the slowest pole leaves room for several of them side by side, which decay more slowly than one alone
    settled = 2 * len(design.sos) + 8 + (ceil(log(1e-6) / log(radius)) if radius > 0 else 0)
    response = impulse_response(design, min(settled, _LONGEST))
    size = np.abs(response)
    return response[: np.flatnonzero(size >= 1e-3 * size.max())[-1] + 1]


def telling_frequencies(design: Design) -> Array:
    """Frequencies between 0 and fs/2, ascending, dense where the response is narrow: what a curve is drawn through.

    Returns:
        [n], in Hz where the design has `fs`, else in cycles per sample; neither 0 nor fs/2 themselves.
    """
    rate = design.fs or 1.0
    even = 4096
    parts = [np.geomspace(1e-6, 0.5, 1024)]
    if isinstance(design, FirFilter):
        even = max(even, min(8 * len(design.taps), 1 << 16))
    else:
        assert isinstance(design, IirFilter)
        poles = design.poles
        around = np.sinh(np.linspace(-7, 7, 65 if len(poles) <= 64 else 17))
        for pole in poles[np.abs(poles) > 0]:
            parts.append((abs(np.angle(pole)) + (1 - abs(pole)) * around) / (2 * pi))
    every = np.unique(np.concatenate([np.linspace(0, 0.5, even), *parts]))
    return np.asarray(rate * every[(every >= 1e-7) & (every <= 0.5 - 1e-7)])


def half_power(frequency: Array, gain: Array) -> list[float]:
    """Where the gain crosses its largest value divided by the square root of 2, by linear interpolation.

    >>> half_power(np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 0.0]))  # 1 + (1 - 1 / sqrt(2))
    [1.2928932188134525]
    """
    above = gain - gain.max() / sqrt(2)
    where = np.flatnonzero(np.diff(above >= 0))
    share = above[where] / (above[where] - above[where + 1])
    return [float(f) for f in frequency[where] + share * (frequency[where + 1] - frequency[where])]


def _angles(design: Design, frequency: ArrayLike) -> Array:
    return np.asarray(frequency, dtype=np.float64) * (2 * pi / (design.fs or 1.0))


def _factors(section: Array) -> tuple[float, int, Complex, Complex]:
    """A section as `gain * z**-delay * prod(1 - zero / z) / prod(1 - pole / z)`."""
    delay = int(np.flatnonzero(section[:3])[0])
    zeros = quadratic_roots(*section[:3])
    radius = np.abs(zeros)
    meant = np.abs(radius - 1) < _ON_CIRCLE
    zeros[meant] /= radius[meant]
    return float(section[delay]), delay, zeros, quadratic_roots(*section[3:])


def _factor_delay(root: complex, w: Array) -> Array | float:
    """Group delay of `1 - root / z` in samples.

    With r = |root| and p = w - arg(root) it is (r**2 - r cos p) / (1 - 2 r cos p + r**2), written here with
    cos p = 1 - 2 sin(p / 2)**2, because near the circle both halves cancel.
    """
    r = abs(root)
    if abs(r - 1) < 1e-15:
        return 0.5
    bend = 2 * r * np.sin((w - np.angle(root)) / 2) ** 2
    return np.asarray((r * (r - 1) + bend) / ((1 - r) ** 2 + 2 * bend))


def _fir_phase(design: FirFilter, w: Array) -> Array:
    taps = design.taps
    middle = (len(taps) - 1) / 2
    turned = np.angle(design._at(np.exp(-1j * w)) * np.exp(1j * w * middle))
    if is_symmetric(taps):  # what is left is a real or an imaginary amplitude, so a quarter turn each
        turned = np.mod(np.rint(turned * 2 / pi) + 1, 4) - 1
        return np.asarray(turned * (pi / 2) - w * middle)
    return np.asarray(np.unwrap(turned) - w * middle)


def _fir_delay(design: FirFilter, w: Array) -> Array:
    taps = design.taps
    if is_symmetric(taps):
        return np.full_like(w, (len(taps) - 1) / 2)
    shift = np.exp(-1j * w)
    value, slope = design._at(shift), np.zeros_like(shift)
    for k in range(len(taps) - 1, -1, -1):
        slope = slope * shift + k * taps[k]
    silent = np.abs(value) < 1e-12 * np.abs(taps).sum()
    return np.where(silent, np.nan, (slope / np.where(silent, 1, value)).real)
