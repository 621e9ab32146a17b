"""Random changes in time: `TimeReverse`, `TimeShift`, `RandomCrop`, `Speed`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np

from bridgeflow.errors import ConfigError, DataError
from bridgeflow.policy import parse_word
from bridgeflow.ranges import Length, Natural, Range
from bridgeflow.signal._memory import empty
from bridgeflow.signal.resampling import resample_poly
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.augment.base import Array, Augmentation, Probability, duplicated
from bridgeflow.transforms.augment.noise import check_count
from bridgeflow.transforms.augment.values import gathered, kept
from bridgeflow.transforms.registry import register

__all__ = ["RandomCrop", "ShiftMode", "Speed", "TimeReverse", "TimeShift"]

ShiftMode: TypeAlias = Literal["roll", "zero", "reflect"]
"""What fills the end that a shift leaves empty: the other end, zeros, or the signal mirrored at its end."""


@register
@dataclass(frozen=True, kw_only=True)
class TimeReverse(Augmentation):
    """Reverse samples in time.

    Args:
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay. Gradients flow.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     TimeReverse(p=1)(np.arange(4))
    array([3, 2, 1, 0])
    """

    keeps_values = True

    p: Probability = 0.5

    def augment(self, x: Any, *draws: Array) -> Any:
        """The signal from its end to its beginning."""
        return duplicated(x[..., ::-1]) if isinstance(x, np.ndarray) else x.flip(-1)

    def augment_some(self, rows: Array, chosen: list[int], *draws: Array) -> Array:
        """Row by row, in one direction or the other."""
        result, reversed_rows = empty(rows.shape, rows.dtype), set(chosen)
        for number, row in enumerate(rows):
            result[number] = row[..., ::-1] if number in reversed_rows else row
        return result


@register
@dataclass(frozen=True, kw_only=True)
class TimeShift(Augmentation):
    """Shift samples in time by a random number of samples, the same for all channels.

    Args:
        max_shift: the most samples to shift by, in either direction; each number of samples is equally likely.
        mode: what comes in at the end that is left: `"roll"`, what went out at the other end; `"zero"`; `"reflect"`,
            the signal mirrored at its last sample.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay. Gradients flow.

    Raises:
        ConfigError: a number of samples or a word that is not one.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=3):
    ...     sorted(TimeShift(max_shift=2)(np.arange(5)).tolist())
    [0, 1, 2, 3, 4]
    """

    keeps_values = True

    max_shift: Natural
    mode: ShiftMode = "roll"

    def __post_init__(self) -> None:
        check_count(self.max_shift, what="TimeShift", field="max_shift")
        parse_word(self.mode, ShiftMode, field="TimeShift: mode")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """By how many samples; later where it is positive."""
        return (int(rng.integers(-self.max_shift, self.max_shift, endpoint=True)),)

    def augment(self, x: Any, *draws: Array) -> Any:
        """The signal, shifted."""
        samples = x.shape[-1]
        if not samples:
            return self.untouched(x)
        if isinstance(x, np.ndarray) and self.mode != "reflect":
            return self._shifted(x, draws[0])
        places = np.arange(samples) - draws[0][:, None]
        if self.mode == "roll":
            return gathered(x, places % samples)
        if self.mode == "zero":
            return kept(gathered(x, places.clip(0, samples - 1)), (places >= 0) & (places < samples))
        places = places % max(2 * samples - 2, 1)
        return gathered(x, np.where(places < samples, places, 2 * samples - 2 - places))

    def _shifted(self, x: Array, shifts: Array) -> Array:
        """Rows moved as wholes, which costs less than sample by sample."""
        samples = x.shape[-1]
        shifted = empty(x.shape, x.dtype)
        for row, shift in enumerate(shifts.tolist()):
            first = shift % samples if self.mode == "roll" else min(max(shift, -samples), samples)
            last = samples - abs(first)
            if first >= 0:
                shifted[row, ..., first:] = x[row, ..., :last]
                shifted[row, ..., :first] = x[row, ..., last:] if self.mode == "roll" else 0
            else:
                shifted[row, ..., :last] = x[row, ..., -first:]
                shifted[row, ..., last:] = 0
        return shifted


@register
@dataclass(frozen=True, kw_only=True)
class RandomCrop(Augmentation):
    """Cut a stretch of fixed length out of samples, at a random place that is the same for all channels.

    In evaluation (`eval()`), and for the samples that `p` leaves, it is the stretch in the middle.

    Args:
        length: of the stretch, in samples.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often the place is random.

    Arrays [..., time] of any kind become [..., length]; kind, device and dtype stay. Gradients flow.

    Raises:
        ConfigError: a length that is not one.
        DataError: fewer samples than `length`.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     part = RandomCrop(length=3)(np.arange(10))
    >>> np.diff(part)
    array([1, 1])
    """

    keeps_values = True

    length: Length

    def __post_init__(self) -> None:
        check_count(self.length, what="RandomCrop", field="length")

    def eval(self) -> RandomCrop:
        """The stretch in the middle."""
        return replace(self, p=0.0)

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """Another length in time."""
        self._check(spec.time)
        result = super().rows_spec(spec)
        return result.with_time(self.length)

    def _check(self, samples: int | None) -> None:
        if samples is not None and samples < self.length:
            raise DataError(f"RandomCrop: length={self.length} needs as many samples, got {samples}; shorten it")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """Where the stretch begins."""
        self._check(shape[-1])
        return (int(rng.integers(0, shape[-1] - self.length, endpoint=True)),)

    def augment(self, x: Any, *draws: Array) -> Any:
        """The stretches."""
        return gathered(x, draws[0][:, None] + np.arange(self.length))

    def untouched(self, x: Any) -> Any:
        """The stretch in the middle."""
        self._check(x.shape[-1])
        first = (x.shape[-1] - self.length) // 2
        return super().untouched(x[..., first : first + self.length])


Factor: TypeAlias = Annotated[float, Range(0.1, 10)]
"""A ratio of speeds."""


@register
@dataclass(frozen=True, kw_only=True)
class Speed(Augmentation):
    """Play samples faster or slower, by a random factor out of a list, as resampling does it.

    The length stays: what is faster ends early and is completed with zeros, what is slower is cut off.

    Args:
        factors: of which each sample gets one, all equally likely; above 1 is faster.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay (integers and booleans become float32, wide ones
    float64). The filter is `resample_poly`'s, for the nearest fraction with a denominator of at most 100. Gradients
    flow.

    Raises:
        ConfigError: no factor, or one outside 0.1 to 10.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     Speed(factors=(0.9, 1.1))(np.ones((2, 50))).shape
    (2, 50)
    """

    factors: tuple[Factor, ...] = (0.9, 1.0, 1.1)

    def __post_init__(self) -> None:
        factors: Any = self.factors
        right = isinstance(factors, tuple) and all(
            isinstance(one, (int, float)) and not isinstance(one, bool) for one in factors
        )
        if not right or not factors:
            raise ConfigError(f"Speed: factors must be one or more numbers, got {self.factors!r}", field="factors")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """The number of the factor."""
        return (int(rng.integers(len(self.factors))),)

    def augment(self, x: Any, *draws: Array) -> Any:
        """The signals at their speeds."""
        result, samples = self.untouched(x), x.shape[-1]
        for number in np.unique(draws[0]) if samples else ():
            ratio = Fraction(self.factors[number]).limit_denominator(100)
            rows = np.flatnonzero(draws[0] == number).tolist()
            if ratio != 1:
                faster = resample_poly(x[rows], ratio.denominator, ratio.numerator, axis=-1)[..., :samples]
                part = np.zeros_like(x[rows]) if isinstance(x, np.ndarray) else x[rows].detach() * 0
                part[..., : faster.shape[-1]] = faster
                result[rows] = part
        return result
