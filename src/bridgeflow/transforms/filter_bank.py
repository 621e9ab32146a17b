"""`FilterBank`: several IIR filters over one input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias

from bridgeflow.errors import ConfigError
from bridgeflow.policy import RecursiveGaps, parse_word
from bridgeflow.ranges import Finite, Range, Rate
from bridgeflow.signal.banks import CausalBank, ZeroPhaseBank
from bridgeflow.signal.causal import Initial
from bridgeflow.signal.convenience import Mode
from bridgeflow.signal.design import IirFilter, Sos, make_design
from bridgeflow.signal.design.base import refuse_while_traced
from bridgeflow.signal.iir.engine import EngineName, Precision
from bridgeflow.signal.zero_phase import ZeroPhaseFilter
from bridgeflow.transforms.gaps import GapTransform
from bridgeflow.transforms.live import LiveTransform
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.signal_filter import Decibels

__all__ = ["FilterBank"]

Classical: TypeAlias = Literal["butter", "cheby1", "cheby2", "ellip", "bessel"]
"""The families of which every band is one."""

Band: TypeAlias = tuple[Rate | None, Rate | None]
"""Lower and upper edge in Hz; `None` for a band without that edge."""


@register
@dataclass(frozen=True, kw_only=True)
class FilterBank(GapTransform, LiveTransform):
    """Split signals into bands: several IIR filters over one input, whole or live, causal or without delay.

    Args:
        bands: pairs of edges in Hz, `((1, 4), (4, 8), (8, 13))`; `None` for an edge that a band does not have:
            `(None, 4)` is a low-pass filter, `(30, None)` a high-pass filter.
        fs: sampling rate in Hz. Where the data know theirs, it must be this one.
        design: the family of each filter: `"butter"`, `"cheby1"`, `"cheby2"`, `"ellip"`, `"bessel"`.
        order: of each edge, as in SciPy.
        rp, rs, norm: of those families, as for `SignalFilter`.
        sos: in place of bands, filters of n sections, six numbers each: [filters, n, 6].
        mode: `"causal"`: forward in time, chunk by chunk if need be, with the same bits; `"zero_phase"`: forwards and
            backwards (`sosfiltfilt`, gain squared).
        tolerance: lets zero phase run chunk by chunk, as for `SignalFilter`.
        initial, precision, nonfinite, max_gap, keep_gaps, scale, offset, engine: as for `SignalFilter`.
        keys: which arrays; `None` for all.
        axis: of time; the filters stand before it.

    Arrays [..., time] of any kind, real, complex or integer, become [..., filters, time]; kind, device and dtype stay
    (integers and booleans become float64). Each band has the bits of a `SignalFilter` of its own. The input is only
    read.

    Raises:
        ConfigError: parameters missing, out of range, or not of this design.
        UnstableFilter: a pole on or outside the unit circle.

    >>> import numpy as np
    >>> eeg = np.random.default_rng(0).standard_normal((4, 1000)).astype("float32")
    >>> FilterBank(bands=((1, 4), (4, 8), (8, 13), (13, 30)), fs=250.0)(eeg).shape
    (4, 4, 1000)
    """

    bands: tuple[Band, ...] | None = None
    fs: Rate | None = None
    design: Classical = "butter"
    order: Annotated[int, Range(1, 500)] = 4
    rp: Decibels | None = None
    rs: Decibels | None = None
    norm: Literal["phase", "delay", "mag"] | None = None
    sos: tuple[tuple[tuple[Finite, ...], ...], ...] | None = None
    mode: Mode = "causal"
    tolerance: Annotated[float, Range(0, 1, open=True)] | None = None
    initial: Initial = "zero"
    precision: Precision = "float64"
    nonfinite: RecursiveGaps = "raise"
    scale: Finite = 1.0
    offset: Finite = 0.0
    engine: EngineName | None = None

    def check_shared_fields(self) -> None:
        """First of all, filters are not made while torch traces; and the fields that hold sequences become tuples."""
        refuse_while_traced("FilterBank")
        for name in ("bands", "sos"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        super().check_shared_fields()

    def __post_init__(self) -> None:
        parse_word(self.mode, Mode, field="FilterBank: mode")
        parse_word(self.design, Classical, field="FilterBank: design")
        if (self.bands is None) == (self.sos is None):
            raise ConfigError(
                "FilterBank: give bands= (pairs of edges in Hz) or sos= (sections of each filter), and not both",
                field="bands",
            )
        if self.sos is not None and (self.rp, self.rs, self.norm) != (None, None, None):
            raise ConfigError("FilterBank: rp, rs and norm are for bands=; leave them out with sos=")
        if self.mode == "zero_phase" and self.initial != "zero":
            raise ConfigError(
                f"FilterBank: initial={self.initial!r} is for mode='causal'; zero phase pads both ends", field="initial"
            )
        if self.mode == "causal" and self.tolerance is not None:
            raise ConfigError(
                "FilterBank: tolerance is for mode='zero_phase'; chunks of a causal filter are exact", field="tolerance"
            )
        self.live  # noqa: B018  refused here, when built, or never

    @cached_property
    def designed(self) -> tuple[IirFilter, ...]:
        """The design of each filter."""
        if self.sos is not None:
            if not self.sos or len({len(sections) for sections in self.sos}) > 1:
                raise ConfigError(
                    "FilterBank: sos must hold at least one filter, and as many sections for each", field="sos"
                )
            return tuple(_sections(number, rows, self.fs) for number, rows in enumerate(self.sos))
        if not self.bands:
            raise ConfigError("FilterBank: bands must hold at least one pair of edges in Hz", field="bands")
        return tuple(self._design_of(number, band) for number, band in enumerate(self.bands))

    def _design_of(self, number: int, band: Any) -> IirFilter:
        if not isinstance(band, tuple) or len(band) != 2 or band == (None, None):
            raise ConfigError(
                f"FilterBank: bands[{number}] must be a pair of edges in Hz, of which one may be None, got {band!r}",
                field="bands",
            )
        low, high = band
        options = {name: getattr(self, name) for name in ("rp", "rs", "norm") if getattr(self, name) is not None}
        btype = "lowpass" if low is None else "highpass" if high is None else "bandpass"
        cutoff = band if btype == "bandpass" else high if low is None else low
        try:
            design = make_design(self.design, fs=self.fs, order=self.order, cutoff=cutoff, btype=btype, **options)
        except ConfigError as error:
            place = f"FilterBank: bands[{number}]" if error.field == "cutoff" else "FilterBank"
            raise ConfigError(f"{place}: {error}", field="bands" if error.field == "cutoff" else error.field) from None
        assert isinstance(design, IirFilter)
        return design

    @cached_property
    def live(self) -> CausalBank | ZeroPhaseBank:
        """The filters at work."""
        choices: dict[str, Any] = {
            "designs": self.designed,
            "precision": self.precision,
            "nonfinite": "raise" if self.nonfinite == "interpolate" else self.nonfinite,
            "scale": self.scale,
            "offset": self.offset,
            "engine": self.engine,
        }
        if self.mode == "causal":
            return CausalBank(initial=self.initial, **choices)
        return ZeroPhaseBank(tolerance=self.tolerance, **choices)

    @property
    def guards(self) -> bool:
        """The filters themselves tell from their state that NaN occurred."""
        return self.nonfinite == "interpolate"

    @property
    def streams_exactly(self) -> bool:
        """Whether the recursion runs sample by sample, and zero phase needs no tolerance."""
        return self.streams and self.tolerance is None and self.engine != "blocks"

    @property
    def bank_passes(self) -> tuple[ZeroPhaseFilter, ...]:
        """The filters that run forwards and backwards over the whole."""
        return self.live.bands if isinstance(self.live, ZeroPhaseBank) and not self.guards else ()

    @property
    def stream_axis(self) -> int:
        """Time, after the axis of the filters."""
        return self.axis if self.axis < 0 else self.axis + 1

    def _rows_before(self, result_ndim: int) -> int:
        return result_ndim - 1


def _frozen(value: Any) -> Any:
    """Arrays and lists as tuples."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_frozen(item) for item in value)
    return value


def _sections(number: int, rows: Any, fs: float | None) -> Sos:
    try:
        return Sos(sections=rows, fs=fs)
    except ConfigError as error:
        raise ConfigError(f"FilterBank: sos[{number}]: {error}", field="sos") from None
