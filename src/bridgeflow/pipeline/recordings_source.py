"""Recordings as the source of a job or of a pipeline file: which files, which channels, and what is known of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from bridgeflow.errors import BridgeflowError, ConfigError
from bridgeflow.io import Roots
from bridgeflow.io.files import data_error, is_beneath, open_regular, plainly, shown
from bridgeflow.io.options import option
from bridgeflow.io.recording_file import GridMethod, MissingSamples, TimeUnit
from bridgeflow.io.urls import UrlPath
from bridgeflow.pipeline.chains import WholeRecordings
from bridgeflow.recordings import Recordings, Regrid
from bridgeflow.recordings.column import Units
from bridgeflow.recordings.files import FileSource
from bridgeflow.recordings.recording import Missing
from bridgeflow.recordings.saved import load_index
from bridgeflow.recordings.scan import joined, matching_files, read_table

__all__ = ["RecordingsSource"]

_RATE = {"ge": 1e-9, "le": 1e12}


@dataclass(frozen=True, kw_only=True)
class RegridOptions:
    """The regular grid onto which samples at the times of a column are brought, as `bridgeflow.Regrid` has it."""

    to_hz: float = option(100.0, "Rate of the grid in Hz.", **_RATE)
    method: GridMethod = option(
        "linear", "What a grid point gets: the line between its neighbours, the `previous` value, or the `nearest`."
    )
    max_gap: float | None = option(
        None, "Seconds between two samples beyond which there is a gap; none where left out.", gt=0, le=1e12
    )
    unit: TimeUnit | None = option(None, "What times that are integers count; timestamps know it.")


@dataclass(frozen=True, kw_only=True)
class RecordingsSource:
    """Where recordings come from, as plain values: one of `recordings`, `table` and `index`, and the options of
    `bridgeflow.Recordings`.

    Args:
        recordings: files, folders and patterns.
        table: a file with a row for each recording, whose other columns become labels.
        index: a file that `Recordings.save` wrote.
        root: the folder of the paths in the table; `None` for the table's own.
    """

    where: ClassVar[tuple[str, ...]] = ("recordings", "table", "index", "root")
    """The fields that are paths."""

    recordings: tuple[Path, ...] = ()
    table: Path | None = None
    index: Path | None = None
    root: Path | None = None
    path: str | None = option(None, "Of a table: the column of paths; `path` where left out.")
    id: str | None = option(
        None, "Of a table: the column of ids; where left out, ids are the paths without their suffix."
    )
    group: str | None = option(
        None,
        "A regular expression that is searched in each path; its named groups, as in `(?P<subject>S[0-9]+)`, become "
        "labels. Without groups within repetitions, alternatives within them, and back references.",
        max_length=200,
    )
    format: str | None = option(None, "Name of the files' format, as in `edf` or `wfdb`; else what their suffixes say.")
    fs: float | None = option(None, "Sampling rate in Hz, for files that do not say it.", **_RATE)
    inside: str | None = option(None, "Path of the array inside HDF5 and Zarr files.")
    time_axis: int = option(0, "The axis of time in arrays of two axes of HDF5 and Zarr files.", ge=-2, le=1)
    nulls: MissingSamples = option(
        "error",
        "What samples that a file marks as missing become: an `error`, `nan`, or a `gap`, which no window spans.",
    )
    time: str | None = option(None, "The column of times, for samples at irregular times; `regrid` says the grid.")
    regrid: RegridOptions | None = option(None, "The regular grid for samples at the times of a column.")
    rename: Mapping[str, str] | None = option(None, "Other names for some channels: old name to new name.")
    channels: str | tuple[str, ...] | None = option(
        None,
        "Channels to read, in this order, by name or by pattern (`*`, `?`, `[...]`); all where left out.",
        min_length=1,
    )
    columns: Mapping[str, str | tuple[str, ...]] | None = option(
        None,
        "Which channels make which column, by name or pattern; where left out, those of one rate make `signal`.",
        min_length=1,
    )
    missing: Missing = option(
        "error",
        "What happens where a recording lacks a channel: an `error`, or `pad`, a row of NaN (0 among integers).",
    )
    units: Units = option("raw", "What is read: the `raw` numbers of the files, or `physical` values.")
    whole: WholeRecordings = option(
        "refuse",
        "What happens to a stage before the windows that needs the whole recording: `refuse`, or `cache`, which "
        "computes it once for each recording, in memory.",
    )
    state_nbytes: int = option(16 << 20, "Bytes of filter states that each recording may keep.", ge=0, le=2**40)
    cache_nbytes: int = option(
        64 << 20, "Bytes of what was computed lately and is kept, of all recordings together.", ge=0, le=2**40
    )

    @property
    def named(self) -> Path:
        """The first path, for messages."""
        return next(iter(self.paths.values()))

    @property
    def paths(self) -> dict[str, Path]:
        """The paths by the keys that name them, numbered where one key names several."""
        single = {"table": self.table, "index": self.index}
        several = {f"recordings[{number}]": path for number, path in enumerate(self.recordings)}
        return {**several, **{key: path for key, path in single.items() if path is not None}}

    def open(self, roots: Roots = None, *, progress: Any = False, cache: Any = None) -> Recordings:
        """The recordings, whose headers are read now.

        Args:
            roots: folders beneath which every file must lie, links followed; `None` for anywhere.
            progress, cache: see `Recordings`.

        Raises:
            DataError: a file is missing, damaged, or lies outside the roots; a recording lacks a channel.
            ConfigError: an option that the files do not take; names it.
        """
        try:
            index = self._read(roots, progress, cache)
            _require_beneath([one.source.path for one in index if isinstance(one.source, FileSource)], roots)
            if self.rename is not None:
                index = index.rename(self.rename)
            if self.channels is not None:
                index = index.pick(self.channels, missing=self.missing)
            if self.columns is not None:
                index = index.with_columns(self.columns, missing=self.missing)
        except BridgeflowError:
            raise
        except ValueError as error:  # of an option; messages begin with its name
            field, _, problem = str(error).partition(": ")
            raise ConfigError(problem or field, field=field if problem else None) from error
        index = index if self.units == "raw" else index.with_units(self.units)
        mixed = _mixed(index)
        return index._each(lambda one: _with_plain_labels(one, mixed)) if mixed else index

    def _read(self, roots: Roots, progress: Any, cache: Any) -> Recordings:
        options: dict[str, Any] = {
            "format": self.format,
            "fs": self.fs,
            "inside": self.inside,
            "time_axis": self.time_axis,
            "nulls": self.nulls,
            "time": self.time,
            "regrid": None if self.regrid is None else Regrid(**vars(self.regrid)),
            "progress": progress,
            "cache": cache,
        }
        if self.index is not None:
            os.close(open_regular(self.index, roots=roots))
            return Recordings._of(*load_index(self.index, roots=roots))
        if self.table is not None:
            os.close(open_regular(self.table, roots=roots))
            rows, folder = read_table(self.table, self.root)
            column = self.path or "path"
            if column in rows.column_names:
                names = [name for name in rows.column(column).to_pylist() if name is not None]
                _require_files([joined(folder, str(name)) for name in names], roots)
            return Recordings.from_table(rows, path=column, id=self.id, root=folder, **options)
        _require_files(list(matching_files(self.recordings, self.format).values()), roots)
        return Recordings(self.recordings, group=self.group, **options)


def _require_files(paths: Sequence[Path], roots: Roots) -> None:
    """Refuse what lies outside the roots, and what is neither a regular file nor a folder (of Zarr)."""
    _require_beneath(paths, roots)
    for path in paths:
        if isinstance(path, UrlPath):  # which opening it will see
            continue
        with plainly(path):
            mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise data_error(path, "is not a regular file", "leave it out, or name the files")


def _require_beneath(paths: Sequence[str | Path], roots: Roots) -> None:
    if roots is None:
        return
    for path in paths:
        if not is_beneath(path, roots):
            names = " and ".join(dict.fromkeys(shown(root) for root in roots))
            remedy = "files must lie beneath a root: name its folder with --root"
            raise data_error(path, f"lies outside of {names}", remedy)


def _mixed(recordings: Recordings) -> frozenset[str]:
    """The labels that are whole numbers in some recordings and other numbers in others."""
    kinds: dict[str, set[bool]] = {}
    for one in recordings:
        for name, value in one.labels.items():
            if type(value) in (int, float):
                kinds.setdefault(name, set()).add(type(value) is int)
    return frozenset(name for name, kind in kinds.items() if len(kind) > 1)


def _with_plain_labels(recording: Any, names: frozenset[str]) -> Any:
    """The recording with these labels as floats."""
    labels = {name: float(value) for name, value in recording.labels.items() if name in names and value is not None}
    return replace(recording, labels={**recording.labels, **labels})
