"""`SignalFilter`: every filter design as a transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Annotated, Any, Final, Literal, TypeAlias

import numpy as np

from bridgeflow.errors import BridgeflowError, ConfigError, UnstableFilter
from bridgeflow.policy import RecursiveGaps, parse_word
from bridgeflow.ranges import Finite, NonNegative, Positive, Range, Rate
from bridgeflow.signal.causal import CausalFilter, Initial
from bridgeflow.signal.convenience import Mode
from bridgeflow.signal.design import DESIGNS, Design, FirFilter, IirFilter, make_design
from bridgeflow.signal.design.base import refuse_while_traced
from bridgeflow.signal.fir import taps_of
from bridgeflow.signal.iir.engine import EngineName, Parallel, Precision
from bridgeflow.signal.zero_phase import ZeroPhaseFilter
from bridgeflow.transforms.gaps import GapTransform
from bridgeflow.transforms.live import LiveTransform
from bridgeflow.transforms.reach import Reach
from bridgeflow.transforms.registry import register

__all__ = ["SignalFilter"]

DesignName: TypeAlias = Literal[
    "ba", "bessel", "butter", "cheby1", "cheby2", "comb", "ellip", "firls", "firwin", "notch", "peak", "remez",
    "savgol", "sos", "taps", "zpk",
]  # fmt: skip
"""The designs, by the names of `bridgeflow.signal.DESIGNS`."""

Decibels: TypeAlias = Annotated[float, Range(0, 10_000, open=True)]
"""A ripple or an attenuation."""

Number: TypeAlias = Finite | tuple[Finite, Finite]
"""A real number, or real and imaginary part."""

_COEFFICIENTS: Final = {"sos": ("sections",), "zpk": ("z", "p", "k"), "ba": ("b", "a"), "taps": ("values",)}
"""Designs given by their coefficients: the field's name is the design's, and it holds these parameters."""

_OWN: Final = {
    "design",
    "mode",
    "tolerance",
    "initial",
    "precision",
    "nonfinite",
    "max_gap",
    "keep_gaps",
    "axis",
    "scale",
    "offset",
    "engine",
    "parallel",
    "keys",
    *_COEFFICIENTS,
}
"""Fields other than the parameters of a design."""


@register
@dataclass(frozen=True, kw_only=True)
class SignalFilter(GapTransform, LiveTransform):
    """Filter signals along their last axis, once and live or without delay, whole or chunk by chunk.

    Args:
        design: `"butter"`, `"cheby1"`, `"cheby2"`, `"ellip"`, `"bessel"`, `"notch"`, `"peak"`, `"comb"`; `"firwin"`,
            `"firls"`, `"remez"`, `"savgol"`. Left out where the coefficients are given by `sos`, `zpk`, `ba` or `taps`.
        fs: sampling rate in Hz. Needed wherever a frequency is given. Where the data know theirs, it must be this one.
        order, cutoff, btype, rp, rs, norm: of the classical designs (see `bridgeflow.signal.Butter`, `Cheby1`, ...).
        w0, Q, ftype, pass_zero: of `"notch"`, `"peak"`, `"comb"`; `pass_zero` of `"firwin"` too.
        numtaps, window, width, bands, desired, weight, type, maxiter, grid_density: of `"firwin"`, `"firls"`,
            `"remez"`.
        window_length, polyorder, deriv, delta: of `"savgol"`.
        sos: sections, six numbers each, as every `output="sos"` of SciPy.
        zpk: zeros, poles, gain; a complex number is a pair (real, imaginary).
        ba: numerator, denominator. Refused where rounding has made it unstable.
        taps: impulse response.
        mode: `"causal"`: forward in time, chunk by chunk if need be, with the same bits. `"zero_phase"`: no delay; a
            IIR filter runs forwards and backwards (`sosfiltfilt`, gain squared), one with symmetric taps runs
            once.
        tolerance: lets an IIR filter run zero phase chunk by chunk: how far the result may be from that of the
            whole recording, relative to its largest sample (1e-6, say). The look-ahead follows from the poles; see
            `latency`.
        initial: `"zero"`: start from silence; `"steady"`: as if the first sample had been there forever. For
            `"causal"`.
        precision: of the recursion, `"float64"` or `"float32"`, whatever the dtype of the data.
        nonfinite: what NaN and infinity do: `"raise"` (names the row and the first sample), `"propagate"`, or
            `"reset"`: NaN in the gap, a fresh start after it; the state of a stream counts these gaps;
            `"interpolate"`: gaps of at most `max_gap` samples are filled first, longer ones raise.
        max_gap, keep_gaps: for `"interpolate"`; see `GapTransform`.
        scale: the filter sees `scale * x + offset`: counts become units in the same pass.
        offset: see `scale`.
        engine: for recursive designs, `"native"`, `"blocks"` or `"scipy"`; `None` takes the best.
        parallel: `"time"` works on segments of a long row side by side: for causal recursive designs on few long rows,
            where equality within a tolerance will do.
        keys: which arrays; `None` for all.
        axis: of time.

    Arrays [..., time] of any kind, real, complex or integer; kind, device, shape and dtype stay (integers and booleans
    become float64). The input is only read.

    Raises:
        ConfigError: parameters missing, out of range, or not of this design.
        UnstableFilter: a pole on or outside the unit circle.

    >>> import numpy as np
    >>> notch = SignalFilter(design="notch", w0=60.0, Q=30.0, fs=360.0, initial="steady")
    >>> notch(np.ones(4, "float32"))
    array([1., 1., 1., 1.], dtype=float32)
    """

    design: DesignName | None = None
    fs: Rate | None = None
    order: Annotated[int, Range(1, 500)] | None = None
    cutoff: Rate | tuple[Rate, ...] | None = None
    btype: Literal["lowpass", "highpass", "bandpass", "bandstop"] | None = None
    rp: Decibels | None = None
    rs: Decibels | None = None
    norm: Literal["phase", "delay", "mag"] | None = None
    w0: Rate | None = None
    Q: Positive | None = None
    ftype: Literal["notch", "peak"] | None = None
    pass_zero: bool | Literal["lowpass", "highpass", "bandpass", "bandstop"] | None = None
    numtaps: Annotated[int, Range(1, 1_000_000)] | None = None
    window: str | Finite | tuple[str | Finite, ...] | None = None
    width: Rate | None = None
    bands: tuple[NonNegative, ...] | None = None
    desired: tuple[Finite, ...] | None = None
    weight: tuple[NonNegative, ...] | None = None
    type: Literal["bandpass", "differentiator", "hilbert"] | None = None
    maxiter: Annotated[int, Range(1, 10_000)] | None = None
    grid_density: Annotated[int, Range(1, 1_000)] | None = None
    window_length: Annotated[int, Range(1, 1_000_000)] | None = None
    polyorder: Annotated[int, Range(0, 100)] | None = None
    deriv: Annotated[int, Range(0, 1_000_000)] | None = None
    delta: Positive | None = None
    sos: tuple[tuple[Finite, ...], ...] | None = None
    zpk: tuple[tuple[Number, ...], tuple[Number, ...], Finite] | None = None
    ba: tuple[tuple[Finite, ...], tuple[Finite, ...]] | None = None
    taps: tuple[Finite, ...] | None = None
    mode: Mode = "causal"
    tolerance: Annotated[float, Range(0, 1, open=True)] | None = None
    initial: Initial = "zero"
    precision: Precision = "float64"
    nonfinite: RecursiveGaps = "raise"
    scale: Finite = 1.0
    offset: Finite = 0.0
    engine: EngineName | None = None
    parallel: Parallel | None = None

    def check_shared_fields(self) -> None:
        """First of all, a filter is not made while torch traces."""
        refuse_while_traced("SignalFilter")
        super().check_shared_fields()

    def __post_init__(self) -> None:
        parse_word(self.mode, Mode, field="SignalFilter: mode")
        for field in fields(self):
            if field.name not in {"keys", "design"}:
                object.__setattr__(self, field.name, _frozen(getattr(self, field.name)))
        coefficients: list[str] = [name for name in _COEFFICIENTS if getattr(self, name) is not None]
        if len(coefficients) + (self.design not in (None, *coefficients)) > 1:
            raise ConfigError(
                f"SignalFilter: give one of design, sos, zpk, ba, taps, got {', '.join(['design', *coefficients][-2:])}"
            )
        if self.design is None and not coefficients:
            raise ConfigError(
                f"SignalFilter: which filter? Give design (one of {', '.join(DESIGNS)}), or sos, zpk, ba, taps"
            )
        if self.design in _COEFFICIENTS and not coefficients:
            raise ConfigError(
                f"SignalFilter: design {self.design!r} needs its coefficients: give {self.design}=", field="design"
            )
        if self.mode == "zero_phase" and self.initial != "zero":
            raise ConfigError(
                f"SignalFilter: initial={self.initial!r} is for mode='causal'; zero phase pads both ends",
                field="initial",
            )
        if self.mode == "zero_phase" and self.parallel is not None:
            raise ConfigError("SignalFilter: parallel is for mode='causal'", field="parallel")
        if self.mode == "causal" and self.tolerance is not None:
            raise ConfigError(
                "SignalFilter: tolerance is for mode='zero_phase'; chunks of a causal filter are exact",
                field="tolerance",
            )
        try:
            self.live  # noqa: B018  refused here, when built, or never
        except BridgeflowError as error:
            if coefficients and (error.field in _COEFFICIENTS[coefficients[0]] or isinstance(error, UnstableFilter)):
                error.field = coefficients[0]
            raise

    @cached_property
    def designed(self) -> Design:
        """The design that the fields describe."""
        name: str = self.design or next(name for name in _COEFFICIENTS if getattr(self, name) is not None)
        chosen = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _OWN}
        chosen = {parameter: value for parameter, value in chosen.items() if value is not None}
        if name in _COEFFICIENTS:
            value = getattr(self, name)
            parts = value if len(_COEFFICIENTS[name]) > 1 else (value,)
            if len(parts) != len(_COEFFICIENTS[name]):
                raise ConfigError(
                    f"SignalFilter: {name} holds {', '.join(_COEFFICIENTS[name])}, got {len(parts)} parts", field=name
                )
            chosen |= dict(zip(_COEFFICIENTS[name], parts, strict=True))
        return make_design(name, **chosen)

    @cached_property
    def live(self) -> CausalFilter | ZeroPhaseFilter:
        """The filter at work: the design with the choices around it."""
        choices: dict[str, Any] = {
            "precision": self.precision,
            "nonfinite": "raise" if self.nonfinite == "interpolate" else self.nonfinite,
            "scale": self.scale,
            "offset": self.offset,
            "engine": self.engine,
        }
        if self.mode == "causal":
            return CausalFilter(design=self.designed, initial=self.initial, parallel=self.parallel, **choices)
        return ZeroPhaseFilter(design=self.designed, tolerance=self.tolerance, **choices)

    @property
    def guards(self) -> bool:
        """The filter itself tells from its state that NaN came by."""
        return self.nonfinite == "interpolate"

    def leaf_function(self) -> Callable[[Any], Any]:
        """The filter itself, where nothing is to be done around it."""
        return self.apply if self.guards or self.axis != -1 else self.live

    @property
    def streams_exactly(self) -> bool:
        """Whether the recursion runs sample by sample, and zero phase needs no tolerance."""
        return self.streams and self.tolerance is None and self.parallel is None and self.engine != "blocks"

    @property
    def reach(self) -> Reach | None:
        """The taps of an FIR filter; `None` for a recursive one."""
        if not isinstance(self.designed, FirFilter) or self.guards:
            return None
        taps = len(taps_of(self.designed))
        if self.mode == "causal":
            return Reach(taps - 1, 0)
        return None if self.nonfinite == "reset" else Reach(taps // 2, taps // 2, ends=taps // 2 + 1)

    @property
    def two_passes(self) -> tuple[ZeroPhaseFilter, int] | None:
        """The IIR filter that runs forwards and backwards over the whole, and which samples are kept: all."""
        if self.mode == "causal" or not isinstance(self.designed, IirFilter) or self.guards:
            return None
        return (self.live, 1) if isinstance(self.live, ZeroPhaseFilter) else None


def _frozen(value: Any) -> Any:
    """Arrays and lists as tuples, complex numbers as pairs: what equality, hash and configuration files can hold."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, complex):
        return (value.real, value.imag) if value.imag else value.real
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_frozen(item) for item in value)
    return value
