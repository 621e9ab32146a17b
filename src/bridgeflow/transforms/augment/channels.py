"""Random changes of channels: `ChannelDropout`, `ChannelShuffle`, `ChannelSymmetry`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from bridgeflow.errors import ConfigError, DataError, nearest, quoted
from bridgeflow.ranges import Axis, Natural
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.augment.base import Array, Augmentation, Probability, parse_p
from bridgeflow.transforms.augment.values import gathered, kept
from bridgeflow.transforms.base import LeafTransform
from bridgeflow.transforms.facts import RecordingFacts
from bridgeflow.transforms.registry import register

__all__ = ["ChannelDropout", "ChannelId", "ChannelShuffle", "ChannelSymmetry"]

ChannelId: TypeAlias = Natural | str
"""A channel by its number, from 0, or its name."""


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
        pairs: the channels of each pair, by number from 0, `((0, 1), (2, 3))`, or by name, `(("Fp1", "Fp2"),)`; others
            stay in their place.
        channels: the names of the channels, in the order of the axis; `None` for those of the recordings that windows
            are cut from.
        keys: which arrays; `None` for the only one.
        axis: of the channels; -2 for arrays [..., channels, time].
        p: how often it is applied.

    Arrays of any kind; kind, device, shape and dtype stay. Gradients flow.

    Raises:
        ConfigError: pairs that are not pairs, or share a channel; a name that is not among `channels`; names without
            `channels`, where the data are not windows of recordings.
        DataError: fewer channels than the pairs name, or another number than `channels` has.

    >>> from bridgeflow import seeded
    >>> mirror = ChannelSymmetry(pairs=[("C3", "C4")], channels=("C3", "Cz", "C4"), p=1)
    >>> with seeded(0, rows=7):
    ...     mirror(np.array([[1], [2], [3]]))[:, 0]
    array([3, 2, 1])
    """

    pairs: tuple[tuple[ChannelId, ChannelId], ...]
    channels: tuple[str, ...] | None = None
    p: Probability = 0.5

    def __post_init__(self) -> None:
        pairs: Any = self.pairs
        right = isinstance(pairs, tuple) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs)
        both = [one for pair in pairs for one in pair] if right else []
        kinds = {type(one) for one in both}
        if kinds not in ({int}, {str}) or len(set(both)) < len(both):
            expected = "one or more pairs of channel numbers or of names, each once"
            raise ConfigError(f"ChannelSymmetry: pairs must be {expected}, got {self.pairs!r}", field="pairs")
        names: Any = self.channels
        if names is None:
            return
        if not (isinstance(names, tuple) and all(isinstance(one, str) for one in names)):
            raise ConfigError(f"ChannelSymmetry: channels must be names, got {names!r}", field="channels")
        for one in both:
            if isinstance(one, str) and names.count(one) != 1:
                problem = f"no channel {quoted(one)}; {nearest(one, names)}"
                if one in names:
                    problem = f"several channels are called {quoted(one)}; name pairs by number"
                raise ConfigError(f"ChannelSymmetry: pairs: {problem}", field="pairs")

    def in_recording(self, facts: RecordingFacts) -> LeafTransform:
        """The same with the names of the recording's channels, where they are needed and not said."""
        if self.channels is not None or facts.channels is None or isinstance(self.pairs[0][0], int):
            return self
        return replace(self, channels=facts.channels)

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same shape in new memory."""
        self._order(spec.time)
        return super().rows_spec(spec)

    def _order(self, channels: int | None) -> Array:
        """The numbers of the channels in their new order; `None` channels for a number that is not known."""
        names = self.channels
        if names is None and isinstance(self.pairs[0][0], str):
            remedy = "say channels=(...), their names in the order of the axis"
            raise ConfigError(f"ChannelSymmetry: pairs are names, and those of the channels are not known; {remedy}")
        if channels is not None and names is not None and len(names) != channels:
            raise DataError(f"ChannelSymmetry: channels has {len(names)} names, but the axis has {channels} channels")
        numbers = [[names.index(one) if names and isinstance(one, str) else one for one in pair] for pair in self.pairs]
        most = max(map(max, numbers))
        if channels is not None and channels <= int(most):
            raise DataError(f"ChannelSymmetry: pairs name channel {most}, but the axis has {channels}")
        order = np.arange(int(most) + 1 if channels is None else channels)
        for one, other in numbers:
            order[[one, other]] = other, one  # type: ignore[index]
        return order

    def augment(self, x: Any, *draws: Array) -> Any:
        """The channels with their partners."""
        return gathered(x, np.tile(self._order(x.shape[-1]), (x.shape[0], 1)))
