"""What a file of a recording says before its samples are read, and how they are read.

A `Reader` (`io.base`) gives rows of columns. A recording has channels instead: each with a name, a unit, a rate and a
scale of its own, some of them longer than others, with gaps between stretches and events beside the samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from math import isfinite
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from bridgeflow.policy import parse_integer, parse_word

__all__ = [
    "EVENTS",
    "Channel",
    "Grid",
    "GridMethod",
    "GridRule",
    "Header",
    "MissingSamples",
    "ReadOptions",
    "RecordingReader",
    "Segment",
    "TimeUnit",
    "Track",
    "events_table",
    "exact_rate",
    "read_options",
]

EVENTS = pa.schema([("onset", pa.float64()), ("duration", pa.float64()), ("text", pa.string())])
"""Events of a recording: seconds from its start, seconds (null where the file says none), and what happened."""

MissingSamples: TypeAlias = Literal["error", "nan", "gap"]
"""What samples that a file marks as missing become: an error, NaN, or a gap between segments."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One channel: its physical values are `raw * scale + offset`, in `unit`.

    Attributes:
        name: as the file has it.
        unit: of the physical values; empty where the file says none.
        rate: sampling rate in Hz, exact.
        scale: units per step of the raw values.
        offset: physical value of the raw 0.
        dtype: element type of the raw values.
    """

    name: str
    rate: Fraction
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    dtype: str = "float64"

    @property
    def fs(self) -> float:
        """The sampling rate in Hz."""
        return float(self.rate)


class Segment(NamedTuple):
    """Samples `start` to `stop` without a gap between them, the first of which lies `onset` seconds after the start."""

    start: int
    stop: int
    onset: float


class Track(NamedTuple):
    """The samples of one channel: how many the file has, and the segments between gaps, in order."""

    length: int
    segments: tuple[Segment, ...]

    @classmethod
    def whole(cls, length: int) -> Track:
        """Samples without a gap."""
        return cls(length, (Segment(0, length, 0.0),) if length else ())


@dataclass(frozen=True, kw_only=True)
class Header:
    """All that is known of a recording without reading samples or events.

    Attributes:
        channels: in the order of the file.
        tracks: the samples of each channel.
        start: when the recording began, where the file says it.
        metadata: what else the file says, as plain values.
    """

    channels: tuple[Channel, ...]
    tracks: tuple[Track, ...]
    start: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


GridMethod: TypeAlias = Literal["linear", "previous", "nearest"]
"""What a grid point gets: the line between its neighbours, the last value before it, or the nearest one."""

TimeUnit: TypeAlias = Literal["s", "ms", "us", "ns"]
"""What an integer of a time counts."""


class Grid(NamedTuple):
    """The regular grid onto which samples at irregular times are brought; see `recordings.Regrid`.

    Attributes:
        time: the column of times.
        to_hz: rate of the grid in Hz.
        method: what a grid point gets.
        max_gap: seconds between two samples, beyond which there is a gap; `None` for no gap.
        unit: what times that are integers count.
    """

    time: str
    to_hz: Fraction
    method: GridMethod = "linear"
    max_gap: float | None = None
    unit: TimeUnit | None = None


class GridRule(Protocol):
    """What brings samples onto a grid: `recordings.Regrid`."""

    def grid(self, time: str) -> Grid:
        """The grid of files whose times stand in a column."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How files of recordings are read.

    Attributes:
        format: name of the format; `None` for what the suffix says.
        fs: sampling rate in Hz, for files that do not say it.
        inside: path of the array inside an HDF5 or Zarr file.
        time_axis: the axis of time in arrays of two axes.
        nulls: what samples that the file marks as missing become.
        grid: the grid onto which samples at the times of a column are brought.
    """

    format: str | None = None
    fs: Fraction | None = None
    inside: str | None = None
    time_axis: int = 0
    nulls: MissingSamples = "error"
    grid: Grid | None = None


def read_options(
    *,
    format: Any,
    fs: Any,
    inside: Any,
    time_axis: Any,
    nulls: Any,
    time: str | None = None,
    regrid: GridRule | None = None,
) -> ReadOptions:
    """The options, checked.

    Args:
        time: the column of times.
        regrid: what gives their grid.

    Raises:
        ValueError: a value that an option does not take.
    """
    if (time is None) != (regrid is None):
        raise ValueError(f"time names a column and regrid its grid; give both, got time={time!r}, regrid={regrid!r}")
    return ReadOptions(
        grid=None if regrid is None or time is None else regrid.grid(time),
        format=format,
        fs=None if fs is None else exact_rate(fs),
        inside=inside,
        time_axis=parse_integer(time_axis, field="time_axis", least=-2),
        nulls=parse_word(nulls, MissingSamples, field="nulls"),  # type: ignore[arg-type]
    )


class RecordingReader(ABC):
    """Reads one file of a recording; one reader serves many threads.

    The methods may raise whatever the format's library raises; `io.files.reading_errors` makes a `DataError` of it.
    """

    header: Header

    @abstractmethod
    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Raw samples `[channels, stop - start]` of channels of one rate, in memory of the caller's own."""

    def events(self) -> pa.Table:
        """The events; a table of the schema `EVENTS`."""
        return EVENTS.empty_table()

    def close(self) -> None:  # noqa: B027  (most readers open the file for each stretch)
        """Close the file."""


def events_table(events: Iterable[tuple[float, float | None, str]] | pa.Table) -> pa.Table:
    """Events as a table: of `(onset, duration, text)`, or of a table with these columns.

    >>> events_table([(1.5, None, "beat")]).to_pylist()
    [{'onset': 1.5, 'duration': None, 'text': 'beat'}]
    """
    if isinstance(events, pa.Table):
        return events.select(EVENTS.names).cast(EVENTS)
    rows = list(events)
    columns = [[row[number] for row in rows] for number in range(len(EVENTS))]
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, EVENTS.types, strict=True)], EVENTS)


def exact_rate(fs: Any, *, field: str = "fs") -> Fraction:
    """A sampling rate as the decimal number that was written.

    >>> exact_rate(173.61)
    Fraction(17361, 100)

    Raises:
        ValueError: not a number from 1e-9 to 1e12.
    """
    rate = Fraction(0)
    if isinstance(fs, Fraction):
        rate = fs
    elif isinstance(fs, (int, float, np.integer, np.floating)) and not isinstance(fs, bool) and isfinite(fs):
        rate = Fraction(repr(float(fs)))
    if not Fraction(1, 10**9) <= rate <= 10**12:
        raise ValueError(f"{field} must be a rate from 1e-9 to 1e12 Hz, got {fs!r}")
    return rate
