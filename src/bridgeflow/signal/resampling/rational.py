"""Resampling by a ratio of whole numbers: `resample_poly` and `decimate`."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Literal, overload

import numpy as np

from bridgeflow.bridge import kind_of
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.policy import Nonfinite, parse_word
from bridgeflow.ranges import number_text, whole_number
from bridgeflow.signal._arguments import names_arguments
from bridgeflow.signal._axes import time_where_it_was
from bridgeflow.signal._input import as_ndarray, prepare, read_array, restore
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal.iir import sosfilt, sosfiltfilt
from bridgeflow.signal.padding import Extension
from bridgeflow.signal.resampling.polyphase import Array, Polyphase, Window, floating, lowpass, reduced
from bridgeflow.signal.resampling.rates import LARGEST_FACTOR
from bridgeflow.signal.resampling.stream import whole
from bridgeflow.signal.resampling.updown import upfirdn

__all__ = [
    "Extension",
    "antialias",
    "decimate",
    "resample_poly",
]


@overload
def resample_poly(
    x: SameKind,
    up: int,
    down: int,
    axis: int = ...,
    window: Window | Sequence[float] | Array = ...,
    padtype: Extension = ...,
    cval: float | None = ...,
) -> SameKind: ...
@overload
def resample_poly(
    x: Any,
    up: int,
    down: int,
    axis: int = ...,
    window: Window | Sequence[float] | Array = ...,
    padtype: Extension = ...,
    cval: float | None = ...,
) -> Any: ...
@names_arguments
def resample_poly(
    x: Any,
    up: int,
    down: int,
    axis: int = 0,
    window: Window | Sequence[float] | Array = ("kaiser", 5.0),
    padtype: Extension = "constant",
    cval: float | None = None,
) -> Any:
    """Resample along one axis by the factor `up / down`, as `scipy.signal.resample_poly` does, and with its bits.

    Args:
        x: data of any shape: ndarray, tensor, Arrow array or nested lists; real, complex, integer or boolean. Only
            read.
        up: factor by which the rate grows, a positive integer.
        down: factor by which it shrinks, a positive integer.
        axis: the axis of time; mind SciPy's default, the first.
        window: of the anti-alias filter, a name or (name, parameters); or its taps themselves, a list or an array.
        padtype: how x goes on beyond its ends: `"constant"` (zero, or `cval`), `"line"`, `"mean"`, `"median"`,
            `"maximum"`, `"minimum"` (a level taken off and put back), `"edge"`, `"symmetric"`, `"reflect"`, `"wrap"`,
            `"smooth"`, `"antisymmetric"`, `"antireflect"`.
        cval: the value for `"constant"`.

    Returns:
        y: as x in kind, device and dtype, but for integers and booleans, which become float64; along `axis`,
            `ceil(n * up / down)` samples. Gradients flow.

    Raises:
        DataError: factors, taps or data that cannot be.
        ValueError: a padtype that is not one of the words.

    >>> import numpy as np
    >>> x = np.cos(2 * np.pi * 5 * np.arange(100) / 100).astype("float32")  # 5 Hz at 100 Hz
    >>> y = resample_poly(x, 3, 2)
    >>> y.shape, y.dtype
    ((150,), dtype('float32'))
    >>> np.abs(y - np.cos(2 * np.pi * 5 * np.arange(150) / 150))[30:-30].max() < 0.01
    np.True_
    """
    parse_word(padtype, Extension, field="padtype")
    if cval is not None and padtype != "constant":
        raise DataError(f'cval has no effect when padtype is "{padtype}"; leave it out, or take padtype="constant"')
    up, down = reduced(up, down)
    rows, level = prepare(x, axis), 0.0 if cval is None else float(cval)
    if kind_of(window) is not None and np.iscomplexobj(taps := as_ndarray(window)) and up != down:
        parts = [
            whole(lowpass(up, down, part), floating(rows.values), padtype, level) for part in (taps.real, taps.imag)
        ]
        return rows.restore_new(time_where_it_was(parts[0] + 1j * parts[1], axis))
    plan = None if up == down else lowpass(up, down, window, samples=int(rows.values.shape[-1]))
    return rows.restore(whole(plan, floating(rows.values), padtype, level))


@overload
def decimate(
    x: SameKind,
    q: int,
    n: int | None = ...,
    ftype: Literal["iir", "fir"] | Any = ...,
    axis: int = ...,
    zero_phase: bool = ...,
    *,
    nonfinite: Nonfinite = ...,
) -> SameKind: ...
@overload
def decimate(
    x: Any,
    q: int,
    n: int | None = ...,
    ftype: Literal["iir", "fir"] | Any = ...,
    axis: int = ...,
    zero_phase: bool = ...,
    *,
    nonfinite: Nonfinite = ...,
) -> Any: ...
@names_arguments
def decimate(
    x: Any,
    q: int,
    n: int | None = None,
    ftype: Literal["iir", "fir"] | Any = "iir",
    axis: int = -1,
    zero_phase: bool = True,
    *,
    nonfinite: Nonfinite = "propagate",
) -> Any:
    """Keep every `q`-th sample after an anti-alias filter, as `scipy.signal.decimate` does.

    Args:
        x: data of any shape and kind. Only read.
        q: the factor.
        n: order of the filter; `None` for 8 (`"iir"`) or `20 q` (`"fir"`).
        ftype: `"iir"`: Chebyshev, type I; `"fir"`: Hamming window; or a `scipy.signal.dlti` system.
        axis: the axis of time.
        zero_phase: take the delay away: forwards and backwards for an IIR filter, shifted for `"fir"`.
        nonfinite: for an IIR filter, as for `sosfilt`.

    Returns:
        y: as x in kind, device and dtype, but for integers and booleans, which become float64; `ceil(samples / q)`
            samples.

    Raises:
        DataError: a factor, order or data that cannot be.
        ValueError: an ftype that does not exist.

    >>> import numpy as np
    >>> decimate(np.ones(600), 4).shape
    (150,)
    """
    q = whole_number(operator.index(q), name="q", most=LARGEST_FACTOR, error=DataError)
    if (fraction := complex_fraction(ftype)) is not None:
        if nonfinite != "propagate":
            raise ConfigError(f"nonfinite={nonfinite!r} is for real coefficients; leave it out")
        return _decimated_by(fraction, x, q, axis, zero_phase)
    order = None if n is None else whole_number(operator.index(n), name="n", error=DataError)
    sections, taps = antialias(q, order, ftype)
    if taps is not None:
        if nonfinite != "propagate":
            raise ConfigError(f"nonfinite={nonfinite!r} is for IIR filters; leave it out")
        rows = prepare(x, axis)
        plan = Polyphase(1, q, taps, (len(taps) - 1) // 2 if zero_phase else 0)
        return rows.restore(whole(plan, floating(rows.values), "constant", 0.0))
    filtered = x if kind_of(x) == "torch" else read_array(x)
    run = sosfiltfilt if zero_phase else sosfilt
    filtered = run(sections, filtered, axis, nonfinite=nonfinite)
    y = filtered[(slice(None),) * (axis % filtered.ndim) + (slice(None, None, q),)]
    return y if kind_of(x) == "torch" else restore(y, x)


def antialias(q: int, n: int | None, ftype: Any) -> tuple[Array | None, Array | None]:
    """The filter that `decimate` takes: its sections, or else its taps."""
    if isinstance(ftype, str):
        word = parse_word(ftype, Literal["iir", "fir"], field="ftype")
        name, order, most = ("n", n, _MOST_POLES if word == "iir" else _MOST_TAPS)
        if order is None and word == "fir":
            name, order, most = "q", q, _MOST_TAPS // 20
        if order is not None and order > most:
            raise ConfigError(
                f"{name} must be at most {most} where ftype={word!r}, got {number_text(order)}; decimate in "
                "several steps",
                field=name,
            )
        return (_chebyshev(q, 8 if n is None else n), None) if word == "iir" else (None, _hamming(q, n))
    from scipy.signal import dlti, zpk2sos

    if not isinstance(ftype, dlti):
        raise DataError(f"ftype must be 'iir', 'fir' or a scipy.signal.dlti, got {ftype!r}")
    system = ftype.to_zpk()
    if not len(system.poles):
        fraction = ftype.to_tf()
        taps = np.atleast_1d(fraction.num / fraction.den)
        if np.iscomplexobj(taps):
            raise DataError("the system has complex coefficients, filters here have real ones")
        return None, taps.astype(np.float64)
    try:
        return zpk2sos(system.zeros, system.poles, system.gain), None
    except ValueError as error:
        raise DataError(f"the system has complex coefficients, filters here have real ones ({error})") from None


def complex_fraction(ftype: Any) -> tuple[Array, Array] | None:
    """Numerator and denominator of a system with complex coefficients, `None` for everything else."""
    from scipy.signal import dlti

    if not isinstance(ftype, dlti):
        return None
    system = ftype.to_zpk()
    if len(system.poles):
        from scipy.signal import zpk2tf

        b, a = (np.atleast_1d(row) for row in zpk2tf(system.zeros, system.poles, system.gain))
    else:
        fraction = ftype.to_tf()
        b, a = np.atleast_1d(fraction.num / fraction.den), np.ones(1)
    return (b, a) if np.iscomplexobj(b) or np.iscomplexobj(a) else None


def _decimated_by(fraction: tuple[Array, Array], x: Any, q: int, axis: int, zero_phase: bool) -> Any:
    """`decimate` with complex coefficients."""
    from bridgeflow.signal.transfer import filtfilt, lfilter

    (b, a), rows = fraction, prepare(x, axis)
    if len(a) > 1:
        y = (filtfilt if zero_phase else lfilter)(b, a, rows.values)[..., ::q]
    elif zero_phase:
        y = resample_poly(rows.values, 1, q, -1, b)
    else:
        y = upfirdn(b, rows.values, 1, q)[..., : -(-int(rows.values.shape[-1]) // q)]
    return rows.restore_new(time_where_it_was(y, axis))


_MOST_POLES: Final = 500
_MOST_TAPS: Final = 1 << 20


@lru_cache(maxsize=64)
def _chebyshev(q: int, order: int) -> Array:
    from scipy.signal import cheby1

    return np.asarray(cheby1(order, 0.05, 0.8 / q, output="sos"))


@lru_cache(maxsize=64)
def _hamming(q: int, order: int | None) -> Array:
    from scipy.signal import firwin

    if q == 1:
        raise DataError("q must be at least 2 where ftype='fir': at 1 there is no frequency to cut at, got 1")
    return np.asarray(firwin((20 * q if order is None else order) + 1, 1.0 / q, window="hamming"))
