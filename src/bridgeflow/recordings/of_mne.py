"""Recordings of MNE's `Raw`, of which a stretch is read when it is asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bridgeflow._forks import ForkLock
from bridgeflow.errors import DataError, quoted
from bridgeflow.io.recording_file import Channel, Header, Segment, Track, events_table, exact_rate
from bridgeflow.recordings.recording import Recording
from bridgeflow.recordings.units import power_between

__all__ = ["GAP", "RawSource", "from_raw"]

GAP = "BAD_ACQ_SKIP"
"""The annotation of MNE for a stretch in which nothing was recorded."""

_EDGE = "EDGE"
"""How MNE's annotations of a border begin, at which two recordings were put together."""

_UNITS = {
    "V": "V",
    "T": "T",
    "T_M": "T/m",
    "S": "S",
    "MOL": "M",
    "CEL": "degC",
    "SEC": "s",
    "RAD": "rad",
    "PX": "px",
    "V_M2": "V/m²",
    "AM": "A*m",
    "NONE": "",
    "UNITLESS": "",
}
"""MNE's units, by the end of their names, as text."""

_BLOCK = 1 << 20
"""Values that are read at a time for a digest."""


@dataclass(frozen=True, eq=False)
class RawSource:
    """Samples of a `Raw`, as float64 in MNE's units.

    Attributes:
        name: what messages call it.
        raw: where they are.
        shape: its channels and samples, when it was described.
    """

    name: str
    raw: Any
    shape: tuple[int, int]
    _lock: ForkLock = field(default_factory=ForkLock, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.raw, self.shape)

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Samples of the channels, of which nothing else is read."""
        raw = self.raw
        if (len(raw.ch_names), int(raw.n_times)) != self.shape:
            raise DataError(
                f"{self.name}: has other channels or samples than when it was described; make the recording again"
            )
        if start == stop:
            return np.empty((len(channels), 0))
        if raw.preload:
            return np.array(raw.get_data(list(channels), start, stop, verbose="error"))
        with self._lock:  # files of MNE's readers, some of which keep what they read
            return np.array(raw.get_data(list(channels), start, stop, verbose="error"), copy=None)

    def events(self) -> pa.Table:
        """The annotations, with onsets from the first sample."""
        notes = self.raw.annotations
        onsets = (notes.onset - self.raw.first_time).tolist()
        return events_table(list(zip(onsets, notes.duration.tolist(), map(str, notes.description), strict=True)))

    def identity(self, channels: Sequence[int]) -> Mapping[str, Any]:
        """Of samples in memory a digest; of files their paths, sizes and times, and what MNE does to their samples."""
        digest = hashlib.sha256()
        if self.raw.preload:
            for block in self._blocks([number for number in channels if number >= 0]):
                digest.update(np.ascontiguousarray(block).data)
            return {"sha256": digest.hexdigest()}
        raw = self.raw
        for name in raw.filenames:
            state = os.stat(name)
            digest.update(repr((os.path.abspath(name), state.st_size, state.st_mtime_ns)).encode())
        for one in (raw.info["projs"], raw.info["comps"]):
            digest.update(repr(one).encode())
        for values in (raw._cals, raw._projector, raw._comp):
            digest.update(b"" if values is None else np.ascontiguousarray(values).tobytes())
        digest.update(repr((raw.ch_names, raw.first_samp, raw.last_samp, raw.proj)).encode())
        return {"sha256": digest.hexdigest()}

    def _blocks(self, channels: Sequence[int]) -> Iterator[np.ndarray]:
        step = max(1, _BLOCK // max(1, len(channels)))
        for start in range(0, self.shape[1] if channels else 0, step):
            yield self.read(channels, start, min(start + step, self.shape[1]))


def from_raw(raw: Any, *, id: str | None = None, units: str | Mapping[str, str] | None = None) -> Recording:
    """The recording of a `Raw` of MNE. A stretch is read when it is asked for: one that is not preloaded stays in its
    file. Do not change the `Raw` afterwards.

    Samples are float64 in MNE's units (V, T, T/m, S, ...), which the channels name. Annotations are events; their
    onsets count from the first sample. What `BAD_ACQ_SKIP` marks is a gap, whose samples keep their place; where two
    recordings were put together (`EDGE boundary`) one segment ends and the next begins, so that filters begin again.

    Args:
        raw: an instance of `mne.io.BaseRaw`.
        id: what the recording is called; `None` for the name of its file.
        units: other units to read: `"uV"` for all channels of volts, or by type of channel, `{"eeg": "uV"}`. Columns
            then read physical values, by a multiplication with a power of ten.

    Raises:
        ValueError: a unit that does not measure what the channel does.
        KeyError: no channel of a type.
    """
    name = _id(raw) if id is None else id
    described = [_channel(raw, number) for number in range(len(raw.ch_names))]
    types = list(raw.get_channel_types())
    channels = [_in_unit(one, kind, units) for one, kind in zip(described, types, strict=True)]
    if isinstance(units, Mapping):
        for kind in units:
            if kind not in types:
                raise KeyError(f"{name}: there is no channel of type {quoted(kind)}; known: {sorted(set(types))}")
    track = Track(int(raw.n_times), tuple(_segments(raw)))
    measured = raw.info["meas_date"]
    header = Header(
        channels=tuple(channels),
        tracks=(track,) * len(channels),
        start=None if measured is None else measured + timedelta(seconds=raw.first_time),
        metadata=_metadata(raw),
    )
    source = RawSource(name, raw, (len(raw.ch_names), int(raw.n_times)))
    recording = Recording.of_source(name, source, header)
    return recording if units is None else recording.with_units("physical")


def _id(raw: Any) -> str:
    file = next((one for one in raw.filenames if one is not None), None)
    return "raw" if file is None else Path(file).name.partition(".")[0]


def _channel(raw: Any, number: int) -> Channel:
    facts = raw.info["chs"][number]
    unit = str(getattr(facts["unit"], "_name", "")).removeprefix("FIFF_UNIT_")
    return Channel(
        name=raw.ch_names[number],
        rate=exact_rate(raw.info["sfreq"], field="sfreq"),
        unit=_UNITS.get(unit, unit.lower()),
        scale=10.0 ** int(facts["unit_mul"]),
    )


def _in_unit(channel: Channel, kind: str, units: str | Mapping[str, str] | None) -> Channel:
    """The channel in the unit that was asked for, where one was."""
    unit = units.get(kind) if isinstance(units, Mapping) else units
    if unit is None:
        return channel
    power = power_between(channel.unit, unit)
    if power is None:
        if isinstance(units, str):
            return channel  # "uV" is for those in volts
        raise ValueError(f"units: channel {quoted(channel.name)} is in {quoted(channel.unit)}, not {quoted(unit)}")
    return replace(channel, unit=unit, scale=channel.scale * 10.0**power)


def _segments(raw: Any) -> Iterator[Segment]:
    """Stretches between gaps and borders, as MNE's own filters see them."""
    length, fs = int(raw.n_times), float(raw.info["sfreq"])
    missing = np.zeros(length + 2, np.int64)
    borders = set()
    for onset, duration, text in zip(
        raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True
    ):
        if not str(text).upper().startswith((_EDGE, GAP)):
            continue
        begin = onset - raw.first_time
        start, stop = (int(n) for n in raw.time_as_index([begin, begin + duration], use_rounding=True).clip(0, length))
        missing[start] += 1
        missing[stop] -= 1
        if start == stop:
            borders.add(start)
    is_missing = missing.cumsum()[:length] > 0
    changes = np.flatnonzero(np.diff(is_missing, prepend=True, append=True)).tolist()
    for start, stop in zip(changes[::2], changes[1::2], strict=True):
        inner = sorted(border for border in borders if start < border < stop)
        for first, last in zip([start, *inner], [*inner, stop], strict=True):
            yield Segment(first, last, first / fs)


def _metadata(raw: Any) -> dict[str, Any]:
    """What else is known, as plain values; absent where it is not."""
    info = raw.info
    subject = info["subject_info"] or {}
    subject = {name: value for name, value in subject.items() if isinstance(value, (str, int, float))}
    facts: dict[str, Any] = {
        "bads": list(info["bads"]),
        "line_freq": None if info["line_freq"] is None else float(info["line_freq"]),
        "description": info["description"],
        "experimenter": info["experimenter"],
        "subject": subject,
        "first_samp": int(raw.first_samp),
    }
    return {name: value for name, value in facts.items() if value}
