"""ObsPy: a `Stream` as a recording, and recordings as a `Stream`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

from bridgeflow._optional import require
from bridgeflow.errors import ConfigError
from bridgeflow.recordings import Recording, Recordings
from bridgeflow.recordings.of_obspy import from_stream

__all__ = ["from_stations", "from_stream", "to_stream"]


def from_stations(stream: Any) -> Recordings:
    """A recording for each station of a `Stream`, called `NET.STA`, with the labels `network` and `station`.

    Raises:
        DataError: as `from_stream`.
    """
    stations = sorted({(one.stats.network, one.stats.station) for one in stream})
    parts = {pair: [one for one in stream if (one.stats.network, one.stats.station) == pair] for pair in stations}
    recordings = Recordings([from_stream(part, id=".".join(pair)) for pair, part in parts.items()])
    return recordings.with_labels(
        {"network": [network for network, _ in stations], "station": [station for _, station in stations]}
    )


def to_stream(recording: Recording, *, column: str | None = None) -> Any:
    """A `Stream` of a recording: a trace for each channel and segment, from its own nanosecond on.

    Raw numbers stay what they are, with the channel's scale as `calib`; channels with an offset, of which ObsPy has
    none, and columns that read physical values, give those. Names `NET.STA.LOC.CHA` are taken apart; any other is that
    of the channel. A recording without a start begins in 1970, ObsPy's own default.

    Args:
        recording: whose events and metadata a stream has no place for.
        column: the column; `None` for all.

    Raises:
        ConfigError: there is no such column.
        MissingDependency: ObsPy is not installed.
    """
    obspy = require("obspy", needed_for="bridgeflow.integrations.obspy")
    if column is not None and column not in recording.layout:
        raise ConfigError(f"column: {recording.id} has {', '.join(recording.layout)}, not {column!r}", field="column")
    begin_ns = _start_ns(recording)
    traces = []
    names = list(recording.layout) if column is None else [column]
    for number in dict.fromkeys(number for name in names for number in recording.layout[name]):
        one = replace(recording, layout={"signal": (number,)}).column("signal")
        channel = one.channels[0]
        is_raw = recording.units == "raw" and not channel.offset
        parts = channel.name.split(".")
        codes = dict(zip(("network", "station", "location", "channel"), parts, strict=False))
        header = {
            **(codes if len(parts) == 4 else {"channel": channel.name}),
            "sampling_rate": one.fs,
            "calib": channel.scale if is_raw else 1.0,
        }
        for (start, stop), onset in zip(one.segments, one.onsets, strict=True):
            begin = begin_ns + round(Fraction(onset) * 10**9)
            data = one.read(start, stop, units="raw" if is_raw else "physical")[0]
            traces.append(obspy.Trace(data, {**header, "starttime": obspy.UTCDateTime(ns=begin)}))
    return obspy.Stream(traces)


def _start_ns(recording: Recording) -> int:
    """The start in nanoseconds since 1970."""
    if recording.start is None:
        return 0
    start = recording.start
    start = start.replace(tzinfo=timezone.utc) if start.tzinfo is None else start
    nanoseconds = (start - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1) * 1000
    exact = recording.metadata.get("start_ns")
    return exact if isinstance(exact, int) and exact // 1000 == nanoseconds // 1000 else nanoseconds
