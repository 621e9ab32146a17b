"""RunningStandardize: signals at the level and scale that they have had so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from bridgeflow.policy import Gaps
from bridgeflow.ranges import Positive, Range
from bridgeflow.signal.running import LiveRunning
from bridgeflow.transforms.gaps import GapTransform
from bridgeflow.transforms.live import LiveTransform
from bridgeflow.transforms.registry import register

__all__ = ["RunningStandardize"]


@register
@dataclass(frozen=True, kw_only=True)
class RunningStandardize(GapTransform, LiveTransform):
    """Take the exponential moving average off signals, and divide them by the deviation from it so far; causal.

    Args:
        alpha: the share of the newest sample, above 0 and at most 1: samples `1 / alpha` back have weights that are
            smaller by e. A time constant of `tau` seconds is `alpha = 1 - exp(-1 / (tau * fs))`.
        eps: the least scale, in units of the data.
        divide: whether the scale divides; else the average is taken off alone.
        keys: which arrays; `None` for the only one.
        axis: of time.
        nonfinite, max_gap, keep_gaps: what NaN and infinity do; see `GapTransform`.

    Averages are weighted over all samples so far, so that there is no warm-up from zero: those of pandas
    (`ewm(alpha).mean()`), and the result that of braindecode's `exponential_moving_standardize` without its first
    block. They are computed in float64.

    Real arrays [..., time] of any kind; kind, device, shape and dtype stay (integers and booleans become float64).
    Gradients flow. It streams with the bits of the whole, and stands before `Window` in a dataset of recordings.

    Raises:
        ConfigError: a number outside of its range.
        DataError: complex numbers.

    >>> import numpy as np
    >>> RunningStandardize(alpha=0.5)(np.array([1.0, 1.0, 4.0, 1.0])).round(3)
    array([ 0.   ,  0.   ,  1.323, -0.905])
    """

    alpha: Annotated[float, Range(0, 1, open=True)] = 0.001
    eps: Positive = 1e-4
    divide: bool = True
    nonfinite: Gaps = "raise"

    @cached_property
    def live(self) -> LiveRunning:
        """The averages at work."""
        return LiveRunning(alpha=self.alpha, eps=self.eps, divide=self.divide)
