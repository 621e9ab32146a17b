"""Functions of SciPy by name, from a closed list: what each takes, and the shape and dtype that it gives.

A configuration may come from anybody, so it cannot name just any function. The list holds those of `scipy.signal`,
`scipy.ndimage`, `scipy.fft` and `scipy.stats` that make one array of another, row by row along time, and says of each
what SciPy's own signature does not: how it is told the axis, how long the result is, of what dtype, and which options
it has. What this library has a faster or a streaming form of (`SignalFilter`, `Welch`, ...) is named there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias

from bridgeflow.ranges import Count, Finite, Length, Natural, NonNegative, Position, Positive, Range, Rate
from bridgeflow.signal._scipy_fixes import FIXED
from bridgeflow.signal.padding import EndExtension
from bridgeflow.signal.scipy_limits import MORPHOLOGY
from bridgeflow.signal.scipy_options import Option

__all__ = ["FUNCTIONS", "AxisBy", "Dtypes", "ScipyFunction"]

AxisBy: TypeAlias = Literal["axis", "axes", "size", "row"]
"""How a function is told to work along the last axis: `axis=-1`; `axes=(-1,)`; a window that is one sample wide along
the other axes; or by one row at a time, for what knows no axis or looks at the array as a whole."""

Dtypes: TypeAlias = Literal["kept", "float", "double", "complex", "complex128", "real"]
"""The dtype of the result: that of the data; the same, with integers read as float64; float64 or complex128; complex of
the data's precision, or always complex128; real of the data's precision. Half precision is computed in float32,
booleans in float64."""

ResultLength: TypeAlias = Callable[[int | None, Mapping[str, Any]], tuple[int | None, ...]]
"""Length of the data along time, and options, to the lengths that take its place: one; none for a single number."""

Ends: TypeAlias = Literal[
    "reflect", "constant", "nearest", "mirror", "wrap", "grid-constant", "grid-mirror", "grid-wrap"
]
Moderate: TypeAlias = Annotated[float, Range(-1e15, 1e15)]
Percent: TypeAlias = Annotated[float, Range(0, 100)]
Weights: TypeAlias = tuple[Finite, ...]
WindowName: TypeAlias = str | tuple[str | Moderate, ...]
FftNorm: TypeAlias = Literal["backward", "ortho", "forward"]


@dataclass(frozen=True, kw_only=True)
class ScipyFunction:
    """A function of the list.

    Args:
        name: as in `"signal.medfilt"`.
        options: those it may be given, by name.
        length: how long the result is; by default as long as the data.
        dtype: of what type the result is.
        by: how it is told the axis.
        size: for `by="size"`, the option that becomes a window along the last axis.
        is_complex: whether it takes complex numbers.
        before: options that come before the data.
        item: which of several results is meant.
        instead: the transform of this library that does the same and streams.
    """

    name: str
    options: Mapping[str, Option] = field(default_factory=dict)
    length: ResultLength = lambda time, options: (time,)
    dtype: Dtypes = "float"
    by: AxisBy = "axis"
    size: str = ""
    is_complex: bool = False
    before: tuple[str, ...] = ()
    item: int | None = None
    instead: str = ""

    @property
    def batch_safe(self) -> bool:
        """Whether one call may take many rows; otherwise each row has its own."""
        return self.by != "row"

    def find(self) -> Callable[..., Any]:
        """SciPy's function, or what stands in its place."""
        if self.name in FIXED:
            return FIXED[self.name]
        module, _, name = self.name.partition(".")
        return getattr(importlib.import_module(f"scipy.{module}"), name)  # type: ignore[no-any-return]


def _single(time: int | None, options: Mapping[str, Any]) -> tuple[int | None, ...]:
    return ()


def _length_from(option: str) -> ResultLength:
    """As many as an option says, by default as there were."""
    return lambda time, options: (options[option] if options.get(option) is not None else time,)


def _per_sample(samples: Callable[[int, Mapping[str, Any]], int]) -> ResultLength:
    return lambda time, options: (None if time is None else samples(time, options),)


def _half_spectrum(option: str) -> ResultLength:
    def length(time: int | None, options: Mapping[str, Any]) -> tuple[int | None, ...]:
        size = options[option] if options.get(option) is not None else time
        one_sided = options.get("return_onesided", True)
        return (None if size is None else size // 2 + 1 if one_sided else size,)

    return length


def _undone(time: int | None, options: Mapping[str, Any]) -> tuple[int | None, ...]:
    if options.get("n") is not None:
        return (options["n"],)
    return (None if time is None else 2 * (time - 1),)


def _upfirdn(time: int, options: Mapping[str, Any]) -> int:
    up, down = int(options.get("up", 1)), int(options.get("down", 1))
    return ((time - 1) * up + len(options["h"]) - 1) // down + 1


_COUNT: Final = Option(Count, required=True)
_SIZES: Final = {"mode": Option(Ends), "cval": Option(Finite)}
_WINDOW: Final = {"size": Option(Length, required=True), **_SIZES, "origin": Option(Position)}
_SHAPED: Final = {"size": Option(Length, required=True), **_SIZES}
_TURNED: Final = {"n": Option(Length | None), "norm": Option(FftNorm)}
_COSINE: Final = {"type": Option(Annotated[int, Range(1, 4)]), **_TURNED, "orthogonalize": Option(bool)}
_MOVED: Final = {"order": Option(Annotated[int, Range(0, 5)]), **_SIZES, "prefilter": Option(bool)}
_CIRCLE: Final = {"high": Option(Moderate), "low": Option(Moderate)}
_RATIO: Final = {"b": Option(Weights, required=True), "a": Option(Weights, required=True)}

_SIGNAL: Final = (
    ScipyFunction(
        name="signal.decimate",
        options={
            "q": _COUNT,
            "n": Option(Count | None),
            "ftype": Option(Literal["iir", "fir"]),
            "zero_phase": Option(bool),
        },
        length=_per_sample(lambda time, options: -(-time // options["q"])),
        is_complex=True,
        instead="Decimate",
    ),
    ScipyFunction(
        name="signal.detrend",
        options={"type": Option(Literal["linear", "constant"]), "bp": Option(Natural | tuple[Natural, ...])},
        is_complex=True,
    ),
    ScipyFunction(
        name="signal.filtfilt",
        options={
            **_RATIO,
            "padtype": Option(Literal["odd", "even", "constant"] | None),
            "padlen": Option(Natural | None),
            "method": Option(Literal["pad", "gust"]),
            "irlen": Option(Length | None),
        },
        dtype="double",
        before=("b", "a"),
        is_complex=True,
        instead="SignalFilter(mode='zero_phase')",
    ),
    ScipyFunction(
        name="signal.hilbert", options={"N": Option(Length | None)}, length=_length_from("N"), dtype="complex"
    ),
    ScipyFunction(
        name="signal.lfilter",
        options=_RATIO,
        dtype="double",
        before=("b", "a"),
        is_complex=True,
        instead="SignalFilter",
    ),
    ScipyFunction(
        name="signal.medfilt",
        options={"kernel_size": Option(Length, odd=True)},
        dtype="kept",
        by="size",
        size="kernel_size",
        instead="MedianFilter",
    ),
    ScipyFunction(
        name="signal.periodogram",
        options={
            "fs": Option(Rate),
            "window": Option(WindowName),
            "nfft": Option(Length | None),
            "detrend": Option(Literal["constant", "linear", False]),
            "return_onesided": Option(bool),
            "scaling": Option(Literal["density", "spectrum"]),
        },
        length=_half_spectrum("nfft"),
        item=1,
        instead="Welch",
    ),
    ScipyFunction(
        name="signal.resample",
        options={"num": Option(Length, required=True), "window": Option(WindowName | None)},
        length=_length_from("num"),
        is_complex=True,
    ),
    ScipyFunction(
        name="signal.resample_poly",
        options={
            "up": _COUNT,
            "down": _COUNT,
            "window": Option(WindowName),
            "padtype": Option(
                Literal[
                    "constant", "line", "mean", "median", "maximum", "minimum", "symmetric", "reflect", "edge", "wrap"
                ]
            ),
            "cval": Option(Finite | None),
        },
        length=_per_sample(lambda time, options: -(-time * options["up"] // options["down"])),
        is_complex=True,
        instead="Resample",
    ),
    ScipyFunction(
        name="signal.savgol_filter",
        options={
            "window_length": _COUNT,
            "polyorder": Option(Annotated[int, Range(0, 100)], required=True),
            "deriv": Option(Natural),
            "delta": Option(Positive),
            "mode": Option(Literal["mirror", "constant", "nearest", "wrap", "interp"]),
            "cval": Option(Finite),
        },
        instead="SavgolFilter",
    ),
    ScipyFunction(
        name="signal.upfirdn",
        options={
            "h": Option(Weights, required=True),
            "up": Option(Count),
            "down": Option(Count),
            "mode": Option(EndExtension),
            "cval": Option(Finite),
        },
        length=_per_sample(_upfirdn),
        dtype="double",
        before=("h",),
        is_complex=True,
        instead="Resample",
    ),
    ScipyFunction(
        name="signal.wiener",
        options={"mysize": Option(Length), "noise": Option(NonNegative | None)},
        dtype="double",
        by="row",
    ),
    ScipyFunction(
        name="signal.zoom_fft",
        options={
            "fn": Option(Moderate | tuple[Moderate, Moderate], required=True),
            "m": Option(Length | None),
            "fs": Option(Rate),
            "endpoint": Option(bool),
        },
        length=_length_from("m"),
        dtype="complex128",
        is_complex=True,
    ),
)

_NDIMAGE: Final = (
    *(
        ScipyFunction(
            name=f"ndimage.{name}",
            options={"weights": Option(Weights, required=True), **_SIZES, "origin": Option(Position)},
            dtype="kept",
            is_complex=True,
            instead="SignalFilter(design='taps')",
        )
        for name in ("convolve1d", "correlate1d")
    ),
    ScipyFunction(
        name="ndimage.gaussian_filter1d",
        options={
            "sigma": Option(Annotated[float, Range(1e-100, 1e9)], required=True),
            "order": Option(Annotated[int, Range(0, 20)]),
            **_SIZES,
            "truncate": Option(Annotated[float, Range(0, 1e6)]),
            "radius": Option(Natural | None),
        },
        dtype="kept",
        is_complex=True,
    ),
    ScipyFunction(name="ndimage.uniform_filter1d", options=_WINDOW, dtype="kept", is_complex=True),
    *(
        ScipyFunction(name=f"ndimage.{name}", options=_WINDOW, dtype="kept")
        for name in ("maximum_filter1d", "minimum_filter1d")
    ),
    ScipyFunction(name="ndimage.median_filter", options=_WINDOW, dtype="kept", by="axes", instead="MedianFilter"),
    ScipyFunction(
        name="ndimage.percentile_filter",
        options={"percentile": Option(Percent, required=True), **_WINDOW},
        dtype="kept",
        by="axes",
    ),
    ScipyFunction(
        name="ndimage.rank_filter",
        options={"rank": Option(Position, required=True), **_WINDOW},
        dtype="kept",
        by="axes",
    ),
    *(
        ScipyFunction(name=f"ndimage.{name}", options=_SHAPED, dtype="kept", by="size", size="size")
        for name in MORPHOLOGY
    ),
    ScipyFunction(
        name="ndimage.shift",
        options={"shift": Option(Annotated[float, Range(-1e9, 1e9)], required=True), **_MOVED},
        dtype="kept",
        by="row",
        is_complex=True,
    ),
    ScipyFunction(
        name="ndimage.zoom",
        options={
            "zoom": Option(Annotated[float, Range(0, 1e9, open=True)], required=True),
            **_MOVED,
            "grid_mode": Option(bool),
        },
        length=_per_sample(lambda time, options: round(time * float(options["zoom"]))),
        dtype="kept",
        by="row",
        is_complex=True,
    ),
)

_FFT: Final = (
    *(
        ScipyFunction(name=f"fft.{name}", options=_TURNED, length=_length_from("n"), dtype="complex", is_complex=True)
        for name in ("fft", "ifft")
    ),
    ScipyFunction(name="fft.rfft", options=_TURNED, length=_half_spectrum("n"), dtype="complex"),
    ScipyFunction(name="fft.irfft", options=_TURNED, length=_undone, dtype="real", is_complex=True),
    *(
        ScipyFunction(name=f"fft.{name}", options=_COSINE, length=_length_from("n"), is_complex=True)
        for name in ("dct", "dst", "idct", "idst")
    ),
    *(
        ScipyFunction(name=f"fft.{name}", dtype="kept", by="axes", is_complex=True)
        for name in ("fftshift", "ifftshift")
    ),
)

_STATS: Final = (
    *(
        ScipyFunction(name=f"stats.{name}", options=_CIRCLE, length=_single)
        for name in ("circmean", "circstd", "circvar")
    ),
    ScipyFunction(
        name="stats.differential_entropy",
        options={
            "window_length": Option(Length | None),
            "base": Option(Positive | None),
            "method": Option(Literal["vasicek", "van es", "ebrahimi", "correa", "auto"]),
        },
        length=_single,
    ),
    ScipyFunction(name="stats.entropy", options={"base": Option(Positive | None)}, length=_single),
    *(ScipyFunction(name=f"stats.{name}", length=_single) for name in ("gmean", "hmean")),
    ScipyFunction(
        name="stats.iqr",
        options={
            "rng": Option(tuple[Percent, Percent]),
            "scale": Option(Finite | Literal["normal"]),
            "interpolation": Option(Literal["linear", "lower", "higher", "midpoint", "nearest"]),
        },
        length=_single,
    ),
    ScipyFunction(name="stats.kurtosis", options={"fisher": Option(bool), "bias": Option(bool)}, length=_single),
    ScipyFunction(
        name="stats.median_abs_deviation", options={"scale": Option(Finite | Literal["normal"])}, length=_single
    ),
    ScipyFunction(name="stats.moment", options={"order": Option(Annotated[int, Range(0, 1000)])}, length=_single),
    ScipyFunction(
        name="stats.pmean", options={"p": Option(Annotated[float, Range(-1000, 1000)], required=True)}, length=_single
    ),
    ScipyFunction(
        name="stats.rankdata",
        options={"method": Option(Literal["average", "min", "max", "dense", "ordinal"])},
        dtype="double",
    ),
    ScipyFunction(name="stats.sem", options={"ddof": Option(Natural)}, length=_single),
    ScipyFunction(name="stats.skew", options={"bias": Option(bool)}, length=_single),
    ScipyFunction(
        name="stats.trim_mean",
        options={"proportiontocut": Option(Annotated[float, Range(0, 0.5)], required=True)},
        length=_single,
    ),
    ScipyFunction(name="stats.variation", options={"ddof": Option(Natural)}, length=_single),
    ScipyFunction(name="stats.zscore", options={"ddof": Option(Natural)}),
)

FUNCTIONS: Final[Mapping[str, ScipyFunction]] = {entry.name: entry for entry in (*_SIGNAL, *_NDIMAGE, *_FFT, *_STATS)}
"""The functions that may be called, by name."""
