"""What every design is: fields parsed when built, arrays solved once and shared, stability checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from math import fsum, isfinite, pi
from operator import index
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridgeflow._optional import loaded
from bridgeflow._plain import plain_parameter
from bridgeflow.errors import ConfigError, UnstableFilter
from bridgeflow.policy import words

__all__ = [
    "Array",
    "Design",
    "FirFilter",
    "IirFilter",
    "is_symmetric",
    "quadratic_roots",
    "refuse_while_traced",
    "solved",
    "whole_delay",
]

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Design:
    """A filter, said in numbers and words. Subclasses are `IirFilter` (has `sos`) and `FirFilter` (has `taps`).

    Args:
        fs: sampling rate in Hz. Needed wherever a frequency is given.

    Raises:
        ConfigError: a field that is missing, of the wrong form, or out of range.
        UnstableFilter: a pole on or outside the unit circle.
    """

    name: ClassVar[str]
    """What the design is called in a configuration."""

    fs: float | None = None

    def __post_init__(self) -> None:
        refuse_while_traced("a design")
        for field in fields(self):
            value = getattr(self, field.name)
            if getattr(value, "ndim", 0) == 0:  # arrays of coefficients are for the parsers
                self._set(**{field.name: plain_parameter(value)})
        if self.fs is not None:
            self._set(fs=self._positive("fs"))
        self._parse()
        solved(self)

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def response(self, frequency: float | Sequence[float] | Array) -> NDArray[np.complex128]:
        """The complex gain at each frequency.

        Args:
            frequency: in Hz where the design has `fs`, else in cycles per sample.

        >>> from bridgeflow.signal.design import Notch
        >>> abs(Notch(w0=60.0, Q=30.0, fs=360.0).response([0.0, 60.0])).round(9)
        array([1., 0.])
        """
        delay = np.exp(-2j * pi * np.asarray(frequency, dtype=np.float64) / (self.fs or 1.0))
        return self._at(delay)

    # What a subclass says about itself.

    def _parse(self) -> None:
        """Check the fields and bring them into their one form (floats, ints, tuples)."""
        raise NotImplementedError

    def _solve(self) -> Array:
        """The coefficients that the fields ask for."""
        raise NotImplementedError

    def _at(self, delay: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """The transfer function, `delay` standing for one sample of delay."""
        raise NotImplementedError

    def _remedy(self) -> str:
        """What to do about an unstable solution."""
        return "raise the cutoff, lower the order, or resample to a lower fs first"

    # The parsers: each reads a field of this name, or the value given, and raises an error that names it.

    def _set(self, **values: object) -> None:
        for field, value in values.items():
            object.__setattr__(self, field, value)

    def _fail(self, message: str, *, field: str | None = None) -> ConfigError:
        return ConfigError(f"{type(self).__name__}: {message}", field=field and field.partition("[")[0])

    def _value(self, field: str, value: Any) -> Any:
        return getattr(self, field) if value is MISSING else value

    def _number(self, field: str, value: Any = MISSING) -> float:
        value = self._value(field, value)
        try:
            if isinstance(value, (bool, str)):
                raise TypeError
            number = float(value)
        except (TypeError, ValueError):
            raise self._fail(f"{field} must be a number, got {value!r}", field=field) from None
        if not isfinite(number):
            raise self._fail(f"{field} must be finite, got {number}", field=field)
        return number

    def _positive(self, field: str, value: Any = MISSING) -> float:
        number = self._number(field, value)
        if number <= 0:
            raise self._fail(f"{field} must be above 0, got {number:g}", field=field)
        return number

    def _integer(self, field: str, *, least: int, most: int = 1_000_000) -> int:
        """A whole number in a range whose upper end keeps a design from taking minutes or all memory."""
        value = getattr(self, field)
        try:
            if isinstance(value, bool):
                raise TypeError
            number = index(value)
        except TypeError:
            raise self._fail(f"{field} must be a whole number, got {value!r}", field=field) from None
        if number < least:
            raise self._fail(f"{field} must be at least {least}, got {number}", field=field)
        if number > most:
            raise self._fail(f"{field} must be at most {most:,}, got {number:,}", field=field)
        return number

    def _flag(self, field: str) -> bool:
        value = getattr(self, field)
        if not isinstance(value, (bool, np.bool_)):
            raise self._fail(f"{field} must be True or False, got {value!r}", field=field)
        return bool(value)

    def _word(self, field: str, alias: object) -> str:
        value = getattr(self, field)
        if not isinstance(value, str) or value not in words(alias):
            raise self._fail(f"{field} must be one of {', '.join(map(repr, words(alias)))}, got {value!r}", field=field)
        return value

    def _frequency(self, field: str, value: Any = MISSING) -> float:
        """A frequency strictly between 0 and fs/2."""
        number = self._number(field, value)
        nyquist = self._rate(field) / 2
        if number >= nyquist:
            raise self._fail(
                f"{field}={number:g} Hz must lie below fs/2 = {nyquist:g} Hz; lower it or raise fs", field=field
            )
        if number <= 0:
            raise self._fail(f"{field} must be above 0 Hz, got {number:g}", field=field)
        return number

    def _rate(self, field: str) -> float:
        """`fs`, which `field` cannot do without."""
        if self.fs is None:
            raise self._fail(
                f"fs is missing: {field} is in Hz, so give the sampling rate in Hz too (fs=360.0)", field="fs"
            )
        return self.fs

    def _sequence(self, field: str, value: Any = MISSING) -> tuple[Any, ...]:
        value = self._value(field, value)
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise self._fail(f"{field} must be a sequence, got {value!r}", field=field)
        if not value:
            raise self._fail(f"{field} must not be empty", field=field)
        return tuple(value)

    def _numbers(self, field: str, value: Any = MISSING) -> tuple[float, ...]:
        items = self._sequence(field, value)
        return tuple(self._number(f"{field}[{i}]", item) for i, item in enumerate(items))

    def _scipy(self, design: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call a design function of SciPy, whose refusals become ours, on one line."""
        try:
            return design(*args, **options)
        except (ValueError, TypeError, IndexError, ArithmeticError, RuntimeError) as error:
            raise self._fail(" ".join(str(error).split())) from error


class IirFilter(Design):
    """An IIR filter, as second-order sections."""

    @property
    def sos(self) -> Array:
        """Second-order sections [n, 6], each row `b0 b1 b2 1 a1 a2`.

        A copy of the reader's own, because `scipy.signal.sosfilt` refuses read-only sections.
        """
        return solved(self).copy()

    @property
    def poles(self) -> NDArray[np.complex128]:
        """The poles of all sections [2 n]; those at the origin count too."""
        return np.concatenate([quadratic_roots(*section[3:]) for section in self.sos])

    @property
    def zeros(self) -> NDArray[np.complex128]:
        """The zeros of all sections, at most 2 n."""
        return np.concatenate([quadratic_roots(*section[:3]) for section in self.sos])

    @property
    def pole_radius(self) -> float:
        """The largest distance of a pole from the origin, below 1: how slowly the filter forgets."""
        return float(np.abs(self.poles).max())

    def _at(self, delay: NDArray[np.complex128]) -> NDArray[np.complex128]:
        gain = np.ones_like(delay)
        for b0, b1, b2, a0, a1, a2 in self.sos:
            gain *= ((b2 * delay + b1) * delay + b0) / ((a2 * delay + a1) * delay + a0)
        return gain


class FirFilter(Design):
    """An FIR filter: `y[t] = sum(taps[k] * x[t - k])`."""

    @property
    def taps(self) -> Array:
        """The impulse response [n], a copy of the reader's own."""
        return solved(self).copy()

    @property
    def delay(self) -> int | None:
        """How many samples it delays every frequency; `None` unless the taps are (anti)symmetric and of odd count."""
        return whole_delay(solved(self))

    def _at(self, delay: NDArray[np.complex128]) -> NDArray[np.complex128]:
        gain = np.zeros_like(delay)
        for tap in self.taps[::-1]:
            gain = gain * delay + tap
        return gain


def refuse_while_traced(what: str) -> None:
    """Filters are solved by SciPy, of which a compiler knows nothing.

    Raises:
        ConfigError: `torch.compile` or `torch.export` is tracing.
    """
    if (torch := loaded("torch")) is not None and torch.compiler.is_dynamo_compiling():
        raise ConfigError(
            f"{what} cannot be built inside a function that torch.compile or torch.export traces: build it before, and "
            "use it inside; butter_lowpass_filter and its sisters may stay inside"
        )


def solved(design: Design) -> Array:
    """The coefficients of a design, read-only; equal designs share them."""
    try:
        coefficients: Array = design.__dict__["_solved"]
    except KeyError:
        solve = _solve
        if loaded("torch._dynamo") is not None:  # after a break in its graph, torch.compile would try this frame too
            import torch

            solve = torch.compiler.disable(_solve)  # type: ignore[no-untyped-call]
        coefficients = design.__dict__["_solved"] = solve(design)
    return coefficients


@lru_cache(maxsize=256)
def _solve(design: Design) -> Array:
    coefficients = np.array(design._solve(), dtype=np.float64, order="C")
    if not np.isfinite(coefficients).all():
        raise design._fail("the coefficients come out NaN or infinite; the design asks for more than float64 can hold")
    if isinstance(design, IirFilter):
        _refuse_unstable(design, coefficients)
        if 0 < np.abs(coefficients[0, :3]).max(initial=0.0) < 1e-290 or not coefficients[:, :3].any(axis=1).all():
            raise design._fail("its gain is too small for float64 (below 1e-290); lower the order, or raise the cutoff")
    coefficients.setflags(write=False)
    return coefficients


def _refuse_unstable(design: Design, sos: Array) -> None:
    for number, (_, _, _, _, a1, a2) in enumerate(sos.tolist()):
        # z**2 + a1 z + a2 has both roots inside the unit circle exactly if |a2| < 1 and |a1| < 1 + a2 (Jury). fsum
        # rounds only once, so the sign is right even where 1 + a2 - |a1| cancels down to its last bit.
        if abs(a2) < 1 and fsum((1.0, a2, -abs(a1))) > 0:
            continue
        pole = max(quadratic_roots(1.0, a1, a2), key=abs)
        place = f"{pole.real:.9g}" if pole.imag == 0 else f"{pole.real:.9g}{pole.imag:+.9g}j"
        raise UnstableFilter(
            f"{type(design).__name__}: unstable: with its coefficients in float64, section {number} has a pole "
            f"at {place}, radius {max(abs(pole), 1.0):.9g} >= 1; {design._remedy()}"
        )


def is_symmetric(taps: Array) -> bool:
    """Symmetric or antisymmetric, but for rounding: every frequency is delayed by half the length."""
    unequal = min(np.abs(taps - taps[::-1]).max(), np.abs(taps + taps[::-1]).max())
    return bool(unequal <= 1e-12 * np.abs(taps).max())


def whole_delay(taps: Array) -> int | None:
    """The delay of symmetric or antisymmetric taps of odd count, half their length; `None` for others."""
    return len(taps) // 2 if len(taps) % 2 and is_symmetric(taps) else None


def quadratic_roots(c0: float, c1: float, c2: float) -> NDArray[np.complex128]:
    """The roots of `c0 z**2 + c1 z + c2`, without cancellation; fewer than two where leading coefficients are zero."""
    if c0 == 0:
        return np.array([-c2 / c1] if c1 else [], dtype=np.complex128)
    half, product = 0.0 - c1 / (2 * c0), c2 / c0
    discriminant = half * half - product
    if discriminant < 0:
        root = complex(half, (-discriminant) ** 0.5)
        return np.array([root, root.conjugate()])
    far = half + (discriminant**0.5 if half >= 0 else -(discriminant**0.5))
    return np.array([far, product / far if far else 0.0], dtype=np.complex128)
