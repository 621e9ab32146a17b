"""What is written of a recording, and what of it a format can hold."""

from __future__ import annotations

import json
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from bridgeflow.errors import listed
from bridgeflow.io.commit import Overwrite, canonical
from bridgeflow.io.files import data_error
from bridgeflow.io.recording_file import Channel, Header, Segment, Track, events_table

__all__ = [
    "Facet",
    "RecordingContent",
    "RecordingOutput",
    "SampleGroup",
    "SampleRange",
    "facts_of",
    "losses_of",
    "with_checksum",
    "with_facts",
]

Facet: TypeAlias = Literal["names", "units", "scale", "rate", "start", "zone", "events", "durations", "gaps"]
"""What a format may have a place for, beside samples and metadata."""

BLOCK_VALUES = 1 << 20
"""About how many values are read and written at a time."""


class SampleRange(NamedTuple):
    """The samples of a channel in its segments: the least, the most, whether all are integers, whether some are NaN."""

    low: float
    high: float
    is_whole: bool
    has_nan: bool


@dataclass(frozen=True, kw_only=True)
class SampleGroup:
    """Channels of one rate, length and gaps.

    Attributes:
        channels: the channels, one per row.
        numbers: their places among the channels of the recording.
        track: their length and segments.
        rows: the samples from `start` to `stop`, an array `[stop - start]` of each channel's own dtype.
    """

    channels: tuple[Channel, ...]
    numbers: tuple[int, ...]
    track: Track
    rows: Callable[[int, int], list[np.ndarray]]

    @property
    def rate(self) -> Fraction:
        """The sampling rate in Hz, exact."""
        return self.channels[0].rate

    @property
    def dtype(self) -> np.dtype:
        """The element type that holds those of all channels."""
        return np.result_type(*(np.dtype(channel.dtype) for channel in self.channels))

    @property
    def stretches(self) -> tuple[tuple[int, int], ...]:
        """The samples of each segment; they follow each other in formats that leave gaps out."""
        return tuple((start, stop) for start, stop, _ in self.track.segments)

    def block(self, start: int, stop: int) -> np.ndarray:
        """The samples as `[channels, stop - start]`."""
        return np.stack(self.rows(start, stop)).astype(self.dtype, copy=False)

    @cached_property
    def ranges(self) -> list[SampleRange]:
        """What samples each channel has, for which all are read once; 0 to 0 where there are none."""
        results = [SampleRange(np.inf, -np.inf, True, False)] * len(self.channels)
        for first, end in self.stretches:
            for start, stop in self.spans(first, end):
                for row, x in enumerate(self.rows(start, stop)):
                    low, high, is_whole, has_nan = results[row]
                    if x.dtype.kind == "f":
                        missing = np.isnan(x)
                        has_nan = has_nan or bool(missing.any())
                        x = x[~missing]
                        is_whole = is_whole and bool((np.rint(x) == x).all())
                    if len(x):
                        low, high = min(low, float(x.min())), max(high, float(x.max()))
                    results[row] = SampleRange(low, high, is_whole, has_nan)
        return [one if one.low <= one.high else one._replace(low=0.0, high=0.0) for one in results]

    def spans(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Stretches that are read at a time between two samples; one empty one where there are none."""
        step = max(1, BLOCK_VALUES // len(self.channels))
        for start in range(first, max(end, first + 1), step):
            yield start, min(start + step, end)


@dataclass(frozen=True, kw_only=True)
class RecordingContent:
    """All that is written of a recording.

    Attributes:
        groups: the channels by rate.
        start: when it began.
        events: a table of the schema `EVENTS`.
        metadata: plain values.
        on_samples: told how many values have been written, one for each block.
    """

    groups: tuple[SampleGroup, ...]
    start: datetime | None = None
    events: pa.Table = field(default_factory=lambda: events_table([]))
    metadata: Mapping[str, Any] = field(default_factory=dict)
    on_samples: Callable[[int], None] = lambda count: None

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels of all groups."""
        return tuple(channel for group in self.groups for channel in group.channels)

    def event_rows(self) -> list[tuple[float, float | None, str]]:
        """Onset, duration and text of each event."""
        return list(zip(*(self.events.column(name).to_pylist() for name in self.events.column_names), strict=True))


class RecordingOutput(ABC):
    """One recording on its way into a file of a format.

    Attributes:
        losses: what of it the format cannot hold, as words for a message.
    """

    losses: list[str]

    def __init__(self, path: Path, content: RecordingContent) -> None:
        self.path = path
        self.content = content

    @abstractmethod
    def write(self, *, overwrite: Overwrite) -> None:
        """Write the file, which appears when it is complete; what is lost is left out.

        Raises:
            DataError: the file exists and may not be replaced, or values that it cannot hold.
            OSError: the disk is full or broken.
        """

    def only_group(self, format: str) -> SampleGroup:
        """The group of channels, where there may be but one."""
        if len(self.content.groups) == 1:
            return self.content.groups[0]
        rates = listed(f"{group.rate!s} Hz, {group.track.length:,} samples" for group in self.content.groups)
        problem = f"{format} holds channels of one rate and length, got {rates}" if rates else "has no channels"
        raise data_error(self.path, problem, "choose channels of one of them (--channels, pick)")


_PLAIN_NAME = re.compile(r"(signal|audio|values|ch)\d*")
"""Names that say nothing but a number."""

_OF_FILES = ("format", "subtype")
"""Metadata that say how the file was written, not what was measured."""


def losses_of(
    content: RecordingContent, holds: Collection[Facet], *, metadata: Collection[str] | None = ()
) -> list[str]:
    """What of a recording has no place in a format, as words for a message.

    Args:
        holds: what it has a place for.
        metadata: the metadata that it has a place for; `None` for all.
    """
    channels, events = content.channels, content.events.num_rows
    losses = []
    if "names" not in holds and not all(_PLAIN_NAME.fullmatch(one.name) for one in channels):
        losses.append(f"the names of channels ({listed((one.name for one in channels), most=3)})")
    units = dict.fromkeys(one.unit for one in channels if one.unit)
    if "units" not in holds and units:
        losses.append(f"units ({listed(units, most=3)})")
    scaled = next((one for one in channels if one.scale != 1 or one.offset), None)
    if "scale" not in holds and scaled is not None:
        losses.append(f"the scale of counts ({scaled.name}: {scaled.scale:g} {scaled.unit}".rstrip() + " a step)")
    if "rate" not in holds:
        losses.append(f"the sampling rate ({float(content.groups[0].rate):g} Hz)")
    if content.start is not None and "start" not in holds:
        losses.append(f"the start ({content.start.isoformat()})")
    elif content.start is not None and content.start.tzinfo is not None and "zone" not in holds:
        losses.append(f"the time zone of the start ({content.start.isoformat()})")
    if events and "events" not in holds:
        losses.append(f"{events:,} event{'s' * (events != 1)}")
    elif events > content.events.column("duration").null_count and "durations" not in holds:
        losses.append("the durations of events")
    gaps = max((len(group.track.segments) for group in content.groups), default=1) - 1
    if gaps > 0 and "gaps" not in holds:
        losses.append(f"{gaps:,} gap{'s' * (gaps != 1)}")
    if metadata is not None:
        names = [name for name in content.metadata if name not in (*metadata, *_OF_FILES)]
        losses += [f"metadata ({listed(names, most=4)})"] if names else []
    return losses


def facts_of(content: RecordingContent, columns: Collection[str]) -> dict[str, Any]:
    """What formats with room for any text keep of a recording of one rate, as plain values.

    Args:
        columns: what each channel is called in the file.
    """
    group = content.groups[0]
    facts = {
        "rate": str(group.rate),
        "channels": {
            column: [one.name, one.unit, one.scale, one.offset]
            for column, one in zip(columns, group.channels, strict=True)
        },
        "length": group.track.length,
        "segments": [list(segment) for segment in group.track.segments],
        "start": None if content.start is None else content.start.isoformat(),
        "events": [list(row) for row in content.event_rows()],
        "metadata": json.loads(json.dumps(dict(content.metadata), default=str)),
    }
    return with_checksum(facts)


def with_checksum(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts with a checksum of them: not every file notices that its texts have changed."""
    return {**facts, "crc32": zlib.crc32(canonical(dict(facts)))}


def with_facts(path: Path, facts: Any, header: Header, columns: Collection[str]) -> tuple[Header, pa.Table]:
    """A header with what `facts_of` kept, and the events.

    Args:
        facts: what stands in the file.
        header: of the file without them.
        columns: what each of its channels is called in the file; one that was added since is left as it is.

    Raises:
        DataError: the facts are none, or do not fit the samples.
    """
    try:
        kept = {name: value for name, value in facts.items() if name != "crc32"}
        if with_checksum(kept) != facts:
            raise ValueError("their checksum is another")
        rate = Fraction(facts["rate"])
        channels = []
        for column, channel in zip(columns, header.channels, strict=True):
            name, unit, scale, offset = facts["channels"].get(column, (channel.name, "", channel.scale, channel.offset))
            if not (isinstance(name, str) and isinstance(unit, str) and isfinite(scale) and isfinite(offset)):
                raise ValueError(f"channel {column!r}")
            own = rate if float(rate) == channel.fs else channel.rate
            channels.append(replace(channel, name=name, unit=unit, scale=float(scale), offset=float(offset), rate=own))
        segments = tuple(Segment(int(start), int(stop), float(onset)) for start, stop, onset in facts["segments"])
        borders = [0, *(border for one in segments for border in one[:2]), int(facts["length"])]
        length = header.tracks[0].length
        if borders != sorted(borders) or borders[-1] != length or not all(isfinite(one.onset) for one in segments):
            raise ValueError(f"segments {listed(map(str, borders[1:-1]), most=4)} of {length:,} samples")
        start = None if facts["start"] is None else datetime.fromisoformat(facts["start"])
        rows = [
            (float(onset), None if seconds is None else float(seconds), str(text))
            for onset, seconds, text in facts["events"]
        ]
        metadata = dict(facts["metadata"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError, AttributeError) as error:
        problem = f"says what does not fit its samples ({error})"
        raise data_error(path, problem, "it was changed after it was written: convert the original again") from error
    track = Track(length, segments)
    described = replace(
        header, channels=tuple(channels), tracks=(track,) * len(channels), start=start, metadata=metadata
    )
    return described, events_table(rows)
