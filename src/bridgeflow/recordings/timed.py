"""Files with a column of times, whose samples lie on no grid: read on one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from bridgeflow.errors import BridgeflowError, DataError, nearest, quoted
from bridgeflow.io.files import data_error
from bridgeflow.io.formats.rows import RowsReader
from bridgeflow.io.recording_file import Grid, RecordingReader, Segment, Track
from bridgeflow.recordings.grids import Ticks, grid_points, resampled, ticks_of

__all__ = ["TimedReader"]

_MARK_ROWS = 4096
"""Every so many rows the time is kept, so that a stretch finds its rows; all others are read again when needed."""

_MOST = 1 << 40
"""Most points of a grid."""


class _Piece(NamedTuple):
    """Rows without a long gap between them: their numbers, times of the first and last in seconds, grid points."""

    begin: int
    end: int
    first_time: float
    last_time: float
    first_point: int
    position: int


class TimedReader(RecordingReader):
    """Reads stretches of the grid of `Regrid`, with its bits, out of the rows around them."""

    def __init__(self, path: Path, rows: RowsReader, grid: Grid) -> None:
        self._path = path
        self._rows = rows
        self._grid = grid
        self._fs = float(grid.to_hz)
        if grid.time not in rows.source.specs:
            remedy = nearest(grid.time, list(rows.source.specs))
            raise data_error(path, f"has no column of times {quoted(grid.time)}", remedy)
        self._mark_rows = np.arange(0, rows.source.rows, _MARK_ROWS)
        self._mark_times = np.empty(len(self._mark_rows))
        self._pieces = list(self._scan())
        segments = tuple(
            Segment(piece.position, end, piece.first_point / self._fs)
            for piece, end in zip(self._pieces, self._ends(), strict=True)
        )
        track = Track(self._length, segments)
        channels = tuple(
            replace(one, rate=grid.to_hz, dtype="float64" if grid.method == "linear" else one.dtype)
            for one in rows.header.channels
        )
        start = self._first.start
        self.header = replace(rows.header, channels=channels, tracks=(track,) * len(channels), start=start)

    def _ticks(self, start: int, stop: int) -> Ticks:
        column = self._rows.source.slice(start, stop, writable=False)[self._grid.time]
        try:
            return ticks_of(column, self._grid.unit)
        except BridgeflowError as error:
            raise data_error(self._path, str(error), column=self._grid.time) from error

    def _scan(self) -> Iterator[_Piece]:
        """Read all times once."""
        total, max_gap = self._rows.source.rows, self._grid.max_gap
        self._first = self._ticks(0, min(total, 1))
        self._length = begin = 0
        begin_time = last_time = 0.0
        before: Any = None
        for start in range(0, total, 16 * _MARK_ROWS):
            ticks = self._ticks(start, min(start + 16 * _MARK_ROWS, total))
            try:
                ticks.require_increasing(start, before)
            except DataError as error:
                raise data_error(self._path, str(error), column=self._grid.time) from error
            seconds = ticks.seconds_since(self._first.values[0])
            marks = self._mark_times[start // _MARK_ROWS :][: -(-len(seconds) // _MARK_ROWS)]
            marks[:] = seconds[::_MARK_ROWS]
            steps = np.diff(seconds, prepend=last_time if start else seconds[:1])
            for number in np.flatnonzero(steps > (np.inf if max_gap is None else max_gap)).tolist():
                end_time = float(seconds[number - 1]) if number else last_time
                yield from self._piece(begin, start + number, begin_time, end_time)
                begin, begin_time = start + number, float(seconds[number])
            before, last_time = ticks.values[-1], float(seconds[-1])
        if total:
            yield from self._piece(begin, total, begin_time, last_time)

    def _piece(self, begin: int, end: int, first_time: float, last_time: float) -> Iterator[_Piece]:
        first, last = grid_points(first_time, last_time, self._fs)
        if self._length + last - first + 1 > _MOST:
            problem = f"{last_time:,.6g} s at {self._fs:g} Hz are too many samples"
            raise data_error(self._path, problem, "lower to_hz, or set max_gap")
        if first <= last:
            yield _Piece(begin, end, first_time, last_time, first, self._length)
            self._length += last - first + 1

    def _ends(self) -> list[int]:
        return [*(piece.position for piece in self._pieces[1:]), self._length] if self._pieces else []

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Values at the points from `start` to `stop`."""
        dtype = np.result_type(*(self.header.channels[number].dtype for number in channels))
        result = np.empty((len(channels), stop - start), dtype)
        index = max(bisect_right([piece.position for piece in self._pieces], start) - 1, 0)
        for piece, end in list(zip(self._pieces, self._ends(), strict=True))[index:]:
            first, last = max(start, piece.position), min(stop, end)
            if first >= last:
                break
            points = piece.first_point - piece.position + np.arange(first, last)
            result[:, first - start : last - start] = self._values(channels, piece, points)
        return result

    def _values(self, channels: Sequence[int], piece: _Piece, points: np.ndarray) -> np.ndarray:
        grid = points / self._fs
        marks, step = self._mark_times, 1 / self._fs
        low = int(np.searchsorted(marks, grid[0] - step, side="right")) - 1
        high = int(np.searchsorted(marks, grid[-1] + step, side="left"))
        begin = max(piece.begin, low * _MARK_ROWS)
        end = min(piece.end, high * _MARK_ROWS + 1 if high < len(marks) else piece.end)
        seconds = self._ticks(begin, end).seconds_since(self._first.values[0])
        values = self._rows.read(channels, begin, end)
        clipped = grid.clip(piece.first_time, piece.last_time)
        return resampled(clipped, seconds, values, self._grid.method, self._fs)

    def events(self) -> pa.Table:
        """The events of the file."""
        return self._rows.events()

    def close(self) -> None:
        """Close the file."""
        self._rows.close()
