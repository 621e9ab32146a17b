"""Where the samples of a recording come from: a file, or arrays in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from bridgeflow.bridge import to_numpy
from bridgeflow.errors import DataError, quoted
from bridgeflow.io.recording_file import Channel, Header, Segment, Track, events_table, exact_rate

__all__ = ["MemorySource", "SampleSource"]


class SampleSource(Protocol):
    """Reads raw samples of one recording; safe for threads, pickles, and works in forked processes."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Raw samples `[channels, stop - start]`, in memory of the caller's own."""

    def events(self) -> pa.Table:
        """The events, as a table of the schema `EVENTS`."""

    def identity(self, channels: Sequence[int]) -> Mapping[str, Any]:
        """Plain values that tell these samples from others."""


class _Place(NamedTuple):
    """A channel in memory: which of the arrays, and which row of it."""

    array: int
    row: int


@dataclass(frozen=True, eq=False)
class MemorySource:
    """Samples in arrays `[channels, time]`, of which channels are rows."""

    name: str
    arrays: tuple[np.ndarray, ...]
    places: tuple[_Place, ...]
    table: pa.Table

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Copies of the rows."""
        places = [self.places[number] for number in channels]
        first = places[0]
        if all(place == (first.array, first.row + number) for number, place in enumerate(places)):
            return self.arrays[first.array][first.row : first.row + len(places), start:stop].copy()
        return np.stack([self.arrays[array][row, start:stop] for array, row in places])

    def events(self) -> pa.Table:
        """The events, as they came."""
        return self.table

    def identity(self, channels: Sequence[int]) -> Mapping[str, Any]:
        """A digest of the samples."""
        digest = hashlib.sha256()
        for array, row in (self.places[number] for number in channels if number >= 0):
            values = np.ascontiguousarray(self.arrays[array][row])
            digest.update(repr((values.dtype.str, len(values))).encode())
            digest.update(values.view(np.uint8).data)
        return {"sha256": digest.hexdigest()}


def memory_source(
    name: str,
    arrays: Mapping[str, Any],
    *,
    fs: Any,
    channels: Any,
    unit: Any,
    scale: Any,
    offset: Any,
    segments: Any,
    events: Any,
) -> tuple[MemorySource, Header, dict[str, tuple[int, ...]]]:
    """Arrays by column name as a source, its header, and the channels of each column; see `Recording.from_arrays`."""
    kept: list[np.ndarray] = []
    places: list[_Place] = []
    described: list[Channel] = []
    tracks: list[Track] = []
    columns: dict[str, tuple[int, ...]] = {}
    for column, value in arrays.items():
        array = _signal(name, column, value)
        names = _names(name, column, channels, arrays, len(array))
        rate = exact_rate(_own(fs, column), field="fs")
        track = _track(name, column, _own(segments, column), array.shape[1], float(rate))
        first = len(described)
        for row, channel in enumerate(names):
            described.append(
                Channel(
                    name=channel,
                    rate=rate,
                    unit=str(_row(_own(unit, column), row)),
                    scale=float(_row(_own(scale, column), row)),
                    offset=float(_row(_own(offset, column), row)),
                    dtype=array.dtype.name,
                )
            )
            places.append(_Place(len(kept), row))
            tracks.append(track)
        kept.append(array)
        columns[column] = tuple(range(first, len(described)))
    source = MemorySource(name, tuple(kept), tuple(places), events_table(events))
    return source, Header(channels=tuple(described), tracks=tuple(tracks)), columns


def _signal(name: str, column: str, value: Any) -> np.ndarray:
    array = to_numpy(value)
    if array.dtype.kind not in "iufc" or array.ndim not in (1, 2):
        expected = "numbers of shape [time] or [channels, time]"
        raise DataError(f"{name}: column {quoted(column)}: expected {expected}, got {array.dtype} {array.shape}")
    return array[np.newaxis] if array.ndim == 1 else array


def _names(name: str, column: str, channels: Any, arrays: Mapping[str, Any], count: int) -> list[str]:
    own = _own(channels, column)
    if own is None:
        if count == 1:
            return [column]
        return [f"ch{number}" if len(arrays) == 1 else f"{column}{number}" for number in range(count)]
    names = [own] if isinstance(own, str) else [str(one) for one in own]
    if len(names) != count:
        raise ValueError(f"{name}: channels: expected {count} names for column {quoted(column)}, got {len(names)}")
    return names


def _track(name: str, column: str, segments: Any, length: int, fs: float) -> Track:
    if segments is None:
        return Track.whole(length)
    pairs = [(int(start), int(stop)) for start, stop in segments]
    borders = [0, *(border for pair in pairs for border in pair), length]
    if any(start >= stop for start, stop in pairs) or borders != sorted(borders):
        problem = f"expected (start, stop) in order within {length} samples, got {pairs}"
        raise ValueError(f"{name}: segments of column {quoted(column)}: {problem}")
    return Track(length, tuple(Segment(start, stop, start / fs) for start, stop in pairs))


def _own(value: Any, column: str) -> Any:
    """The value of one column, where columns have values of their own."""
    return value.get(column) if isinstance(value, Mapping) else value


def _row(value: Any, row: int) -> Any:
    """The value of one channel, where channels have values of their own."""
    return value[row] if isinstance(value, (list, tuple, np.ndarray)) else value
