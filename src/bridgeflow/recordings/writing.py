"""Recordings written into files, of every format that can hold them."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from bridgeflow.errors import nearest, quoted
from bridgeflow.io.commit import refuse_existing
from bridgeflow.io.files import data_error, refuse_overlap, require_local
from bridgeflow.io.recording_content import RecordingContent, RecordingOutput
from bridgeflow.io.urls import as_path

__all__ = ["WrittenFormat", "WrittenRecording", "format_suffix", "write_content", "written_formats"]


class WrittenFormat(NamedTuple):
    """A format that recordings are written in: name, suffixes, class and its module in `io.formats`."""

    name: str
    suffixes: tuple[str, ...]
    output: str
    module: str


_FORMATS = (
    WrittenFormat("parquet", (".parquet", ".pq"), "ParquetOutput", "rows_writer"),
    WrittenFormat("arrow", (".arrow", ".feather"), "ArrowOutput", "rows_writer"),
    WrittenFormat("hdf5", (".h5", ".hdf5"), "Hdf5Output", "array_writers"),
    WrittenFormat("zarr", (".zarr",), "ZarrOutput", "array_writers"),
    WrittenFormat("edf", (".edf",), "EdfOutput", "edf_writer"),
    WrittenFormat("bdf", (".bdf",), "EdfOutput", "edf_writer"),
    WrittenFormat("wfdb", (".hea",), "WfdbOutput", "wfdb_writer"),
    WrittenFormat("flac", (".flac",), "FlacOutput", "flac_writer"),
    WrittenFormat("wav", (".wav",), "WavOutput", "rows_writer"),
    WrittenFormat("npz", (".npz",), "NpzOutput", "rows_writer"),
    WrittenFormat("npy", (".npy",), "NpyOutput", "rows_writer"),
)


class WrittenRecording(NamedTuple):
    """What was written: where, and what of the recording was left out."""

    path: Path
    left_out: tuple[str, ...]


def written_formats() -> dict[str, WrittenFormat]:
    """All formats that recordings are written in, by name."""
    return {one.name: one for one in _FORMATS}


def write_content(
    content: RecordingContent,
    path: str | os.PathLike[str],
    *,
    source: object,
    lossy: bool,
    overwrite: bool,
) -> WrittenRecording:
    """Write a recording into a file; see `Recording.write`.

    Args:
        source: where its samples come from, which may be a file.
    """
    target = as_path(path)
    require_local(target)
    form = next((one for one in _FORMATS if target.suffix.lower() in one.suffixes), None)
    if form is None:
        suffixes = [suffix for one in _FORMATS for suffix in one.suffixes]
        problem = f"no format that is written has the suffix {target.suffix!r}"
        raise data_error(path, problem, nearest(target.suffix, suffixes))
    if form.name != "zarr":
        refuse_existing(target, overwrite=overwrite)
    if (read := getattr(source, "path", None)) is not None:
        refuse_overlap({"output": target}, {"input": read})
    output_class = getattr(import_module(f"bridgeflow.io.formats.{form.module}"), form.output)
    output: RecordingOutput = output_class(target, content)
    if output.losses and not lossy:
        remedy = "pass --lossy (lossy=True) to leave it out, or write Parquet, Arrow, HDF5 or Zarr"
        more = f" and {len(output.losses) - 6} more" if len(output.losses) > 6 else ""
        raise data_error(path, f"{form.name} has no place for {', '.join(output.losses[:6])}{more}", remedy)
    output.write(overwrite=overwrite)
    return WrittenRecording(target, tuple(output.losses))


def format_suffix(name: str) -> str:
    """The suffix of a format that is written.

    Raises:
        ValueError: there is no format of this name.
    """
    if name not in written_formats():
        raise ValueError(f"to: no format {quoted(name)} is written; {nearest(name, written_formats())}")
    return written_formats()[name].suffixes[0]
