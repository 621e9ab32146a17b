"""The formats of recordings: which file is which, and which module reads it."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from bridgeflow.io.files import reading_errors, shown
from bridgeflow.io.formats.registry import choose_format
from bridgeflow.io.recording_file import Grid, ReadOptions, RecordingReader
from bridgeflow.io.urls import UrlPath

__all__ = ["RecordingFormat", "files_of", "format_of", "open_reader", "recording_formats"]


class RecordingFormat(NamedTuple):
    """One format: name, suffixes that mean it, module in `io.formats`, what it is, and whether its files say rates."""

    name: str
    suffixes: tuple[str, ...]
    module: str
    about: str
    says_rate: bool = True


_CONTAINERS = ("hdf5", "zarr")
"""Formats that hold arrays by path."""

_ROWS = "whose rows are time steps and whose columns of numbers are channels"

_FORMATS = (
    RecordingFormat("edf", (".edf", ".bdf", ".rec"), "edf", "EDF, EDF+, BDF and BDF+, of EEG and sleep"),
    RecordingFormat("wfdb", (".hea",), "wfdb_record", "WFDB records of PhysioNet, by their headers"),
    RecordingFormat(
        "audio",
        (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".w64", ".caf", ".au"),
        "audio",
        "FLAC, Ogg Vorbis and Opus, MP3, AIFF and wav",
    ),
    RecordingFormat(
        "hdf5", (".h5", ".hdf5", ".hdf", ".mat"), "hdf5", "an array in HDF5, or in MATLAB's since 7.3", False
    ),
    RecordingFormat("zarr", (".zarr",), "zarr_array", "an array in a Zarr folder", False),
    RecordingFormat("miniseed", (".mseed", ".miniseed", ".ms"), "miniseed", "MiniSEED of seismology"),
    RecordingFormat("csv", (".csv", ".tsv"), "rows", f"CSV and TSV, {_ROWS}", False),
    RecordingFormat(
        "rows",
        (".parquet", ".arrow", ".feather", ".arrows", ".npy", ".npz"),
        "rows",
        f"Parquet, Arrow, npy and npz, {_ROWS}",
        False,
    ),
)


@cache
def recording_formats() -> dict[str, RecordingFormat]:
    """All formats by name."""
    return {one.name: one for one in _FORMATS}


def format_of(path: str | os.PathLike[str], name: str | None = None) -> RecordingFormat:
    """The format of this name, or that the path's suffix means; errors as `choose_format`."""
    return choose_format(path, name, recording_formats())


def files_of(path: Path, name: str | None) -> list[Path]:
    """The files that hold a recording: the one that was named, and those of WFDB and Zarr beside or beneath it."""
    if isinstance(path, UrlPath):
        return [path]
    if path.is_dir():
        return [Path(folder, file) for folder, _, files in os.walk(path) for file in files]
    if format_of(path, name).name == "wfdb":
        module = import_module("bridgeflow.io.formats.wfdb_record")
        return list(module.files_of(path))
    return [path]


def open_reader(path: Path, options: ReadOptions) -> RecordingReader:
    """Open a file of a recording and read its header.

    Raises:
        DataError: the file is missing, damaged, cut off or of another format.
        ValueError: an option that the format does not take.
        MissingDependency: the format's library is not installed.
    """
    form = format_of(path, options.format)
    if options.fs is not None and form.says_rate:
        raise ValueError(f"fs: {shown(path)} says its sampling rate; leave fs out")
    if form.name not in _CONTAINERS and (options.inside is not None or options.time_axis):
        field = "time_axis" if options.inside is None else "inside"
        raise ValueError(f"{field}: is for {' and '.join(_CONTAINERS)}, and {shown(path)} is {form.name}; leave it out")
    if options.grid is not None and form.module != "rows":
        raise ValueError(f"time: is for files of rows, and {shown(path)} is {form.name}; leave it out")
    module = import_module(f"bridgeflow.io.formats.{form.module}")
    with reading_errors(path, form.name):
        reader: RecordingReader = module.open_recording(path, options)
        return reader if options.grid is None else _on_grid(path, reader, options.grid)


def _on_grid(path: Path, reader: Any, grid: Grid) -> RecordingReader:
    from bridgeflow.recordings.timed import TimedReader

    return TimedReader(path, reader, grid)
