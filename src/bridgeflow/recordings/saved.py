"""The index of recordings in a file: headers and labels, without samples and events."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa

from bridgeflow.errors import DataError, quoted
from bridgeflow.io.disk_cache import DiskCache
from bridgeflow.io.files import Roots, data_error, require_beneath, require_local
from bridgeflow.io.opening import open_source
from bridgeflow.io.recording_file import Channel, Grid, ReadOptions, Segment, Track
from bridgeflow.io.urls import as_path, is_url
from bridgeflow.recordings.files import FileSource
from bridgeflow.recordings.recording import Recording
from bridgeflow.recordings.split_part import SplitPart

__all__ = ["cached_recordings", "keep_recordings", "load_index", "save_index"]

_VERSION = 1
_KIND = "index"
_COLUMNS = ["version", "id", "recording"]


def save_index(path: str | os.PathLike[str], recordings: Sequence[Recording], part: SplitPart | None = None) -> None:
    """Write an Arrow file with one row per recording; see `Recordings.save`."""
    table = _table(recordings, part)
    require_local(path)
    temporary = Path(f"{os.fspath(path)}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        with pa.OSFile(os.fspath(temporary), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_index(path: str | os.PathLike[str], *, roots: Roots = None) -> tuple[list[Recording], SplitPart | None]:
    """The recordings of a saved index, whose files are as they were, and their part; see `Recordings.load`.

    Args:
        roots: beneath which URLs in it must lie; `None` for anywhere.
    """
    with open_source(path, format="arrow", columns=_COLUMNS) as source:
        rows = pa.table(source.read())
    recordings, part = _recordings(rows, path), _part(rows, path)
    for recording in recordings:
        if isinstance(recording.source, FileSource):
            if is_url(recording.source.path):  # before any request
                require_beneath(as_path(recording.source.path), roots)
            recording.source.require_unchanged()
    return recordings, part


def cached_recordings(cache: DiskCache, identity: Mapping[str, Any]) -> dict[str, Recording]:
    """The recordings that another program has kept, by path; whether their files are the same is for the caller."""
    contents = cache.get(_KIND, {"index": _VERSION, **identity})
    if contents is None:
        return {}
    try:
        with pa.ipc.open_file(pa.BufferReader(contents)) as reader:
            recordings = _recordings(reader.read_all(), cache.folder)
    except (DataError, pa.ArrowInvalid, KeyError):
        return {}
    return {one.source.path: one for one in recordings if isinstance(one.source, FileSource)}


def keep_recordings(cache: DiskCache, identity: Mapping[str, Any], recordings: Sequence[Recording]) -> None:
    """Keep recordings for other programs."""
    table, sink = _table(recordings), pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    cache.put(_KIND, {"index": _VERSION, **identity}, sink.getvalue().to_pybytes())


def _table(recordings: Sequence[Recording], part: SplitPart | None = None) -> pa.Table:
    """One row per recording, each of which names the part of a split that they are."""
    named = {} if part is None else {"part": asdict(part)}
    texts = [json.dumps({**_facts(recording), **named}, ensure_ascii=False) for recording in recordings]
    return pa.table(
        {
            "version": pa.array([_VERSION] * len(texts), pa.int32()),
            "id": pa.array([recording.id for recording in recordings], pa.string()),
            "recording": pa.array(texts, pa.string()),
        }
    )


def _recordings(rows: pa.Table, path: str | os.PathLike[str]) -> list[Recording]:
    """The recordings of a table.

    Raises:
        DataError: it is of another version, or a row holds no recording.
    """
    recordings = []
    for version, id, text in zip(*(rows.column(name).to_pylist() for name in _COLUMNS), strict=True):
        if version != _VERSION:
            raise data_error(path, f"is an index of version {version!r}, not {_VERSION}", "build it again")
        try:
            recording = _recording(id, json.loads(text))
        except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError, RecursionError) as error:
            raise data_error(path, f"row {quoted(id)} holds no recording ({error})", "build it again") from error
        recordings.append(recording)
    return recordings


def _part(rows: pa.Table, path: str | os.PathLike[str]) -> SplitPart | None:
    """The part of a split that all rows name, which hold recordings.

    Raises:
        DataError: they name several, or something else.
    """
    named = [json.loads(text).get("part") for text in rows.column("recording").to_pylist()]
    if all(one is None for one in named):
        return None
    first, fields = named[0], SplitPart.__dataclass_fields__
    is_part = isinstance(first, dict) and first.keys() == fields.keys()
    if not is_part or any(one != first for one in named) or not all(isinstance(one, str) for one in first.values()):
        raise data_error(path, "names no part, or several, of a split", "save it again")
    return SplitPart(**first)


def _facts(recording: Recording) -> dict[str, Any]:
    if not isinstance(recording.source, FileSource):
        raise DataError(f"{recording.id}: is in memory only; an index holds recordings of files")
    tracks = list(dict.fromkeys(recording.tracks))
    source = asdict(recording.source)
    if source["options"]["fs"] is not None:
        source["options"]["fs"] = str(source["options"]["fs"])
    if recording.source.options.grid is not None:
        grid = recording.source.options.grid
        source["options"]["grid"] = {**grid._asdict(), "to_hz": str(grid.to_hz)}
    return {
        "source": source,
        "channels": [{**asdict(channel), "rate": str(channel.rate)} for channel in recording.channels],
        "numbers": recording.numbers,
        "tracks": tracks,
        "track_of": [tracks.index(track) for track in recording.tracks],
        "layout": recording.layout,
        "start": None if recording.start is None else recording.start.isoformat(),
        "metadata": _plain(recording.metadata),
        "labels": _plain(recording.labels),
        "units": recording.units,
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON has them; what it lacks becomes text."""
    return json.loads(json.dumps(dict(values), default=str))  # type: ignore[no-any-return]


def _recording(id: str, facts: Mapping[str, Any]) -> Recording:
    options = dict(facts["source"]["options"])
    options["fs"] = None if options["fs"] is None else Fraction(options["fs"])
    grid = options.get("grid")
    options["grid"] = None if grid is None else Grid(**{**grid, "to_hz": Fraction(grid["to_hz"])})
    source = FileSource(**{**facts["source"], "options": ReadOptions(**options)})
    tracks = [
        Track(int(length), tuple(Segment(int(start), int(stop), float(onset)) for start, stop, onset in segments))
        for length, segments in facts["tracks"]
    ]
    return Recording(
        id=id,
        source=source,
        channels=tuple(Channel(**{**channel, "rate": Fraction(channel["rate"])}) for channel in facts["channels"]),
        numbers=tuple(int(number) for number in facts["numbers"]),
        tracks=tuple(tracks[number] for number in facts["track_of"]),
        layout={name: tuple(members) for name, members in facts["layout"].items()},
        start=None if facts["start"] is None else datetime.fromisoformat(facts["start"]),
        metadata=facts["metadata"],
        labels=facts["labels"],
        units=facts["units"],
    )
