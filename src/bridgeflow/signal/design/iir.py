"""IIR designs. Poles and zeros become sections directly: the rounding of a `b, a` form would move the poles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, tan
from typing import Any, ClassVar, Final, Literal, TypeAlias

import numpy as np

from bridgeflow.signal.design.base import Array, IirFilter
from bridgeflow.signal.design.roots import roots
from bridgeflow.signal.design.zpk import butter_sos, notch_or_peak, zpk2sos

__all__ = ["Ba", "Bessel", "Butter", "Cheby1", "Cheby2", "Comb", "Ellip", "Notch", "Peak", "Sos", "Zpk"]

Btype: TypeAlias = Literal["lowpass", "highpass", "bandpass", "bandstop"]
"""Which frequencies pass."""

BesselNorm: TypeAlias = Literal["phase", "delay", "mag"]
"""What a Bessel filter's cutoff is: the middle of its phase, the inverse of its delay, or its -3 dB point."""

CombType: TypeAlias = Literal["notch", "peak"]
"""Whether a comb takes its frequencies away or keeps nothing else."""

Root: TypeAlias = complex | tuple[float, float]
"""A pole or zero: a real or complex number, or its real and imaginary part."""

_MOST_TEETH: Final = 4_000
"""Most poles of a comb, whose pairing into sections takes seconds from there on."""

_SHORT_BTYPES: Final = {
    "low": "lowpass",
    "high": "highpass",
    "band": "bandpass",
    "pass": "bandpass",
    "stop": "bandstop",
}


@dataclass(frozen=True, kw_only=True)
class _Classic(IirFilter):
    """The five classical families, which differ in their analogue prototype.

    Args:
        order: of the prototype, at least 1. A bandpass or bandstop has twice as many poles, as SciPy's.
        cutoff: corner frequency in Hz, 0 < cutoff < fs/2; two of them, ascending, for bandpass and bandstop.
        btype: `"lowpass"`, `"highpass"`, `"bandpass"` or `"bandstop"`.
        fs: sampling rate in Hz.
    """

    order: int
    cutoff: float | tuple[float, float]
    btype: Btype = "lowpass"

    def _parse(self) -> None:
        if isinstance(self.btype, str):
            self._set(btype=_SHORT_BTYPES.get(self.btype, self.btype))
        self._set(
            order=self._integer("order", least=1, most=500), btype=self._word("btype", Btype), cutoff=self._edges()
        )

    def _edges(self) -> float | tuple[float, float]:
        single = not isinstance(self.cutoff, (Sequence, np.ndarray)) or isinstance(self.cutoff, str)
        edges: tuple[Any, ...] = (self.cutoff,) if single else self._sequence("cutoff")
        count = 2 if self.btype in {"bandpass", "bandstop"} else 1
        if len(edges) != count:
            form = "one frequency in Hz" if count == 1 else "two frequencies in Hz, (low, high)"
            raise self._fail(f"a {self.btype} takes {form} as cutoff, got {self.cutoff!r}", field="cutoff")
        parsed = tuple(self._frequency("cutoff", edge) for edge in edges)
        if count == 1:
            return parsed[0]
        low, high = parsed
        if low >= high:
            raise self._fail(f"cutoff must ascend, got ({low:g}, {high:g})", field="cutoff")
        return low, high

    def _prototype(self) -> tuple[Any, ...]:
        """SciPy's `N`, the ripples where there are any, `Wn` and `btype`, after the function that takes them."""
        raise NotImplementedError

    def _options(self) -> dict[str, Any]:
        return {}

    def _solve(self) -> Array:
        design, *args = self._prototype()
        sos: Array = self._scipy(design, *args, self.cutoff, self.btype, output="sos", fs=self.fs, **self._options())
        return sos


@dataclass(frozen=True, kw_only=True)
class Butter(_Classic):
    """Butterworth: flat passband, -3 dB at the cutoff. As `scipy.signal.butter`.

    Args:
        order: of the prototype, at least 1. A bandpass or bandstop has twice as many poles.
        cutoff: corner frequency in Hz, 0 < cutoff < fs/2; two of them, ascending, for bandpass and bandstop.
        btype: `"lowpass"`, `"highpass"`, `"bandpass"` or `"bandstop"`.
        fs: sampling rate in Hz.

    >>> Butter(order=4, cutoff=20.0, fs=100.0).sos.shape
    (2, 6)
    """

    name: ClassVar[str] = "butter"

    def _solve(self) -> Array:
        sos: Array = self._scipy(butter_sos, self.order, self.cutoff, self.btype, 2.0 if self.fs is None else self.fs)
        return sos


@dataclass(frozen=True, kw_only=True)
class Cheby1(_Classic):
    """Chebyshev I: ripple in the passband. As `scipy.signal.cheby1`.

    Args:
        rp: largest ripple in the passband, in dB, above 0. The cutoff is where the gain first leaves it.
        order, cutoff, btype, fs: as for `Butter`.
    """

    name: ClassVar[str] = "cheby1"
    rp: float

    def _parse(self) -> None:
        super()._parse()
        self._set(rp=self._positive("rp"))

    def _prototype(self) -> tuple[Any, ...]:
        from scipy.signal import cheby1

        return cheby1, self.order, self.rp


@dataclass(frozen=True, kw_only=True)
class Cheby2(_Classic):
    """Chebyshev II: ripple in the stopband. As `scipy.signal.cheby2`.

    Args:
        rs: least attenuation in the stopband, in dB, above 0. The cutoff is where the gain first reaches it.
        order, cutoff, btype, fs: as for `Butter`.
    """

    name: ClassVar[str] = "cheby2"
    rs: float

    def _parse(self) -> None:
        super()._parse()
        self._set(rs=self._positive("rs"))

    def _prototype(self) -> tuple[Any, ...]:
        from scipy.signal import cheby2

        return cheby2, self.order, self.rs


@dataclass(frozen=True, kw_only=True)
class Ellip(_Classic):
    """Elliptic (Cauer): ripple on both sides, the steepest edge of its order. As `scipy.signal.ellip`.

    Args:
        rp: largest ripple in the passband, in dB, above 0.
        rs: least attenuation in the stopband, in dB, above `rp`.
        order, cutoff, btype, fs: as for `Butter`.
    """

    name: ClassVar[str] = "ellip"
    rp: float
    rs: float

    def _parse(self) -> None:
        super()._parse()
        self._set(rp=self._positive("rp"), rs=self._positive("rs"))
        if self.rs <= self.rp:
            raise self._fail(f"rs={self.rs:g} dB (stopband) must be above rp={self.rp:g} dB (passband)", field="rs")

    def _prototype(self) -> tuple[Any, ...]:
        from scipy.signal import ellip

        return ellip, self.order, self.rp, self.rs


@dataclass(frozen=True, kw_only=True)
class Bessel(_Classic):
    """Bessel: nearly the same delay for all of the passband, so a pulse keeps its shape. As `scipy.signal.bessel`.

    Args:
        norm: what the cutoff is: `"phase"` (the middle of the phase's fall), `"delay"`, or `"mag"` (-3 dB).
        order, cutoff, btype, fs: as for `Butter`.
    """

    name: ClassVar[str] = "bessel"
    norm: BesselNorm = "phase"

    def _parse(self) -> None:
        super()._parse()
        self._set(norm=self._word("norm", BesselNorm))

    def _prototype(self) -> tuple[Any, ...]:
        from scipy.signal import bessel

        return bessel, self.order

    def _options(self) -> dict[str, Any]:
        return {"norm": self.norm}


@dataclass(frozen=True, kw_only=True)
class Notch(IirFilter):
    """Takes one frequency away. As `scipy.signal.iirnotch`.

    Args:
        w0: the frequency in Hz, 0 < w0 < fs/2.
        Q: quality: `w0` divided by the width of the notch at -3 dB.
        fs: sampling rate in Hz.

    >>> bool(abs(Notch(w0=50.0, Q=30.0, fs=500.0).response(50.0)) < 1e-12)
    True
    """

    name: ClassVar[str] = "notch"
    w0: float
    Q: float

    def _parse(self) -> None:
        self._set(w0=self._frequency("w0"), Q=self._positive("Q"))

    def _solve(self) -> Array:
        return notch_or_peak(self.w0, self.Q, self._rate("w0"), "notch")


@dataclass(frozen=True, kw_only=True)
class Peak(IirFilter):
    """Keeps one frequency. As `scipy.signal.iirpeak`.

    Args:
        w0: the frequency in Hz, 0 < w0 < fs/2.
        Q: quality: `w0` divided by the width of the peak at -3 dB.
        fs: sampling rate in Hz.
    """

    name: ClassVar[str] = "peak"
    w0: float
    Q: float

    def _parse(self) -> None:
        self._set(w0=self._frequency("w0"), Q=self._positive("Q"))

    def _solve(self) -> Array:
        return notch_or_peak(self.w0, self.Q, self._rate("w0"), "peak")


@dataclass(frozen=True, kw_only=True)
class Comb(IirFilter):
    """A notch or a peak at every multiple of one frequency. As `scipy.signal.iircomb`.

    Args:
        w0: spacing in Hz; `fs` must be a multiple of it.
        Q: quality, above 1: `w0` divided by the width of one tooth at -3 dB.
        ftype: `"notch"` takes the multiples away, `"peak"` keeps only them.
        pass_zero: whether 0 Hz passes. For a notch, `False` puts the teeth on 0, w0, 2 w0, ... and `True` on w0/2, 3
            w0/2, ...; for a peak the other way round.
        fs: sampling rate in Hz.

    The filter has order `n = fs / w0`. Its poles and zeros are written down as n-th roots, not found from coefficients,
    which makes combs of many hundred teeth as exact as those of two.
    Source: S. Orfanidis, Introduction to Signal Processing, 11.5, as SciPy has it.

    >>> abs(Comb(w0=50.0, Q=30.0, pass_zero=True, fs=500.0).response([0.0, 25.0])).round(6)
    array([1., 0.])
    """

    name: ClassVar[str] = "comb"
    w0: float
    Q: float
    ftype: CombType = "notch"
    pass_zero: bool = False

    def _parse(self) -> None:
        self._set(w0=self._frequency("w0"), Q=self._positive("Q"), ftype=self._word("ftype", CombType))
        self._set(pass_zero=self._flag("pass_zero"))
        if self.Q <= 1:  # a tooth as wide as the spacing: the formula's tangent passes its pole
            raise self._fail(f"Q must be above 1, got {self.Q:g}", field="Q")
        teeth = self._rate("w0") / self.w0
        if teeth > _MOST_TEETH:
            raise self._fail(
                f"w0={self.w0:g} Hz makes {teeth:,.0f} teeth below fs={self.fs:g} Hz; at most {_MOST_TEETH:,}"
            )
        if abs(self.w0 - self._rate("w0") / round(teeth)) > 1e-14 * self._rate("w0"):
            raise self._fail(
                f"fs={self.fs:g} Hz must be a multiple of w0={self.w0:g} Hz, it is {teeth:.6g} times as much"
            )

    def _solve(self) -> Array:
        fs = self._rate("w0")
        teeth = round(fs / self.w0)
        beta = tan(teeth * (2 * pi * self.w0 / fs / self.Q) / 4)
        pole = (1 - beta) / (1 + beta)
        edge, gain = (1.0, 1.0 / (1 + beta)) if self.ftype == "notch" else (-1.0, beta / (1 + beta))
        # H(z) = gain (1 - s edge z**-n) / (1 - s pole z**-n), where s = -1 moves the teeth by half a spacing
        side = 1.0 if self.pass_zero == (self.ftype == "peak") else -1.0
        sections: Array = zpk2sos(_nth_roots(side * edge, teeth), _nth_roots(side * pole, teeth), gain)
        return sections

    def _remedy(self) -> str:
        return "lower Q"


@dataclass(frozen=True, kw_only=True)
class Sos(IirFilter):
    """Second-order sections as given.

    Args:
        sections: [n, 6], each row `b0 b1 b2 1 a1 a2`, as every `output="sos"` of SciPy.
        fs: sampling rate in Hz; only `response` uses it.

    >>> Sos(sections=((1.0, 0.0, 0.0, 1.0, -0.5, 0.0),)).pole_radius
    0.5
    """

    name: ClassVar[str] = "sos"
    sections: tuple[tuple[float, float, float, float, float, float], ...]

    def _parse(self) -> None:
        rows = tuple(self._numbers(f"sections[{i}]", row) for i, row in enumerate(self._sequence("sections")))
        for i, row in enumerate(rows):
            if len(row) != 6:
                raise self._fail(
                    f"sections[{i}] must hold six numbers (b0, b1, b2, 1, a1, a2), got {len(row)}", field="sections"
                )
            if row[3] != 1:
                raise self._fail(
                    f"sections[{i}] must have a0 = 1, got {row[3]:g}; divide the row by it", field="sections"
                )
        self._set(sections=rows)

    def _solve(self) -> Array:
        return np.array(self.sections)

    def _remedy(self) -> str:
        return "check the sections, or design them here from a cutoff"


@dataclass(frozen=True, kw_only=True)
class Zpk(IirFilter):
    """Zeros, poles and gain as given, turned into sections as `scipy.signal.zpk2sos` does.

    Args:
        z: zeros. Complex ones come in conjugate pairs; each is a number or a pair (real, imaginary).
        p: poles, likewise.
        k: gain.
        fs: sampling rate in Hz; only `response` uses it.

    Fewer zeros than poles are filled up with zeros at the origin, so that no delay is added: SciPy's convention.
    """

    name: ClassVar[str] = "zpk"
    z: tuple[Root, ...] = ()
    p: tuple[Root, ...]
    k: float

    def _parse(self) -> None:
        zeros: object = self.z
        is_empty = isinstance(zeros, (Sequence, np.ndarray)) and not len(zeros)
        self._set(z=() if is_empty else self._roots("z"), p=self._roots("p"), k=self._number("k"))

    def _roots(self, field: str) -> tuple[complex, ...]:
        items = self._sequence(field)
        parts = [
            item if isinstance(item, (tuple, list)) else (getattr(item, "real", item), getattr(item, "imag", 0.0))
            for item in items
        ]
        if any(len(part) != 2 for part in parts):
            raise self._fail(f"{field} must hold numbers or pairs (real, imaginary), got {items!r}", field=field)
        return tuple(complex(*self._numbers(f"{field}[{i}]", part)) for i, part in enumerate(parts))

    def _solve(self) -> Array:
        sos: Array = self._scipy(zpk2sos, self.z, self.p, self.k)
        return sos

    def _remedy(self) -> str:
        return "move the pole inside the unit circle"


@dataclass(frozen=True, kw_only=True)
class Ba(IirFilter):
    """Numerator and denominator as given: the filter that `scipy.signal.lfilter(b, a, x)` applies.

    Args:
        b: numerator, `b[k]` for a delay of k samples.
        a: denominator, at least two coefficients, `a[0] != 0`.
        fs: sampling rate in Hz; only `response` uses it.

    This form loses its meaning quickly: the coefficients of `butter(10, 0.001)`, rounded to float64, describe a filter
    with a pole of radius 1.045. Such a filter is refused. The poles of all others are found in extended precision, so
    the sections are those of the coefficients given.

    >>> Ba(b=(0.0, 0.5), a=(1.0, -0.5)).sos
    array([[ 0. ,  0.5,  0. ,  1. , -0.5,  0. ]])
    """

    name: ClassVar[str] = "ba"
    b: tuple[float, ...]
    a: tuple[float, ...]

    def _parse(self) -> None:
        self._set(b=self._numbers("b"), a=self._numbers("a"))
        if self.a[0] == 0:
            raise self._fail("a[0] must not be 0", field="a")
        if len(self.a) == 1:
            raise self._fail("a has one coefficient, so this is an FIR filter; use Taps with b / a[0]", field="a")
        if not any(self.b):
            raise self._fail("b must not be all 0", field="b")

    def _solve(self) -> Array:
        delay = next(k for k, c in enumerate(self.b) if c)
        numerator = self.b[delay:]
        zeros, poles = self._scipy(roots, numerator), self._scipy(roots, self.a)
        # in powers of the delay both polynomials have the roots of their coefficient lists, and as many at the origin
        # as make their degrees equal; zpk2sos adds those itself
        sos: Array = zpk2sos(zeros, poles, numerator[0] / self.a[0])
        return _delayed(sos, delay)

    def _remedy(self) -> str:
        return (
            "the b, a form loses stability to rounding; use the design's sections (output='sos') or its zeros and poles"
        )


def _nth_roots(power: float, n: int) -> Any:
    """All z with `z**n == power`, complex ones in exact conjugate pairs."""
    radius, turn = abs(power) ** (1 / n), 0.0 if power >= 0 else 0.5
    upper = [k + turn for k in range(n) if 0 < k + turn < n / 2]
    above = radius * np.exp(2j * pi * np.array(upper) / n)
    real = [radius] * (turn == 0) + [-radius] * ((n / 2 - turn) % 1 == 0)
    return np.concatenate([above, above.conj(), real])


def _delayed(sos: Array, samples: int) -> Array:
    """The same sections after a delay, which goes into numerators that end in zeros, then into sections of its own."""
    sos = sos.copy()
    for section in sos:
        while samples and section[2] == 0:
            section[:3] = 0.0, section[0], section[1]
            samples -= 1
    extra = [[0.0, samples - 2 * k == 1, samples - 2 * k >= 2, 1.0, 0.0, 0.0] for k in range((samples + 1) // 2)]
    return np.concatenate([sos, np.array(extra, dtype=np.float64).reshape(-1, 6)])
