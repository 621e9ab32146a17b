"""Random changes of channels: `ChannelDropout`, `ChannelShuffle`, `ChannelSymmetry`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bridgeflow.errors import ConfigError, DataError
from bridgeflow.ranges import Axis, Natural
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.augment.base import Array, Augmentation, Probability, parse_p
from bridgeflow.transforms.augment.values import gathered, kept
from bridgeflow.transforms.registry import register

__all__ = ["ChannelDropout", "ChannelShuffle", "ChannelSymmetry"]


@dataclass(frozen=True, kw_only=True)
class _ChannelAugmentation(Augmentation):
    """An augmentation along the axis of the channels."""

    keeps_values = True

    axis: Axis = -2


@register
@dataclass(frozen=True, kw_only=True)
class ChannelDropout(_ChannelAugmentation):
    """Set channels to zero, each by itself with a probability.

    Args:
        rate: how often a channel is dropped. The other channels are not scaled.
        keys: which arrays; `None` for the only one.
        axis: of the channels; -2 for arrays [..., channels, time].
        p: how often it is applied.

    Arrays of any kind; kind, device, shape and dtype stay. Gradients flow.

    Raises:
        ConfigError: a probability that is not one.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     int(ChannelDropout(rate=1)(np.ones((3, 10))).sum())
    0
    """

    rate: Probability

    def __post_init__(self) -> None:
        parse_p(self.rate, what="ChannelDropout", field="rate")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """Which channels stay."""
        return (rng.random(shape[-1]) >= self.rate,)

    def augment(self, x: Any, *draws: Array) -> Any:
        """The channels that stay, and zeros."""
        return kept(x, draws[0])


@register
@dataclass(frozen=True, kw_only=True)
class ChannelShuffle(_ChannelAugmentation):
    """Put channels into a random order.

    Args:
        keys: which arrays; `None` for the only one.
        axis: of the channels; -2 for arrays [..., channels, time].
        p: how often it is applied.

    Arrays of any kind; kind, device, shape and dtype stay. Gradients flow.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     sorted(ChannelShuffle()(np.array([[1], [2], [3]]))[:, 0].tolist())
    [1, 2, 3]
    """

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """The channels in their new order."""
        return (rng.permutation(shape[-1]),)

    def augment(self, x: Any, *draws: Array) -> Any:
        """The channels in that order."""
        return gathered(x, draws[0])


@register
@dataclass(frozen=True, kw_only=True)
class ChannelSymmetry(_ChannelAugmentation):
    """Exchange pairs of channels, such as the electrodes of the left and the right side of the head.

    Args:
        pairs: the numbers of the channels of each pair, counted from 0: `((0, 1), (2, 3))`; others stay in their place.
        keys: which arrays; `None` for the only one.
        axis: of the channels; -2 for arrays [..., channels, time].
        p: how often it is applied.

    Arrays of any kind; kind, device, shape and dtype stay. Gradients flow.

    Raises:
        ConfigError: pairs that are not pairs, or share a channel.
        DataError: fewer channels than the pairs name.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     ChannelSymmetry(pairs=((0, 2),), p=1)(np.array([[1], [2], [3]]))[:, 0]
    array([3, 2, 1])
    """

    pairs: tuple[tuple[Natural, Natural], ...]
    p: Probability = 0.5

    def __post_init__(self) -> None:
        pairs: Any = self.pairs
        right = isinstance(pairs, tuple) and all(
            isinstance(pair, tuple) and len(pair) == 2 and all(type(one) is int for one in pair) for pair in pairs
        )
        channels = [one for pair in pairs for one in pair] if right else []
        if not channels or len(set(channels)) < len(channels):
            expected = "one or more pairs of channel numbers, each number once"
            raise ConfigError(f"ChannelSymmetry: pairs must be {expected}, got {self.pairs!r}", field="pairs")

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same shape in new memory."""
        self._check(spec.time)
        return super().rows_spec(spec)

    def _check(self, channels: int | None) -> None:
        most = max(max(pair) for pair in self.pairs)
        if channels is not None and channels <= most:
            raise DataError(f"ChannelSymmetry: pairs name channel {most}, but the axis has {channels}")

    def augment(self, x: Any, *draws: Array) -> Any:
        """The channels with their partners."""
        self._check(x.shape[-1])
        order = np.arange(x.shape[-1])
        for one, other in self.pairs:
            order[[one, other]] = other, one
        return gathered(x, np.tile(order, (x.shape[0], 1)))
