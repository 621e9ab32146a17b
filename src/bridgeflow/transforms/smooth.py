"""Smoothing as transforms: `SavgolFilter`, `MedianFilter`, `Detrend`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from bridgeflow.errors import ConfigError, DataError, naming
from bridgeflow.policy import Gaps, parse_word
from bridgeflow.ranges import Count, Finite, Length, Natural, Range
from bridgeflow.signal._specs import filtered_spec
from bridgeflow.signal.medians import RunningMedian
from bridgeflow.signal.savgol import Ends, SavgolSmoother
from bridgeflow.signal.trends import detrend
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.gaps import GapTransform
from bridgeflow.transforms.live import LiveTransform
from bridgeflow.transforms.registry import register

__all__ = ["Detrend", "MedianFilter", "SavgolFilter"]


@register
@dataclass(frozen=True, kw_only=True)
class SavgolFilter(GapTransform, LiveTransform):
    """Smooth or differentiate signals along their last axis by polynomials, as `scipy.signal.savgol_filter`, or live.

    Args:
        window_length: samples that a polynomial is fitted to; live, an odd number.
        polyorder: its order, less than `window_length`.
        deriv: which derivative to give; 0 smooths.
        delta: distance between samples, for derivatives: 1 / fs gives units per second.
        mode: within half a window of the ends: `"interp"` (of the last window's polynomial), `"mirror"`, `"nearest"`,
            `"constant"`, `"wrap"`; all but the last stream.
        cval: the value for `"constant"`.
        keys: which arrays; `None` for all.
        axis: of time.
        nonfinite, max_gap, keep_gaps: what NaN and infinity do; see `GapTransform`.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay (integers and booleans become float64). Gradients
    flow.

    Raises:
        ConfigError: orders and lengths that do not go together.

    >>> import numpy as np
    >>> speed = SavgolFilter(window_length=7, polyorder=2, deriv=1, delta=0.5)
    >>> np.allclose(speed(np.arange(20.0)), 2)
    True
    """

    window_length: Count
    polyorder: Annotated[int, Range(0, 100)]
    deriv: Natural = 0
    delta: Finite = 1.0
    mode: Ends = "interp"
    cval: Finite = 0.0
    nonfinite: Gaps = "propagate"

    @cached_property
    def live(self) -> SavgolSmoother:
        """The filter at work."""
        return SavgolSmoother(
            window_length=self.window_length,
            polyorder=self.polyorder,
            deriv=self.deriv,
            delta=self.delta,
            mode=self.mode,
            cval=self.cval,
        )


@register
@dataclass(frozen=True, kw_only=True)
class MedianFilter(GapTransform, LiveTransform):
    """The median over `kernel_size` samples around each, along the last axis, whole or live; zeros beyond the ends.

    The numbers are `scipy.signal.medfilt`'s for each row.

    Args:
        kernel_size: odd.
        keys: which arrays; `None` for all.
        axis: of time.
        nonfinite, max_gap, keep_gaps: what NaN and infinity do; see `GapTransform`.

    Arrays [..., time] of real numbers of any kind; kind, device, shape and dtype stay. Gradients flow to the samples
    that are medians. The median of a window that holds NaN is NaN; all others are what they would be without it.

    Raises:
        ConfigError: a size that has no middle.

    >>> import numpy as np
    >>> MedianFilter(kernel_size=3)(np.array([[1.0, 9.0, 2.0, 3.0, 2.0]]))
    array([[1., 2., 3., 2., 2.]])
    """

    kernel_size: Length = 3
    nonfinite: Gaps = "propagate"

    @cached_property
    def live(self) -> RunningMedian:
        """The filter at work."""
        return RunningMedian(kernel_size=self.kernel_size)


@register
@dataclass(frozen=True, kw_only=True)
class Detrend(GapTransform):
    """Take the mean or a straight line off signals along their last axis, as `scipy.signal.detrend`.

    Args:
        type: `"linear"` (the straight line of least squares) or `"constant"` (the mean).
        bp: for `"linear"`, sample numbers where a new line begins.
        keys: which arrays; `None` for all.
        axis: of time.
        nonfinite, max_gap, keep_gaps: what NaN and infinity do; see `GapTransform`.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay (integers and booleans become float64). Gradients
    flow. It does not stream, for the trend is that of the whole recording; live, a high-pass filter removes drift.

    Raises:
        ConfigError: break points outside of the data.
        DataError: no samples, fewer samples than break points name.

    >>> import numpy as np
    >>> Detrend()(np.array([1.0, 2.0, 3.0, 5.0])).round(9)
    array([ 0.2, -0.1, -0.4,  0.3])
    """

    type: Literal["linear", "constant"] = "linear"
    bp: tuple[Natural, ...] = ()
    nonfinite: Gaps = "raise"

    def __post_init__(self) -> None:
        parse_word(self.type, Literal["linear", "constant"], field="Detrend: type")
        if any(place < 0 for place in self.bp) or (self.bp and self.type == "constant"):
            raise ConfigError(
                f"Detrend: bp are sample numbers for type='linear', got {self.bp!r}, {self.type!r}", field="bp"
            )

    def transform_rows(self, x: Any) -> Any:
        """The whole array, less its trend."""
        return detrend(x, -1, self.type, self.bp or 0)

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same shape in new memory; integers and booleans as float64."""
        if spec.time is not None and spec.time < max(1, *self.bp, 1):
            raise DataError(f"Detrend: too few samples, {spec.time}")
        with naming("Detrend"):
            return filtered_spec(spec, fs=None)

    @property
    def stream_obstacle(self) -> str:
        """The trend is that of the whole."""
        return "Detrend takes off the trend of the whole recording; live, SignalFilter(btype='highpass') removes drift"
