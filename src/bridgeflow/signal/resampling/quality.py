"""Filters between two rates by quality: how much of the band is kept, and how little of the rest comes through.

`scipy.signal.resample_poly`'s filter is short: it lets through half of what lies just above the lower Nyquist
frequency, and folds it back. The qualities here keep the band up to a fraction of that frequency and stop everything
from it on. Their impulse response does not depend on the rates; it is a function of time, in samples of the lower rate:

1. an equiripple low-pass `p` at a few times the lower rate (`scipy.signal.remez`: J. H. McClellan and T. W. Parks, "A
   unified approach to the design of optimum FIR linear phase digital filters", IEEE Trans. Circuit Theory 20, 1973).
   Far more ripple is allowed in the pass band than in the stop band: a third shorter than a window design;
2. made continuous by a sinc under a Kaiser window, which need only stop the images of `p`, far above, and so is short.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["GRADES", "Grade", "Quality", "polyphase_taps"]

Array: TypeAlias = NDArray[np.float64]

Quality: TypeAlias = Literal["scipy", "medium", "high", "very high"]
"""Of a resampling filter. `"scipy"` is the filter, and the numbers, of `scipy.signal.resample_poly`."""


@dataclass(frozen=True)
class Grade:
    """What a quality promises.

    Args:
        pass_band: fraction of the lower Nyquist frequency up to which the band is kept.
        ripple: by how much it may be changed there, in dB. A level, frequency 0, keeps its value.
        attenuation: of everything from the lower Nyquist frequency on, in dB.
        crossings: length of the impulse response `p`, in samples of the lower rate.
        weight: how many times less ripple in the stop band than in the pass band.
    """

    pass_band: float
    ripple: float
    attenuation: float
    crossings: int
    weight: float

    @property
    def half(self) -> float:
        """Half the length of the impulse response, in samples of the lower rate."""
        return self.crossings / 2 + self._half_kernel / _OVERSAMPLING

    def impulse(self, times: Array) -> Array:
        """The impulse response, symmetric about time 0 and with integral 1.

        Args:
            times: [...], in samples of the lower rate.

        Returns:
            values: [...]; zero outside of `(-half, half)`.
        """
        return self._unscaled(times) / self._integral

    def equiripple(self, oversampling: int) -> Array:
        """Taps [n], symmetric, at a multiple of the lower rate."""
        from scipy.signal import remez

        edge = 0.5 / oversampling
        bands = [0.0, self.pass_band * edge, edge, 0.5]
        count = oversampling * self.crossings + 1
        taps = remez(count, bands, [1, 0], weight=[1, self.weight], maxiter=400, grid_density=32)
        return np.asarray(taps, np.float64)

    @cached_property
    def _prototype(self) -> Array:
        return self.equiripple(_OVERSAMPLING)

    @cached_property
    def _integral(self) -> float:
        steps = 64 * _OVERSAMPLING
        times = np.arange(-int(self.half * steps) - 1, int(self.half * steps) + 2) / steps
        return float(self._unscaled(times).sum() / steps)

    @property
    def _edges(self) -> tuple[float, float]:
        """Of the interpolating kernel, in cycles per tap of `p`: the pass band's, and the first image's."""
        return self.pass_band / (2 * _OVERSAMPLING), 1 - 1 / (2 * _OVERSAMPLING)

    @property
    def _half_kernel(self) -> float:
        """Half the length of the interpolating kernel in taps of `p`, by Kaiser's formula."""
        low, high = self._edges
        return (self.attenuation + _MARGIN - 7.95) / (14.36 * (high - low)) / 2

    def _unscaled(self, times: Array) -> Array:
        from scipy.special import i0

        p, half = self._prototype, self._half_kernel
        (low, high), beta = self._edges, 0.1102 * (self.attenuation + _MARGIN - 8.7)
        cut = low + high  # twice the frequency in the middle
        at = np.asarray(times, np.float64) * _OVERSAMPLING + (len(p) - 1) / 2  # in taps of p
        first = np.ceil(at - half).astype(np.int64)
        total = np.zeros(at.shape)
        for i in range(int(2 * half) + 1):
            tap = first + i
            u = at - tap
            window = i0(beta * np.sqrt(np.maximum(1 - (u / half) ** 2, 0)))
            inside = (np.abs(u) < half) & (tap >= 0) & (tap < len(p))
            total += np.where(inside, p[tap.clip(0, len(p) - 1)] * np.sinc(cut * u) * window, 0.0)
        return total


_OVERSAMPLING: Final = 4
"""Taps of `p` for a sample of the lower rate."""

_MARGIN: Final = 16.0
"""By how many dB the images of `p` are stopped further than the stop band."""

GRADES: Final[dict[str, Grade]] = {
    "medium": Grade(pass_band=0.9, ripple=0.02, attenuation=96.0, crossings=92, weight=100.0),
    "high": Grade(pass_band=0.913, ripple=0.01, attenuation=131.0, crossings=136, weight=10**3.3),
    "very high": Grade(pass_band=0.913, ripple=0.001, attenuation=182.0, crossings=196, weight=10**4.8),
}
"""`"high"` is no worse than the HQ of libsoxr, `"very high"` than its VHQ."""


@lru_cache(maxsize=32)
def polyphase_taps(quality: str, up: int, down: int) -> tuple[Array, int]:
    """The taps at the common multiple of both rates, with sum 1, and which one is in the middle.

    Args:
        quality: of `GRADES`.
        up, down: without a common factor.
    """
    grade, slower = GRADES[quality], max(up, down)
    if slower <= _OVERSAMPLING:  # so coarse that what is left in the stop band would add up
        taps = grade.equiripple(slower)
        return taps / taps.sum(), (len(taps) - 1) // 2
    half = int(grade.half * slower)
    one_side = grade.impulse(np.arange(half + 1) / slower)
    taps = np.concatenate([one_side[:0:-1], one_side])
    return taps / taps.sum(), half
