"""MiniSEED of seismology (obspy): records of many stations and channels, with gaps between them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from weakref import ref

import numpy as np

from bridgeflow._forks import ForkLock
from bridgeflow._optional import require
from bridgeflow.io.files import data_error, open_regular
from bridgeflow.io.obspy_traces import Piece, by_channel, header_of
from bridgeflow.io.recording_file import ReadOptions, RecordingReader

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
        channels = self._channels(headonly=True)
        self._shape = [(name, len(pieces), sum(one.size for one in pieces)) for name, pieces in channels.items()]
        self.header = header_of(path, channels)

    def _channels(self, *, headonly: bool) -> dict[str, list[Piece]]:
        """The traces of each channel, in the order of time."""
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("error")  # obspy warns where a file is cut off or damaged
            warnings.simplefilter("ignore", DeprecationWarning)
            stream = self._obspy.read(str(self._path), format="MSEED", headonly=headonly)
        if not stream:
            raise data_error(self._path, "has no traces", "check its format")
        return by_channel(stream)

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
        channels = self._channels(headonly=False)
        shape = [(name, len(pieces), sum(len(one.trace.data) for one in pieces)) for name, pieces in channels.items()]
        if shape != self._shape:
            raise data_error(self._path, "its records hold other samples than they say", "it is damaged")
        return [np.concatenate([one.trace.data for one in pieces]) for pieces in channels.values()]

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
