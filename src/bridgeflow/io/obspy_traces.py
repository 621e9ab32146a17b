"""Traces of ObsPy as channels: those of a MiniSEED file, and those of a `Stream` in memory.

A channel is all traces of one id, in the order of time. Between them, and where samples of one are masked, lie gaps.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from bridgeflow.io.files import data_error
from bridgeflow.io.recording_file import EVENTS, Channel, Header, Segment, Track, exact_rate

__all__ = ["Piece", "TracesSource", "by_channel", "header_of"]

_ENCODED = {"FLOAT32": "float32", "FLOAT64": "float64"}
"""Element types of MiniSEED whose samples have not been read; all others are int32."""


class Piece(NamedTuple):
    """Samples of a trace that are not masked: `size` of them from `first` on."""

    trace: Any
    first: int
    size: int

    def onset(self, begin_ns: int) -> float:
        """Seconds from a time in nanoseconds since 1970 to the first sample."""
        stats = self.trace.stats
        late: float = (stats.starttime.ns - begin_ns) / 10**9
        return late + self.first / stats.sampling_rate if self.first else late


def by_channel(traces: Iterable[Any]) -> dict[str, list[Piece]]:
    """The pieces of each channel, by its id, in the order of time; a channel whose samples are all masked has none."""
    channels: dict[str, list[Piece]] = {}
    for one in sorted(traces, key=lambda trace: (trace.id, trace.stats.starttime.ns)):
        if pieces := _pieces(one):
            channels.setdefault(one.id, []).extend(pieces)
    return channels


def _pieces(trace: Any) -> list[Piece]:
    if not np.ma.is_masked(trace.data):
        return [Piece(trace, 0, int(trace.stats.npts))]
    runs: Any = np.ma.flatnotmasked_contiguous(trace.data) or ()  # type: ignore[no-untyped-call]
    return [Piece(trace, int(run.start), int(run.stop - run.start)) for run in runs]


def header_of(path: Path, channels: Mapping[str, Sequence[Piece]]) -> Header:
    """The header of a recording of these channels.

    Args:
        path: what errors call it.
        channels: as `by_channel` gives them.

    Raises:
        DataError: no traces, a channel of several rates, traces that overlap, samples other than numbers.
    """
    if not channels:
        raise data_error(path, "has no traces with samples", "check where it came from")
    begin_ns = min(piece.trace.stats.starttime.ns for pieces in channels.values() for piece in pieces)
    described, tracks = [], []
    for name, pieces in channels.items():
        rates = {piece.trace.stats.sampling_rate for piece in pieces}
        if len(rates) != 1:
            raise data_error(path, f"has several rates: {sorted(rates)}", "split it", column=name)
        factors = {float(piece.trace.stats.calib) for piece in pieces}
        if len(factors) != 1:
            raise data_error(path, f"has several factors calib: {sorted(factors)}", "split it", column=name)
        rate, dtype = exact_rate(rates.pop()), np.dtype(np.result_type(*map(_dtype, pieces)))
        if dtype.kind not in "iuf":
            raise data_error(path, f"holds {dtype}", "recordings hold integers or floats", column=name)
        described.append(Channel(name=name, rate=rate, scale=factors.pop(), dtype=dtype.name))
        tracks.append(_track(path, name, pieces, begin_ns, float(rate)))
    start = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=begin_ns // 1000)
    metadata = {"start_ns": begin_ns} if begin_ns % 1000 else {}  # a datetime ends at microseconds
    return Header(channels=tuple(described), tracks=tuple(tracks), start=start, metadata=metadata)


def _dtype(piece: Piece) -> np.dtype[Any]:
    data = piece.trace.data
    if len(data) or "mseed" not in piece.trace.stats:
        dtype: np.dtype[Any] = np.ma.getdata(data).dtype
        return dtype
    return np.dtype(_ENCODED.get(piece.trace.stats.mseed.encoding, "int32"))


def _track(path: Path, name: str, pieces: Sequence[Piece], begin_ns: int, fs: float) -> Track:
    """Pieces as segments; those that follow each other within half a sample are one."""
    segments: list[Segment] = []
    position = 0
    for piece in pieces:
        onset = piece.onset(begin_ns)
        stop = position + piece.size
        late = 1.0
        if segments:
            last = segments[-1]
            late = (onset - last.onset) * fs - (last.stop - last.start)
            if late < -0.5:
                raise data_error(path, "has traces that overlap", "merge them: stream.merge(method=1)", column=name)
        if late <= 0.5:
            segments[-1] = segments[-1]._replace(stop=stop)
        elif stop > position:
            segments.append(Segment(position, stop, onset))
        position = stop
    return Track(position, tuple(segments))


@dataclass(frozen=True, eq=False)
class TracesSource:
    """Samples of traces in memory, which are copied when they are read.

    Attributes:
        name: what messages call it.
        channels: the pieces of each channel.
    """

    name: str
    channels: tuple[tuple[Piece, ...], ...]

    @cached_property
    def _ends(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(accumulate(piece.size for piece in pieces)) for pieces in self.channels)

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Samples of the channels, whose pieces follow each other without the gaps."""
        return np.stack([self._row(number, start, stop) for number in channels])

    def _row(self, number: int, start: int, stop: int) -> np.ndarray:
        parts, ends = [], self._ends[number]
        pieces = self.channels[number]
        index = bisect_right(ends, start)
        while index < len(pieces) and ends[index] - pieces[index].size < stop:
            piece, begin = pieces[index], ends[index] - pieces[index].size
            first = piece.first + max(start - begin, 0)
            last = piece.first + min(stop - begin, piece.size)
            parts.append(np.ma.getdata(piece.trace.data)[first:last])
            index += 1
        return np.concatenate(parts) if parts else np.empty(0, np.ma.getdata(pieces[0].trace.data).dtype)

    def events(self) -> pa.Table:
        """None."""
        return EVENTS.empty_table()

    def identity(self, channels: Sequence[int]) -> Mapping[str, Any]:
        """A digest of the samples."""
        digest = hashlib.sha256()
        for number in channels:
            for piece in self.channels[number] if number >= 0 else ():
                values = np.ascontiguousarray(np.ma.getdata(piece.trace.data)[piece.first : piece.first + piece.size])
                digest.update(repr((values.dtype.str, len(values))).encode())
                digest.update(values.view(np.uint8).data)
        return {"sha256": digest.hexdigest()}
