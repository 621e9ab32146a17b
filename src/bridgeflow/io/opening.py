"""Opening a path, a folder, a pattern or arrays in memory to read columns from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridgeflow.io.base import Format
from bridgeflow.io.files import Roots, data_error, is_folder, not_supported, require_beneath
from bridgeflow.io.folders import FolderReader, listed
from bridgeflow.io.formats.registry import all_formats, format_of
from bridgeflow.io.in_memory import memory_reader
from bridgeflow.io.listing import has_pattern
from bridgeflow.io.opened import OpenedFile, open_file
from bridgeflow.io.options import ColumnNulls, OpenOptions
from bridgeflow.io.source import Source
from bridgeflow.io.urls import UrlPath, as_path

__all__ = ["open_source", "reopen"]


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
            read as one, in the order of their paths or of the folder's manifest; the URL of one of these
            (`s3://bucket/key`, `https://host/a.parquet`), read by ranges; a table, record batch or dict of arrays; or
            any object with `__arrow_c_stream__` or `__arrow_c_array__` (polars, DuckDB, pandas).
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
        roots: folders beneath one of which every file must lie, all links followed, and URLs beneath which those must
            lie that are URLs; `None` for anywhere.

    Raises:
        StoreError: a store cannot be reached, or gives no ranges.
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
    options = OpenOptions(
        format=format,
        columns=None if columns is None else tuple(columns),
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
        return Source(source, path, None, options, lambda: memory_reader(source, path, options), reopen)
    path = as_path(source)
    if isinstance(path, UrlPath):
        require_beneath(path, roots)
    if is_folder(path) or has_pattern(path):
        absolute = path.url if isinstance(path, UrlPath) else os.path.abspath(path)
        return Source(absolute, path, None, options, lambda: _folder(path, options), reopen)
    return _file(path, options)


def _file(path: Path, options: OpenOptions) -> Source:
    """The source of one file."""
    form = format_of(path, options.format)
    if options.normalize and not form.writer.has_full_scale:
        raise data_error(path, f"a {form.name} file has no full scale", "leave out `normalize`")
    absolute = path.url if isinstance(path, UrlPath) else os.path.abspath(path)
    opened = open_file(path, roots=options.roots)
    try:
        _require_magic(opened, form)
        return Source(absolute, path, form, options, lambda: form.reader(opened, options), reopen)
    except BaseException:
        opened.close()
        raise


def _check(options: OpenOptions) -> None:
    if type(options.normalize) is not bool:
        raise ValueError(f"normalize: expected True or False, got {options.normalize!r}")
    limit = options.max_nbytes
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ValueError(f"max_nbytes: expected a number of bytes of at least 1, or None, got {limit!r}")


def reopen(opened: Any, options: OpenOptions, identity: Any) -> Source:
    """The source that was pickled: the same files, unchanged.

    Raises:
        DataError: as `open_source`, and if another file has that name now, or a file has changed.
    """
    source = open_source(opened, **vars(options))
    source.require_identity(identity)
    return source


def _folder(path: Path, options: OpenOptions) -> FolderReader:
    """The reader of the files of a folder or pattern."""
    files = listed(path, format=options.format, roots=options.roots)
    return FolderReader(path, files, lambda file: _file(file, options))


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


def _require_magic(opened: OpenedFile, form: Format) -> None:
    """Tell a file of another format apart from a damaged one: the remedy differs."""
    path, begin = opened.path, opened.read_at(512, 0)
    head = begin[:16]
    if form.begins(begin):
        return
    other = next((each for each in all_formats().values() if each.begins(begin)), None)
    if other is not None:
        raise data_error(path, f"is not a file of {form.name}: it begins like {other.name}", f"read it as {other.name}")
    foreign = next((name for begin, name in _OTHERS.items() if head.startswith(begin)), None)
    if foreign is not None:
        problem = f"is not a file of {form.name} that is read here: it begins like {foreign}"
        raise not_supported(path, problem, f"{foreign} is not supported: convert it")
    if form.name == "arrow_stream" and _begins_with_a_size(head, opened.nbytes):
        problem = "is not a file of arrow_stream that is read here: its messages are those of Arrow before version 0.15"
        raise not_supported(path, problem, "this is not supported: write it again without use_legacy_format")
    raise data_error(
        path,
        f"is not a file of {form.name}: it begins with {head!r}",
        f"{form.name} files {form.beginning}",
    )


def _begins_with_a_size(head: bytes, nbytes: int) -> bool:
    """Whether the first message of a stream begins with its size and a table near by, not with a continuation mark."""
    size, table = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:8], "little")
    return 16 <= size <= nbytes - 4 and not size % 4 and 8 <= table <= 64 and not table % 4
