"""What SciPy's curated functions are not asked for: options that do not fit each other, or the length of the data.

SciPy takes some of them and ends the process (a division by zero, a read beyond an array), takes all memory, or works
for hours. Each is refused by name here, before SciPy is called, and when a plan is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import fsum, gcd
from typing import Any, Final, TypeAlias

from bridgeflow.errors import ConfigError, DataError, naming
from bridgeflow.ranges import hold, longest_window, number_text, power_is_beyond
from bridgeflow.signal._windows import refuse_parameters

__all__ = ["MORPHOLOGY", "refuse_together", "refuse_with"]

Options: TypeAlias = Mapping[str, Any]


def refuse_together(function: str, options: Options) -> None:
    """Refuse options that do not fit each other.

    Raises:
        ConfigError: naming the option and what it has to fit.
    """
    for refuse in _TOGETHER.get(function, ()):
        refuse(options)


def refuse_with(function: str, options: Options, time: int, rows: int, result: int | None) -> None:
    """Refuse options that do not fit data.

    Args:
        function: its name in the list.
        options: what it is given.
        time: samples of a row.
        rows: how many rows there are.
        result: elements that a row becomes; `None` where that is not known.

    Raises:
        DataError: naming the option, its value and how far it may go.
        ConfigError: a result, or a filter, out of all proportion to the data.
    """
    for option, most in _WITHIN.get(function, {}).items():
        value, limit = options.get(option), most(time)
        if value is not None and max(value if isinstance(value, tuple) else (value,), default=0) > limit:
            raise DataError(
                f"Scipy: {option} of {function} must be at most {limit} for {time} samples, got {number_text(value)}"
            )
    if function in _TAPS and _TAPS[function](options) > max(1 << 15, 40 * time):
        raise DataError(
            f"Scipy: {function} would need a filter of {_TAPS[function](options):.3g} taps for {time} samples, at most "
            f"{max(1 << 15, 40 * time)}, or SciPy works for hours; lower {' and '.join(_SIZES[function])}"
        )
    refuse = _WITH.get(function)
    if refuse is not None:
        refuse(options, time)
    sizes = {name: options[name] for name in _SIZES.get(function, ()) if options.get(name) is not None}
    if sizes and result is not None:
        work = _WORK[function](options, time) if function in _WORK else 0.0
        with naming(f"Scipy: {function}"):
            hold(max(float(rows) * result, work), rows * time, **sizes)


def _samples(time: int) -> int:
    return time


def _before_the_last(time: int) -> int:
    return time - 1


MORPHOLOGY: Final = (
    "black_tophat",
    "grey_closing",
    "grey_dilation",
    "grey_erosion",
    "grey_opening",
    "morphological_gradient",
    "white_tophat",
)
"""Functions of `scipy.ndimage` that have the `size` of a neighbourhood."""

_WITHIN: Final[Mapping[str, Mapping[str, Callable[[int], int]]]] = {
    "signal.detrend": {"bp": _samples},
    "signal.filtfilt": {"padlen": _before_the_last},
    "signal.medfilt": {"kernel_size": longest_window},
    "signal.savgol_filter": {"window_length": longest_window},
    "signal.wiener": {"mysize": longest_window},
    "stats.differential_entropy": {"window_length": lambda time: max((time - 1) // 2, 0)},
    **{
        f"ndimage.{name}": {"size": longest_window}
        for name in (
            *MORPHOLOGY,
            "maximum_filter1d",
            "median_filter",
            "minimum_filter1d",
            "percentile_filter",
            "rank_filter",
            "uniform_filter1d",
        )
    },
    "ndimage.gaussian_filter1d": {"radius": longest_window},
}
"""The largest value of an option for rows of that many samples."""

_SIZES: Final[Mapping[str, tuple[str, ...]]] = {
    "ndimage.zoom": ("zoom",),
    "signal.decimate": ("q", "n"),
    "signal.hilbert": ("N",),
    "signal.periodogram": ("nfft",),
    "signal.resample": ("num",),
    "signal.resample_poly": ("up", "down"),
    "signal.upfirdn": ("up", "down"),
    "signal.zoom_fft": ("m",),
    **{f"fft.{name}": ("n",) for name in ("dct", "dst", "fft", "idct", "idst", "ifft", "irfft", "rfft")},
}
"""The options that say how long a result, or a filter, will be."""


def _resampling_taps(options: Options) -> float:
    up, down = int(options["up"]), int(options["down"])
    return 20.0 * max(up, down) / gcd(up, down)


_WORK: Final[Mapping[str, Callable[[Options, int], float]]] = {
    "fft.irfft": lambda options, time: float(options.get("n") or 0),
    "fft.rfft": lambda options, time: float(options.get("n") or 0),
    "signal.periodogram": lambda options, time: float(options.get("nfft") or 0),
    "signal.upfirdn": lambda options, time: float(options.get("up", 1)) * len(options["h"]),
}
"""How many elements a filter or a work array has, where that is not the result."""


def _decimating_taps(options: Options) -> float:
    if options.get("ftype", "iir") == "iir":
        return 0.0
    return float(20 * options["q"] if options.get("n") is None else options["n"])


_TAPS: Final[Mapping[str, Callable[[Options], float]]] = {
    "signal.decimate": _decimating_taps,
    "signal.resample_poly": _resampling_taps,
}
"""How many taps a filter that SciPy designs will have."""


def _two_samples(option: str, *modes: str) -> Callable[[Options, int], None]:
    """How a row goes on needs two samples: SciPy divides by their distance, or reads the second."""

    def refuse(options: Options, time: int) -> None:
        if time < 2 and options.get(option) in modes:
            raise DataError(f"Scipy: {option}={options[option]!r} needs at least two samples, got {time}")

    return refuse


def _gaussian(options: Options, time: int) -> None:
    if options.get("radius") is not None:
        return
    reach = options["sigma"] * options.get("truncate", 4.0)
    if reach > longest_window(time):
        raise DataError(
            f"Scipy: sigma of ndimage.gaussian_filter1d, times truncate, must be at most {longest_window(time)} "
            f"for {time} samples, got {reach:g}"
        )


def _interpolated(options: Options, time: int) -> None:
    if options.get("mode", "interp") == "interp" and options["window_length"] > time:
        raise DataError(
            f"Scipy: window_length of signal.savgol_filter must be at most {time}, the samples that there are, got "
            f"{options['window_length']}; or pass mode='nearest'"
        )


def _padded(samples: Callable[[Options], int]) -> Callable[[Options, int], None]:
    """Rows that are continued beyond their ends must be longer than the padding."""

    def refuse(options: Options, time: int) -> None:
        if time <= (edge := samples(options)):
            raise DataError(f"Scipy: rows must be longer than their padding of {edge} samples, got {time} samples")

    return refuse


def _filtfilt_padding(options: Options) -> int:
    if options.get("method", "pad") != "pad" or options.get("padtype", "odd") is None:
        return 0
    padlen = options.get("padlen")
    return 3 * max(len(options["a"]), len(options["b"])) if padlen is None else int(padlen)


def _decimate_padding(options: Options) -> int:
    if options.get("ftype", "iir") != "iir" or not options.get("zero_phase", True):
        return 0
    return 3 * (1 + (8 if options.get("n") is None else int(options["n"])))


_WITH: Final[Mapping[str, Callable[[Options, int], None]]] = {
    "ndimage.gaussian_filter1d": _gaussian,
    "signal.decimate": _padded(_decimate_padding),
    "signal.filtfilt": _padded(_filtfilt_padding),
    "signal.resample_poly": _two_samples("padtype", "reflect", "antireflect", "smooth", "line"),
    "signal.savgol_filter": _interpolated,
    "signal.upfirdn": _two_samples("mode", "reflect", "antireflect", "smooth", "line"),
}
"""What else has to fit the samples of a row."""


def _origin(options: Options) -> None:
    size = options["size"] if "size" in options else len(options["weights"])
    origin = options.get("origin", 0)
    if not -(size // 2) <= origin <= (size - 1) // 2:
        raise ConfigError(
            f"Scipy: origin must be from {-(size // 2)} to {(size - 1) // 2} for a window of {size} samples, got "
            f"{number_text(origin)}"
        )


def _rank(options: Options) -> None:
    size, rank = options["size"], options["rank"]
    if not -size <= rank < size:
        raise ConfigError(f"Scipy: rank must be from {-size} to {size - 1} for a window of {size} samples, got {rank}")


def _denominator(options: Options) -> None:
    if not options["a"][0]:
        raise ConfigError(f"Scipy: a must begin with a number other than 0, got {options['a']!r}")


def _steady_state(options: Options) -> None:
    if options.get("method", "pad") != "pad":
        return
    if max(len(options["a"]), len(options["b"])) < 2:
        raise ConfigError("Scipy: b and a are one number each, which has no state to start from; use a gain instead")
    if fsum(options["a"]) == 0:
        raise ConfigError(f"Scipy: a has a pole at 1 and no steady state to start from, got {options['a']!r}")


def _polynomial(options: Options) -> None:
    window, order = options["window_length"], options["polyorder"]
    if order >= window:
        raise ConfigError(f"Scipy: polyorder must be less than window_length={window}, got {order}")
    deriv, delta = options.get("deriv", 0), options.get("delta", 1.0)
    if deriv <= order and power_is_beyond(delta, deriv):
        raise ConfigError(
            f"Scipy: delta={delta!r} to the power of deriv={deriv} is beyond float64; take delta nearer to 1"
        )
    with naming("Scipy: signal.savgol_filter"):
        hold(float(window) * (order + 1), 0, window_length=window, polyorder=order)


def _ascending(low: str, high: str, lowest: float, highest: float) -> Callable[[Options], None]:
    def refuse(options: Options) -> None:
        least, most = options.get(low, lowest), options.get(high, highest)
        if not least < most:
            raise ConfigError(f"Scipy: {low} must be less than {high}, got {least!r} and {most!r}")

    return refuse


def _percentiles(options: Options) -> None:
    low, high = options.get("rng", (25, 75))
    if low > high:
        raise ConfigError(f"Scipy: rng must ascend, got {(low, high)!r}")


def _order_of(ftype: str, most: int) -> Callable[[Options], None]:
    def refuse(options: Options) -> None:
        order = options.get("n")
        if options.get("ftype", "iir") == ftype and order is not None and order > most:
            raise ConfigError(f"Scipy: n must be at most {most} where ftype={ftype!r}, got {order}")

    return refuse


def _cut_of(options: Options) -> None:
    if options.get("ftype") == "fir" and options["q"] == 1:
        raise ConfigError("Scipy: q must be at least 2 where ftype='fir': at 1 there is no frequency to cut at, got 1")


def _window(options: Options) -> None:
    with naming("Scipy"):
        refuse_parameters(options.get("window"))


_CIRCLE: Final = (_ascending("low", "high", 0.0, 6.283185307179586),)
_TOGETHER: Final[Mapping[str, tuple[Callable[[Options], None], ...]]] = {
    "ndimage.convolve1d": (_origin,),
    "ndimage.correlate1d": (_origin,),
    "ndimage.maximum_filter1d": (_origin,),
    "ndimage.median_filter": (_origin,),
    "ndimage.minimum_filter1d": (_origin,),
    "ndimage.percentile_filter": (_origin,),
    "ndimage.rank_filter": (_origin, _rank),
    "ndimage.uniform_filter1d": (_origin,),
    "signal.decimate": (_order_of("iir", 100), _cut_of),
    "signal.filtfilt": (_denominator, _steady_state),
    "signal.lfilter": (_denominator,),
    "signal.periodogram": (_window,),
    "signal.resample": (_window,),
    "signal.resample_poly": (_window,),
    "signal.savgol_filter": (_polynomial,),
    "stats.circmean": _CIRCLE,
    "stats.circstd": _CIRCLE,
    "stats.circvar": _CIRCLE,
    "stats.iqr": (_percentiles,),
}
"""Options that have to fit each other."""
