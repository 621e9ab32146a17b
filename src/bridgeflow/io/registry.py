"""Formats by name and by file suffix, found in this folder: adding one is adding a file that ends in `FORMATS`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any

from bridgeflow.errors import nearest
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
from bridgeflow.io.files import Roots, data_error, open_regular
from bridgeflow.io.mapped import Identity

__all__ = ["format_of", "formats", "open_sink", "open_source"]


@cache
def formats() -> Mapping[str, Format]:
    """Every format by name.

    >>> sorted(formats())
    ['arrow', 'arrow_stream', 'npy', 'parquet', 'wav']
    """
    package = import_module(__package__)
    modules = (import_module(f"{__package__}.{module.name}") for module in iter_modules(package.__path__))
    found = {form.name: form for module in modules for form in getattr(module, "FORMATS", ())}
    return MappingProxyType(dict(sorted(found.items())))


def format_of(path: str | os.PathLike[str], name: str | None = None) -> Format:
    """The format of this name, or else the one that the file's suffix means.

    >>> format_of("lead.pq").name
    'parquet'
    """
    known = formats()
    if name is not None:
        if name not in known:
            raise ValueError(f"no format {name!r}; {nearest(name, known)}")
        return known[name]
    suffix = Path(path).suffix.lower()
    by_suffix = {each: form for form in known.values() for each in form.suffixes}
    if suffix not in by_suffix:
        raise data_error(path, f"no format has the suffix {suffix!r}", f"name the format; {nearest(suffix, by_suffix)}")
    return by_suffix[suffix]


def open_source(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    columns: Sequence[str] | None = None,
    nulls: ColumnNulls = "error",
    roots: Roots = None,
) -> Source:
    """Open a file to read columns from.

    Args:
        path: the file.
        format: its format, by name; `None` for what its suffix says.
        columns: the columns to read, in this order; `None` for all. An npy file has one, and takes its name from here.
        nulls: `"error"` refuses columns with nulls, `"keep"` hands them on.
        roots: folders beneath one of which the file must lie, all links followed; `None` for anywhere.

    Raises:
        DataError: the file is missing, empty, of another format, cut off, damaged, or lacks a column.

    Example:
        >>> import numpy as np, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "lead.npy"
        >>> np.save(path, np.arange(5, dtype=np.uint16))
        >>> with open_source(path, columns=["ecg"]) as source:
        ...     print(source.rows, source.specs["ecg"].dtype, source.read()["ecg"])
        5 uint16 [0 1 2 3 4]
    """
    form = format_of(path, format)
    wanted = None if columns is None else tuple(columns)
    descriptor = open_regular(path, roots=roots)
    try:
        _require_magic(path, form, descriptor)
        return Source(Path(path), form, descriptor, SourceOptions(columns=wanted, nulls=nulls, roots=roots))
    finally:
        os.close(descriptor)


def reopen(path: str, format: str, options: SourceOptions, identity: Identity) -> Source:
    """The source that was pickled: the same file, unchanged.

    Raises:
        DataError: as `open_source`, and if another file has that name now, or the file has changed.
    """
    source = open_source(path, format=format, columns=options.columns, nulls=options.nulls, roots=options.roots)
    source.require_identity(identity)
    return source


@contextmanager
def open_sink(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    overwrite: Overwrite = False,
    compression: Compression | None = None,
    dtype: SinkDtype | None = None,
    on_overflow: OnOverflow = "raise",
    settings: Mapping[str, Any] | None = None,
    roots: Roots = None,
) -> Iterator[Sink]:
    """Write a file that appears under its name, complete, when the block ends, and not at all when the block fails.

    The bytes depend on the rows and the settings alone: not on the time, the machine, or how the rows were cut.

    Args:
        path: the file; its folder is made where it is missing.
        format: its format, by name; `None` for what its suffix says.
        overwrite: whether an existing file may be replaced; `"same"`: only if it holds the same bytes, and so stays.
        compression: one of the format's words; `None` for the format's own choice.
        dtype: element type that every column is written in, nearest values; `None` for what they are. `"int24"` (wav):
            counts of int32 whose lowest byte falls away.
        on_overflow: `"raise"` refuses values out of the range of `dtype`, `"saturate"` takes the nearest and counts
            them in `Sink.saturated`. NaN has no integer and is always an error.
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
    options = SinkOptions(compression=compression, dtype=dtype, on_overflow=on_overflow, settings=settings or {})
    with writing(Path(path), form, options, overwrite=overwrite, roots=roots) as sink:
        yield sink


def _require_magic(path: str | os.PathLike[str], form: Format, descriptor: int) -> None:
    """Tell a file of another format apart from a damaged one: the remedy differs."""
    head = os.pread(descriptor, 16, 0)
    if head.startswith(form.magic):
        return
    other = next((each for each in formats().values() if head.startswith(each.magic)), None)
    if other is not None:
        raise data_error(path, f"is no {form.name} file: it begins like {other.name}", f"read it as {other.name}")
    raise data_error(
        path,
        f"is no {form.name} file: it begins with {head!r}",
        f"a {form.name} file begins with {' or '.join(map(repr, form.magic))}",
    )
