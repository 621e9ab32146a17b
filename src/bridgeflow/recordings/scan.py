"""Finding the files of recordings, and opening many of them side by side."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from bridgeflow._threads import usable_cores
from bridgeflow.errors import DataError, nearest, quoted
from bridgeflow.io.arrow_file import arrow_file
from bridgeflow.io.commit import names_in
from bridgeflow.io.disk_cache import DiskCache
from bridgeflow.io.files import data_error, is_folder, reading_errors, shown
from bridgeflow.io.listing import has_pattern
from bridgeflow.io.listing import recordings as listed_files
from bridgeflow.io.opened import open_here
from bridgeflow.io.opening import open_source
from bridgeflow.io.recording_file import ReadOptions
from bridgeflow.io.urls import UrlPath, as_path, is_url
from bridgeflow.policy import parse_integer
from bridgeflow.recordings.files import FileSource, absolute, open_file
from bridgeflow.recordings.formats import format_of, recording_formats
from bridgeflow.recordings.recording import Recording
from bridgeflow.recordings.saved import cached_recordings, keep_recordings

__all__ = ["ShowProgress", "groups_in", "joined", "matching_files", "opened", "read_table"]

ShowProgress: TypeAlias = "bool | Callable[[int, int], None]"
"""`True` for a bar on a terminal, or a function of how many files are done and how many there are."""

_MOST_THREADS = 16


def matching_files(paths: Sequence[str | os.PathLike[str]], format: str | None) -> dict[str, Path]:
    """The files that paths, folders and patterns mean, by id, in their order.

    Raises:
        DataError: nothing is found.
    """
    if not paths:
        raise DataError("no recording was named; give a path, a pattern, or recordings")
    files: dict[str, Path] = {}
    for path in paths:
        for id, file in _files_of(path, format):
            unique = id if id not in files else shown(file)
            if files.setdefault(unique, file) is not file:
                raise data_error(file, "is named twice", "leave one out")
    return files


def _files_of(path: str | os.PathLike[str], format: str | None) -> Iterator[tuple[str, Path]]:
    path = as_path(path)
    if not is_folder(path) or has_pattern(path):
        yield from ((one.name, one.path) for one in listed_files(path))
        return
    if path.suffix.lower() in format_suffixes("zarr"):
        yield path.stem, path
        return
    formats = recording_formats().values() if format is None else [format_of(path, format)]
    suffixes = {suffix for one in formats for suffix in one.suffixes}
    names = [name for name in sorted(names_in(path)) if Path(name).suffix.lower() in suffixes and name[0] != "."]
    if not names:
        raise data_error(path, "no file in it is a recording", f"suffixes known: {' '.join(sorted(suffixes))}")
    for name in names:
        yield Path(name).stem, path / name


def format_suffixes(name: str) -> tuple[str, ...]:
    """The suffixes of a format."""
    form = recording_formats().get(name)
    return () if form is None else form.suffixes


def opened(
    files: Mapping[str, Path],
    labels: Sequence[Mapping[str, Any]],
    options: ReadOptions,
    *,
    threads: int | None,
    progress: ShowProgress,
    cache: DiskCache | None = None,
    asked: Sequence[str] = (),
) -> tuple[Recording, ...]:
    """The recordings of files, whose headers several threads read.

    Args:
        cache: where headers are kept between programs; those of files that are as they were are not read again.
        asked: the words that tell this index from others in the cache.

    Raises:
        DataError: a file is missing or damaged; the first in their order.
    """
    count = min(_MOST_THREADS, 2 * usable_cores()) if threads is None else threads
    parse_integer(count, field="threads", least=1)

    identity = {"asked": list(asked), "options": repr(options)}
    kept = {} if cache is None else cached_recordings(cache, identity)

    def recording(id: str, path: Path, own: Mapping[str, Any]) -> Recording:
        cached = kept.get(absolute(path))
        if cached is not None and isinstance(cached.source, FileSource) and cached.source.is_unchanged:
            return replace(cached, id=id, labels=dict(own))
        source, header = open_file(path, options)
        return Recording.of_source(id, source, header, labels=own)

    with _shown_progress(progress) as show, ThreadPoolExecutor(count) as pool:
        results = pool.map(recording, files, files.values(), labels)
        recordings = []
        try:
            for one in results:
                recordings.append(one)
                show(len(recordings), len(files))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if cache is not None and {one.source for one in kept.values()} != {one.source for one in recordings}:
        keep_recordings(cache, identity, recordings)
    return tuple(recordings)


@contextmanager
def _shown_progress(progress: ShowProgress) -> Iterator[Callable[[int, int], None]]:
    if callable(progress):
        yield progress
    elif progress and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("headers")
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        yield lambda done, total: None


def joined(folder: Path, name: str) -> Path:
    """The path of a file that a table names, which may be a URL."""
    return as_path(name) if is_url(name) else folder / name


_TEXT_TABLES = {".csv": ",", ".tsv": "\t"}


def read_table(table: Any, root: str | os.PathLike[str] | None) -> tuple[pa.Table, Path]:
    """A table, and the folder of the relative paths in it.

    Raises:
        DataError: the file is none, or has no rows of columns.
    """
    folder = Path() if root is None else as_path(root)
    if isinstance(table, Mapping):
        table = {name: pa.array(one) if isinstance(one, (list, tuple)) else one for name, one in table.items()}
    if not isinstance(table, (str, os.PathLike)):
        with open_source(table, nulls="keep") as source:
            return pa.table(source.read()), folder
    table = as_path(table)
    folder = table.parent if root is None else folder
    separator = _TEXT_TABLES.get(table.suffix.lower())
    if separator is None:
        with open_source(table, nulls="keep") as source:
            return pa.table(source.read()), folder
    from pyarrow import csv

    if isinstance(table, UrlPath):
        opened = open_here(table)
        with reading_errors(table, "csv"), arrow_file(opened) as file:
            return csv.read_csv(file, parse_options=csv.ParseOptions(delimiter=separator)), folder
    try:
        with pa.OSFile(os.fspath(table)) as file:
            return csv.read_csv(file, parse_options=csv.ParseOptions(delimiter=separator)), folder
    except FileNotFoundError as error:
        names = os.listdir(folder) if folder.is_dir() else []
        raise data_error(table, "no such file", nearest(table.name, names)) from error
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise data_error(table, f"is not a table ({error})", "a first line names its columns") from error


def groups_in(pattern: str | None, path: Path) -> dict[str, str]:
    """The named groups of a regular expression that is searched in a path.

    Raises:
        DataError: it matches nothing there.
    """
    if pattern is None:
        return {}
    match = re.search(pattern, path.as_posix())
    if match is None:
        raise DataError(f"{shown(path)}: group {quoted(pattern)} matches nothing in the path; correct the expression")
    return {name: value for name, value in match.groupdict().items() if value is not None}
