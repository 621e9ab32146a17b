"""What a notebook shows of recordings: their headers, and the beginning of each channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bridgeflow._html import Markup, card, curves, facts, table, text
from bridgeflow.errors import BridgeflowError, listed

__all__ = ["beginning", "recording_html", "recordings_html"]

_CHANNELS, _DRAWN, _ROWS, _LABELS = 24, 8, 10, 6
"""Most channels that are named, most whose beginning is drawn, most recordings of an index, most labels of each."""

_SAMPLES = 2_000
"""Most samples of a channel that are read."""

_DECODED_WHOLE = (".mseed", ".miniseed", ".ms", ".csv", ".tsv", ".npz")
_SMALL = 16 << 20
"""Suffixes of files that are decoded whole before the first sample is known, and bytes up to which this is done."""


def recording_html(recording: Any) -> str:
    """A `Recording`: what its header says, and the first samples of its channels."""
    gaps = sum(len(track.segments) - 1 for track in dict.fromkeys(recording.tracks) if track.segments)
    events = _events(recording)
    pairs = [
        ("channels", f"{len(recording.channels):,}"),
        ("duration", f"{recording.duration:g} s"),
        ("start", "" if recording.start is None else recording.start.isoformat()),
        ("gaps", gaps or ""),
        ("events", events),
        *((name, value) for name, value in list(recording.labels.items())[:_LABELS]),
    ]
    rows, notes = _channels(recording)
    more = len(recording.channels) - len(rows)
    notes += [f"and {more:,} more channels"] if more > 0 else []
    said = "".join(f"<p>{text(note)}</p>" for note in notes)
    header = ("channel", "unit", "rate", "samples", "dtype", "column", "beginning")
    return card(f"Recording {recording.id}", facts(pairs), table(header, rows), said)


def _events(recording: Any) -> str:
    """How many events there are and of which texts; not read out of files that have to be decoded whole."""
    try:
        table = None if _is_decoded_whole(recording) else recording.events
    except (BridgeflowError, OSError):
        return "cannot be read"
    if table is None or not table.num_rows:
        return ""
    texts = dict.fromkeys(table.column("text").slice(0, 200).to_pylist())
    return f"{table.num_rows:,} ({listed(texts, most=4)})"


def _channels(recording: Any) -> tuple[list[Sequence[object]], list[str]]:
    """A row for each channel, and what there is to say about them."""
    rows: list[Sequence[object]] = []
    notes: list[str] = []
    drawn = 0
    for name, members in recording.layout.items():
        if len(rows) == _CHANNELS:
            break
        members = members[: _CHANNELS - len(rows)]
        pictures: list[object] = [""] * len(members)
        count = min(len(members), _DRAWN - drawn)
        if count:
            try:
                values = beginning(recording, name, count)
            except (BridgeflowError, OSError, ValueError) as error:
                notes.append(str(error))
                values = None
            if values is None and not notes:
                notes.append("the file is decoded whole when it is read, so it was not")
            pictures[:count] = [""] * count if values is None else map(_picture, values)
            drawn += count
        for member, picture in zip(members, pictures, strict=True):
            channel, track = recording.channels[member], recording.tracks[member]
            rate = f"{channel.fs:g} Hz"
            rows.append((channel.name, channel.unit, rate, f"{track.length:,}", channel.dtype, name, picture))
    return rows, notes


def _picture(values: Any) -> Markup:
    return curves([values], words=f"the first {len(values):,} samples")


def beginning(
    recording: Any, name: str, most: int = 4, seconds: tuple[float, float] | None = None
) -> np.ndarray | None:
    """The first samples of the first channels of a column as float64, `[channels, time]`; of few samples alone, and
    `None` where even these would mean to decode a large file.

    Args:
        most: how many channels.
        seconds: from and to, from the recording's start; `None` from the first sample on.
    """
    if _is_decoded_whole(recording):
        return None
    if hasattr(recording, "layout"):
        recording = recording.with_columns({name: [recording.channels[n].name for n in recording.layout[name][:most]]})
    column = recording.columns[name]
    if not column.segments:
        return np.empty((len(column.channels), 0))
    start, stop = column.segments[0]
    if seconds is not None:
        start = column.position(seconds[0]) or start
        stop = start + max(1, round((seconds[1] - seconds[0]) * column.fs))
    values = column.read(start, min(stop, start + _SAMPLES, column.length))
    return np.asarray(np.abs(values) if values.dtype.kind == "c" else values, np.float64)


def _is_decoded_whole(recording: Any) -> bool:
    source = getattr(recording, "source", None)
    path = str(getattr(source, "path", "")).lower()
    return path.endswith(_DECODED_WHOLE) and getattr(source, "nbytes", 0) > _SMALL


def recordings_html(recordings: Any) -> str:
    """`Recordings`: the first recordings by what their headers say. No file is read."""
    first = list(recordings[:_ROWS])
    labels = list(dict.fromkeys(label for one in first for label in one.labels))[:_LABELS]
    rows = [
        (
            one.id,
            f"{len(one.channels):,}",
            listed(dict.fromkeys(f"{channel.fs:g}" for channel in one.channels), most=3),
            f"{one.duration:g}",
            "" if one.start is None else one.start.isoformat(),
            *("" if one.labels.get(label) is None else one.labels[label] for label in labels),
        )
        for one in first
    ]
    header = ("id", "channels", "Hz", "seconds", "start", *labels)
    more = len(recordings) - len(rows)
    said = f"<p>and {more:,} more</p>" if more > 0 else ""
    part = "" if recordings.part is None else str(recordings.part)
    return card(f"{len(recordings):,} recordings", facts([("part", part)]) if part else "", table(header, rows), said)
