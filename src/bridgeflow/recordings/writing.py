"""Recordings written into files, of every format that can hold them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bridgeflow.errors import nearest, quoted
from bridgeflow.io.commit import refuse_existing
from bridgeflow.io.files import data_error, refuse_overlap
from bridgeflow.io.recording_content import RecordingContent, RecordingOutput, SampleGroup
from bridgeflow.io.recording_file import Channel, Track
from bridgeflow.recordings.column import Column
from bridgeflow.recordings.recording import Recording

__all__ = ["WrittenFormat", "WrittenRecording", "format_suffix", "write_recording", "written_formats"]


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


def write_recording(
    recording: Recording,
    path: str | os.PathLike[str],
    *,
    lossy: bool = False,
    overwrite: bool = False,
    on_samples: Callable[[int], None] = lambda count: None,
) -> WrittenRecording:
    """Write a recording into a file; see `Recording.write`.

    Args:
        on_samples: told how many values have been written, one for each block.
    """
    target = Path(path)
    form = next((one for one in _FORMATS if target.suffix.lower() in one.suffixes), None)
    if form is None:
        suffixes = [suffix for one in _FORMATS for suffix in one.suffixes]
        problem = f"no format that is written has the suffix {target.suffix!r}"
        raise data_error(path, problem, nearest(target.suffix, suffixes))
    if form.name != "zarr":
        refuse_existing(target, overwrite=overwrite)
    source = getattr(recording.source, "path", None)
    if source is not None:
        refuse_overlap({"output": target}, {"input": source})
    output_class = getattr(import_module(f"bridgeflow.io.formats.{form.module}"), form.output)
    output: RecordingOutput = output_class(target, _content(recording, on_samples))
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


def _content(recording: Recording, on_samples: Callable[[int], None]) -> RecordingContent:
    """All that is written of a recording: the channels of its columns, by rate."""
    members = sorted({number for layout in recording.layout.values() for number in layout})
    groups: dict[tuple[Fraction, Track], list[int]] = {}
    for number in members:
        groups.setdefault((recording.channels[number].rate, recording.tracks[number]), []).append(number)
    return RecordingContent(
        groups=tuple(_group(recording, numbers) for numbers in groups.values()),
        start=recording.start,
        events=recording.events,
        metadata=recording.metadata,
        on_samples=on_samples,
    )


def _group(recording: Recording, numbers: list[int]) -> SampleGroup:
    """Channels of one rate; each is read with those of its own dtype, so that no value changes."""
    by_dtype: dict[str, list[int]] = {}
    for number in numbers:
        by_dtype.setdefault(recording.channels[number].dtype, []).append(number)
    columns = {
        dtype: replace(recording, layout={"signal": tuple(members)}).columns["signal"]
        for dtype, members in by_dtype.items()
    }

    def rows(start: int, stop: int) -> list[np.ndarray]:
        by_number: dict[int, np.ndarray] = {}
        for dtype, members in by_dtype.items():
            by_number.update(zip(members, columns[dtype].read(start, stop), strict=True))
        return [by_number[number] for number in numbers]

    return SampleGroup(
        channels=tuple(_written(recording, number, columns) for number in numbers),
        numbers=tuple(numbers),
        track=recording.tracks[numbers[0]],
        rows=rows,
    )


def _written(recording: Recording, number: int, columns: Mapping[str, Column]) -> Channel:
    """A channel as it is written: of physical values it has no scale."""
    channel = recording.channels[number]
    if recording.units == "raw":
        return channel
    return replace(channel, scale=1.0, offset=0.0, dtype=columns[channel.dtype].dtype.name)
