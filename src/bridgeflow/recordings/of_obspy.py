"""Recordings of ObsPy's streams, whose traces stay where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridgeflow.io.obspy_traces import TracesSource, by_channel, header_of
from bridgeflow.recordings.recording import Recording

__all__ = ["from_stream"]


def from_stream(stream: Any, *, id: str = "stream") -> Recording:
    """The recording of a `Stream` or `Trace` of ObsPy, whose samples are copied when they are read: do not write to
    them afterwards.

    Traces of one id (`NET.STA.LOC.CHA`) are one channel; between them, and where samples are masked, lie gaps, and
    samples on both sides follow each other. `calib` is the scale of the raw numbers. The start is exact: what
    `Recording.start`, which has microseconds, cannot hold is `metadata["start_ns"]`, in nanoseconds since 1970.

    Args:
        stream: traces of one or several channels and rates.
        id: what the recording is called.

    Raises:
        DataError: no traces, traces of one channel that overlap or differ in rate, samples other than numbers.
    """
    channels = by_channel([stream] if hasattr(stream, "stats") else stream)
    header = header_of(Path(f"<{type(stream).__name__}>"), channels)
    return Recording.of_source(id, TracesSource(id, tuple(map(tuple, channels.values()))), header)
