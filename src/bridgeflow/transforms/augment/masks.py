"""Parts of samples removed at random: `TimeMask`, `FrequencyMask`, `DropSamples`, `BandStop`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.errors import DataError
from bridgeflow.policy import parse_word
from bridgeflow.ranges import Axis, Length, Range, Rate
from bridgeflow.transforms.augment.base import Array, Augmentation, Probability, parse_p
from bridgeflow.transforms.augment.noise import check_count, check_frequency
from bridgeflow.transforms.augment.values import Span, WholeSpan, gathered, kept, parse_span, uniform, whole
from bridgeflow.transforms.registry import register

__all__ = ["BandStop", "DropSamples", "FrequencyMask", "Lost", "TimeMask"]

Masks: TypeAlias = Annotated[int, Range(1, 1000)]
"""How many stretches are masked."""


def _outside_stretches(rng: np.random.Generator, samples: int, lengths: Any, count: int) -> Array:
    """Which samples lie outside of `count` random stretches, each of a length out of a range."""
    keep = np.ones(samples, bool)
    for _ in range(count):
        length = min(whole(rng, lengths), samples)
        first = int(rng.integers(0, samples - length, endpoint=True))
        keep[first : first + length] = False
    return keep


@dataclass(frozen=True, kw_only=True)
class _StretchMask(Augmentation):
    """Random stretches of an axis set to zero, as long as a field of the subclass says."""

    keeps_values = True

    length_field: ClassVar[str]

    count: Masks = 1

    def __post_init__(self) -> None:
        name = type(self).__name__
        parse_span(getattr(self, self.length_field), what=name, field=self.length_field, integer=True)
        check_count(self.count, what=name, field="count")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """Which places along the axis stay."""
        return (_outside_stretches(rng, shape[-1], getattr(self, self.length_field), self.count),)

    def augment(self, x: Any, *draws: Array) -> Any:
        """The data outside of the stretches."""
        return kept(x, draws[0])


@register
@dataclass(frozen=True, kw_only=True)
class TimeMask(_StretchMask):
    """Set random stretches of time to zero, the same in all channels.

    Args:
        length: of a stretch in samples: a number, or a range `(low, high)`; never more than there are.
        count: how many stretches; they may overlap.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay. Gradients flow.
    Source: D. Park et al., "SpecAugment", Interspeech 2019.

    Raises:
        ConfigError: a range or a number that is not one.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     int(TimeMask(length=4)(np.ones(10)).sum())
    6
    """

    length_field = "length"

    length: WholeSpan


@register
@dataclass(frozen=True, kw_only=True)
class FrequencyMask(_StretchMask):
    """Set random bands of spectrograms to zero.

    Args:
        width: of a band in bins: a number, or a range `(low, high)`; never more than there are.
        count: how many bands; they may overlap.
        keys: which arrays; `None` for the only one.
        axis: of frequency; -2 for spectrograms [..., frequency, time].
        p: how often it is applied.

    Arrays [..., frequency, time] of any kind; kind, device, shape and dtype stay. Gradients flow.
    Source: D. Park et al., "SpecAugment", Interspeech 2019.

    Raises:
        ConfigError: a range or a number that is not one.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     int(FrequencyMask(width=4)(np.ones((10, 3))).sum())
    18
    """

    length_field = "width"

    width: WholeSpan
    axis: Axis = -2


Lost: TypeAlias = Literal["zero", "hold"]
"""What stands in place of lost samples: zeros, or the last one received."""


@register
@dataclass(frozen=True, kw_only=True)
class DropSamples(Augmentation):
    """Lose packets of samples, as a radio link does; all channels lose the same.

    Args:
        rate: how often a packet is lost, a probability.
        packet: samples in a packet; packets follow each other from the first sample on.
        fill: what stands in place of lost samples: `"zero"`, or `"hold"` for the last one received (zero before the
            first).
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay. Gradients flow.

    Raises:
        ConfigError: a probability, a number or a word that is not one.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     int(DropSamples(rate=1, packet=4)(np.ones(10)).sum())
    0
    """

    keeps_values = True

    rate: Probability
    packet: Length = 1
    fill: Lost = "zero"

    def __post_init__(self) -> None:
        parse_p(self.rate, what="DropSamples", field="rate")
        check_count(self.packet, what="DropSamples", field="packet")
        parse_word(self.fill, Lost, field="DropSamples: fill")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """Which samples are received."""
        packets = rng.random(-(-shape[-1] // self.packet)) >= self.rate
        return (packets[np.arange(shape[-1]) // self.packet],)

    def augment(self, x: Any, *draws: Array) -> Any:
        """The signal as received."""
        (received,) = draws
        if self.fill == "zero" or not x.shape[-1]:
            return kept(x, received)
        latest = np.maximum.accumulate(np.where(received, np.arange(x.shape[-1]), -1), axis=-1)
        return kept(gathered(x, latest.clip(0)), latest >= 0)


@register
@dataclass(frozen=True, kw_only=True)
class BandStop(Augmentation):
    """Remove a random band of frequencies, the same from all channels, by the Fourier transform of the whole sample.

    Args:
        fs: sampling rate in Hz.
        center: middle of the band in Hz: a number, or a range `(low, high)`.
        width: of the band in Hz: a number, or a range.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of real numbers of any kind; kind, device, shape and dtype stay (integers and booleans become
    float32, wide ones float64). Bins within the band become zero. Gradients flow.

    Raises:
        ConfigError: a range that is not one, a middle of fs / 2 or above.
        DataError: complex numbers.

    >>> from bridgeflow import seeded
    >>> tone = np.sin(2 * np.pi * 10 * np.arange(200) / 100)
    >>> with seeded(0, rows=7):
    ...     bool(abs(BandStop(fs=100.0, center=(9, 11), width=4)(tone)).max() < 1e-9)
    True
    """

    fs: Rate
    center: Span
    width: Span

    def __post_init__(self) -> None:
        check_frequency(self.center, self.fs, what="BandStop", field="center")
        parse_span(self.width, what="BandStop", field="width", least=0)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """Which bins stay."""
        if dtype.startswith("complex"):
            raise DataError("BandStop: expected real numbers, got complex ones; apply it to real and imaginary parts")
        center, width = uniform(rng, self.center), uniform(rng, self.width)
        bins = np.arange(shape[-1] // 2 + 1) * (self.fs / max(shape[-1], 1))
        return (abs(bins - center) > width / 2,)

    def augment(self, x: Any, *draws: Array) -> Any:
        """The signal without its band; row by row, so that a batch has the bits of its samples."""
        if 0 in x.shape:
            return self.untouched(x)
        xp: Any = np if isinstance(x, np.ndarray) else loaded("torch")
        rows = [
            xp.fft.irfft(kept(xp.fft.rfft(x[row])[None], keep[None])[0], n=x.shape[-1])
            for row, keep in enumerate(draws[0])
        ]
        stacked = xp.stack(rows)
        return stacked.astype(x.dtype, copy=False) if isinstance(x, np.ndarray) else stacked.to(x.dtype)
