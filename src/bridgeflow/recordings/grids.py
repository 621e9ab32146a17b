"""Times of samples as numbers, and values at the points of a regular grid."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa

from bridgeflow.bridge import to_numpy
from bridgeflow.errors import DataError
from bridgeflow.io.recording_file import GridMethod, TimeUnit

__all__ = ["TOLERANCE", "Ticks", "grid_points", "resampled", "ticks_of"]

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

TOLERANCE = 1e-6
"""Part of a step by which a time may miss a grid point and still be on it."""


class Ticks:
    """Times of samples as the numbers that they came as.

    Attributes:
        values: `[time]`, integers or floats.
        per_second: how many of them a second has.
        is_timestamp: whether they count from 1970; `has_zone`, whether in UTC.
    """

    def __init__(self, values: np.ndarray, per_second: int, *, is_timestamp: bool = False, has_zone: bool = False):
        self.values = values
        self.per_second = per_second
        self.is_timestamp = is_timestamp
        self.has_zone = has_zone

    def seconds_since(self, first: Any) -> np.ndarray:
        """Seconds from a time to each of these."""
        seconds: np.ndarray = (self.values - first) / self.per_second
        return seconds

    @property
    def start(self) -> datetime | None:
        """The first time as a date, where they are timestamps."""
        if not self.is_timestamp or not len(self.values):
            return None
        zone = timezone.utc if self.has_zone else None
        microseconds = int(self.values[0]) * 10**6 // self.per_second
        try:
            return datetime(1970, 1, 1, tzinfo=zone) + timedelta(microseconds=microseconds)
        except OverflowError:
            return None

    def require_increasing(self, row: int = 0, before: Any = None) -> None:
        """Refuse times that do not come after each other.

        Args:
            row: the number of the first of them.
            before: the time before it, where there is one.

        Raises:
            DataError: names the first.
        """
        ticks = self.values if before is None else np.concatenate([[before], self.values])
        bad = np.flatnonzero(~(np.diff(ticks) > 0))
        if not np.isfinite(ticks).all() or len(bad):
            number = int(bad[0]) + 1 if len(bad) else int(np.flatnonzero(~np.isfinite(ticks))[0])
            number += row - (before is not None)
            raise DataError(
                f"Regrid: time {number} does not come after the one before it; sort them, drop repeated ones"
            )


def ticks_of(times: Any, unit: TimeUnit | None) -> Ticks:
    """Times as numbers: seconds, integers of a unit, or timestamps of any unit and time zone.

    Raises:
        DataError: times that are missing, or integers without a unit.
    """
    if isinstance(times, np.ndarray) and times.dtype.kind == "M":
        times = pa.array(times)
    if hasattr(times, "__arrow_c_array__") or hasattr(times, "__arrow_c_stream__"):
        array = times if isinstance(times, (pa.Array, pa.ChunkedArray)) else pa.chunked_array(times)
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        if array.null_count:
            raise DataError(f"Regrid: {array.null_count} of the times are missing; leave those samples out")
        if pa.types.is_timestamp(array.type):
            ticks = to_numpy(array.cast(pa.int64()), writable=False)
            zone = array.type.tz is not None
            return Ticks(ticks, _PER_SECOND[array.type.unit], is_timestamp=True, has_zone=zone)
        times = array
    ticks = to_numpy(times, writable=False)
    if ticks.ndim != 1 or ticks.dtype.kind not in "iuf":
        raise DataError(f"Regrid: times: expected numbers or timestamps [time], got {ticks.dtype} {ticks.shape}")
    if ticks.dtype.kind == "f":
        return Ticks(ticks.astype(np.float64, copy=False), 1)
    if unit is None:
        raise DataError("Regrid: times are integers; say what they count: unit='s', 'ms', 'us' or 'ns'")
    return Ticks(ticks.astype(np.int64, copy=False), _PER_SECOND[unit])


def grid_points(first: float, last: float, fs: float) -> tuple[int, int]:
    """The numbers of the first and the last point of the grid between two times."""
    return int(np.ceil(first * fs - TOLERANCE)), int(np.floor(last * fs + TOLERANCE))


def resampled(grid: np.ndarray, seconds: np.ndarray, values: np.ndarray, method: GridMethod, fs: float) -> np.ndarray:
    """Values at points of the grid, which lie between the first and the last time.

    Args:
        grid, seconds: times of the points, and of the samples.
        values: `[channels, time]`.
    """
    if method == "linear":
        return np.stack([np.interp(grid, seconds, row) for row in values])
    before = np.searchsorted(seconds, grid + TOLERANCE / fs, side="right") - 1
    if method == "nearest":
        after = np.minimum(before + 1, len(seconds) - 1)
        before = np.where(seconds[after] - grid < grid - seconds[before], after, before)
    return values[:, before]
