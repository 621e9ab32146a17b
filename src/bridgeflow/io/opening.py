"""Opening: a path, a folder, a pattern or arrays in memory to read columns from, and a file to write them to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from bridgeflow.io.base import (
    ColumnNulls,
    Compression,
    Format,
    OnOverflow,
    Sink,
    SinkDtype,
    SinkOptions,
    Source,
    SourceOptions,
    writing,
)
from bridgeflow.io.commit import Overwrite
from bridgeflow.io.files import Roots, data_error, not_supported, open_regular
from bridgeflow.io.folders import FolderReader, listed
from bridgeflow.io.in_memory import memory_reader
from bridgeflow.io.listing import has_pattern
from bridgeflow.io.registry import format_of, formats

__all__ = ["open_sink", "open_source", "reopen", "require_writable"]


def open_source(
    source: Any,
    *,
    format: str | None = None,
    columns: Sequence[str] | None = None,
    nulls: ColumnNulls = "error",
    normalize: bool = False,
    max_nbytes: int | None = None,
    mapped: bool = True,
    roots: Roots = None,
) -> Source:
    """Open files, or arrays in memory, to read columns from.

    Args:
        source: the path of a file; a folder or a pattern (see `recordings`), whose files must have one schema and are
            read as one, in the order of their paths or of the folder's manifest; a table, record batch or dict of
            arrays; or any object with `__arrow_c_stream__` or `__arrow_c_array__` (polars, DuckDB, pandas).
        format: the format of the files, by name; `None` for what their suffixes say.
        columns: the columns to read, in this order; `None` for all. What has no names (npy, wav, a single array) takes
            them from here.
        nulls: `"error"` refuses columns with nulls, `"keep"` hands them on.
        normalize: read a wav file's integers as floats between -1 and 1, full scale: float32, which holds up to 24 bits
            exactly, or float64 for 32. Floats stay as they are. `False` reads the numbers of the file.
        max_nbytes: most bytes that a file may become when it is decoded; `None` for 512 MiB, or 250 times its own bytes
            where that is more. For files that are meant to be small and may come from anybody.
        mapped: give maps of large pieces of files where values can be used as they lie. `False` reads them, as jobs
            do: a file that another process makes shorter is then an error, and never the end of this process.
        roots: folders beneath one of which every file must lie, all links followed; `None` for anywhere.

    Raises:
        DataError: a file is missing, empty, of another format, cut off, damaged, or lacks a column; files differ in
            their columns; what is in memory has no columns; a file becomes more than `max_nbytes`, or has no full
            scale to normalize by.
        NotSupported: a `DataError` too: a file is whole, and of a kind that is not read.
        OSError: the disk is broken.

    Example:
        >>> import numpy as np, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "lead.npy"
        >>> np.save(path, np.arange(5, dtype=np.uint16))
        >>> with open_source(path, columns=["ecg"]) as source:
        ...     print(source.rows, source.specs["ecg"].dtype, source.read()["ecg"])
        5 uint16 [0 1 2 3 4]
        >>> open_source({"ecg": np.zeros((8, 360)), "label": np.arange(8)}).take([7, 0])["label"]
        array([7, 0])
    """
    wanted = None if columns is None else tuple(columns)
    options = SourceOptions(
        format=format,
        columns=wanted,
        nulls=nulls,
        normalize=normalize,
        max_nbytes=max_nbytes,
        mapped=mapped,
        roots=roots,
    )
    _check(options)
    if not isinstance(source, (str, os.PathLike)):
        if format is not None:
            raise ValueError(f"format: a {type(source).__name__} in memory has none, got {format!r}")
        path = Path(f"<{type(source).__name__}>")
        if normalize:
            raise data_error(path, "arrays in memory have no full scale", "leave out `normalize`")
        return Source(source, path, None, options, lambda: memory_reader(source, path, wanted))
    path, absolute = Path(source), os.path.abspath(source)
    if os.path.isdir(path) or has_pattern(path):
        return Source(absolute, path, None, options, lambda: _folder(path, options))
    form = format_of(path, format)
    if normalize and not form.writer.has_full_scale:
        raise data_error(path, f"a {form.name} file has no full scale", "leave out `normalize`")
    descriptor = open_regular(path, roots=roots)
    try:
        _require_magic(path, form, descriptor)
        return Source(absolute, path, form, options, lambda: form.reader(descriptor, path, options))
    finally:
        os.close(descriptor)


def _check(options: SourceOptions) -> None:
    if type(options.normalize) is not bool:
        raise ValueError(f"normalize: expected True or False, got {options.normalize!r}")
    limit = options.max_nbytes
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ValueError(f"max_nbytes: expected a number of bytes of at least 1, or None, got {limit!r}")


def reopen(given: Any, options: SourceOptions, identity: Any) -> Source:
    """The source that was pickled: the same files, unchanged.

    Raises:
        DataError: as `open_source`, and if another file has that name now, or a file has changed.
    """
    source = open_source(given, **vars(options))
    source.require_identity(identity)
    return source


def _folder(path: Path, options: SourceOptions) -> FolderReader:
    """The reader of the files of a folder or pattern."""

    def opened(file: Path) -> Source:
        return open_source(file, **vars(options))

    return FolderReader(path, listed(path, format=options.format, roots=options.roots), opened)


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
        path: the file; its folder is made where it is missing. Its suffix may be any but another format's.
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
        OSError: the disk is full or broken.

    Example:
        >>> import numpy as np, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "lead.parquet"
        >>> with open_sink(path, settings={"fs": 360}) as sink:
        ...     sink.write({"ecg": np.zeros(3)})
        ...     sink.write({"ecg": np.ones(2)})
        >>> sink.rows, open_source(path).specs["ecg"].fs
        (5, 360.0)
    """
    form = format_of(path, format)
    suffix = Path(path).suffix.lower()
    other = next((one.name for one in formats().values() if suffix in one.suffixes and one is not form), None)
    if other is not None and suffix not in form.suffixes:
        raise data_error(path, f"{suffix} is a suffix of {other} files, not of {form.name}", "give it another name")
    options = SinkOptions(
        compression=compression, dtype=dtype, on_overflow=on_overflow, normalize=normalize, settings=settings or {}
    )
    with writing(Path(path), form, options, overwrite=overwrite, roots=roots) as sink:
        yield sink


_OTHERS = {
    b"RIFX": "big-endian RIFF",
    b"riff\x2e\x91\xcf\x11": "Sony Wave64",
    b"FORM": "AIFF",
    b".snd": "Sun AU",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"ID3": "MP3",
    b"caff": "Core Audio",
    b"PARE": "encrypted Parquet",
    b"FEA1": "Feather version 1",
    b"ORC": "ORC",
    b"Obj\x01": "Avro",
    b"\x89HDF\r\n\x1a\n": "HDF5 (or MATLAB 7.3, or NetCDF)",
    b"MATLAB 5.0": "MATLAB",
    b"\x80\x02": "pickle",
    b"\x80\x03": "pickle",
    b"\x80\x04": "pickle",
    b"\x80\x05": "pickle",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}
"""How files of formats begin that are not read here, but have the suffixes of those that are."""


def require_writable(
    path: str | os.PathLike[str],
    columns: Mapping[str, Any],
    *,
    format: str | None = None,
    compression: Compression | None = None,
    dtype: SinkDtype | None = None,
    normalize: bool | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Refuse columns that a file could not hold, by their kinds, types and shapes; nothing is written.

    Args:
        path, format, compression, dtype, normalize, settings: as for `open_sink`.
        columns: a few rows.

    Raises:
        DataError: as writing them would.
    """
    options = SinkOptions(compression=compression, dtype=dtype, normalize=normalize, settings=settings or {})
    sink = Sink(Path(path), format_of(path, format), BytesIO(), options)
    try:
        sink.write(dict(columns))
    finally:
        sink._abandon()


def _require_magic(path: str | os.PathLike[str], form: Format, descriptor: int) -> None:
    """Tell a file of another format apart from a damaged one: the remedy differs."""
    head = os.pread(descriptor, 16, 0)
    if head.startswith(form.magic):
        return
    other = next((each for each in formats().values() if head.startswith(each.magic)), None)
    if other is not None:
        raise data_error(path, f"is no {form.name} file: it begins like {other.name}", f"read it as {other.name}")
    foreign = next((name for begin, name in _OTHERS.items() if head.startswith(begin)), None)
    if foreign is not None:
        problem = f"is no {form.name} file that is read here: it begins like {foreign}"
        raise not_supported(path, problem, f"{foreign} is not supported: convert it")
    if form.name == "arrow_stream" and _begins_with_a_size(head, os.fstat(descriptor).st_size):
        problem = "is no arrow_stream file that is read here: its messages are those of Arrow before version 0.15"
        raise not_supported(path, problem, "this is not supported: write it again without use_legacy_format")
    raise data_error(
        path,
        f"is no {form.name} file: it begins with {head!r}",
        f"{form.name} files begin with {' or '.join(map(repr, form.magic))}",
    )


def _begins_with_a_size(head: bytes, nbytes: int) -> bool:
    """Whether the first message of a stream begins with its size and a table near by, not with a continuation mark."""
    size, table = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:8], "little")
    return 16 <= size <= nbytes - 4 and not size % 4 and 8 <= table <= 64 and not table % 4
