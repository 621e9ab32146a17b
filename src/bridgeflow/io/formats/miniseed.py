"""MiniSEED of seismology (obspy): records of many stations and channels, with gaps between them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from datetime import timezone
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np

from bridgeflow._forks import ForkLock
from bridgeflow._optional import require
from bridgeflow.io.files import data_error, open_regular
from bridgeflow.io.recording_file import Channel, Header, ReadOptions, RecordingReader, Segment, Track, exact_rate

__all__ = ["open_recording"]

_LOCK = ForkLock()

_KEPT_NBYTES = 256 << 20
"""Bytes of decoded samples that the readers of a process keep together, unless those of one file are more."""

_KEEPING = ForkLock()


class MiniseedReader(RecordingReader):
    """Reads the traces of a file, which is decoded whole when samples are read; they stay until those of others need
    the room.
    """

    def __init__(self, path: Path) -> None:
        os.close(open_regular(path))
        self._path = path
        self._obspy = require("obspy", needed_for="reading MiniSEED")
        self._samples: list[np.ndarray] | None = None
        self._decoding = ForkLock()
        traces = self._traces(headonly=True)
        self._shape = [(name, len(parts), sum(one.stats.npts for one in parts)) for name, parts in traces.items()]
        start = min(one.stats.starttime for parts in traces.values() for one in parts)
        channels, tracks = [], []
        for name, parts in traces.items():
            rates = {one.stats.sampling_rate for one in parts}
            if len(rates) != 1:
                raise data_error(path, f"has several rates: {sorted(rates)}", "split it", column=name)
            rate = exact_rate(rates.pop())
            encoding = parts[0].stats.mseed.encoding
            dtype = {"FLOAT32": "float32", "FLOAT64": "float64"}.get(encoding, "int32")
            channels.append(Channel(name=name, rate=rate, dtype=dtype))
            tracks.append(_track(path, name, parts, start, float(rate)))
        moment = start.datetime.replace(tzinfo=timezone.utc)
        self.header = Header(channels=tuple(channels), tracks=tuple(tracks), start=moment)

    def _traces(self, *, headonly: bool) -> dict[str, list[Any]]:
        """The traces of each channel, in the order of time."""
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("error")  # obspy warns where a file is cut off or damaged
            warnings.simplefilter("ignore", DeprecationWarning)
            stream = self._obspy.read(str(self._path), format="MSEED", headonly=headonly)
        traces: dict[str, list[Any]] = {}
        for one in sorted(stream, key=lambda trace: (trace.id, trace.stats.starttime)):
            traces.setdefault(one.id, []).append(one)
        if not traces:
            raise data_error(self._path, "has no traces", "check its format")
        return traces

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Samples of the channels, whose traces follow each other without the gaps."""
        samples = self._samples
        if samples is None:
            with self._decoding:
                samples = self._samples
                if samples is None:
                    samples = self._samples = self._decoded()
                    _make_room(self)
        return np.stack([samples[number][start:stop] for number in channels])

    def _decoded(self) -> list[np.ndarray]:
        """All samples of each channel."""
        traces = self._traces(headonly=False)
        shape = [(name, len(parts), sum(len(one.data) for one in parts)) for name, parts in traces.items()]
        if shape != self._shape:
            raise data_error(self._path, "its records hold other samples than they say", "it is damaged")
        return [np.concatenate([one.data for one in parts]) for parts in traces.values()]

    @property
    def kept_nbytes(self) -> int:
        """Bytes of the samples that are kept."""
        return sum(one.nbytes for one in self._samples or ())

    def drop(self) -> None:
        """Keep no samples; a thread that reads them has them to its end."""
        self._samples = None


_DECODED: list[ref[MiniseedReader]] = []
"""The readers that have decoded their file, the latest last."""


def _make_room(latest: MiniseedReader) -> None:
    """Drop the samples that were decoded first until the others fit."""
    with _KEEPING:
        readers = [one for one in (place() for place in _DECODED) if one is not None and one is not latest]
        readers = [one for one in readers if one.kept_nbytes] + [latest]
        total = sum(one.kept_nbytes for one in readers)
        while total > _KEPT_NBYTES and len(readers) > 1:
            oldest = readers.pop(0)
            total -= oldest.kept_nbytes
            oldest.drop()
        _DECODED[:] = [ref(one) for one in readers]


def open_recording(path: Path, options: ReadOptions) -> MiniseedReader:
    """The reader of a file."""
    return MiniseedReader(path)


def _track(path: Path, name: str, parts: list[Any], start: Any, fs: float) -> Track:
    """Traces as segments; those that follow each other within half a sample are one."""
    segments: list[Segment] = []
    position = 0
    for one in parts:
        onset = float(one.stats.starttime - start)
        stop = position + int(one.stats.npts)
        late = 1.0
        if segments:
            last = segments[-1]
            late = (onset - last.onset) * fs - (last.stop - last.start)
            if late < -0.5:
                raise data_error(path, "has traces that overlap", "merge them", column=name)
        if late <= 0.5:
            segments[-1] = segments[-1]._replace(stop=stop)
        elif stop > position:
            segments.append(Segment(position, stop, onset))
        position = stop
    return Track(position, tuple(segments))
