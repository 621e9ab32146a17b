"""`Resample` and `Decimate`: recordings at another rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from bridgeflow.errors import ConfigError, naming
from bridgeflow.policy import Gaps, RecursiveGaps, parse_word
from bridgeflow.ranges import Count, Finite
from bridgeflow.signal.design import Sos
from bridgeflow.signal.padding import default_padlen, parse_padding
from bridgeflow.signal.resampling import (
    Decimator,
    Extension,
    Quality,
    Rate,
    Resampler,
    antialias,
    decimate,
    places_of,
    rate_ratio,
)
from bridgeflow.signal.resampling.rates import parse_rate
from bridgeflow.signal.zero_phase import ZeroPhaseFilter
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.gaps import GapTransform
from bridgeflow.transforms.live import LiveTransform
from bridgeflow.transforms.reach import Reach
from bridgeflow.transforms.registry import register

__all__ = ["Decimate", "Resample"]

Array: TypeAlias = np.ndarray[Any, Any]

_NO_RATE: Final = "from_hz is needed for data that do not know their sampling rate, and only recordings do; give it"

_FINEST_RATE: Final = 1_000_000
"""The largest denominator of a rate that recordings have as a float."""


@register
@dataclass(frozen=True, kw_only=True)
class Resample(GapTransform, LiveTransform):
    """Resample signals along their last axis from one rate to another, whole or chunk by chunk with the same bits.

    The factors are exact: rates are taken as the decimal numbers or the fractions that they are written as, and a
    stream counts in integers, so that a year of recording drifts by nothing. The filter is
    `scipy.signal.resample_poly`'s, or a sharper one of some `quality`, which takes any two rates.

    Args:
        from_hz: sampling rate of the data in Hz: a number, or a fraction as text, `"1000/3"`. Where the data know
            theirs, it must be this one; `None` for recordings, each of which knows its own.
        to_hz: sampling rate of the result, likewise.
        window: of the anti-alias filter: a name that `scipy.signal.get_window` knows, name and parameters, or the taps
            at the common multiple of both rates.
        padtype: how a recording goes on beyond its ends, as for `resample_poly`; `"constant"` and `"edge"` stream.
        cval: the value for `"constant"`; `None` for zero.
        quality: `"scipy"`: SciPy's filter, made by `window`. `"medium"`, `"high"`, `"very high"`: what lies above the
            lower Nyquist frequency is stopped by 96, 131 or 182 dB, and the band kept up to 0.9, 0.913 or 0.913 of it,
            within 0.02, 0.01 or 0.001 dB.
        keys: which arrays; `None` for all.
        axis: of time.
        nonfinite, max_gap, keep_gaps: what NaN and infinity do; see `GapTransform`.

    Arrays [..., time] of any kind become [..., ceil(time * to_hz / from_hz)]; kind, device and dtype stay (integers and
    booleans become float64). Gradients flow. The input is only read.

    Raises:
        ConfigError: a rate out of range, factors too large to be meant, a padtype or window that does not exist.

    >>> import numpy as np
    >>> Resample(from_hz=44100, to_hz=48000)({"audio": np.zeros((2, 44100), "float32")})["audio"].shape
    (2, 48000)
    """

    from_hz: Rate | None = None
    to_hz: Rate
    window: str | tuple[str | Finite, ...] = ("kaiser", 5.0)
    padtype: Extension = "constant"
    cval: Finite | None = None
    quality: Quality = "scipy"
    nonfinite: Gaps = "raise"

    def __post_init__(self) -> None:
        if self.from_hz is None:
            parse_rate(self.to_hz, field="to_hz")
        else:
            self.live.prepare()

    @property
    def _ratio(self) -> tuple[int, int]:
        if self.from_hz is None:
            raise ConfigError(f"Resample: {_NO_RATE}", field="from_hz")
        return rate_ratio(self.from_hz, self.to_hz, any_ratio=self.quality != "scipy")

    def at_rate(self, fs: float | None) -> Resample:
        """The same for data of this rate, where none was said."""
        if self.from_hz is not None or fs is None:
            return self
        return replace(self, from_hz=str(Fraction(fs).limit_denominator(_FINEST_RATE)))

    @property
    def stream_obstacle(self) -> str:
        """Choices that need samples which have not come yet, and a rate that is not known."""
        return f"Resample: {_NO_RATE}" if self.from_hz is None else super().stream_obstacle

    @property
    def latency(self) -> int:
        """By how many samples the output of a stream lags behind its input, at most."""
        return 0 if self.from_hz is None else super().latency

    @cached_property
    def live(self) -> Resampler:
        """The resampler at work."""
        up, down = self._ratio
        return Resampler(
            up=up, down=down, window=self.window, padtype=self.padtype, cval=self.cval, quality=self.quality
        )

    @property
    def rate_factor(self) -> Fraction:
        """Samples that come out for one that goes in."""
        return Fraction(*self._ratio)

    def sources(self, first: int, count: int) -> tuple[Array, Array]:
        """The samples around the time of each output, and those passed over since the place before."""
        up, down = self._ratio
        centre = 0 if self.live.plan is None else self.live.plan.centre
        return places_of(first, count, up, down, centre)

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """Another length in new memory, at the rate wanted; integers and booleans as float64."""
        if spec.fs is not None and self.from_hz is not None and spec.fs != float(parse_rate(self.from_hz, field="fs")):
            raise ConfigError(f"Resample: from_hz={self.from_hz!r}, but the data have {spec.fs:g} Hz", field="from_hz")
        return replace(self.live.out_spec(spec), fs=float(parse_rate(self.to_hz, field="to_hz")))


@register
@dataclass(frozen=True, kw_only=True)
class Decimate(GapTransform, LiveTransform):
    """Keep every `q`-th sample of signals along their last axis, after an anti-alias filter.

    Args:
        q: the factor, at least 1.
        n: order of the filter; `None` for 8 (`"iir"`) or `20 q` (`"fir"`).
        ftype: `"iir"`: Chebyshev, type I; `"fir"`: Hamming window.
        zero_phase: take the delay away: forwards and backwards for `"iir"`, which needs the whole recording; shifted
            for `"fir"`, which streams.
        keys: which arrays; `None` for all.
        axis: of time.
        nonfinite, max_gap, keep_gaps: what NaN and infinity do; see `GapTransform`. `ftype="iir"` takes `"reset"` too:
            NaN in the gap, a fresh start after it.

    The numbers are those of `scipy.signal.decimate`. Arrays [..., time] of any kind become [..., ceil(time / q)]; kind,
    device and dtype stay (integers and booleans become float64).

    Raises:
        ConfigError: a factor or an order that cannot be.

    >>> import numpy as np
    >>> Decimate(q=4, ftype="fir")(np.ones((2, 600), "float32")).shape
    (2, 150)
    """

    q: Count
    n: Count | None = None
    ftype: Literal["iir", "fir"] = "iir"
    zero_phase: bool = True
    nonfinite: RecursiveGaps = "raise"

    def __post_init__(self) -> None:
        parse_word(self.ftype, Literal["iir", "fir"], field="Decimate: ftype")
        factors: list[tuple[str, object]] = [("q", self.q), ("n", self.n)]
        for name, value in factors if self.n is not None else factors[:1]:
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"Decimate: {name} must be an integer of at least 1, got {value!r}", field=name)
        if self.nonfinite == "reset" and self.ftype != "iir":
            raise ConfigError(
                "Decimate: nonfinite='reset' starts an IIR filter again after a gap, and ftype='fir' is not one; "
                "choose 'raise', 'propagate' or 'interpolate'",
                field="nonfinite",
            )
        super().__post_init__()

    def transform_rows(self, x: Any) -> Any:
        """The whole array at the lower rate."""
        if self.nonfinite == "reset":
            return decimate(x, self.q, self.n, self.ftype, -1, self.zero_phase, nonfinite="reset")
        return decimate(x, self.q, self.n, self.ftype, -1, self.zero_phase)

    @property
    def rate_factor(self) -> Fraction:
        """Samples that come out for one that goes in."""
        return Fraction(1, self.q)

    @property
    def guards(self) -> bool:
        """An IIR filter starts again after a gap by itself."""
        return self.nonfinite in {"raise", "interpolate"}

    def sources(self, first: int, count: int) -> tuple[Array, Array]:
        """The sample at each place, and those passed over since the place before."""
        return places_of(first, count, 1, self.q, 0)

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """A part of the length in new memory; integers and booleans as float64."""
        sections, _ = antialias(self.q, self.n, self.ftype)
        if sections is not None and self.zero_phase and spec.time is not None:
            with naming("sosfiltfilt"):
                parse_padding("odd", None, default_padlen(sections), spec.time)
        return Resampler(up=1, down=self.q, window=(1.0,)).out_spec(spec)  # the filter is held where it is designed

    @property
    def reach(self) -> Reach | None:
        """The taps of `ftype="fir"`; `None` for an IIR filter."""
        return super().reach if self.ftype == "fir" else None

    @property
    def two_passes(self) -> tuple[ZeroPhaseFilter, int] | None:
        """The IIR filter without delay, of which every `q`-th sample is kept."""
        sections, _ = antialias(self.q, self.n, self.ftype)
        if sections is None or not self.zero_phase or self.nonfinite not in {"raise", "propagate"}:
            return None
        design = Sos(sections=tuple(map(tuple, sections.tolist())))
        return ZeroPhaseFilter(design=design, nonfinite=self.nonfinite), self.q

    @property
    def stream_obstacle(self) -> str:
        """An IIR filter without delay runs backwards from the end."""
        if self.ftype == "fir" or not self.zero_phase:
            return ""
        return (
            "Decimate(ftype='iir', zero_phase=True) filters backwards from the end of the recording; for streams: "
            "ftype='fir', or zero_phase=False"
        )

    @cached_property
    def live(self) -> Resampler | Decimator:
        """What runs forward in time."""
        sections, taps = antialias(self.q, self.n, self.ftype)
        if taps is not None:
            return Resampler(up=1, down=self.q, window=tuple(taps.tolist()), zero_phase=self.zero_phase)
        assert sections is not None
        return Decimator(
            q=self.q,
            sections=tuple(map(tuple, sections.tolist())),
            nonfinite="reset" if self.nonfinite == "reset" else "propagate",
        )
