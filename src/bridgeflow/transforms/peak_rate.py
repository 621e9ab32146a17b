"""`PeakRate`: peaks a minute of each window, such as the heart rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridgeflow.errors import ConfigError, DataError, naming
from bridgeflow.ranges import Finite, NonNegative, Rate, Seconds
from bridgeflow.signal.peaks import RateBy, check_peaks, peak_rate
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.along_time import TimeTransform
from bridgeflow.transforms.registry import register

__all__ = ["PeakRate"]


@register
@dataclass(frozen=True, kw_only=True)
class PeakRate(TimeTransform):
    """Peaks a minute of each window, found by `scipy.signal.find_peaks` along the last axis.

    For the heart rate, let `SignalFilter` keep the band of the QRS complex (5 to 15 Hz) and `Window` cut first.

    Args:
        fs: sampling rate in Hz. Where the data know theirs, it must be this one.
        height: least value of a peak, in the unit of the data; `None` for any.
        prominence: how far a peak must stand out of its surroundings, in the unit of the data; `None` for no matter.
        distance: least seconds from one peak to the next; of two closer ones the lower is dropped. `None` for any.
        by: `"count"`, the number of peaks over the duration; or `"interval"`, 60 over the median seconds from one peak
            to the next, NaN where there are fewer than two.
        keys: which arrays; `None` for all.
        axis: of time; nothing takes its place.

    Real arrays [..., windows, time] of any kind become [..., windows], float64; NaN for a window that holds NaN.
    Without gradients. By itself it does not stream; after `Window` whole windows arrive, and it does.

    Raises:
        ConfigError: a rate or a distance that is not positive.
        DataError: complex elements, no samples.

    >>> import numpy as np
    >>> beats = np.sin(2 * np.pi * 1.5 * np.arange(3000) / 100) ** 8
    >>> PeakRate(fs=100.0, height=0.5)(beats.reshape(3, 1000))
    array([180., 180., 180.])
    """

    fs: Rate
    height: Finite | None = None
    prominence: NonNegative | None = None
    distance: Seconds | None = None
    by: RateBy = "count"

    def __post_init__(self) -> None:
        with naming("PeakRate"):
            check_peaks(self.fs, self.distance, self.by, self.height, self.prominence)

    def transform_rows(self, x: Any) -> Any:
        """The rate of each window."""
        return peak_rate(x, self.fs, height=self.height, prominence=self.prominence, distance=self.distance, by=self.by)

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """One float64 for each window."""
        if not spec.shape or spec.time == 0 or spec.dtype.startswith("c"):
            raise DataError(f"PeakRate: real samples along an axis of time are needed, got {spec}")
        if spec.fs is not None and spec.fs != self.fs:
            raise ConfigError(f"PeakRate: made for fs={self.fs:g} Hz, but the data have {spec.fs:g} Hz", field="fs")
        return spec.fresh(
            kind="arrow" if spec.kind == "capsule" else spec.kind,
            dtype="float64",
            shape=spec.shape[:-1],
            layout="strided",
            null_count=0,
            writable=spec.kind not in {"arrow", "capsule"},
            fs=None,
        )

    @property
    def stream_obstacle(self) -> str:
        """A rate is that of a whole window."""
        return "PeakRate gives the rate of whole windows; cut them first, with Window"
