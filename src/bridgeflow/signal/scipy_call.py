"""Functions of SciPy by name, from a closed list: what each takes, and the shape and dtype that it gives.

A configuration may come from anybody, so it cannot name just any function. The list holds those of `scipy.signal`,
`scipy.ndimage`, `scipy.fft` and `scipy.stats` that make one array of another, row by row along time, and says of each
what SciPy's own signature does not: how it is told the axis, how long the result is, of what dtype, and which options
it has. What this library has a faster or a streaming form of (`SignalFilter`, `Welch`, ...) is named there.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin

import numpy as np

from bridgeflow.bridge import describe, kind_of, like
from bridgeflow.errors import ConfigError, DataError, nearest
from bridgeflow.ranges import Count, Finite, Length, Natural, NonNegative, Position, Positive, Range, Rate, number_text
from bridgeflow.ranges import problem as outside_range
from bridgeflow.signal._chunks import as_kind
from bridgeflow.signal._input import read_array
from bridgeflow.signal._scipy_fixes import FIXED
from bridgeflow.signal.scipy_limits import refuse_together, refuse_with
from bridgeflow.spec import ArraySpec

__all__ = ["FUNCTIONS", "AxisBy", "Dtypes", "Option", "ScipyCall", "ScipyFunction"]

Array: TypeAlias = np.ndarray[Any, Any]

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


@dataclass(frozen=True)
class Option:
    """What an option may be.

    Args:
        hint: its type: `int`, `float`, `bool`, `str`, a `Literal`, a tuple of such, or a union of them. A number says
            its range: `Annotated[int, Range(1, 5)]`.
        odd: whether it must be an odd number.
        required: whether it must be given; where it need not, SciPy's default holds.
    """

    hint: Any
    odd: bool = False
    required: bool = False

    def problem(self, value: object) -> str:
        """What is wrong with a value; empty where nothing is.

        >>> Option(Length, odd=True).problem(4)
        'must be odd, got 4'
        """
        if not _fits(value, self.hint):
            return f"must be {_spelled(self.hint)}, got {number_text(value)}"
        if outside := outside_range(self.hint, value):
            return outside
        if self.odd and isinstance(value, int) and value % 2 == 0:
            return f"must be odd, got {value!r}"
        return "must not be empty" if value == () else ""


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


@dataclass(frozen=True)
class ScipyCall:
    """A function of the list with options: arrays [..., time] in, arrays of any kind out as they came in.

    Args:
        function: its name in `FUNCTIONS`.
        options: what it is given beside the data, by name.

    Raises:
        ConfigError: a function or an option that the list does not have, an option missing, a value of the wrong type
            or range.

    >>> ScipyCall("signal.medfilt", {"kernel_size": 3})(np.array([[1.0, 9.0, 2.0, 3.0, 2.0]]))
    array([[1., 2., 3., 2., 2.]])
    >>> ScipyCall("signal.medfil", {})
    Traceback (most recent call last):
    bridgeflow.errors.ConfigError: Scipy: function 'signal.medfil' is not in the list; did you mean 'signal.medfilt'?
    """

    function: str
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise ConfigError(
                f"Scipy: function {self.function!r} is not in the list; {_nearest(self.function)}", field="function"
            )
        known = self.entry.options
        for name, value in self.options.items():
            if name not in known:
                raise ConfigError(
                    f"Scipy: {self.function} has no option {name!r} here; {nearest(name, known)}", field=name
                )
            problem = known[name].problem(value)
            if problem:
                raise ConfigError(f"Scipy: {name} of {self.function} {problem}", field=name)
        for name, option in known.items():
            if option.required and name not in self.options:
                raise ConfigError(
                    f"Scipy: {self.function} needs the option {name!r}, {_spelled(option.hint)}", field=name
                )
        refuse_together(self.function, self.options)

    @property
    def entry(self) -> ScipyFunction:
        """What the list says of the function."""
        return FUNCTIONS[self.function]

    def __call__(self, x: Any) -> Any:
        """The function of each row of data [..., time] of at least one sample.

        Returns:
            [..., n], or [...] where it makes one number of a row, of the kind of x.

        Raises:
            DataError: elements that the function does not take; what SciPy itself refuses, in its words.
            NoRoute: a tensor whose gradient is wanted.
        """
        values = read_array(x, what=self.function)
        spec = describe(values if kind_of(x) is None else x)
        dtype, length = self._dtype(spec.dtype), self._length(values.shape)
        shape = (*values.shape[:-1], *length)
        made = self._rows(self._working(values)) if values.size else np.empty(shape)
        if any(n is not None and n != m for n, m in zip(shape, made.shape, strict=True)):
            raise DataError(f"Scipy: {self.function} gave {made.shape} for {values.shape} instead of {shape}")
        if dtype == "bfloat16":
            return as_kind(made, spec.kind, dtype, spec.device)
        made = np.ascontiguousarray(made, dtype).reshape(made.shape)
        return made if kind_of(x) is None else like(made, x)

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        if not spec.shape:
            raise DataError(f"{self.function}: x must have at least one axis, got a single number")
        length = self._length(spec.shape)
        known = spec.with_time(spec.time or 1000)  # where their number is not known, that of any signal
        same = self.entry.length(known.time, self.options) == (known.time,)
        fs = spec.fs if same and not self.function.startswith("fft.") else None
        return spec.fresh(
            kind="arrow" if spec.kind == "capsule" else spec.kind,
            dtype=self._dtype(spec.dtype),
            shape=(*spec.shape[:-1], *length),
            layout="strided",
            null_count=0,
            writable=spec.kind not in {"arrow", "capsule"},
            fs=fs,
        )

    def _length(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """What takes the place of the samples of a row."""
        time = shape[-1]
        if time == 0:
            raise DataError(f"Scipy: {self.function} needs at least one sample along the last axis, got none")
        length = self.entry.length(time, self.options)
        if time is not None:
            rows = math.prod(n if n is not None else 1 for n in shape[:-1])
            result = math.prod(n for n in length if n is not None) if None not in length else None
            refuse_with(self.function, self.options, time, rows, result)
        return length

    def _dtype(self, dtype: str) -> str:
        """The dtype of the result for data of `dtype`."""
        half = dtype in {"float16", "bfloat16"}
        work = "float32" if half else "float64" if dtype == "bool" else dtype
        if work not in _TAKEN or (work.startswith("complex") and not self.entry.is_complex):
            raise DataError(f"Scipy: {self.function} does not take elements of type {dtype}; convert them first")
        if self.entry.dtype != "kept" and work not in _FLOATS:
            work = "float64"
        if self.entry.dtype in {"kept", "float"}:
            return dtype if half else work
        single = work in {"float32", "complex64"}
        if self.entry.dtype == "real":
            return dtype if half else "float32" if single else "float64"
        if self.entry.dtype == "complex":
            return "complex64" if single else "complex128"
        return "complex128" if self.entry.dtype == "complex128" or work.startswith("complex") else "float64"

    def _working(self, values: Array) -> Array:
        """The data as SciPy is given them."""
        if values.dtype == np.float16:
            return values.astype(np.float32)
        if not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
        exact = self.entry.dtype == "kept" and values.dtype != bool
        return values if exact or values.dtype.kind in "fc" else values.astype(np.float64)

    def _rows(self, values: Array) -> Array:
        function, options = self.entry.find(), dict(self.options)
        given = [options.pop(name) for name in self.entry.before]
        item = self.entry.item

        def call(x: Array, **where: Any) -> Array:
            try:
                made = function(*given, x, **{**options, **where})
            except (ValueError, TypeError, IndexError, ArithmeticError, RuntimeError, NotImplementedError) as error:
                raise DataError(
                    f"Scipy: {self.function} refuses an array of shape {values.shape} and type {values.dtype}: {error}"
                ) from error
            return np.asarray(made if item is None else made[item])

        if self.entry.by == "axis":
            return call(values, axis=-1)
        if self.entry.by == "axes":
            return call(values, axes=(-1,))
        if self.entry.by == "size":
            size = options.get(self.entry.size, 3)
            return call(values, **{self.entry.size: (1,) * (values.ndim - 1) + (size,)})
        made = np.stack([call(row) for row in values.reshape(-1, values.shape[-1])])
        return made.reshape(*values.shape[:-1], *made.shape[1:])


_FLOATS: Final = ("float32", "float64", "complex64", "complex128")
_TAKEN: Final = (*_FLOATS, *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


def _nearest(name: str) -> str:
    """By the whole name; or by what stands behind the dot, where the module is wrong or missing."""
    last = name.rpartition(".")[2]
    same = [known for known in FUNCTIONS if known.rpartition(".")[2] == last]
    return f"did you mean {' or '.join(map(repr, same))}?" if same else nearest(name, FUNCTIONS, count=1)


def _fits(value: object, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fits(value, inner[0])
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        each = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return len(each) == len(value) and all(map(_fits, value, each))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _spelled(hint: Any) -> str:
    """A type in the words of an error message."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _spelled(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(map(_spelled, inner))
    if origin is Literal:
        return f"one of {', '.join(map(repr, inner))}"
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"a tuple, each {_spelled(inner[0])}"
        return f"a tuple of {len(inner)}, each {_spelled(inner[0])}"
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a text", NoneType: "None"}
    return names[hint]


# --- the list ---------------------------------------------------------------------------------------------------------


def _single(time: int | None, options: Mapping[str, Any]) -> tuple[int | None, ...]:
    return ()


def _given(option: str) -> ResultLength:
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
    ScipyFunction(name="signal.hilbert", options={"N": Option(Length | None)}, length=_given("N"), dtype="complex"),
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
        length=_given("num"),
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
            "mode": Option(
                Literal[
                    "constant",
                    "symmetric",
                    "reflect",
                    "edge",
                    "wrap",
                    "smooth",
                    "antisymmetric",
                    "antireflect",
                    "line",
                ]
            ),
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
        length=_given("m"),
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
        for name in (
            "black_tophat",
            "grey_closing",
            "grey_dilation",
            "grey_erosion",
            "grey_opening",
            "morphological_gradient",
            "white_tophat",
        )
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
        ScipyFunction(name=f"fft.{name}", options=_TURNED, length=_given("n"), dtype="complex", is_complex=True)
        for name in ("fft", "ifft")
    ),
    ScipyFunction(name="fft.rfft", options=_TURNED, length=_half_spectrum("n"), dtype="complex"),
    ScipyFunction(name="fft.irfft", options=_TURNED, length=_undone, dtype="real", is_complex=True),
    *(
        ScipyFunction(name=f"fft.{name}", options=_COSINE, length=_given("n"), is_complex=True)
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
