"""The designs that most filters are, in NumPy alone, with the bits of SciPy's: Butterworth, notch, peak; and sections.

`import scipy.signal` takes a second or more, as it brings optimization, statistics and interpolation along. A program
that filters with one of these needs none of that. Functions, the order of their operations and what they refuse are
those of `scipy.signal._filter_design` (SciPy developers, BSD-3-Clause) for digital filters; tests compare all bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, tan
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["butter_sos", "notch_or_peak", "zpk2sos"]

Array = NDArray[np.float64]
Roots = NDArray[Any]
"""Zeros or poles, real or complex."""


def notch_or_peak(w0: float, Q: float, fs: float, kind: Literal["notch", "peak"]) -> Array:
    """One section [1, 6] that takes one frequency away or keeps nothing else, as `scipy.signal.iirnotch` and `iirpeak`.

    >>> notch_or_peak(60.0, 30.0, 360.0, "notch").round(4)
    array([[ 0.9828, -0.9828,  0.9828,  1.    , -0.9828,  0.9657]])
    """
    w0 = 2 * w0 / fs
    width = w0 / Q * pi
    w0 = w0 * pi
    gain = 1.0 / (1.0 + tan(width / 2.0))
    b = gain * np.array([1.0, -2.0 * cos(w0), 1.0])
    if kind == "peak":
        b = (1.0 - gain) * np.array([1.0, 0.0, -1.0])
    a = np.array([1.0, -2.0 * gain * cos(w0), 2.0 * gain - 1.0])
    return np.concatenate([b, a])[None]


def butter_sos(order: int, cutoff: float | tuple[float, float], btype: str, fs: float) -> Array:
    """Butterworth sections [n, 6], as `scipy.signal.butter(..., output="sos")`.

    >>> butter_sos(2, 20.0, "lowpass", 100.0).round(4)
    array([[ 0.2066,  0.4131,  0.2066,  1.    , -0.3695,  0.1958]])
    """
    z: Roots = np.array([], np.float64)
    # the middle one is 0, so that a real pole is exactly real
    p: Roots = -np.exp(1j * np.pi * np.arange(-order + 1, order, 2, dtype=np.float64) / (2 * order))
    edges = np.asarray(cutoff, np.float64) / (fs / 2)
    warped = 2 * 2.0 * np.tan(np.pi * edges / 2.0)
    if btype in {"lowpass", "highpass"}:
        z, p, k = (_lowpass if btype == "lowpass" else _highpass)(z, p, float(warped))
    else:
        width, middle = float(warped[1] - warped[0]), float(np.sqrt(warped[0] * warped[1]))
        z, p, k = (_bandpass if btype == "bandpass" else _bandstop)(z, p, middle, width)
    return zpk2sos(*_bilinear(z, p, k))


def _lowpass(z: Roots, p: Roots, edge: float) -> tuple[Roots, Roots, Any]:
    return edge * z, edge * p, 1.0 * edge ** (len(p) - len(z))


def _highpass(z: Roots, p: Roots, edge: float) -> tuple[Roots, Roots, Any]:
    zeros = np.concatenate((edge / z, np.zeros(len(p) - len(z))))
    return zeros, edge / p, 1.0 * np.real(np.prod(-z) / np.prod(-p))


def _bandpass(z: Roots, p: Roots, middle: float, width: float) -> tuple[Roots, Roots, Any]:
    degree = len(p) - len(z)
    zeros, poles = _both_sides(z * width / 2, middle), _both_sides(p * width / 2, middle)
    return np.concatenate((zeros, np.zeros(degree))), poles, 1.0 * width**degree


def _bandstop(z: Roots, p: Roots, middle: float, width: float) -> tuple[Roots, Roots, Any]:
    degree = len(p) - len(z)
    zeros, poles = _both_sides((width / 2) / z, middle), _both_sides((width / 2) / p, middle)
    zeros = np.concatenate((zeros, np.full(degree, +1j * middle), np.full(degree, -1j * middle)))
    return zeros, poles, 1.0 * np.real(np.prod(-z) / np.prod(-p))


def _both_sides(roots: Roots, middle: float) -> Roots:
    """Roots around 0 moved to the frequencies `middle` and `-middle`."""
    around = roots.astype(np.complex128)
    return np.concatenate((around + np.sqrt(around**2 - middle**2), around - np.sqrt(around**2 - middle**2)))


def _bilinear(z: Roots, p: Roots, k: Any) -> tuple[Roots, Roots, Any]:
    """Analogue roots as digital ones, at a rate of 2; zeros at infinity go to half the rate."""
    fs2 = 4.0
    zeros = np.concatenate(((fs2 + z) / (fs2 - z), -np.ones(len(p) - len(z))))
    return zeros, (fs2 + p) / (fs2 - p), k * np.real(np.prod(fs2 - z) / np.prod(fs2 - p))


def zpk2sos(z: Sequence[complex] | Roots, p: Sequence[complex] | Roots, k: Any) -> Array:
    """Zeros, poles and gain as sections [n, 6], as `scipy.signal.zpk2sos` pairs them: in the last section the pole that
    is nearest to the unit circle, with the zero nearest to it, and so on.

    Raises:
        ValueError: a complex root without its conjugate.
    """
    zeros, poles = np.asarray(z), np.asarray(p)
    if len(zeros) == len(poles) == 0:
        return np.array([[k, 0.0, 0.0, 1.0, 0.0, 0.0]])
    more = len(poles) - len(zeros)
    poles, zeros = (
        np.concatenate((poles, np.zeros(max(-more, 0)))),
        np.concatenate((zeros, np.zeros(max(more, 0)))),
    )
    sections = (len(poles) + 1) // 2
    if len(poles) % 2:
        poles, zeros = np.concatenate((poles, [0.0])), np.concatenate((zeros, [0.0]))
    zeros, poles = np.concatenate(_upper_and_real(zeros)), np.concatenate(_upper_and_real(poles))
    sos = np.zeros((sections, 6))
    for number in range(sections - 1, -1, -1):  # those nearest to the circle last
        sos[number], zeros, poles = _next_section(zeros, poles)
    sos[0][:3] *= k
    return sos


def _next_section(zeros: Roots, poles: Roots) -> tuple[Array, Roots, Roots]:
    """The section of the pole that is nearest to the unit circle, and the roots that are left."""
    first, poles = _without(poles, _nearest_to_circle(poles))
    if np.isreal(first) and np.isreal(poles).sum() == 0:  # the last real pole
        zero, zeros = _without(zeros, _nearest(zeros, first, real=True))
        return _section([zero, 0], [first, 0]), zeros, poles
    if (
        len(poles) + 1 == len(zeros)
        and not np.isreal(first)
        and np.isreal(poles).sum() == 1
        and np.isreal(zeros).sum() == 1
    ):  # one real pole and one real zero are left: they go together, so this pole takes a complex zero
        zero, zeros = _without(zeros, _nearest(zeros, first, real=False))
        return _section([zero, zero.conj()], [first, first.conj()]), zeros, poles
    if np.isreal(first):
        real = np.flatnonzero(np.isreal(poles))
        second, poles = _without(poles, real[_nearest_to_circle(poles[real])])
    else:
        second = first.conj()
    zero, zeros = _without(zeros, _nearest(zeros, first, real=None))
    if not np.isreal(zero):
        return _section([zero, zero.conj()], [first, second]), zeros, poles
    other, zeros = _without(zeros, _nearest(zeros, first, real=True))
    return _section([zero, other], [first, second]), zeros, poles


def _without(roots: Roots, number: Any) -> tuple[Any, Roots]:
    return roots[number], np.delete(roots, number)


def _nearest_to_circle(roots: Roots) -> Any:
    return np.argmin(np.abs(1 - np.abs(roots)))


def _nearest(roots: Roots, to: Any, *, real: bool | None) -> Any:
    """Which root is nearest: of all, of the real ones, or of the others."""
    order = np.argsort(np.abs(roots - to))
    return order[0] if real is None else order[np.flatnonzero(np.isreal(roots[order]) == real)[0]]


def _section(zeros: Sequence[Any], poles: Sequence[Any]) -> Array:
    return np.concatenate([_polynomial(zeros), _polynomial(poles)])


def _polynomial(pair: Sequence[Any]) -> Any:
    """The polynomial with these two roots; real where they are conjugates."""
    roots = np.asarray(pair)
    product = np.ones(1, roots.dtype)
    for root in roots:
        product = np.convolve(product, np.stack((np.ones_like(root), -root)), mode="full")
    if np.iscomplexobj(product) and (np.sort(roots.imag) == np.sort(roots.conj().imag)).all():
        product = product.real
    return product


def _upper_and_real(roots: Roots) -> tuple[Roots, Array]:
    """One of each pair of conjugates, by its real part, and the real roots."""
    tolerance = 100 * np.finfo((1.0 * roots).dtype).eps
    roots = roots[np.lexsort((abs(roots.imag), roots.real))]
    are_real = abs(roots.imag) <= tolerance * abs(roots)
    real = roots[are_real].real
    if len(real) == len(roots):
        return np.array([]), real
    roots = roots[~are_real]
    upper, lower = roots[roots.imag > 0], roots[roots.imag < 0]
    if len(upper) != len(lower):
        raise ValueError("Array contains complex value with no matching conjugate.")
    alike = np.diff(upper.real) <= tolerance * abs(upper[:-1])
    steps = np.diff(np.concatenate(([0], alike, [0])))
    for start, stop in zip(np.flatnonzero(steps > 0), np.flatnonzero(steps < 0) + 1, strict=True):
        for side in (upper[start:stop], lower[start:stop]):
            side[...] = side[np.lexsort([abs(side.imag)])]
    if (abs(upper - lower.conj()) > tolerance * abs(lower)).any():
        raise ValueError("Array contains complex value with no matching conjugate.")
    return (upper + lower.conj()) / 2, real
