"""Random changes of amplitude: `Gain`, `Polarity`, `Clip`, `Quantize`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.errors import DataError
from bridgeflow.ranges import Range
from bridgeflow.signal._memory import empty
from bridgeflow.transforms.augment.base import Array, Augmentation, Probability
from bridgeflow.transforms.augment.noise import Decibels
from bridgeflow.transforms.augment.values import like_values, over_sample, parse_span, spread, uniform, whole
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.row_statistics import peak

__all__ = ["Clip", "Gain", "Polarity", "Quantize"]


@register
@dataclass(frozen=True, kw_only=True)
class Gain(Augmentation):
    """Multiply samples by a random gain.

    Args:
        db: gain in dB: a number, or a range `(low, high)` of which each sample gets one, uniformly.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay (integers and booleans become float32, wide ones
    float64). Gradients flow.

    Raises:
        ConfigError: a range that is not one.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     Gain(db=20)(np.array([1.0, -2.0]))
    array([ 10., -20.])
    """

    db: Decibels | tuple[Decibels, Decibels]

    def __post_init__(self) -> None:
        parse_span(self.db, what="Gain", field="db")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """The factor."""
        return (10.0 ** (uniform(rng, self.db) / 20),)

    def augment(self, x: Any, *draws: Array) -> Any:
        """The signal times its factor."""
        factors = like_values(draws[0], x)
        return np.multiply(x, factors, out=empty(x.shape, x.dtype)) if isinstance(x, np.ndarray) else x * factors


@register
@dataclass(frozen=True, kw_only=True)
class Polarity(Augmentation):
    """Invert the sign of samples.

    Args:
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay (integers and booleans become float32, wide ones
    float64). Gradients flow.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     Polarity(p=1)(np.array([1.0, -2.0]))
    array([-1.,  2.])
    """

    p: Probability = 0.5

    def augment(self, x: Any, *draws: Array) -> Any:
        """The signal with its sign inverted."""
        return np.negative(x, out=empty(x.shape, x.dtype)) if isinstance(x, np.ndarray) else -x

    def augment_some(self, rows: Array, chosen: list[int], *draws: Array) -> Array:
        """All rows times 1 or -1."""
        signs = np.ones(len(rows))
        signs[chosen] = -1
        signed: Array = np.multiply(rows, like_values(signs, rows), out=empty(rows.shape, rows.dtype))
        return signed


@dataclass(frozen=True, kw_only=True)
class _OfPeak(Augmentation):
    """A change that depends on the largest absolute value of a sample."""

    def _peak(self, x: Any) -> Any:
        if x.dtype.kind == "c" if isinstance(x, np.ndarray) else x.is_complex():
            name = type(self).__name__
            raise DataError(f"{name}: complex numbers have no order; apply it to the real and imaginary parts")
        return spread(peak(over_sample(x))[..., 0], x)


@register
@dataclass(frozen=True, kw_only=True)
class Clip(_OfPeak):
    """Limit samples to a random part of their largest absolute value, as an amplifier that saturates does.

    Args:
        at: the limit as a part of the sample's largest absolute value, over all channels: a number from 0 to 1, or a
            range `(low, high)`.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of real numbers of any kind; kind, device, shape and dtype stay (integers and booleans become
    float32, wide ones float64). Gradients flow.

    Raises:
        ConfigError: a range that is not one.
        DataError: complex numbers.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     Clip(at=0.5)(np.array([1.0, -4.0, 3.0]))
    array([ 1., -2.,  2.])
    """

    at: Probability | tuple[Probability, Probability]

    def __post_init__(self) -> None:
        parse_span(self.at, what="Clip", field="at", least=0)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """The limit as a part of the peak."""
        return (uniform(rng, self.at),)

    def augment(self, x: Any, *draws: Array) -> Any:
        """The signal within its limits."""
        if 0 in x.shape:
            return self.untouched(x)
        limit = self._peak(x) * like_values(draws[0], x)
        xp: Any = np if isinstance(x, np.ndarray) else loaded("torch")
        return xp.minimum(xp.maximum(x, -limit), limit)


Bits: TypeAlias = Annotated[int, Range(1, 32)]
"""The resolution of a converter."""


@register
@dataclass(frozen=True, kw_only=True)
class Quantize(_OfPeak):
    """Round samples to the steps of a converter of few bits, whose full scale is their largest absolute value.

    Args:
        bits: resolution: a whole number, or a range `(low, high)`. A step is the largest absolute value, over all
            channels, divided by `2 ** (bits - 1)`.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of real numbers of any kind; kind, device, shape and dtype stay (integers and booleans become
    float32, wide ones float64). Rounding has the gradient 0.

    Raises:
        ConfigError: a range that is not one.
        DataError: complex numbers.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     Quantize(bits=3)(np.array([4.0, 1.4, -2.6]))
    array([ 4.,  1., -3.])
    """

    bits: Bits | tuple[Bits, Bits]

    def __post_init__(self) -> None:
        parse_span(self.bits, what="Quantize", field="bits", least=1, integer=True)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """The steps in the peak."""
        return (2.0 ** (whole(rng, self.bits) - 1),)

    def augment(self, x: Any, *draws: Array) -> Any:
        """The signal in steps."""
        if 0 in x.shape:
            return self.untouched(x)
        step = self._peak(x) / like_values(draws[0], x)
        step = step + (step == 0)
        return (np.rint(x / step) if isinstance(x, np.ndarray) else (x / step).round()) * step
