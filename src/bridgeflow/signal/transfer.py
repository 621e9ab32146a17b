"""Filters as numerator and denominator: SciPy's `lfilter`, `filtfilt` and `lfilter_zi` on every kind of array.

A numerator and a denominator say less than second-order sections: rounded to float64, the coefficients of a high order
near 0 or fs/2 describe another filter, or an unstable one. So the poles are looked at first (once for each filter):

- a pole outside the unit circle is refused with its place, and so is one beside which the rounding of the coefficients
  changes the response by more than a hundredth. A single pole on the circle, an integrator, is allowed in `lfilter`;
- up to two poles are one section, whose state is SciPy's; the engines of `sosfilt` run it;
- more poles run as sections where these are the same filter to `1e-8` and no state is asked for;
- all else, and all that has a state, is SciPy's own recursion, in double precision: its state is exactly SciPy's.

Tensors on a device or under autograd are filtered by operations that torch can differentiate (`transfer_torch`), with
SciPy's state too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, Final, Literal, NamedTuple, overload

import numpy as np

from bridgeflow.bridge import kind_of, like
from bridgeflow.errors import ConfigError, DataError, UnstableFilter, names_errors
from bridgeflow.signal._axes import axis_of, parse_axis
from bridgeflow.signal._input import as_ndarray, dispatch_of, read_array, restore
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal.design import Ba
from bridgeflow.signal.design.base import solved
from bridgeflow.signal.design.roots import roots
from bridgeflow.signal.fir import fir_filter, fir_filtfilt
from bridgeflow.signal.iir import sosfilt, sosfiltfilt
from bridgeflow.signal.iir.engine import Array, result_dtype
from bridgeflow.signal.padding import Padtype, parse_padding
from bridgeflow.signal.scipy_names import call_scipy

__all__ = ["Fraction", "filtfilt", "lfilter", "lfilter_zi"]

_MOST_CHANGED: Final = 1e-2
"""By which part of itself the rounding of the coefficients may change a filter's response."""

_SECTIONS_BELOW: Final = 1e-8
"""Where sections and coefficients are the same filter, for all that float64 can tell."""

_EXACT_ROOTS: Final = 20
"""Orders up to which roots are found in extended precision."""

_ON_CIRCLE: Final = 1e-12


@overload
def lfilter(b: Any, a: Any, x: SameKind, axis: int = ..., zi: None = ...) -> SameKind: ...
@overload
def lfilter(b: Any, a: Any, x: Any, axis: int = ..., zi: Any = ...) -> Any: ...
@names_errors("lfilter")
def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """Filter along one axis with a numerator and a denominator, as `scipy.signal.lfilter` does.

    Args:
        b: numerator [n], of any kind; real or complex.
        a: denominator [m], `a[0] != 0`; both are divided by `a[0]`.
        x: data of any shape: ndarray, tensor, Arrow array or nested lists; real, complex, integer or boolean. Only
            read.
        axis: the axis of time.
        zi: state to start from, SciPy's: x's shape with `max(n, m) - 1` in the place of the time axis, or 1 along an
            axis for the same everywhere; `None` for zero.

    Returns:
        y: as x in kind and device; in dtype too, but for integers and booleans, which become float64, and for real data
            with complex coefficients or state. Gradients flow to x, zi, b and a.
        zf: the state after the last sample, only if `zi` was given: a tensor beside a tensor, else an ndarray; in
            float64 or complex128, so that pieces equal the whole.

    Raises:
        UnstableFilter: a pole outside the unit circle, or one that rounding has moved there or nearly so.
        DataError: shapes or dtypes that do not fit.

    >>> lfilter([1.0], [1.0, -0.5], [1.0, 0.0, 0.0, 0.0])
    array([1.   , 0.5  , 0.25 , 0.125])
    >>> lfilter([1.0], [1.0, -1.5], [1.0, 0.0])
    Traceback (most recent call last):
    bridgeflow.errors.UnstableFilter: lfilter: unstable: a has a pole at 1.5, radius 1.5 >= 1; move the pole inside \
the unit circle
    """
    if dispatch_of(b, a, x, zi) != "numpy":
        from bridgeflow.signal import transfer_torch

        return transfer_torch.lfilter(b, a, x, axis, zi, check=Fraction.of)
    fraction, values = Fraction.of(b, a), read_array(x)
    at = axis_of(parse_axis(axis), values.shape)
    state = None if zi is None else _state(zi, values.shape, at, fraction.order)
    if fraction.is_complex:
        y, zf = _by_scipy(fraction, values, at, state)
    elif fraction.is_fir:
        y, zf = _through_taps(fraction, values, at, state)
    elif fraction.order <= 2 or (zi is None and fraction.sections is not None):
        y, zf = _through_sections(fraction, values, at, state)
    else:
        y, zf = _by_scipy(fraction, values, at, state)
    result = restore(y, x)
    if zi is None:
        return result
    return result, like(zf, x) if kind_of(x) == "torch" else zf


@overload
def filtfilt(
    b: Any,
    a: Any,
    x: SameKind,
    axis: int = ...,
    padtype: Padtype | None = ...,
    padlen: int | None = ...,
    method: Literal["pad", "gust"] = ...,
    irlen: int | None = ...,
) -> SameKind: ...
@overload
def filtfilt(
    b: Any,
    a: Any,
    x: Any,
    axis: int = ...,
    padtype: Padtype | None = ...,
    padlen: int | None = ...,
    method: Literal["pad", "gust"] = ...,
    irlen: int | None = ...,
) -> Any: ...
@names_errors("filtfilt")
def filtfilt(
    b: Any,
    a: Any,
    x: Any,
    axis: int = -1,
    padtype: Padtype | None = "odd",
    padlen: int | None = None,
    method: Literal["pad", "gust"] = "pad",
    irlen: int | None = None,
) -> Any:
    """Filter forwards and backwards, so that no frequency is delayed, as `scipy.signal.filtfilt` does.

    Args:
        b, a, x, axis: as for `lfilter`.
        padtype: how x goes on beyond its ends: `"odd"`, `"even"`, `"constant"`, or `None`.
        padlen: by how many samples, fewer than there are; `None` for `3 * max(len(a), len(b))`.
        method: `"pad"`; or `"gust"`, Gustafsson's, which chooses the states at both ends so that the order of the two
            passes does not matter.
        irlen: for `"gust"`, the length of the impulse response; `None` for the data's.

    Returns:
        y: as x in kind, device and shape; in dtype too, but for integers and booleans, which become float64. Gradients
            flow (`"pad"` only).

    Raises:
        UnstableFilter: a pole on or outside the unit circle, or one that rounding has moved there or nearly so.
        DataError: shapes or dtypes that do not fit, among them an x that is not longer than `padlen`.

    >>> ramp = np.arange(50.0)
    >>> bool(abs(filtfilt([0.5], [1.0, -0.5], ramp) - ramp).max() < 0.1)
    True
    """
    if method not in ("pad", "gust"):
        raise ConfigError(f"method must be 'pad' or 'gust', got {method!r}")
    if method == "pad" and dispatch_of(b, a, x) != "numpy":
        from bridgeflow.signal import transfer_torch

        return transfer_torch.filtfilt(b, a, x, axis, padtype, padlen, check=partial(Fraction.of, integrators=False))
    fraction = Fraction.of(b, a, integrators=False)
    values = read_array(x)
    at = axis_of(parse_axis(axis), values.shape)
    if method == "pad":
        edge = parse_padding(padtype, padlen, 3 * fraction.coefficients, values.shape[at])
        if not fraction.is_complex and fraction.is_fir:
            return restore(fir_filtfilt(fraction.b, values, at, padtype, edge), x)
        if not fraction.is_complex and (sections := fraction.sections) is not None:
            return restore(sosfiltfilt(sections, values, at, padtype, edge), x)
    options: dict[str, Any] = {"padtype": padtype, "padlen": padlen, "method": method, "irlen": irlen}
    y = call_scipy(_scipys("filtfilt"), "filtfilt", fraction.b, fraction.a, _double(values), at, **options)
    return restore(_kept(y, values), x)


def lfilter_zi(b: Any, a: Any) -> Any:
    """The state of a filter that has seen ones forever, as `scipy.signal.lfilter_zi`.

    A row that starts from it times its first sample starts without a jump.

    Args:
        b: numerator [n], of any kind.
        a: denominator [m].

    Returns:
        zi: [max(n, m) - 1], of the kind of b or a; gradients flow.

    >>> lfilter_zi([0.5], [1.0, -0.5])
    array([0.5])
    """
    if dispatch_of(b, a) != "numpy":
        from bridgeflow.signal import transfer_torch

        return transfer_torch.steady_state(b, a)
    return call_scipy(_scipys("lfilter_zi"), "lfilter_zi", b, a)


class Fraction(NamedTuple):
    """A filter's coefficients, looked at.

    Args:
        b: numerator, divided by `a[0]`; float64 or complex128.
        a: denominator, `a[0] == 1`.
        changed: by which part of itself the rounding of the coefficients changes the response, at most.
        coefficients: of the longer of the two.
    """

    b: Array
    a: Array
    changed: float
    coefficients: int

    @classmethod
    def of(cls, b: Any, a: Any, *, integrators: bool = True) -> Fraction:
        """Parse and check the coefficients of a filter.

        Raises:
            UnstableFilter: see `lfilter`.
            DataError: coefficients that are not rows of numbers.
        """
        numerator, denominator = (_row(row, name) for row, name in ((b, "b"), (a, "a")))
        return _looked_at(
            numerator.tobytes(), numerator.dtype.char, denominator.tobytes(), denominator.dtype.char, integrators
        )

    @property
    def order(self) -> int:
        """How many numbers a state has."""
        return self.coefficients - 1

    @property
    def is_complex(self) -> bool:
        """Whether a coefficient is complex."""
        return bool(self.b.dtype.kind == "c" or self.a.dtype.kind == "c")

    @property
    def is_fir(self) -> bool:
        """Whether there is no recursion."""
        return not self.a[1:].any()

    @property
    def sections(self) -> Array | None:
        """The filter as sections, where these are the same filter for all that float64 can tell."""
        if self.order <= 2 or not self.b.any():
            return None if self.order > 2 else self.section
        if self.changed > _SECTIONS_BELOW or len(self.a) > _EXACT_ROOTS or len(self.b) > _EXACT_ROOTS:
            return None
        return _cascade(tuple(self.b.tolist()), tuple(self.a.tolist()))

    @property
    def section(self) -> Array:
        """A filter of at most two poles and zeros as one section, whose state is that of the fraction."""
        padded = [np.pad(row, (0, 3 - len(row))) for row in (self.b, self.a)]
        return np.concatenate(padded)[None]


@lru_cache(maxsize=256)
def _looked_at(b_raw: bytes, b_char: str, a_raw: bytes, a_char: str, integrators: bool) -> Fraction:
    """Filters seen before need no second look."""
    b, a = np.frombuffer(b_raw, b_char), np.frombuffer(a_raw, a_char)
    if a[0] == 0:
        raise DataError("a[0] must not be 0; leave out leading zeros of a")
    if not (np.isfinite(b).all() and np.isfinite(a).all()):
        raise DataError("b and a must be finite numbers")
    coefficients = max(len(b), len(a))
    b, a = b / a[0], a / a[0]
    last = int(np.flatnonzero(a)[-1])
    changed = _check_poles(a[: last + 1], integrators=integrators) if last else 0.0
    return Fraction(b, a, changed, coefficients)


def _check_poles(a: Array, *, integrators: bool) -> float:
    """By which part of itself the rounding of `a`, `a[0] == 1`, changes the filter's response, at most."""
    poles = np.roots(a)
    if (
        len(a) <= _EXACT_ROOTS
        and a.dtype.kind != "c"
        and (max(abs(poles)) >= 1 or _change(a, poles) > _MOST_CHANGED / 10)
    ):
        poles = roots(a)
    inside = poles
    if integrators:
        inside = np.array([pole for pole in poles if not _is_integrator(a, pole)])
    changed, better = _change(a, inside), "sosfilt" if integrators else "sosfiltfilt"
    worst = max(inside, key=abs, default=0.0)
    place = f"{worst.real:.9g}" if worst.imag == 0 else f"{worst.real:.9g}{worst.imag:+.9g}j"
    place = f"a has a pole at {place}, radius {abs(worst):.9g}"
    design = f"design with output='sos' and use {better}"
    if abs(worst) >= 1:
        lost = f"the b, a form has lost its stability to rounding; {design}"
        by_rounding = len(a) > 3 and changed > _MOST_CHANGED
        remedy = lost if by_rounding else "move the pole inside the unit circle"
        raise UnstableFilter(f"unstable: {place} >= 1; {remedy}")
    if changed > _MOST_CHANGED:
        raise UnstableFilter(
            f"{place}, and the rounding of a to float64 changes the response there by {min(changed, 1):.0%}; {design}"
        )
    return changed


def _change(a: Array, poles: Array) -> float:
    """By which part of itself rounding the coefficients changes `a` on the unit circle, at most, beside its poles."""
    if not len(poles):
        return 0.0
    places = np.exp(1j * np.angle(poles))
    nearest = np.abs(places[:, None] - poles).prod(axis=1).min()
    return float(np.finfo(np.float64).eps * np.abs(a).sum() / nearest) if nearest else np.inf


def _is_integrator(a: Array, pole: complex) -> bool:
    """Whether a single pole lies on the unit circle, for all that float64 can tell."""
    slope = abs(np.polyval(np.polyder(a), pole))
    moved = np.finfo(np.float64).eps * np.abs(a).sum() / slope if slope else np.inf
    return bool(abs(abs(pole) - 1) < _ON_CIRCLE and moved < _ON_CIRCLE)


@lru_cache(maxsize=256)
def _cascade(b: tuple[float, ...], a: tuple[float, ...]) -> Array | None:
    try:
        sections = solved(Ba(b=b, a=a))
    except (ConfigError, ArithmeticError, UnstableFilter):  # an integrator, a gain that float64 cannot hold
        return None
    return sections if len(sections) else None


def _row(row: Any, name: str) -> Array:
    values = np.atleast_1d(as_ndarray(row))
    if values.ndim != 1 or not len(values):
        error = DataError(f"Parameter {name} is not a non-empty 1d array, since {name}.shape={values.shape}!")
        error.function = ""
        raise error
    if values.dtype.kind not in "fciub":
        raise DataError(f"{name} must be numbers, got {values.dtype}")
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64, copy=False)


def _through_taps(fraction: Fraction, x: Array, axis: int, zi: Array | None) -> tuple[Array, Array | None]:
    taps = np.pad(fraction.b, (0, fraction.coefficients - len(fraction.b)))
    done: Any = fir_filter(taps, x, axis, zi)
    return (done, None) if zi is None else done


def _through_sections(fraction: Fraction, x: Array, axis: int, zi: Array | None) -> tuple[Array, Array | None]:
    sections, order = fraction.sections, fraction.order
    if zi is None:
        return sosfilt(sections, x, axis), None
    lengthened = np.zeros((*zi.shape[:axis], 2, *zi.shape[axis + 1 :]), zi.dtype)
    kept = (slice(None),) * axis + (slice(order),)
    lengthened[kept] = zi
    y, zf = sosfilt(sections, x, axis, lengthened[None])
    return y, zf[0][kept]


def _by_scipy(fraction: Fraction, x: Array, axis: int, zi: Array | None) -> tuple[Array, Array | None]:
    b, wide = np.pad(fraction.b, (0, fraction.coefficients - len(fraction.b))), _double(x)
    if not x.shape[axis]:  # SciPy's loop returns a state that it has not written
        computed = np.result_type(wide, b, fraction.a)
        return _kept(wide.astype(computed), x), None if zi is None else zi.astype(np.result_type(computed, zi))
    done = call_scipy(_scipys("lfilter"), "lfilter", b, fraction.a, wide, axis, zi)
    return (_kept(done, x), None) if zi is None else (_kept(done[0], x), done[1])


def _state(zi: Any, shape: Sequence[int], axis: int, order: int) -> Array:
    """A state from the caller, an ndarray, spread where it is the same for several rows."""
    expected = (*shape[:axis], order, *shape[axis + 1 :])
    state = as_ndarray(zi)
    fits = state.ndim == len(expected) and all(
        n == size or (n == 1 and at != axis) for at, (n, size) in enumerate(zip(state.shape, expected, strict=True))
    )
    if not fits or state.dtype.kind not in "fciub":
        raise DataError(
            f"Unexpected shape for parameter zi: expected numbers of shape {expected}, found {state.dtype} of "
            f"shape {state.shape}"
        )
    return np.broadcast_to(state, expected)


def _double(x: Array) -> Array:
    """Data in double precision; what is wider stays."""
    return x.astype(np.result_type(x.dtype, np.float64), copy=False)


def _kept(y: Array, x: Array) -> Array:
    """A result in the dtype that is owed to the data, complex where the computation made it so."""
    expected = result_dtype(x.dtype)
    if y.dtype.kind == "c" and expected.kind != "c":
        expected = np.dtype(np.result_type(expected, np.complex64))
    return np.ascontiguousarray(y.astype(expected, copy=False))


def _scipys(name: str) -> Any:
    import scipy.signal

    return getattr(scipy.signal, name)
