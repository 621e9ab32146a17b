"""Arrays in HDF5 files (h5py), by their path inside the file."""

from __future__ import annotations

import json
import weakref
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bridgeflow._optional import require
from bridgeflow.errors import listed, nearest
from bridgeflow.io.files import data_error, not_supported
from bridgeflow.io.formats.arrays import FACTS, array_header, read_channels
from bridgeflow.io.opened import LocalFile, WatchedCursor, open_here
from bridgeflow.io.recording_content import with_facts
from bridgeflow.io.recording_file import EVENTS, ReadOptions, RecordingReader

__all__ = ["open_recording"]

_MOST_CHUNK = 512 << 20
"""Bytes that a chunk may become when it is decompressed."""


class Hdf5Reader(RecordingReader):
    """Reads stretches of one dataset; HDF5 serves one thread at a time."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        h5py = require("h5py", needed_for="reading HDF5")
        opened = open_here(path)
        if isinstance(opened, LocalFile):
            opened.close()
            self._cursor = None
            self._file = h5py.File(path, "r", locking=False)
        else:
            self._cursor = WatchedCursor(opened)
            with self._cursor.watched():
                self._file = h5py.File(self._cursor, "r")
        self._close = weakref.finalize(self, self._file.close)
        self._array = _dataset(h5py, self._file, path, options.inside)
        array = self._array
        if array.chunks is not None and np.prod(array.chunks, dtype=float) * array.dtype.itemsize > _MOST_CHUNK:
            raise data_error(path, f"has chunks of {array.chunks} values", "write it with smaller ones")
        if array.size and not array.id.get_storage_size():
            raise data_error(path, f"says {array.shape} values and holds none", "nothing was written to it")
        attributes = {name: _plain(array.attrs[name]) for name in array.attrs}
        self.header, self._axis = array_header(path, array.shape, array.dtype, attributes, options)
        self._events = EVENTS.empty_table()
        if (text := _text_beside(h5py, self._file, array)) is not None:
            rows = [str(row) for row in range(len(self.header.channels))]
            self.header, self._events = with_facts(path, json.loads(text), self.header, rows)

    def events(self) -> pa.Table:
        """The events, where we wrote the file."""
        return self._events

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """The stretch of the dataset."""
        with nullcontext() if self._cursor is None else self._cursor.watched():
            return read_channels(self._array, self._axis, channels, start, stop)

    def close(self) -> None:
        """Close the file."""
        self._close()


def open_recording(path: Path, options: ReadOptions) -> Hdf5Reader:
    """The reader of the dataset that `inside` names, or of the only one."""
    return Hdf5Reader(path, options)


def _dataset(h5py: Any, file: Any, path: Path, inside: str | None) -> Any:
    names: list[str] = []

    def see(name: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset) and one.ndim in (1, 2) and one.dtype.kind in "iufc":
            names.append(name)

    file.visititems(see)
    if inside is None:
        if len(names) != 1:
            raise data_error(path, f"has {len(names)} arrays: {listed(names)}", "name one with `inside`")
        return _own(file[names[0]], path)
    name = inside.strip("/")
    if name not in names:
        raise data_error(path, f"has no array {inside!r} of one or two axes", nearest(name, names))
    return _own(file[name], path)


def _text_beside(h5py: Any, file: Any, array: Any) -> bytes | None:
    """What our writer says of an array."""
    beside = file.get(f"{array.name}.{FACTS}")
    if not isinstance(beside, h5py.Dataset) or beside.shape != () or h5py.check_string_dtype(beside.dtype) is None:
        return None
    return bytes(beside[()])


def _own(array: Any, path: Path) -> Any:
    """The dataset, whose values must lie in this file."""
    if array.external or array.is_virtual:
        raise not_supported(path, f"array {array.name!r} has its values in other files", "copy them into one file")
    return array


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
