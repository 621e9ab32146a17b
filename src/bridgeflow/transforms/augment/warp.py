"""Random changes of the course of time: `TimeWarp`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np

from bridgeflow.ranges import Range
from bridgeflow.transforms.augment.base import Array, Augmentation
from bridgeflow.transforms.augment.noise import check_count
from bridgeflow.transforms.augment.values import gathered, like_values
from bridgeflow.transforms.registry import register

__all__ = ["TimeWarp"]

Speedup: TypeAlias = Annotated[float, Range(1, 10)]
"""The largest ratio of a speed to the ordinary one, and of the ordinary one to a speed."""


@register
@dataclass(frozen=True, kw_only=True)
class TimeWarp(Augmentation):
    """Run through samples at a speed that changes smoothly and at random; beginning, end and length stay.

    The result is y(t) = x(w(t)), t = 0 ... T - 1, with the same w for all channels::

        w(t) = (T - 1) * V(t) / V(T - 1),    V(t) the integral of exp(s) from 0 to t (trapezoidal rule)

    s is drawn at `knots` times, spread evenly from the first sample to the last, each uniformly from -log(max_speed) to
    log(max_speed); between knots it goes along half a period of a cosine. Two speeds within a sample thus differ by at
    most the factor `max_speed ** 2`. Between samples x is the cubic of Catmull and Rom through the nearest four.

    Args:
        max_speed: the largest factor by which time runs faster or slower, before the length is made to fit; 1 for no
            change.
        knots: at how many times the speed is drawn.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay (integers and booleans become float32, wide ones
    float64). Gradients flow.
    Source of the idea: T. T. Um et al., "Data augmentation of wearable sensor data for Parkinson's disease monitoring
    using convolutional neural networks", ICMI 2017.

    Raises:
        ConfigError: a speed or a number of knots that is not one.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     warped = TimeWarp(max_speed=1.5)(np.arange(100.0))
    >>> bool((np.diff(warped) > 0).all()), warped[[0, -1]].round(9)
    (True, array([ 0., 99.]))
    """

    max_speed: Speedup = 1.5
    knots: Annotated[int, Range(2, 1000)] = 5

    def __post_init__(self) -> None:
        check_count(self.knots, what="TimeWarp", field="knots")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """The places w(t)."""
        bound, samples = np.log(self.max_speed), shape[-1]
        speeds = rng.uniform(-bound, bound, self.knots)
        if samples < 2:
            return (np.zeros(samples),)
        knot, part = np.divmod(np.linspace(0, self.knots - 1, samples), 1)
        left = knot.astype(np.int64)
        right = np.minimum(left + 1, self.knots - 1)
        speed = np.exp(speeds[left] + (speeds[right] - speeds[left]) * (1 - np.cos(np.pi * part)) / 2)
        run = np.concatenate([[0.0], np.cumsum(speed[1:] + speed[:-1])])
        return ((samples - 1) * (run / run[-1]),)

    def augment(self, x: Any, *draws: Array) -> Any:
        """The signals at these places."""
        if x.shape[-1] < 2:
            return self.untouched(x)
        first = np.minimum(np.floor(draws[0]), x.shape[-1] - 2).astype(np.int64)
        warped: Any = 0
        for offset, weights in zip((-1, 0, 1, 2), _cubic(draws[0] - first, first, x.shape[-1]), strict=True):
            warped = warped + gathered(x, (first + offset).clip(0, x.shape[-1] - 1)) * like_values(weights, x)
        return warped


def _cubic(part: Array, first: Array, samples: int) -> list[Array]:
    """The weights of four neighbours, `first - 1` to `first + 2`, for a place `part` of the way between the middle two.

    A neighbour beyond an end continues the straight line through the last two samples.
    Source: E. Catmull and R. Rom, "A class of local interpolating splines", 1974.
    """
    square, cube = part**2, part**3
    before = (-cube + 2 * square - part) / 2
    left = (3 * cube - 5 * square + 2) / 2
    right = (-3 * cube + 4 * square + part) / 2
    after = (cube - square) / 2
    missing = before * (first == 0)
    before, left, right = before - missing, left + 2 * missing, right - missing
    missing = after * (first == samples - 2)
    return [before, left - missing, right + 2 * missing, after - missing]
