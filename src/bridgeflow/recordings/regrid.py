"""Samples at irregular times brought onto a regular grid; long gaps stay gaps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from bridgeflow.bridge import to_numpy
from bridgeflow.errors import DataError
from bridgeflow.io.recording_file import Grid, GridMethod, Segment, TimeUnit, Track, exact_rate
from bridgeflow.policy import parse_word
from bridgeflow.recordings.grids import grid_points, resampled, ticks_of
from bridgeflow.recordings.recording import Recording

__all__ = ["Regrid", "Regridded"]

_MOST = 1 << 33
"""Most values of a result."""


class Regridded(NamedTuple):
    """Values `[channels, time]` on the grid, and their segments: samples, and seconds from the first time."""

    values: np.ndarray
    segments: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True)
class Regrid:
    """Bring samples at irregular times (IMUs, wearables) onto a regular grid that begins at the first time.

    Args:
        to_hz: rate of the grid in Hz.
        method: what a grid point gets: `"linear"` the line between its neighbours (float64), `"previous"` the last
            value before it, `"nearest"` the nearest one (the earlier of two); the latter two keep the dtype.
        max_gap: seconds between two samples, beyond which there are no grid points between them; `None` for no gap.
        unit: what times that are integers count; timestamps know it.

    Raises:
        ValueError: a rate or a gap out of range, an unknown option.

    Example:
        >>> regrid = Regrid(to_hz=2, max_gap=5)
        >>> regrid([0.0, 1.0, 1.5, 8.0, 9.0], [0.0, 2.0, 3.0, 5.0, 7.0])
        Regridded(values=array([[0., 1., 2., 3., 5., 6., 7.]]), segments=(Segment(start=0, stop=4, onset=0.0), \
Segment(start=4, stop=7, onset=8.0)))
        >>> regrid.recording([0.0, 1.0], [[0, 2], [4, 4]], channels=["x", "y"])
        <Recording 'memory': 2 channels, 1.5 s>
    """

    to_hz: float | Fraction
    method: GridMethod = "linear"
    max_gap: float | None = None
    unit: TimeUnit | None = None

    def __post_init__(self) -> None:
        exact_rate(self.to_hz, field="to_hz")
        parse_word(self.method, GridMethod, field="method")
        if self.unit is not None:
            parse_word(self.unit, TimeUnit, field="unit")
        if self.max_gap is not None and not 0 < self.max_gap < float("inf"):
            raise ValueError(f"max_gap must be a number of seconds above 0, got {self.max_gap!r}")

    def __call__(self, times: Any, values: Any) -> Regridded:
        """Values at the grid points.

        Args:
            times: when each sample was taken, in increasing order: seconds, integers of `unit`, or timestamps of any
                unit and time zone (Arrow, NumPy, pandas).
            values: `[time]` or `[channels, time]`, real numbers.

        Raises:
            DataError: times that do not increase, are missing, or are not as many as the values.
        """
        seconds = self._seconds(times)
        array = to_numpy(values)
        array = array[np.newaxis] if array.ndim == 1 else array
        if array.ndim != 2 or array.dtype.kind not in "iuf" or array.shape[1] != len(seconds):
            problem = f"expected real numbers for {len(seconds)} times, got {array.dtype} of shape {array.shape}"
            raise DataError(f"Regrid: values: {problem}; give [time] or [channels, time]")
        fs = float(self.to_hz)
        breaks = np.flatnonzero(np.diff(seconds) > (np.inf if self.max_gap is None else self.max_gap)) + 1
        pieces, segments, position = [], [], 0
        for begin, end in zip([0, *breaks.tolist()], [*breaks.tolist(), len(seconds)], strict=True):
            if begin == end:
                continue
            own = seconds[begin:end]
            first, last = grid_points(own[0], own[-1], fs)
            if (position + last - first + 1) * len(array) > _MOST:
                raise DataError(
                    f"Regrid: {own[-1]:,.6g} s at {fs:g} Hz are too many values; lower to_hz or set max_gap"
                )
            if last < first:
                continue
            grid = np.arange(first, last + 1) / fs
            pieces.append(resampled(grid.clip(own[0], own[-1]), own, array[:, begin:end], self.method, fs))
            segments.append(Segment(position, position + len(grid), first / fs))
            position += len(grid)
        dtype = np.dtype("float64") if self.method == "linear" else array.dtype
        result = np.concatenate(pieces, axis=1) if pieces else np.empty((len(array), 0), dtype)
        return Regridded(result, tuple(segments))

    def recording(self, times: Any, values: Any, **described: Any) -> Recording:
        """The result as a recording with its gaps; `described` are the other arguments of `Recording.from_arrays`."""
        grid = self(times, values)
        recording = Recording.from_arrays(grid.values, fs=exact_rate(self.to_hz), **described)
        track = Track(grid.values.shape[1], grid.segments)
        return replace(recording, tracks=(track,) * len(recording.channels))

    def grid(self, time: str) -> Grid:
        """How files are read whose times stand in a column."""
        return Grid(time, exact_rate(self.to_hz), self.method, self.max_gap, self.unit)

    def _seconds(self, times: Any) -> np.ndarray:
        """Times in seconds from the first, which increase."""
        ticks = ticks_of(times, self.unit)
        ticks.require_increasing()
        return ticks.seconds_since(ticks.values[0]) if len(ticks.values) else np.empty(0)
