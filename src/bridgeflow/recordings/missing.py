"""Samples that are NaN in a file as gaps between segments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bridgeflow.io.recording_file import Header, RecordingReader, Segment, Track

__all__ = ["with_gaps"]

_BLOCK = 1 << 22
"""Values that are read at a time."""


def with_gaps(reader: RecordingReader) -> Header:
    """The header with segments that leave out samples at which any channel of the rate is NaN; reads all samples."""
    header = reader.header
    groups: dict[tuple[object, Track], list[int]] = {}
    for number, (channel, track) in enumerate(zip(header.channels, header.tracks, strict=True)):
        groups.setdefault((channel.rate, track), []).append(number)
    tracks = list(header.tracks)
    for (_, track), members in groups.items():
        fs = header.channels[members[0]].fs
        segments = tuple(segment for whole in track.segments for segment in _present(reader, members, whole, fs))
        for number in members:
            tracks[number] = track._replace(segments=segments)
    return replace(header, tracks=tuple(tracks))


def _present(reader: RecordingReader, members: list[int], whole: Segment, fs: float) -> Iterator[Segment]:
    """The stretches of a segment at which no channel is NaN."""
    begin: int | None = None
    step = max(1, _BLOCK // len(members))
    for start in range(whole.start, whole.stop, step):
        stop = min(start + step, whole.stop)
        present = ~np.isnan(reader.read(members, start, stop)).any(axis=0)
        if begin is None and present[0]:
            begin = start
        elif begin is not None and not present[0]:
            yield Segment(begin, start, whole.onset + (begin - whole.start) / fs)
            begin = None
        for change in (np.flatnonzero(present[1:] != present[:-1]) + start + 1).tolist():
            if begin is None:
                begin = change
            else:
                yield Segment(begin, change, whole.onset + (begin - whole.start) / fs)
                begin = None
    if begin is not None:
        yield Segment(begin, whole.stop, whole.onset + (begin - whole.start) / fs)
