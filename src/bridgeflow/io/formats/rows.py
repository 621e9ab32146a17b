"""Files whose rows are time steps as recordings: Parquet, Arrow, npy, npz, wav, CSV. Their columns are channels."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from bridgeflow.bridge import to_numpy
from bridgeflow.io.arrow_file import arrow_file
from bridgeflow.io.files import data_error
from bridgeflow.io.opened import open_here, roots_here
from bridgeflow.io.opening import open_source
from bridgeflow.io.options import ColumnNulls
from bridgeflow.io.recording_content import with_facts
from bridgeflow.io.recording_file import EVENTS, Channel, Header, ReadOptions, RecordingReader, Track, exact_rate
from bridgeflow.io.source import Source

__all__ = ["RowsReader", "open_recording", "open_rows"]

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_NUMBERS = ("int", "uint", "float")


class RowsReader(RecordingReader):
    """Reads columns of numbers, `[time]` or `[time, channels]`, of a source.

    Attributes:
        source: where the rows come from.
    """

    def __init__(self, path: Path, source: Source, options: ReadOptions) -> None:
        self.source = source
        self._keeps_nulls = options.nulls != "error"
        rate = rate_of(path, options, source.fs) if options.grid is None else options.grid.to_hz
        time = None if options.grid is None else options.grid.time
        self._places: list[tuple[str, int | None]] = []
        channels = []
        scale = 1.0
        for name, spec in source.specs.items():
            if name == time or not spec.dtype.startswith(_NUMBERS) or len(spec.shape) not in (1, 2):
                continue
            dtype = "float64" if self._keeps_nulls and spec.null_count else str(spec.dtype)
            if source.format is not None and source.format.name == "wav" and dtype.startswith("int"):
                scale = 2.0 ** (1 - 8 * np.dtype(dtype).itemsize)
            width = None if len(spec.shape) == 1 else int(spec.shape[1] or 0)
            for number in [None] if width is None else range(width):
                own = name if number is None or width == 1 else f"{name}{number}"
                channels.append(Channel(name=own, rate=rate, scale=scale, dtype=dtype))
                self._places.append((name, number))
        if not channels:
            raise data_error(path, "has no columns of numbers", "choose another file")
        tracks = (Track.whole(source.rows),) * len(channels)
        self.header = Header(channels=tuple(channels), tracks=tracks)
        self._events = EVENTS.empty_table()
        if "recording" in source.settings:
            columns = [name for name, _ in self._places]
            self.header, self._events = with_facts(path, source.settings["recording"], self.header, columns)

    def events(self) -> pa.Table:
        """The events, where we wrote the file."""
        return self._events

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """The rows of the columns that the channels are in, as channels."""
        columns = self.source.slice(start, stop, writable=False)
        arrays: dict[str, np.ndarray] = {}
        dtype = np.result_type(*(self.header.channels[number].dtype for number in channels))
        names, places = zip(*(self._places[number] for number in channels), strict=True)
        if len(channels) > 1 and len(set(names)) == 1 and places == tuple(range(places[0], places[0] + len(places))):
            values = to_numpy(columns[names[0]], nulls="nan" if self._keeps_nulls else "error", writable=False)
            return np.array(values.T[places[0] : places[-1] + 1], dtype, order="C")
        result = np.empty((len(channels), stop - start), dtype)
        for row, number in enumerate(channels):
            name, place = self._places[number]
            if name not in arrays:
                arrays[name] = to_numpy(columns[name], nulls="nan" if self._keeps_nulls else "error", writable=False)
            result[row] = arrays[name] if place is None else arrays[name][:, place]
        return result

    def close(self) -> None:
        """Close the source."""
        self.source.close()


_READ_AS_ROWS = (".npy", ".wav")
"""Suffixes of files that give any rows at the cost of those rows: they are not mapped, so that memory stays as it is
however long a recording is, and a file that is cut off meanwhile is an error.
"""


def rate_of(path: Path, options: ReadOptions, said: float | None) -> Fraction:
    """The rate of the options, or that the file says.

    Raises:
        DataError: neither.
    """
    if options.fs is not None:
        return options.fs
    if said is None:
        raise data_error(path, "does not say its sampling rate", "give it with `fs`")
    return exact_rate(said)


def open_rows(path: Path, options: ReadOptions) -> RowsReader:
    """The reader of a file in one of the formats of `open_source`."""
    mapped = path.suffix.lower() not in _READ_AS_ROWS
    nulls: ColumnNulls = "error" if options.nulls == "error" else "keep"
    source = open_source(path, nulls=nulls, mapped=mapped, roots=roots_here(path))
    return RowsReader(path, source, options)


def open_recording(path: Path, options: ReadOptions) -> RowsReader:
    """The reader of a file; CSV is parsed whole."""
    separator = _SEPARATORS.get(path.suffix.lower())
    if separator is None and options.format != "csv":
        return open_rows(path, options)
    table = _parsed(path, separator or ",")
    source: Any = open_source(table, nulls="error" if options.nulls == "error" else "keep")
    return RowsReader(path, source, options)


def _parsed(path: Path, separator: str) -> pa.Table:
    opened = open_here(path)
    try:
        return csv.read_csv(
            arrow_file(opened),
            parse_options=csv.ParseOptions(delimiter=separator),
            convert_options=csv.ConvertOptions(strings_can_be_null=False),
        )
    finally:
        opened.close()
