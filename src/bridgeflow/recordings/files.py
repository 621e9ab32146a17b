"""Files of recordings: read lazily, by few open files at a time, in any thread or process."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa

from bridgeflow._forks import call_in_children
from bridgeflow.errors import DataError
from bridgeflow.io.files import data_error, plainly, reading_errors, require_local, shown
from bridgeflow.io.opened import stamp_of
from bridgeflow.io.recording_file import Header, ReadOptions, RecordingReader
from bridgeflow.io.urls import UrlPath, as_path
from bridgeflow.recordings.formats import files_of, format_of, open_reader
from bridgeflow.recordings.missing import with_gaps

__all__ = ["FileSource", "absolute", "open_file"]

_MOST_OPEN = 64
"""Most files that are kept open in a process."""

_OF_SEVERAL_FILES = ("wfdb", "zarr")


@dataclass(frozen=True)
class FileSource:
    """A file as it was when its header was read; samples come from that file or not at all.

    Attributes:
        path: where it is, absolute; or its URL.
        options: how it is read.
        nbytes: its size; of a recording of several files, of all together.
        mtime_ns: when it was last written, or the latest of several.
    """

    path: str
    options: ReadOptions
    nbytes: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """The path as messages show it."""
        return shown(self.path)

    @cached_property
    def _named(self) -> tuple[Path, str]:
        """The path, and the name of the format, for errors."""
        return as_path(self.path), format_of(self.path, self.options.format).name

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Raw samples `[channels, stop - start]`."""
        reader = _reader(self)
        tracks = reader.header.tracks
        for number in channels:
            if number >= len(tracks) or stop > tracks[number].length:
                raise self.changed()
        with reading_errors(*self._named):
            return reader.read(channels, start, stop)

    def events(self) -> pa.Table:
        """The events of the file."""
        reader = _reader(self)
        with reading_errors(*self._named):
            return reader.events()

    def identity(self, channels: Sequence[int]) -> Mapping[str, Any]:
        """Path, size, time and options."""
        options = asdict(self.options)
        options["fs"] = None if self.options.fs is None else str(self.options.fs)
        return {"path": self.path, "nbytes": self.nbytes, "mtime_ns": self.mtime_ns, "options": options}

    @property
    def is_unchanged(self) -> bool:
        """Whether the file is the one whose header was read."""
        return _identity(as_path(self.path), self.options.format) == (self.nbytes, self.mtime_ns)

    def require_unchanged(self) -> None:
        """Refuse a file that is not the one whose header was read.

        Raises:
            DataError: its size or time is another, or it is missing.
        """
        if not self.is_unchanged:
            raise self.changed()

    def changed(self) -> DataError:
        """That the file is not the one whose header was read."""
        return data_error(self.path, "has changed since its header was read", "open it again, or build the index again")


class _OpenReaders:
    """The readers of this process that were used last."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.by_source: OrderedDict[FileSource, RecordingReader] = OrderedDict()

    def __call__(self, source: FileSource) -> RecordingReader:
        with self.lock:
            reader = self.by_source.get(source)
            if reader is not None:
                self.by_source.move_to_end(source)
                return reader
        source.require_unchanged()
        reader = open_reader(as_path(source.path), source.options)
        with self.lock:
            reader = self.by_source.setdefault(source, reader)
            while len(self.by_source) > _MOST_OPEN:
                self.by_source.popitem(last=False)  # closed when the last thread that reads it is done
        return reader


_reader = _OpenReaders()
call_in_children(_reader.__init__)  # type: ignore[misc]


def absolute(path: str | os.PathLike[str]) -> str:
    """A path from the top, or a URL, as text."""
    place = as_path(path)
    return place.url if isinstance(place, UrlPath) else os.path.abspath(place)


def open_file(path: str | os.PathLike[str], options: ReadOptions) -> tuple[FileSource, Header]:
    """The source and the header of a file, which is closed again.

    Raises:
        DataError: the file is missing, damaged, cut off or of another format.
        MissingDependency: the format's library is not installed.
    """
    file = as_path(path)
    identity = _identity(file, options.format)
    reader = open_reader(file, options)
    header = reader.header
    if options.nulls == "gap":
        with reading_errors(file, format_of(file, options.format).name):
            header = with_gaps(reader)
    reader.close()
    return FileSource(absolute(file), options, *identity), header


def _identity(path: Path, format: str | None) -> tuple[int, int]:
    """Size and time of writing; of several files, of all together, and the latest. Of a remote file, a number that
    stands for its version.
    """
    if isinstance(path, UrlPath):
        if format_of(path, format).name in _OF_SEVERAL_FILES:
            require_local(path)
        version = stamp_of(path)
        digest = hashlib.sha256(repr(version).encode()).digest()
        return int(version[0]), int.from_bytes(digest[:7], "big")
    with plainly(path):
        os.stat(path)
        states = [os.stat(one) for one in files_of(path, format)]
    return sum(one.st_size for one in states), max((one.st_mtime_ns for one in states), default=0)
