"""Many recordings as one table: found by a pattern, named by a table, or of arrays in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias, overload

import numpy as np
import pyarrow as pa

from bridgeflow.errors import DataError, KeyNotFound, listed, nearest, quoted
from bridgeflow.io.disk_cache import DiskCache
from bridgeflow.io.recording_file import GridRule, MissingSamples, read_options
from bridgeflow.recordings.column import Units
from bridgeflow.recordings.files import absolute
from bridgeflow.recordings.foreign import as_recordings, is_foreign_recording
from bridgeflow.recordings.names import Names
from bridgeflow.recordings.recording import Columns, Missing, Recording
from bridgeflow.recordings.scan import ShowProgress, groups_in, joined, matching_files, opened, read_table
from bridgeflow.recordings.split_part import SplitPart
from bridgeflow.recordings.splits import (
    Splitter,
    as_fold_table,
    call_text,
    fold_names,
    folds,
    leave_one_group_out,
    part_names,
    parts,
)

__all__ = ["Recordings"]

Paths: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"

_FIXED = ("id", "path", "rate", "length", "seconds", "channels", "start")


class Recordings(Sequence[Recording]):
    r"""Recordings in a fixed order, each with an id of its own; an index that holds no samples.

    Args:
        paths: a file, a folder (the files in it whose suffix means a format), a pattern with `*`, `?`, `[a-z]` and `**`
            for any number of folders, or several of these. Or recordings, which MNE's `Raw` and ObsPy's `Stream` are
            too.
        group: a regular expression that is searched in each path; its named groups, as in `(?P<subject>S\d+)`, become
            labels.
        format: name of the format; `None` for what the suffixes say.
        fs: sampling rate in Hz, for files that do not say it.
        inside: path of the array inside HDF5 and Zarr files.
        time_axis: the axis of time in arrays of two axes.
        nulls: what samples that a file marks as missing become: `"error"`, `"nan"`, or `"gap"` between segments, for
            which the samples are read once now.
        time: the column of times in files of rows (Parquet, Arrow, CSV, npz) whose samples lie on no grid.
        regrid: the grid of those samples; the times are read once now.
        columns: columns of your own, see `with_columns`.
        missing: what happens where a recording lacks a channel of `columns`, see `pick`.
        units: what is read: `"raw"` numbers of the files, or `"physical"` values.
        threads: how many files are opened at a time; `None` for twice as many as there are processors, at most 16.
        progress: `True` for a bar on a terminal, or a function of how many files are done and how many there are.
        cache: a folder where headers are kept for the next program, or a `DiskCache`; those of files whose size and
            time are as they were are not read again.

    Attributes:
        part: which part of a split this is, a `SplitPart`; `None` for none.

    Raises:
        DataError: no file is there, one is damaged, `group` is not in a path, or two recordings would have one id.

    Example:
        >>> import numpy as np
        >>> arrays = {"a": np.zeros((2, 100), np.int16), "b": np.zeros((2, 50), np.int16)}
        >>> recordings = Recordings.from_arrays(arrays, fs=100, labels={"subject": [1, 2]})
        >>> recordings.filter(lambda recording: recording.duration >= 1)
        <Recordings: 1, from 'a' to 'a'>
        >>> recordings.table.select(["id", "rate", "length", "subject"]).to_pylist()[1]
        {'id': 'b', 'rate': 100.0, 'length': 50, 'subject': 2}
    """

    part: SplitPart | None = None

    def __init__(
        self,
        paths: Paths | Sequence[Recording],
        *,
        group: str | None = None,
        format: str | None = None,
        fs: float | Fraction | None = None,
        inside: str | None = None,
        time_axis: int = 0,
        nulls: MissingSamples = "error",
        time: str | None = None,
        regrid: GridRule | None = None,
        columns: Columns | None = None,
        missing: Missing = "error",
        units: Units = "raw",
        threads: int | None = None,
        progress: ShowProgress = False,
        cache: str | os.PathLike[str] | DiskCache | None = None,
    ) -> None:
        is_one = isinstance(paths, (str, os.PathLike)) or is_foreign_recording(paths)
        inputs = as_recordings([paths] if is_one else paths)  # type: ignore[arg-type]
        recordings = tuple(one for one in inputs if isinstance(one, Recording))
        named = [one for one in inputs if not isinstance(one, Recording)]
        if recordings and named:
            raise TypeError("expected recordings or paths, got both; add two indexes with +")
        if not recordings:
            options = read_options(
                format=format, fs=fs, inside=inside, time_axis=time_axis, nulls=nulls, time=time, regrid=regrid
            )
            files = matching_files(named, format)
            labels = [groups_in(group, path) for path in files.values()]
            asked = [absolute(one) for one in named]
            disk = DiskCache.of(cache)
            recordings = opened(files, labels, options, threads=threads, progress=progress, cache=disk, asked=asked)
        recordings = tuple(_with(one, columns, missing, units) for one in recordings)
        self._recordings = _distinct(recordings)

    @classmethod
    def from_table(
        cls,
        table: Any,
        *,
        path: str = "path",
        id: str | None = None,
        root: str | os.PathLike[str] | None = None,
        format: str | None = None,
        fs: float | Fraction | None = None,
        inside: str | None = None,
        time_axis: int = 0,
        nulls: MissingSamples = "error",
        time: str | None = None,
        regrid: GridRule | None = None,
        columns: Columns | None = None,
        missing: Missing = "error",
        units: Units = "raw",
        threads: int | None = None,
        progress: ShowProgress = False,
        cache: str | os.PathLike[str] | DiskCache | None = None,
    ) -> Recordings:
        """The recordings that a table names, one per row; its other columns become their labels.

        Args:
            table: path of a CSV, TSV, Parquet or Arrow file; a table, a dict of columns, or an object with
                `__arrow_c_stream__` (pandas, polars).
            path: the column of paths, which are relative to `root`.
            id: the column of ids; `None` for the paths without suffix.
            root: the folder of relative paths; `None` for that of the table's file.

        The other arguments are those of `Recordings`.

        Raises:
            DataError: no such column, a row without a path, or as for `Recordings`.
        """
        rows, folder = read_table(table, root)
        for name in (path, *([] if id is None else [id])):
            if name not in rows.column_names:
                raise DataError(f"table: no column {quoted(name)}; {nearest(name, rows.column_names)}")
        records = rows.to_pylist()
        names = [str(record[path]) for record in records]
        ids = [os.path.splitext(name)[0].replace("/", "_") for name in names]
        if id is not None:
            ids = [str(record[id]) for record in records]
        if any(record[path] is None for record in records):
            raise DataError(f"table: column {quoted(path)} has rows without a path; leave them out")
        files = _distinct_ids(zip(ids, (joined(folder, name) for name in names), strict=True))
        labels = [{key: value for key, value in record.items() if key not in (path, id)} for record in records]
        options = read_options(
            format=format, fs=fs, inside=inside, time_axis=time_axis, nulls=nulls, time=time, regrid=regrid
        )
        asked = ["table", path, absolute(folder)]
        disk = DiskCache.of(cache)
        recordings = opened(files, labels, options, threads=threads, progress=progress, cache=disk, asked=asked)
        return cls([_with(one, columns, missing, units) for one in recordings]) if recordings else cls._of(())

    @classmethod
    def from_arrays(
        cls, arrays: Any, *, fs: Any, labels: Mapping[str, Sequence[Any]] | None = None, **described: Any
    ) -> Recordings:
        """Recordings of arrays in memory, which are not copied.

        Args:
            arrays: id to array `[channels, time]`; or arrays, which are then called `"0"`, `"1"`, ...
            fs: sampling rate in Hz of all.
            labels: name to values, one per recording.
            described: the other arguments of `Recording.from_arrays`, for all.
        """
        named = arrays.items() if isinstance(arrays, Mapping) else ((str(n), x) for n, x in enumerate(arrays))
        recordings = [Recording.from_arrays(array, fs=fs, id=str(id), **described) for id, array in named]
        return cls._of(tuple(recordings)).with_labels(labels or {})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recordings:
        """The index that `save` wrote; no file of a recording is opened, each is compared in size and time.

        Raises:
            DataError: not such a file, or a file of a recording has changed since.
        """
        from bridgeflow.recordings.saved import load_index

        return cls._of(*load_index(path))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index and its `part` to a file, so that it need not be built again; what was there is replaced.

        Raises:
            DataError: a recording is in memory only.
        """
        from bridgeflow.recordings.saved import save_index

        save_index(path, self._recordings, self.part)

    @classmethod
    def _of(cls, recordings: Sequence[Recording], part: SplitPart | None = None) -> Recordings:
        self = cls.__new__(cls)
        self._recordings = _distinct(tuple(recordings))
        self.part = part
        return self

    def _each(self, function: Callable[[Recording], Recording]) -> Recordings:
        """Every recording changed, of the same part."""
        return self._of([function(one) for one in self._recordings], self.part)

    def __len__(self) -> int:
        return len(self._recordings)

    @overload
    def __getitem__(self, index: int | str) -> Recording: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | np.ndarray) -> Recordings: ...
    def __getitem__(self, index: Any) -> Any:
        """A recording by position or id; recordings by a slice or by positions."""
        if isinstance(index, str):
            for recording in self._recordings:
                if recording.id == index:
                    return recording
            raise KeyNotFound(f"no recording {quoted(index)}; {nearest(index, self.ids)}")
        if isinstance(index, slice):
            return self._of(self._recordings[index], self.part)
        if hasattr(index, "__iter__"):
            return self._of([self._recordings[int(number)] for number in index], self.part)
        return self._recordings[index]

    def __iter__(self) -> Iterator[Recording]:
        return iter(self._recordings)

    def __add__(self, other: Any) -> Recordings:
        """These recordings, and then the others.

        Raises:
            DataError: two would have one id.
        """
        return self._of((*self._recordings, *other)) if isinstance(other, Recordings) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return self._recordings == other._recordings if isinstance(other, Recordings) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._recordings)

    def __repr__(self) -> str:
        if not self._recordings:
            return "<Recordings: none>"
        return f"<Recordings: {len(self):,}, from {quoted(self[0].id)} to {quoted(self[-1].id)}>"

    def _repr_html_(self) -> str:
        from bridgeflow.recordings.notebook import recordings_html

        return recordings_html(self)

    @property
    def ids(self) -> list[str]:
        """The ids, in order."""
        return [recording.id for recording in self._recordings]

    @property
    def sources(self) -> list[Hashable]:
        """What tells recordings with the same samples: the path of each, or the source in memory."""
        sources: list[Any] = [one.source for one in self._recordings]
        return [getattr(one, "path", one) for one in sources]

    def digest(self) -> str:
        """What tells these recordings from others, wherever their files are: ids, and lengths between gaps."""
        digest = hashlib.sha256()
        for one in self._recordings:
            tracks = [track.segments for track in one.tracks]
            digest.update(repr((one.id, [[(start, stop) for start, stop, _ in each] for each in tracks])).encode())
        return digest.hexdigest()[:32]

    def labels(self, name: str) -> list[Any]:
        """The values of one label, `None` for recordings without it.

        Raises:
            KeyNotFound: no recording has it.
        """
        names = dict.fromkeys(label for recording in self._recordings for label in recording.labels)
        if name not in names and self._recordings:
            raise KeyNotFound(f"no label {quoted(name)}; {nearest(name, names)}")
        return [recording.labels.get(name) for recording in self._recordings]

    @property
    def table(self) -> pa.Table:
        """One row per recording: `id`, `path` (null in memory), `rate` (the highest, in Hz), `length` (in its samples),
        `seconds`, `channels` (names), `start`, and a column for each label; one named like a column before it
        is called `<name>_label`.
        """
        rows: dict[str, list[Any]] = {name: [] for name in _FIXED}
        for recording in self._recordings:
            fastest = max(
                zip(recording.channels, recording.tracks, strict=True), key=lambda one: one[0].rate, default=None
            )
            rows["id"].append(recording.id)
            rows["path"].append(getattr(recording.source, "path", None))
            rows["rate"].append(None if fastest is None else fastest[0].fs)
            rows["length"].append(0 if fastest is None else fastest[1].length)
            rows["seconds"].append(recording.duration)
            rows["channels"].append([channel.name for channel in recording.channels])
            rows["start"].append(None if recording.start is None else recording.start.isoformat())
        types = (pa.string(), pa.string(), pa.float64(), pa.int64(), pa.float64(), pa.list_(pa.string()), pa.string())
        columns = {name: pa.array(rows[name], kind) for name, kind in zip(_FIXED, types, strict=True)}
        for name in dict.fromkeys(label for recording in self._recordings for label in recording.labels):
            values = self.labels(name)
            column = f"{name}_label" if name in _FIXED else name
            try:
                columns[column] = pa.array(values)
            except (pa.ArrowInvalid, pa.ArrowTypeError):  # of several types
                columns[column] = pa.array([None if value is None else str(value) for value in values])
        return pa.table(columns)

    def filter(self, keep: Callable[[Recording], Any] | Sequence[Any] | np.ndarray | pa.Array) -> Recordings:
        """The recordings to keep, by a function of a recording or a mask with one value each.

        Raises:
            ValueError: the mask has another length.
        """
        if callable(keep):
            mask = [bool(keep(recording)) for recording in self._recordings]
        else:
            mask = [bool(value.as_py() if isinstance(value, pa.Scalar) else value) for value in keep]
        if len(mask) != len(self):
            raise ValueError(f"the mask has {len(mask)} values for {len(self)} recordings")
        return self._of([one for one, kept in zip(self._recordings, mask, strict=True) if kept], self.part)

    def pick(self, channels: Names, *, missing: Missing = "error") -> Recordings:
        """All recordings with these channels in this order; see `Recording.pick`."""
        return self._each(lambda one: one.pick(channels, missing=missing))

    def with_columns(self, columns: Columns, *, missing: Missing = "error") -> Recordings:
        """All recordings with columns of your own; see `Recording.with_columns`."""
        return self._each(lambda one: one.with_columns(columns, missing=missing))

    def rename(self, names: Mapping[str, str]) -> Recordings:
        """All recordings with other names for some channels; see `Recording.rename`."""
        return self._each(lambda one: one.rename(names))

    def with_units(self, units: Units) -> Recordings:
        """All recordings with columns that read `"raw"` numbers or `"physical"` values."""
        return self._each(lambda one: one.with_units(units))

    def with_labels(self, labels: Mapping[str, Sequence[Any]]) -> Recordings:
        """All recordings with labels in addition: name to values, one per recording.

        Raises:
            ValueError: another number of values.
        """
        values = {name: list(column) for name, column in labels.items()}
        for name, column in values.items():
            if len(column) != len(self):
                raise ValueError(f"label {name!r} has {len(column)} values for {len(self)} recordings")
        return self._of(
            [
                one.with_labels({name: column[number] for name, column in values.items()})
                for number, one in enumerate(self._recordings)
            ],
            self.part,
        )

    def split(
        self,
        fractions: Sequence[float],
        *,
        by: str | None = None,
        stratify: str | None = None,
        seed: int = 0,
    ) -> tuple[Recordings, ...]:
        """Parts that share no group, whose sizes are close to the fractions.

        Args:
            fractions: of the recordings, one per part, above 0 and 1 in all.
            by: the label whose values stay together, such as the subject; `None` for each recording by itself.
            stratify: the label whose values every part is to have in equal shares.
            seed: another one gives other parts.

        Raises:
            KeyNotFound: no such label.
            DataError: a recording has no value of the label, or there are fewer groups than parts.

        Example:
            >>> import numpy as np
            >>> many = Recordings.from_arrays([np.zeros(9)] * 10, fs=1, labels={"subject": list("aabbccddee")})
            >>> train, test = many.split((0.8, 0.2), by="subject")
            >>> len(train), len(test), set(train.labels("subject")) & set(test.labels("subject"))
            (8, 2, set())
        """
        members = parts(self, fractions, by=by, stratify=stratify, seed=seed)
        split, parent = call_text("split", tuple(fractions), by=by, stratify=stratify, seed=seed), self.digest()
        names = part_names(len(members))
        return tuple(
            self._of(self[part]._recordings, SplitPart(name, split, parent))
            for name, part in zip(names, members, strict=True)
        )

    def folds(
        self,
        k: int | Splitter | Mapping[str, Any] | pa.Table | str | os.PathLike[str],
        *,
        by: str | None = None,
        stratify: str | None = None,
        seed: int = 0,
    ) -> list[tuple[Recordings, Recordings]]:
        """Pairs of training and test recordings, each recording being in one of the `k` test parts.

        Args:
            k: how many; a splitter of scikit-learn, asked for `split(ids, labels of stratify, labels of by)`; or a
                table with columns `id` and `fold`, or the path of one (CSV, TSV, Parquet, Arrow): each value of `fold`
                is the test part once.

        Other arguments and errors as for `split`; a splitter or a table that puts one group or file on both sides is a
        `DataError`.
        """
        table = as_fold_table(k)
        members = folds(self, k if table is None else table, by=by, stratify=stratify, seed=seed)
        return self._pairs(members, call_text("folds", k, by=by, stratify=stratify, seed=seed))

    def fold_table(
        self, k: int | Splitter, *, by: str | None = None, stratify: str | None = None, seed: int = 0
    ) -> pa.Table:
        """The test folds of `folds` as a table with columns `id` and `fold`, to be written to a file and read again.

        Raises:
            DataError: as for `folds`; a recording that is in no test part, or in several.
        """
        fold_of: dict[int, int] = {}
        for number, (_, test) in enumerate(folds(self, k, by=by, stratify=stratify, seed=seed)):
            for position in np.asarray(test).tolist():
                if fold_of.setdefault(position, number) != number:
                    raise DataError(
                        f"recording {quoted(self.ids[position])} is in several test parts; no table has that"
                    )
        if lacking := [id for number, id in enumerate(self.ids) if number not in fold_of]:
            raise DataError(f"recordings in no test part: {listed(lacking)}; use a splitter that tests each once")
        return pa.table({"id": self.ids, "fold": [fold_of[number] for number in range(len(self))]})

    def _pairs(self, members: Sequence[tuple[Any, Any]], split: str) -> list[tuple[Recordings, Recordings]]:
        """Training and test recordings that know which they are."""
        parent = self.digest()
        return [
            tuple(  # type: ignore[misc]
                self._of(self[part]._recordings, SplitPart(name, split, parent))
                for name, part in zip(names, pair, strict=True)
            )
            for names, pair in zip(fold_names(len(members)), members, strict=True)
        ]

    def leave_one_group_out(self, by: str) -> list[tuple[Recordings, Recordings]]:
        """Pairs of training and test recordings: each value of the label is the test part once, in sorted order.

        Errors as for `split`.
        """
        return self._pairs(leave_one_group_out(self, by), call_text("leave_one_group_out", by))


def _with(recording: Recording, columns: Columns | None, missing: Missing, units: Units) -> Recording:
    chosen = recording if columns is None else recording.with_columns(columns, missing=missing)
    return chosen if units == chosen.units else chosen.with_units(units)


def _distinct(recordings: tuple[Recording, ...]) -> tuple[Recording, ...]:
    _distinct_ids((recording.id, None) for recording in recordings)
    return recordings


def _distinct_ids(pairs: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for id, value in pairs:
        if id in result:
            raise DataError(f"two recordings are called {quoted(id)}; give each an id of its own")
        result[id] = value
    return result
