"""Arrays in Zarr folders and zip files (zarr 3), by their path inside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bridgeflow._optional import require
from bridgeflow.errors import listed, nearest
from bridgeflow.io.files import data_error, require_local
from bridgeflow.io.formats.arrays import FACTS, array_header, read_channels
from bridgeflow.io.recording_content import with_facts
from bridgeflow.io.recording_file import EVENTS, ReadOptions, RecordingReader

__all__ = ["open_recording"]

_MOST_CHUNK = 512 << 20


class ZarrReader(RecordingReader):
    """Reads stretches of one array."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        require_local(path)
        zarr = require("zarr", needed_for="reading Zarr")
        if not path.exists():
            raise data_error(path, "no such file or folder", "check the path")
        root = zarr.open(str(path), mode="r")
        self._array = root if isinstance(root, zarr.Array) else _member(zarr, root, path, options.inside)
        array = self._array
        if np.prod(array.chunks, dtype=float) * array.dtype.itemsize > _MOST_CHUNK:
            raise data_error(path, f"has chunks of {array.chunks} values", "write it with smaller ones")
        attributes = dict(array.attrs)
        self.header, self._axis = array_header(path, array.shape, array.dtype, attributes, options)
        self._events = EVENTS.empty_table()
        if FACTS in attributes:
            rows = [str(row) for row in range(len(self.header.channels))]
            self.header, self._events = with_facts(path, attributes[FACTS], self.header, rows)

    def events(self) -> pa.Table:
        """The events, where we wrote the file."""
        return self._events

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """The stretch of the array."""
        return read_channels(self._array, self._axis, channels, start, stop)


def open_recording(path: Path, options: ReadOptions) -> ZarrReader:
    """The reader of the array at `inside`, of the only one, or of the root."""
    return ZarrReader(path, options)


def _member(zarr: Any, root: Any, path: Path, inside: str | None) -> Any:
    arrays = {name: one for name, one in root.members(max_depth=None) if isinstance(one, zarr.Array)}
    if inside is None:
        if len(arrays) != 1:
            raise data_error(path, f"has {len(arrays)} arrays: {listed(arrays)}", "name one with `inside`")
        return next(iter(arrays.values()))
    name = inside.strip("/")
    if name not in arrays:
        raise data_error(path, f"has no array {inside!r}", nearest(name, arrays))
    return arrays[name]
