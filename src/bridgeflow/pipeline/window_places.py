"""Where the windows of a column lie: regularly, at events, drawn by chance, or all of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

import numpy as np

from bridgeflow.randomness import philox
from bridgeflow.signal.framing import Framing
from bridgeflow.transforms.recording_windows import EventLabels, EventWindow, RandomWindow, RecordingCut, WholeRecording
from bridgeflow.transforms.window import Window, WindowLabels

__all__ = ["Cut", "Drawn", "Events", "Place", "Segment", "WindowPlaces", "events_of", "label_of", "places_in"]

Cut = (Window, WindowLabels, RecordingCut)
"""The stages that cut windows."""


class Segment(NamedTuple):
    """A stretch between gaps after the continuous stages: samples, their rate, seconds before it."""

    samples: int
    fs: float
    onset: float


class Events(NamedTuple):
    """The events of a recording: seconds from its start, durations, texts, each [events]."""

    onsets: Any
    durations: Any
    texts: Sequence[str]


class Place(NamedTuple):
    """Where a window lies: number of the segment, first sample and end in it, samples that are missing at the end."""

    segment: int
    begin: int
    end: int
    missing: int = 0


class WindowPlaces(Protocol):
    """The windows of one column of a recording."""

    def __len__(self) -> int: ...

    def at(self, number: int, draw: float) -> Place:
        """Where one lies; `draw` is a number drawn for it, from 0 up to 1."""

    def event(self, number: int) -> str | None:
        """The text of the event that it is of, where it is of one."""


class Regular(NamedTuple):
    """Windows at regular places in each segment."""

    framing: Framing
    samples: tuple[int, ...]
    first: tuple[int, ...]

    @classmethod
    def of(cls, framing: Framing, segments: Sequence[Segment]) -> Regular:
        """Those of a framing."""
        counts = [framing.count(one.samples) for one in segments]
        return cls(framing, tuple(one.samples for one in segments), tuple(accumulate(counts, initial=0)))

    def __len__(self) -> int:
        return self.first[-1]

    def at(self, number: int, draw: float) -> Place:
        """Counted from the start of the segment."""
        segment = bisect_right(self.first, number) - 1
        begin = (number - self.first[segment]) * self.framing.hop
        end = min(begin + self.framing.length, self.samples[segment])
        return Place(segment, begin, end, begin + self.framing.length - end)

    def event(self, number: int) -> None:
        """None."""


class AtEvents(NamedTuple):
    """Windows around events."""

    length: int
    segments: Any
    begins: Any
    texts: tuple[str, ...]

    @classmethod
    def of(cls, cut: EventWindow, segments: Sequence[Segment], events: Events) -> AtEvents:
        """Those of the events that match, as far as they lie in a segment."""
        length, matches = cut.window_samples(segments[0].fs if segments else 1.0), []
        for onset, text in zip(events.onsets, events.texts, strict=True):
            if not any(fnmatchcase(text, pattern) for pattern in cut.event):
                continue
            for number, (samples, fs, before) in enumerate(segments):
                begin = round((onset + cut.start - before) * fs)
                if begin >= 0 and begin + length <= samples:
                    matches.append((number, begin, text))
                    break
        numbers, begins, texts = zip(*matches, strict=True) if matches else ((), (), ())
        return cls(length, np.array(numbers, np.int32), np.array(begins, np.int64), tuple(texts))

    def __len__(self) -> int:
        return len(self.texts)

    def at(self, number: int, draw: float) -> Place:
        """At the event."""
        begin = int(self.begins[number])
        return Place(int(self.segments[number]), begin, begin + self.length)

    def event(self, number: int) -> str:
        """Its text."""
        return self.texts[number]


class Drawn(NamedTuple):
    """Windows at random places."""

    windows: int
    length: int
    first: tuple[int, ...]

    @classmethod
    def of(cls, cut: RandomWindow, segments: Sequence[Segment]) -> Drawn:
        """Anywhere between gaps."""
        length = cut.window_samples(segments[0].fs if segments else 1.0)
        first = tuple(accumulate((max(one.samples - length + 1, 0) for one in segments), initial=0))
        return cls(cut.per_recording if first[-1] else 0, length, first)

    def __len__(self) -> int:
        return self.windows

    def at(self, number: int, draw: float) -> Place:
        """Where the number drawn says."""
        chosen = min(int(draw * self.first[-1]), self.first[-1] - 1)
        segment = bisect_right(self.first, chosen) - 1
        begin = chosen - self.first[segment]
        return Place(segment, begin, begin + self.length)

    def event(self, number: int) -> None:
        """None."""


class Entire(NamedTuple):
    """Each segment as one window."""

    samples: tuple[int, ...]
    numbers: tuple[int, ...]
    most: int | None
    length: int | None

    @classmethod
    def of(cls, cut: WholeRecording, segments: Sequence[Segment]) -> Entire:
        """All that have samples."""
        fs = segments[0].fs if segments else 1.0
        numbers = tuple(number for number, one in enumerate(segments) if one.samples)
        return cls(tuple(one.samples for one in segments), numbers, cut.most_samples(fs), cut.window_samples(fs))

    def __len__(self) -> int:
        return len(self.numbers)

    def at(self, number: int, draw: float) -> Place:
        """All of it, as far as it may be long."""
        segment = self.numbers[number]
        samples = self.samples[segment]
        end = samples if self.most is None else min(samples, self.most)
        return Place(segment, 0, end, 0 if self.length is None else self.length - end)

    def event(self, number: int) -> None:
        """None."""


def places_in(cut: Any, segments: Sequence[Segment], events: Events) -> WindowPlaces:
    """Where a stage cuts a column of a recording."""
    if isinstance(cut, EventWindow):
        return AtEvents.of(cut, segments, events)
    if isinstance(cut, RandomWindow):
        return Drawn.of(cut, segments)
    if isinstance(cut, WholeRecording):
        return Entire.of(cut, segments)
    return Regular.of(cut.framing(segments[0].fs if segments else 1.0), segments)


def draw_of(seed: int, epoch: int, row: int) -> float:
    """A number from 0 up to 1 for a row in an epoch, apart from those that transforms draw for it."""
    return float(int(philox(seed, epoch, row=row, branch=1).random_raw()) >> 11) * 2.0**-53  # as Generator.random


def events_of(recording: Any) -> Events:
    """The events of a recording; those whose duration is not known have none."""
    table = recording.events
    durations = [value or 0.0 for value in table.column("duration").to_pylist()]
    onsets = np.asarray(table.column("onset").to_pylist(), np.float64)
    return Events(onsets, np.asarray(durations, np.float64), [str(text) for text in table.column("text").to_pylist()])


def label_of(stage: EventLabels, events: Events, begin: float, end: float, fs: float) -> int:
    """The label of a window.

    Args:
        begin, end: of the window, in seconds from the recording's start.
        fs: its rate.
    """
    stops = events.onsets + np.maximum(events.durations, 1 / fs)
    shared = np.minimum(stops, end) - np.maximum(events.onsets, begin)
    covered = np.zeros(len(stage.classes))
    middle = (begin + end) / 2
    for place in np.flatnonzero(shared > 1e-9 / fs).tolist():
        text = events.texts[place]
        number = next((n for n, pattern in enumerate(stage.classes) if fnmatchcase(text, pattern)), None)
        if number is None:
            continue
        if stage.rule != "center":
            covered[number] += shared[place] / (end - begin)
        elif events.onsets[place] <= middle < stops[place]:
            return number
    counts = (covered > 0) & (covered >= stage.min_overlap - 1e-9)
    if stage.rule == "center" or not counts.any():
        return stage.default
    return int(np.argmax(counts if stage.rule == "any" else np.where(counts, covered, 0)))
