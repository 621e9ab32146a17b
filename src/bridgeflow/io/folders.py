"""Many files of one schema as one source: their rows one after the other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakSet

import numpy as np

from bridgeflow._forks import call_in_children
from bridgeflow.io.base import Columns, Part, Reader
from bridgeflow.io.commit import JOB_RECORD, MANIFEST
from bridgeflow.io.files import Roots, data_error, shown
from bridgeflow.io.listing import recordings
from bridgeflow.io.mapped import Held
from bridgeflow.io.options import Settings
from bridgeflow.io.plain import by_part, gather_from, join, like
from bridgeflow.io.records import open_shard, read_manifest, wrong_size
from bridgeflow.io.source import Source
from bridgeflow.io.urls import UrlPath
from bridgeflow.spec import ArraySpec

__all__ = ["FolderReader", "Listed", "listed"]

KEPT_OPEN = 64
"""Files that are open at the same time."""


_LIVE: WeakSet[FolderReader] = WeakSet()


class Listed(NamedTuple):
    """A file to read: its name among the others, its path, and its rows where a manifest says them."""

    name: str
    path: Path
    rows: int | None


class FolderReader(Reader):
    """The rows of files that have the same columns, types and sampling rate.

    Each file is opened once to check it, and kept open as long as few others were used since; one that has changed in
    between is an error.
    """

    def __init__(self, path: Path, listed: Sequence[Listed], open: Callable[[Path], Source]) -> None:
        files = [one.path for one in listed]
        self._open = open
        self._files = files
        self._identities: list[Any] = []
        self._forget()
        settings: list[Settings] = []
        specs: list[dict[str, ArraySpec]] = []
        lengths: list[int] = []
        for number in range(len(files)):
            part = self._part(number)
            specs.append(part.specs)
            settings.append(part.settings)
            lengths.append(part.rows)
            self.format = part.format if not number or part.format is self.format else None
            self.seekable = self.seekable and part.seekable
            self.random_access = part.random_access and (self.random_access or not number)
            _require_same(path, files[0], specs[0], files[number], part.specs)
            if listed[number].rows not in (None, part.rows):
                problem = f"has {part.rows:,} rows, and its folder's manifest says {listed[number].rows:,}"
                raise data_error(files[number], problem, "run the job that wrote it again")
        bounds = [0, *accumulate(lengths)]
        self._bounds = np.array(bounds, np.int64)
        self.rows = bounds[-1]
        self.parts = tuple(map(Part, [one.name for one in listed], files, bounds, bounds[1:]))
        self.specs = {name: _joined([one[name] for one in specs], self.rows) for name in specs[0]}
        self._arrow = {name: self._no_rows(name, specs) for name, spec in self.specs.items() if spec.kind == "arrow"}
        self.settings = {
            key: value for key, value in settings[0].items() if all(key in s and s[key] == value for s in settings)
        }
        self.file = Held(path, tuple(self._identities))
        _LIVE.add(self)

    def _forget(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[int, Source] = OrderedDict()

    def _part(self, number: int) -> Source:
        with self._lock:
            source = self._kept.get(number)
            if source is None:
                source = self._kept[number] = self._open(self._files[number])
                if number == len(self._identities):
                    self._identities.append(source.identity)
                source.require_identity(self._identities[number])
                while len(self._kept) > KEPT_OPEN:
                    self._kept.popitem(last=False)  # which closes it once no caller reads from it
            self._kept.move_to_end(number)
            return source

    def _no_rows(self, name: str, specs: Sequence[dict[str, ArraySpec]]) -> Any:
        """A column that is an Arrow array in one of the files, without rows."""
        number = next(number for number, one in enumerate(specs) if one[name].kind == "arrow")
        return self._part(number).slice(0, 0)[name]

    def _uniform(self, columns: Columns) -> Columns:
        """The columns of one file, where those are Arrow arrays that are so in any file."""
        return {**columns, **{name: like(empty, columns[name]) for name, empty in self._arrow.items()}}

    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """Rows within one file are what that file gives; others are put together, which copies."""
        first = max(int(np.searchsorted(self._bounds, start, "right")) - 1, 0)
        last = int(np.searchsorted(self._bounds, stop, "left"))
        pieces = []
        for number, part in enumerate(self.parts[first:last], first):
            begin, end = max(start, part.start) - part.start, min(stop, part.stop) - part.start
            if begin < end:
                pieces.append(self._part(number).rows_between(begin, end, writable=writable))
        return self._together(pieces or [self._part(0).slice(0, 0)])

    def take(self, indices: Any) -> Columns:
        """The rows of each file at once, then all in the order asked for."""
        if not len(indices):
            return self._together([self._part(0).slice(0, 0)])
        numbers = np.searchsorted(self._bounds, indices, "right") - 1
        local = indices - self._bounds[numbers]
        needed, groups = by_part(numbers)
        if len(needed) == 1:
            return self._uniform(self._part(needed[0]).rows_at(local))
        pieces = [self._part(number).rows_at(local[group]) for number, group in zip(needed, groups, strict=True)]
        every = [np.arange(len(group)) for group in groups]
        return {name: gather_from([one[name] for one in pieces], every, groups) for name in self.specs}

    def batches(self, rows: int, start: int, stop: int) -> Iterator[Columns]:
        """Pieces within one file come as that file gives them, front to back."""
        held: list[Columns] = []
        count = 0
        for number, part in enumerate(self.parts):
            begin, end = max(start, part.start), min(stop, part.stop)
            while begin < end:
                if not held and end - begin >= rows:
                    whole = begin + (end - begin) // rows * rows
                    chunks = self._part(number).chunks(rows, start=begin - part.start, stop=whole - part.start)
                    yield from map(self._uniform, chunks)
                    begin = whole
                    continue
                cut = min(end, begin + rows - count)
                held.append(self._part(number).rows_between(begin - part.start, cut - part.start))
                begin, count = cut, count + cut - begin
                if count == rows:
                    yield self._together(held)
                    held, count = [], 0
        if held:
            yield self._together(held)

    def _together(self, held: Sequence[Columns]) -> Columns:
        if len(held) > 1:
            return {name: join([one[name] for one in held]) for name in self.specs}
        return self._uniform(held[0]) if self._arrow else held[0]

    def close(self) -> None:
        """Close all files."""
        super().close()
        with self._lock:
            self._kept.clear()


def listed(path: Path, *, format: str | None, roots: Roots) -> list[Listed]:
    """The files that a folder or a pattern means, in order. A folder with the results of a job means what its manifest
    says, and as long as there is none, nothing yet.

    Raises:
        DataError: as `recordings`; a manifest that is damaged or lists what is not there; a job that has not finished.
    """
    if not path.is_dir() or not (path / JOB_RECORD).exists():
        return [Listed(one.name, one.path, None) for one in recordings(path, format=format, roots=roots)]
    if not (path / MANIFEST).exists():
        raise data_error(path, "has the results of a job that has not finished", "run the job again: it goes on")
    files = []
    sizes = {one.name: one.nbytes for one in path.entries()} if isinstance(path, UrlPath) else {}
    for shard in read_manifest(path, roots=roots).shards:
        if shard.name not in sizes:  # of a folder of this machine, or missing
            open_shard(path, shard, roots=roots).close()
        elif sizes[shard.name] != shard.nbytes:
            raise wrong_size(path, shard, sizes[shard.name])
        files.append(Listed(Path(shard.name).stem, path / shard.name, shard.rows))
    if not files:
        raise data_error(path / MANIFEST, "lists no shards", "the job that wrote it made no rows")
    return files


def _require_same(
    path: Path, first: Path, expected: dict[str, ArraySpec], other: Path, specs: dict[str, ArraySpec]
) -> None:
    """Refuse a file whose columns are others than the first file's."""
    if list(specs) != list(expected):
        problem = f"has columns {', '.join(specs)}, and {shown(first)} has {', '.join(expected)}"
        raise data_error(other, problem, f"name files of one schema in {shown(path)}, or choose with `columns`")
    for name, one in expected.items():
        two = specs[name]
        if (one.dtype, one.shape[1:], one.layout, one.fs) != (two.dtype, two.shape[1:], two.layout, two.fs):
            is_one, is_two = (f"{s.dtype} of {list(s.shape[1:])} at {s.fs} Hz" for s in (one, two))
            raise data_error(other, f"is {is_two}, and in {shown(first)} {is_one}", "convert one of them", column=name)


def _joined(specs: Sequence[ArraySpec], rows: int) -> ArraySpec:
    counts = [spec.null_count for spec in specs]
    nulls = None if None in counts else sum(count or 0 for count in counts)
    shape = (rows, *specs[0].shape[1:])
    arrow = next((spec for spec in specs if spec.kind == "arrow"), specs[0])
    joined = replace(arrow, shape=shape, null_count=nulls, nbytes=None)
    return replace(joined, nbytes=joined.expected_nbytes() if specs[0].nbytes is not None else None)


def _forget_in_child() -> None:
    for reader in _LIVE:
        reader._forget()


call_in_children(_forget_in_child)
