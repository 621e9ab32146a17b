"""A file to write columns to: what every file gets around its format's writer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from bridgeflow.bridge import to_numpy
from bridgeflow.bridge.tracing import at
from bridgeflow.errors import BridgeflowError, StageId, quoted
from bridgeflow.io.base import Columns, Format, Writer
from bridgeflow.io.commit import Overwrite, Receipt, publish
from bridgeflow.io.dtypes import OnOverflow, SinkDtype, fit
from bridgeflow.io.files import Roots, data_error, first_line, not_supported
from bridgeflow.io.formats.registry import all_formats, format_of
from bridgeflow.io.full_scale import SCALE_REMEDY, Level, from_unit
from bridgeflow.io.options import Compression, SinkOptions, WriterOptions, options_of
from bridgeflow.io.urls import as_path
from bridgeflow.policy import parse_word

__all__ = ["Sink", "open_sink", "refused_option", "require_writable"]


class Sink:
    """A file being written; made by `open_sink`.

    Attributes:
        rows: number of rows written so far.
        saturated: number of values that were out of the range of the sink's `dtype`, and became its last.
        beyond: number of float samples beyond full scale in a file of audio, which players clip.
        careful: whether a file of audio far beyond full scale is refused: set for jobs, whose author does not look at
            `beyond` or `saturated`.
        counts: whether values are known to be counts of the file's own type, so that a quiet file is one.
        receipt: path, size and SHA-256; there once the file is published.
    """

    def __init__(self, path: Path, format: Format, file: BinaryIO, options: WriterOptions) -> None:
        if refused := refused_option(format, options):
            raise ValueError(": ".join(refused))
        parse_word(options.on_overflow, OnOverflow, field="on_overflow")
        self.path = path
        self.rows = 0
        self.saturated = self.beyond = 0
        self.careful = self.counts = False
        self._level = Level() if format.writer.has_full_scale else None
        self.receipt: Receipt | None = None
        self._format = format
        self._file = file
        self._options = replace(options, compression=options.compression or format.writer.compressions[0])
        self._writer: Writer | None = None
        self._names: tuple[str, ...] = ()

    def write(self, columns: Columns) -> None:
        """Append rows: arrays of one length, with the names and types of the first call.

        Raises:
            DataError: a value that is not an array, unequal lengths, columns unlike the first call's, or values that
                the sink's `dtype` cannot hold.
        """
        lengths = {name: self._length(name, column) for name, column in columns.items()}
        if len(set(lengths.values())) != 1:
            listing = ", ".join(f"{name} {length}" for name, length in lengths.items()) or "none"
            raise data_error(
                self.path, f"needs columns of one length, got {listing}", "write them to files of their own"
            )
        if self._options.dtype is not None or self._level is not None:
            columns = {name: self._fitted(name, column) for name, column in columns.items()}
        with self._typed_errors():
            if self._writer is None:
                self._names = tuple(columns)
                self._writer = self._format.writer(self._file, self.path, columns, self._options)
            elif tuple(columns) != self._names:
                problem = f"columns {', '.join(columns)} after columns {', '.join(self._names)}"
                raise data_error(self.path, problem, "write the same columns each time")
            self._writer.append(columns)
        self.rows += next(iter(lengths.values()))

    def _fitted(self, name: str, column: Any) -> Any:
        """The column in the sink's type; values out of its range are an error, or counted."""
        dtype, level = self._options.dtype, self._level
        try:
            with at(f"$.{name}", StageId((), "sink")):
                values = to_numpy(column)
            encoding = dtype or str(values.dtype)
            if level is not None and (not self._options.normalize or values.dtype.kind == encoding[0] == "f"):
                level.take(values, encoding)
            if dtype is None:
                return column
            fitted = from_unit(values, dtype) if self._options.normalize else fit(values, dtype)
        except (BridgeflowError, TypeError, ValueError) as error:
            problem = f"cannot be written as {dtype or self._format.name}: {error}"
            raise data_error(self.path, problem, column=name) from error
        if fitted.outside and self._options.on_overflow == "raise":
            row = self.rows + fitted.first
            limit = "beyond full scale" if self._options.normalize else f"out of the range of {dtype}"
            problem = f"{fitted.outside:,} values are {limit}, the first in row {row}"
            raise data_error(self.path, problem, "scale them, or set `on_overflow: saturate`", column=name)
        self.saturated += fitted.outside
        return fitted.values

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        """What pyarrow raises over columns that a format cannot hold, as a `DataError` that names the file."""
        try:
            yield
        except BridgeflowError:
            raise
        except Exception as error:
            problem = f"cannot be written as {self._format.name} ({first_line(error)})"
            if isinstance(error, NotImplementedError):
                raise not_supported(self.path, problem, "cast the column, or choose another format") from error
            if not type(error).__module__.startswith("pyarrow"):
                raise
            raise data_error(self.path, problem, "cast the column, or choose another format") from error

    def _length(self, name: str, column: Any) -> int:
        if getattr(column, "ndim", 1) == 0 or not hasattr(column, "__len__") or isinstance(column, (str, bytes)):
            raise data_error(
                self.path, f"is {type(column).__name__}, not an array with rows", "leave it out", column=name
            )
        return len(column)

    def _finish(self) -> None:
        if self._writer is None:
            raise data_error(self.path, "nothing was written to it", "write at least one piece, if an empty one")
        self.beyond = self._level.beyond if self._level else 0
        problem = ""
        if self._level is not None and self._options.normalize is None:
            problem = "" if self.counts else self._level.silence()
            problem = problem or (self._level.noise() if self.careful else "")
        if problem:
            raise data_error(self.path, problem, SCALE_REMEDY)
        with self._typed_errors():
            self._writer.finish()

    def _abandon(self) -> None:
        """End the writer, whose file is about to vanish: pyarrow's complain when they are dropped unfinished."""
        if self._writer is not None:
            with suppress(Exception):
                self._writer.finish()


@contextmanager
def writing(
    path: Path, format: Format, options: WriterOptions, *, overwrite: Overwrite, roots: Roots
) -> Iterator[Sink]:
    """The `Sink` of one file, published when the block ends and removed when it fails."""
    with publish(path, overwrite=overwrite, roots=roots) as output:
        sink = Sink(path, format, output.file, options)
        try:
            yield sink
            sink._finish()
        except BaseException:
            sink._abandon()
            raise
    sink.receipt = output.receipt


@contextmanager
def open_sink(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    overwrite: Overwrite = False,
    compression: Compression | None = None,
    dtype: SinkDtype | None = None,
    on_overflow: OnOverflow = "raise",
    normalize: bool | None = None,
    settings: Mapping[str, Any] | None = None,
    roots: Roots = None,
) -> Iterator[Sink]:
    """Write a file that appears under its name, complete, when the block ends, and not at all when the block fails.

    The bytes depend on the rows and the settings alone: not on the time, the machine, or how the rows were cut.

    Args:
        path: the file; its folder is made where it is missing. Its suffix may be any but another format's. The URL of
            an object of a store is written to a file without a name first, and put in one request, which never
            replaces an object unless `overwrite` says so.
        format: its format, by name; `None` for what its suffix says.
        overwrite: whether an existing file may be replaced; `"same"`: only if it holds the same bytes, and so stays.
        compression: one of the format's words; `None` for the format's own choice.
        dtype: element type that every column is written in, nearest values; `None` for what they are. `"int24"` (wav):
            counts of int32 whose lowest byte falls away.
        on_overflow: `"raise"` refuses values out of the range of `dtype`, `"saturate"` takes the nearest and counts
            them in `Sink.saturated`. NaN has no integer and is always an error.
        normalize: for wav, whose samples players and readers take for parts of full scale. `True`: floats are between
            -1 and 1, integers of their own type's scale, and are written by that of `dtype`. `False`: numbers are
            written as they are. `None` does so too, but refuses a file that every player would make silence of (floats
            between -1 and 1 as counts). Float samples beyond full scale, which players clip, are counted in
            `Sink.beyond`.
        settings: plain values to store in the file (Parquet and Arrow; npy has no room for them, and wav for `fs`
            alone, the sampling rate in Hz, which it needs).
        roots: folders beneath which the file must lie, all links followed; `None` for anywhere.

    Raises:
        DataError: the file exists and may not be replaced, another run is writing it, it lies outside the roots, or it
            cannot hold what is written.
        NotSupported: the store is read-only, or cannot refuse to replace an object.
        OSError: the disk is full or broken; `StoreError`: a store cannot be reached.

    Example:
        >>> import numpy as np, tempfile, pathlib
        >>> from bridgeflow.io import open_source
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "lead.parquet"
        >>> with open_sink(path, settings={"fs": 360}) as sink:
        ...     sink.write({"ecg": np.zeros(3)})
        ...     sink.write({"ecg": np.ones(2)})
        >>> sink.rows, open_source(path).specs["ecg"].fs
        (5, 360.0)
    """
    form = format_of(path, format)
    path = as_path(path)
    suffix = path.suffix.lower()
    other = next((one.name for one in all_formats().values() if suffix in one.suffixes and one is not form), None)
    if other is not None and suffix not in form.suffixes:
        raise data_error(path, f"{suffix} is a suffix of {other} files, not of {form.name}", "give it another name")
    options = WriterOptions(
        compression=compression, dtype=dtype, on_overflow=on_overflow, normalize=normalize, settings=settings or {}
    )
    with writing(path, form, options, overwrite=overwrite, roots=roots) as sink:
        yield sink


def require_writable(
    path: str | os.PathLike[str],
    columns: Mapping[str, Any],
    *,
    format: str | None = None,
    options: SinkOptions | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Refuse columns that a file could not hold, by their kinds, types and shapes; nothing is written.

    Args:
        path, format, settings: as for `open_sink`.
        columns: a few rows.
        options: how the sink writes.

    Raises:
        DataError: as writing them would.
    """
    words = options_of(SinkOptions, options or SinkOptions())
    sink = Sink(as_path(path), format_of(path, format), BytesIO(), WriterOptions(**words, settings=settings or {}))
    try:
        sink.write(dict(columns))
    finally:
        sink._abandon()


def refused_option(format: Format, options: SinkOptions) -> tuple[str, str] | None:
    """The first option that a format does not take: its name, and what is wrong with its value."""
    writer = format.writer
    for name, words in (("compression", writer.compressions), ("dtype", writer.dtypes)):
        value = getattr(options, name)
        if value is not None and value not in words:
            return name, f"{format.name} takes {' or '.join(map(repr, words))}, got {quoted(value)}"
    if options.normalize not in (None, False, True):
        return "normalize", f"true, false or nothing, got {options.normalize!r}"
    if options.normalize is not None and not writer.has_full_scale:
        return "normalize", f"a {format.name} file has no full scale; leave it out"
    return None
