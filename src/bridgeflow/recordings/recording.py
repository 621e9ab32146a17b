"""One measurement: channels, events and metadata, whose samples are read when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from bridgeflow.errors import DataError, KeyNotFound, listed, nearest, quoted
from bridgeflow.io.recording_content import RecordingContent, SampleGroup
from bridgeflow.io.recording_file import Channel, GridRule, Header, MissingSamples, Track, read_options
from bridgeflow.io.urls import as_path
from bridgeflow.policy import parse_word
from bridgeflow.recordings.column import Column, Units
from bridgeflow.recordings.files import open_file
from bridgeflow.recordings.names import Names, as_names, matching, no_channel
from bridgeflow.recordings.sources import SampleSource, memory_source
from bridgeflow.recordings.writing import WrittenRecording, write_content

__all__ = ["Columns", "Missing", "Recording"]

Columns: TypeAlias = Mapping[str, Names]
"""Column name to the channels that it consists of, by name or pattern."""

Missing: TypeAlias = Literal["error", "pad"]
"""What happens where a recording lacks a channel: an error, or a row of NaN (0 among integers), not `present`."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Recording:
    """One measurement. It is a value: choosing channels or columns gives another one; samples are read by `columns`.

    Attributes:
        id: its name among recordings.
        channels: name, unit, rate and scale of each channel.
        start: when it began, where that is known.
        metadata: what else the file says.
        labels: what is known from other places: groups from the path, columns of a table.
        layout: which channels each column consists of, by their numbers.
        units: what columns read by default: `"raw"` numbers or `"physical"` values.

    Example:
        >>> import numpy as np
        >>> counts = np.arange(12, dtype=np.int16).reshape(2, 6)
        >>> ecg = Recording.from_arrays(counts, fs=3, channels=["I", "II"], unit="mV", scale=0.5)
        >>> ecg
        <Recording 'memory': 2 channels, 2 s>
        >>> ecg.columns["signal"].read(0, 3)
        array([[0, 1, 2],
               [6, 7, 8]], dtype=int16)
        >>> ecg.pick("II").columns["signal"].read(0, 3, units="physical")
        array([[3. , 3.5, 4. ]])
    """

    id: str
    source: SampleSource
    channels: tuple[Channel, ...]
    numbers: tuple[int, ...]
    tracks: tuple[Track, ...]
    layout: Mapping[str, tuple[int, ...]]
    start: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    units: Units = "raw"

    @classmethod
    def from_arrays(
        cls,
        arrays: Any,
        *,
        fs: float | Fraction | Mapping[str, float | Fraction],
        id: str = "memory",
        channels: Names | Mapping[str, Names] | None = None,
        unit: Any = "",
        scale: Any = 1.0,
        offset: Any = 0.0,
        start: datetime | None = None,
        events: Iterable[tuple[float, float | None, str]] | pa.Table = (),
        segments: Any = None,
        metadata: Mapping[str, Any] | None = None,
        labels: Mapping[str, Any] | None = None,
    ) -> Recording:
        """A recording of arrays in memory, which are not copied: do not write to them afterwards.

        Args:
            arrays: numbers `[channels, time]` or `[time]`, which become the column `signal`; or a mapping of column
                names to such arrays. NumPy, torch and Arrow arrays, and whatever `to_numpy` takes.
            fs: sampling rate in Hz.
            channels: names of the channels.
            unit, scale, offset: of all channels, or one for each. Physical values are `raw * scale + offset`.
            events: `(onset, duration, text)` each, in seconds from the start, or a table with these columns.
            segments: `(start, stop)` in samples of each stretch between gaps; `None` for no gap.

        `fs`, `channels`, `unit`, `scale`, `offset` and `segments` may be mappings by column name.

        Raises:
            DataError: not real or complex numbers of one or two axes.
            ValueError: names, rates or segments that do not fit.
        """
        by_column = arrays if isinstance(arrays, Mapping) else {"signal": arrays}
        source, header, columns = memory_source(
            id,
            by_column,
            fs=fs,
            channels=channels,
            unit=unit,
            scale=scale,
            offset=offset,
            segments=segments,
            events=events,
        )
        header = replace(header, start=start, metadata=dict(metadata or {}))
        return replace(cls.of_source(id, source, header, labels=labels), layout=columns)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        id: str | None = None,
        format: str | None = None,
        fs: float | Fraction | None = None,
        inside: str | None = None,
        time_axis: int = 0,
        nulls: MissingSamples = "error",
        time: str | None = None,
        regrid: GridRule | None = None,
    ) -> Recording:
        """The recording of a file: its header is read now, its samples and events when they are asked for.

        Args:
            id: its name; `None` for the file's name without suffix.

        The other arguments are those of `Recordings`.

        Raises:
            DataError: the file is missing, damaged, cut off or of another format.
            MissingDependency: the format's library is not installed.
        """
        options = read_options(
            format=format, fs=fs, inside=inside, time_axis=time_axis, nulls=nulls, time=time, regrid=regrid
        )
        source, header = open_file(path, options)
        return cls.of_source(as_path(path).stem if id is None else id, source, header)

    @classmethod
    def of_source(
        cls, id: str, source: SampleSource, header: Header, *, labels: Mapping[str, Any] | None = None
    ) -> Recording:
        """The recording that a header describes, with the columns of its rates."""
        return cls(
            id=id,
            source=source,
            channels=header.channels,
            numbers=tuple(range(len(header.channels))),
            tracks=header.tracks,
            layout=_columns_of_rates(header.channels, header.tracks),
            start=header.start,
            metadata=header.metadata,
            labels=dict(labels or {}),
        )

    def column(self, name: str) -> Column:
        """The column of this name.

        Raises:
            KeyNotFound: there is no such column.
            DataError: its channels differ in rate, length or gaps.
        """
        if name not in self.layout:
            error = KeyNotFound(f"no column {quoted(name)}; {nearest(name, self.layout)}")
            error.recording = self.id
            raise error
        members = self.layout[name]
        channels = tuple(self.channels[member] for member in members)
        tracks = {self.tracks[member] for member in members}
        rates = {channel.rate for channel in channels}
        if len(rates) > 1 or len(tracks) > 1:
            what = "rate" if len(rates) > 1 else "length or gaps"
            problem = f"channels {listed(channel.name for channel in channels)} differ in {what}"
            error_ = DataError(f"column {quoted(name)}: {problem}; put them into columns of their own")
            error_.recording, error_.column = self.id, name
            raise error_
        numbers = tuple(self.numbers[member] for member in members)
        return Column(source=self.source, channels=channels, numbers=numbers, track=tracks.pop(), units=self.units)

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """The columns by name: `signal`, of all channels, where they have one rate; one for each rate otherwise, called
        `signal_<rate>`; or those that were chosen with `with_columns`.
        """
        return _ColumnsByName(self)

    @cached_property
    def events(self) -> pa.Table:
        """What happened: `onset` (seconds from the start), `duration` (seconds; null where unknown) and `text`."""
        return self.source.events()

    @property
    def duration(self) -> float:
        """Seconds from the start to the end of the last sample."""
        ends = [
            segment.onset + (segment.stop - segment.start) / channel.fs
            for channel, track in zip(self.channels, self.tracks, strict=True)
            for segment in track.segments[-1:]
        ]
        return max(ends, default=0.0)

    def pick(self, channels: Names, *, missing: Missing = "error") -> Recording:
        """The recording with these channels alone, in this order, in the columns of their rates.

        Args:
            channels: names, or patterns with `*`, `?` and `[...]`, which mean all that match in the recording's order.
            missing: `"pad"` puts a channel that reads as NaN (0 among integers) where the recording lacks a name.

        Raises:
            DataError: the recording has no such channel, or several of one name.
        """
        base, members = self._members(as_names(channels), missing)
        taken = list(dict.fromkeys(members))
        picked = replace(
            base,
            channels=tuple(base.channels[member] for member in taken),
            numbers=tuple(base.numbers[member] for member in taken),
            tracks=tuple(base.tracks[member] for member in taken),
        )
        return replace(picked, layout=_columns_of_rates(picked.channels, picked.tracks))

    def with_columns(self, columns: Columns, *, missing: Missing = "error") -> Recording:
        """The recording with columns of your own: `{"eeg": ["Fp1", "Fp2"], "ecg": "ECG"}`.

        Args and errors as for `pick`.
        """
        recording = self
        layout = {}
        for name, channels in columns.items():
            recording, layout[name] = recording._members(as_names(channels), missing)
        return replace(recording, layout=layout)

    def rename(self, names: Mapping[str, str]) -> Recording:
        """The recording with other names for some channels, old name to new name.

        Raises:
            DataError: there is no channel of an old name.
        """
        present = [channel.name for channel in self.channels]
        for old in names:
            if old not in present:
                raise no_channel(old, present, self.id)
        return replace(self, channels=tuple(replace(one, name=names.get(one.name, one.name)) for one in self.channels))

    def with_units(self, units: Units) -> Recording:
        """The recording whose columns read `"raw"` numbers, or `"physical"` values."""
        parse_word(units, Units, field="units")
        return replace(self, units=units)

    def with_labels(self, labels: Mapping[str, Any]) -> Recording:
        """The recording with these labels in addition."""
        return replace(self, labels={**self.labels, **labels})

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        lossy: bool = False,
        overwrite: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> WrittenRecording:
        """Write the recording into a file of the format that the suffix means, block by block; it appears when it is
        complete.

        Args:
            path: `.parquet`, `.arrow`, `.h5` and `.zarr` hold everything of channels of one rate; `.edf`, `.bdf`,
                `.hea` (WFDB), `.flac`, `.wav`, `.npz` and `.npy` a part of it.
            lossy: leave out what the format has no place for, and round what it cannot hold, instead of refusing it.
            overwrite: whether an existing file may be replaced.
            progress: told how many values have been written, once for each block.

        Columns that read `"physical"` values are written as those. The samples are those of the columns.

        Returns:
            The path, and what was left out.

        Raises:
            DataError: the format has no place for something and `lossy` is not given, the file exists, or no such
                values can be written in it.
            MissingDependency: the format's library is not installed.

        Example:
            >>> import numpy as np, tempfile
            >>> folder = tempfile.mkdtemp()
            >>> ecg = Recording.from_arrays(np.arange(6, dtype=np.int16), fs=3, unit="mV", scale=0.5)
            >>> _ = ecg.write(f"{folder}/ecg.parquet")
            >>> Recording.open(f"{folder}/ecg.parquet").columns["signal"].read(0, 3, units="physical")
            array([[0. , 0.5, 1. ]])
            >>> ecg.write(f"{folder}/ecg.wav", lossy=True).left_out
            ('units (mV)', 'the scale of counts (signal: 0.5 mV a step)')
        """
        return write_content(self._content(progress), path, source=self.source, lossy=lossy, overwrite=overwrite)

    def _content(self, progress: Callable[[int], None] | None) -> RecordingContent:
        """All that is written of the recording: the channels of its columns, by rate."""
        groups: dict[tuple[Fraction, Track], list[int]] = {}
        for number in sorted({number for members in self.layout.values() for number in members}):
            groups.setdefault((self.channels[number].rate, self.tracks[number]), []).append(number)
        content = RecordingContent(
            groups=tuple(self._group(numbers) for numbers in groups.values()),
            start=self.start,
            events=self.events,
            metadata=self.metadata,
        )
        return content if progress is None else replace(content, on_samples=progress)

    def _group(self, numbers: list[int]) -> SampleGroup:
        """Channels of one rate; each is read with those of its own dtype, so that no value changes."""
        by_dtype: dict[str, list[int]] = {}
        for number in numbers:
            by_dtype.setdefault(self.channels[number].dtype, []).append(number)
        columns = {
            dtype: replace(self, layout={"signal": tuple(members)}).columns["signal"]
            for dtype, members in by_dtype.items()
        }

        def rows(start: int, stop: int) -> list[np.ndarray]:
            by_number: dict[int, np.ndarray] = {}
            for dtype, members in by_dtype.items():
                by_number.update(zip(members, columns[dtype].read(start, stop), strict=True))
            return [by_number[number] for number in numbers]

        channels = [self.channels[number] for number in numbers]
        if self.units == "physical":  # which have no scale any more
            channels = [replace(one, scale=1.0, offset=0.0, dtype=columns[one.dtype].dtype.name) for one in channels]
        return SampleGroup(channels=tuple(channels), numbers=tuple(numbers), track=self.tracks[numbers[0]], rows=rows)

    def _members(self, patterns: tuple[str, ...], missing: Missing) -> tuple[Recording, tuple[int, ...]]:
        """The numbers of the channels that are meant, in the recording with those that it lacks added to it."""
        parse_word(missing, Missing, field="missing")
        if not patterns:
            raise ValueError("expected at least one channel, got none")
        recording = self
        members: list[int] = []
        lacking: list[tuple[int, str]] = []
        for name in patterns:
            names = [channel.name for channel in recording.channels]
            numbers = matching(name, names, recording=self.id)
            if not numbers:
                if missing == "error" or not self.channels:
                    raise no_channel(name, names, self.id)
                lacking.append((len(members), name))
                numbers = [-1]
            members += numbers
        like = next((member for member in members if member >= 0), 0)
        for place, name in lacking:
            members[place] = len(recording.channels)
            channel = replace(self.channels[like], name=name, scale=1.0, offset=0.0)
            recording = replace(
                recording,
                channels=(*recording.channels, channel),
                numbers=(*recording.numbers, -1),
                tracks=(*recording.tracks, self.tracks[like]),
            )
        return recording, tuple(dict.fromkeys(members))

    def _key(self) -> tuple[Any, ...]:
        layout = tuple(self.layout.items())
        return self.id, self.source, self.channels, self.numbers, layout, self.units, tuple(self.labels.items())

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Recording) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.id, self.source, self.numbers))

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __repr__(self) -> str:
        count = len(self.channels)
        return f"<Recording {quoted(self.id)}: {count} channel{'s' * (count != 1)}, {self.duration:g} s>"

    def _repr_html_(self) -> str:
        from bridgeflow.recordings.notebook import recording_html

        return recording_html(self)


class _ColumnsByName(Mapping[str, Column]):
    """Columns by name, each put together when it is first asked for."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._columns: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._columns:
            self._columns[name] = self._recording.column(name)
        return self._columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self._recording.layout

    def __iter__(self) -> Iterator[str]:
        return iter(self._recording.layout)

    def __len__(self) -> int:
        return len(self._recording.layout)

    def __repr__(self) -> str:
        return f"<columns {listed(self)}>"


def _columns_of_rates(channels: Sequence[Channel], tracks: Sequence[Track]) -> dict[str, tuple[int, ...]]:
    """A column for the channels of each rate, and of each length among them; one alone is called `signal`."""
    if all(one.rate is channels[0].rate for one in channels) and all(one is tracks[0] for one in tracks):
        return {"signal": tuple(range(len(channels)))} if channels else {}  # most files, and hashing rates is slow
    groups: dict[tuple[Fraction, Track], list[int]] = {}
    for number, (channel, track) in enumerate(zip(channels, tracks, strict=True)):
        groups.setdefault((channel.rate, track), []).append(number)
    if len(groups) == 1:
        return {"signal": tuple(range(len(channels)))}
    columns: dict[str, tuple[int, ...]] = {}
    for (rate, _), members in groups.items():
        name = f"signal_{float(rate):g}"
        number = sum(one == name or one.startswith(f"{name}_") for one in columns)
        columns[f"{name}_{number + 1}" if number else name] = tuple(members)
    return columns
