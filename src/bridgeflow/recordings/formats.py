"""The formats of recordings: which file is which, and which module reads it."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from bridgeflow.errors import nearest, quoted
from bridgeflow.io.files import data_error
from bridgeflow.io.recording_file import ReadOptions, RecordingReader, reading_errors

__all__ = ["RecordingFormat", "format_of", "open_reader", "recording_formats"]


class RecordingFormat(NamedTuple):
    """One format: its name, the suffixes that mean it, its module in `io.formats`, and what it is."""

    name: str
    suffixes: tuple[str, ...]
    module: str
    about: str


_FORMATS = (RecordingFormat("edf", (".edf", ".bdf", ".rec"), "edf", "EDF, EDF+, BDF and BDF+, of EEG and sleep"),)


def recording_formats() -> dict[str, RecordingFormat]:
    """All formats by name."""
    return {one.name: one for one in _FORMATS}


def format_of(path: str | os.PathLike[str], name: str | None = None) -> RecordingFormat:
    """The format of this name, or that the path's suffix means.

    Raises:
        ValueError: there is no format of this name.
        DataError: the suffix means none.
    """
    formats = recording_formats()
    if name is not None:
        if name not in formats:
            raise ValueError(f"format: no format {quoted(name)}; {nearest(name, formats)}")
        return formats[name]
    suffix = Path(path).suffix.lower()
    for one in formats.values():
        if suffix in one.suffixes:
            return one
    known = " ".join(suffix for one in formats.values() for suffix in one.suffixes)
    raise data_error(path, f"the suffix {suffix!r} means no format", f"name it with `format`; suffixes known: {known}")


def open_reader(path: Path, options: ReadOptions) -> RecordingReader:
    """Open a file of a recording and read its header.

    Raises:
        DataError: the file is missing, damaged, cut off or of another format.
        MissingDependency: the format's library is not installed.
    """
    form = format_of(path, options.format)
    module = import_module(f"bridgeflow.io.formats.{form.module}")
    with reading_errors(path, form.name):
        reader: RecordingReader = module.open_recording(path, options)
    return reader
