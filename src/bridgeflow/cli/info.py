"""`bridgeflow info`: what files of recordings hold, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridgeflow.cli.output import duration, number_of, shown_path
from bridgeflow.errors import listed

if TYPE_CHECKING:
    from bridgeflow.recordings import Recording

__all__ = ["recording_facts", "recording_line"]


def recording_facts(path: Path, options: dict[str, Any]) -> dict[str, Any]:
    """What a file says of its channels, times, events and gaps, for machines."""
    from bridgeflow.recordings import Recording

    recording = Recording.open(path, **options)
    return {
        "path": str(path),
        "seconds": recording.duration,
        "start": None if recording.start is None else recording.start.isoformat(),
        "events": recording.events.num_rows,
        "columns": [_column_facts(recording, name) for name in recording.columns],
        "metadata": dict(recording.metadata),
    }


def _column_facts(recording: Recording, name: str) -> dict[str, Any]:
    column = recording.columns[name]
    return {
        "name": name,
        "fs": column.fs,
        "length": column.length,
        "dtype": str(column.dtype),
        "channels": [channel.name for channel in column.channels],
        "units": [channel.unit for channel in column.channels],
        "segments": column.segments,
        "gaps": max(len(column.segments) - 1, 0),
    }


def recording_line(facts: dict[str, Any]) -> tuple[str, str]:
    """The same for people: the path, and a line."""
    words = [_column_words(column) for column in facts["columns"]] or ["no channels"]
    gaps = max((column["gaps"] for column in facts["columns"]), default=0)
    words += [duration(facts["seconds"]), number_of(facts["events"], "event"), number_of(gaps, "gap")]
    if facts["start"] is not None:
        words.append(f"from {facts['start']}")
    return shown_path(Path(facts["path"])), ", ".join(words)


def _column_words(column: dict[str, Any]) -> str:
    units: Sequence[str] = [unit for unit in dict.fromkeys(column["units"]) if unit]
    unit = f" in {listed(units, most=3)}" if units else ""
    names = listed(column["channels"], most=4)
    return f"{number_of(len(column['channels']), 'channel')} at {column['fs']:g} Hz ({names}){unit}"
