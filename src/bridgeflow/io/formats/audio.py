"""Audio: FLAC, Ogg Vorbis and Opus, MP3, AIFF, and wav files that our own reader does not read (soundfile)."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from pathlib import Path
from threading import Lock

import numpy as np

from bridgeflow._optional import require
from bridgeflow.errors import NotSupported
from bridgeflow.io.files import data_error
from bridgeflow.io.formats.rows import open_rows
from bridgeflow.io.opened import LocalFile, OpenedFile, WatchedCursor, open_here
from bridgeflow.io.recording_file import Channel, Header, ReadOptions, RecordingReader, Track

__all__ = ["open_recording"]

_DTYPES = {"PCM_16": "int16", "PCM_S8": "int16", "PCM_U8": "int16", "PCM_24": "int32", "PCM_32": "int32"}
"""What integers are read as, at the top of the type: 24 bits have 8 zero bits below. All else is read as floats."""

_FLOATS = {"DOUBLE": "float64"}
_MOST_FRAMES = 1 << 40
_PER_BYTE = 1 << 14
"""Frames that a byte of a file may become: silence is compressed well, but not without end."""


_OGG_HEADER, _OGG_SEGMENTS, _OGG_LAST = 27, 255, 4
"""Bytes of a page of Ogg before the sizes of its segments, most segments, and the flag of the last page."""


class AudioReader(RecordingReader):
    """Reads stretches through libsndfile, one at a time."""

    def __init__(self, opened: OpenedFile) -> None:
        soundfile = require("soundfile", needed_for="reading audio")
        self._path = path = opened.path
        self._lock = Lock()
        nbytes = opened.nbytes
        _require_whole(opened)
        self._cursor = None if isinstance(opened, LocalFile) else WatchedCursor(opened)
        with self._watched():
            file = os.dup(opened.descriptor) if isinstance(opened, LocalFile) else self._cursor
            self._file = soundfile.SoundFile(file, closefd=True)
        self._close = weakref.finalize(self, self._file.close)
        frames = self._file.frames
        if not 0 <= frames <= min(_MOST_FRAMES, nbytes * _PER_BYTE):
            raise data_error(
                path, f"says {frames:,} frames in {nbytes:,} bytes", "it is damaged, or was never finished"
            )
        if not frames and opened.read_at(4, 0) == b"OggS" and _ogg_frames(opened):
            raise data_error(path, "says no frames and holds some", "it is damaged; copy it again")
        subtype = self._file.subtype
        self._dtype = _DTYPES.get(subtype, _FLOATS.get(subtype, "float32"))
        scale = 2.0 ** (1 - 8 * np.dtype(self._dtype).itemsize) if self._dtype.startswith("int") else 1.0
        count = self._file.channels
        self.header = Header(
            channels=tuple(
                Channel(
                    name="audio" if count == 1 else f"audio{number}",
                    rate=Fraction(self._file.samplerate),
                    scale=scale,
                    dtype=self._dtype,
                )
                for number in range(count)
            ),
            tracks=(Track.whole(frames),) * count,
            metadata={"format": self._file.format, "subtype": subtype, **self._file.copy_metadata()},
        )
        if isinstance(opened, LocalFile):  # of which soundfile has a descriptor of its own
            opened.close()

    def _watched(self) -> AbstractContextManager[None]:
        """Raise what went wrong with a remote file while soundfile read from it."""
        return nullcontext() if self._cursor is None else self._cursor.watched()

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Decode the stretch, and keep the channels."""
        with self._lock, self._watched():
            self._file.seek(start)
            frames = self._file.read(stop - start, dtype=self._dtype, always_2d=True)
        if len(frames) != stop - start:
            problem = f"is cut off: {len(frames):,} of the {stop - start:,} frames from {start:,} on"
            raise data_error(self._path, problem, "copy it again")
        return np.ascontiguousarray(frames.T[list(channels)])

    def close(self) -> None:
        """Close the file."""
        self._close()


def _require_whole(opened: OpenedFile) -> None:
    """Refuse AIFF and Ogg files that are cut off, of which libsndfile reads what is left, or nothing.

    An Ogg file must consist of whole pages, the last of which says that it is the last. Source: RFC 3533.
    """
    path, nbytes, head = opened.path, opened.nbytes, opened.read_at(8, 0)
    if head[:4] == b"FORM" and nbytes < 8 + int.from_bytes(head[4:8], "big"):
        said = 8 + int.from_bytes(head[4:8], "big")
        raise data_error(path, f"is cut off: {nbytes:,} of {said:,} bytes", "copy it again")
    if head[:4] != b"OggS":
        return
    position, is_last = 0, False
    while position < nbytes:
        page = opened.read_at(_OGG_HEADER + _OGG_SEGMENTS, position)
        segments = page[_OGG_HEADER - 1] if len(page) >= _OGG_HEADER else 0
        if page[:4] != b"OggS" or len(page) < _OGG_HEADER + segments:
            raise data_error(
                path, f"has no page of Ogg at byte {position:,}", "it is damaged or cut off; copy it again"
            )
        position += _OGG_HEADER + segments + sum(page[_OGG_HEADER : _OGG_HEADER + segments])
        is_last = bool(page[5] & _OGG_LAST)
    if position != nbytes or not is_last:
        raise data_error(path, "ends before its last page of Ogg", "it is cut off; copy it again")


def _ogg_frames(opened: OpenedFile) -> int:
    """The position that the last page of an Ogg file says, in frames."""
    tail = opened.read_at(1 << 17, max(opened.nbytes - (1 << 17), 0))
    place = tail.rfind(b"OggS")
    return int.from_bytes(tail[place + 6 : place + 14], "little", signed=True) if place >= 0 else 0


def open_recording(path: Path, options: ReadOptions) -> RecordingReader:
    """The reader of a file: our own of wav files that it reads, soundfile's of all others."""
    if path.suffix.lower() == ".wav":
        try:
            return open_rows(path, options)
        except NotSupported:
            pass
    return AudioReader(open_here(path))
