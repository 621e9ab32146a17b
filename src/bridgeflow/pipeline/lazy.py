"""Windows out of filtered recordings, computed when they are asked for.

The stages of a pipeline before `Window` are continuous: a window of their result has the bits of the same window out of
the whole recording run in one piece. The stages after it see one window. Nothing is computed before a window is asked
for but where windows lie, which follows from lengths and rates.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np

from bridgeflow.bridge import kind_of, to_numpy, to_tensor
from bridgeflow.errors import BridgeflowError, ConfigError, DataError, StageId, at_place, listed
from bridgeflow.io.disk_cache import DiskCache
from bridgeflow.pipeline.batches import SampleSet, Values
from bridgeflow.pipeline.chains import Chains, ChainSettings, WholeRecordings, build, in_recording
from bridgeflow.pipeline.column_plans import ColumnPlan, compile_columns
from bridgeflow.pipeline.columns import ArrayKind
from bridgeflow.pipeline.compose import AnyStage, Compose
from bridgeflow.pipeline.recording_protocols import RecordingLike, RecordingsLike
from bridgeflow.pipeline.stretches import Recorded, Stretches
from bridgeflow.pipeline.window_places import (
    Cut,
    Events,
    Place,
    Segment,
    WindowPlaces,
    draw_of,
    events_of,
    label_of,
    places_in,
)
from bridgeflow.policy import parse_integer, parse_word
from bridgeflow.recordings.split_part import SplitPart
from bridgeflow.signal._memory import empty
from bridgeflow.signal.framing import Framing, labels_of_frames
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.facts import RecordingFacts
from bridgeflow.transforms.recording_windows import EventLabels, EventWindow, RandomWindow, RecordingCut
from bridgeflow.transforms.window import WindowLabels
from bridgeflow.tree import place

__all__ = ["RecordingWindows", "cut_window"]


_NO_EVENTS = Events(np.zeros(0), np.zeros(0), [])


class RecordingWindows:
    """The windows of recordings, as what a `SignalDataset` reads its rows from. Threads may share it.

    Args:
        recordings: a sequence of recordings with a `table`.
        transform: the whole pipeline.
        kind: windows are `"torch"` tensors or `"numpy"` arrays.
        whole, state_nbytes, cache_nbytes, cache: see `SignalDataset`.

    Attributes:
        stages: how many stages of the pipeline are done here, those up to the windows.
        label_stages: those among them that give labels.
        part: which part of a split these windows are; `None` for none.
        specs: what the columns of rows are, of windows [rows, channels, length].
    """

    random_access = True
    name = "recordings"
    fs = None

    def __init__(
        self,
        recordings: RecordingsLike,
        transform: AnyStage | None,
        *,
        kind: ArrayKind,
        whole: WholeRecordings,
        state_nbytes: int,
        cache_nbytes: int,
        cache: DiskCache | None = None,
    ) -> None:
        parse_word(whole, WholeRecordings, field="whole")
        self.recordings = recordings
        self._row: tuple[tuple[StageId | None, AnyStage], ...] = ()
        if transform is not None:
            self._row = transform.row if type(transform) is Compose else ((None, transform),)
        self._kind = kind
        self._options = (
            whole,
            parse_integer(state_nbytes, field="state_nbytes", least=0),
            parse_integer(cache_nbytes, field="cache_nbytes", least=0),
            cache,
        )
        cuts = [number for number, (_, stage) in enumerate(self._row) if isinstance(stage, Cut)]
        if not cuts:
            raise ConfigError(
                "a dataset of recordings needs a stage that cuts windows: put Window(length=...) into the transform"
            )
        self.stages = cuts[0]
        while self.stages < len(self._row) and isinstance(self._row[self.stages][1], (*Cut, EventLabels)):
            self.stages += 1
        self.label_stages = [one for _, one in self._row[: self.stages] if isinstance(one, EventLabels)]
        self._plans: dict[tuple[str, ...], dict[str, ColumnPlan]] = {}
        self._places: list[dict[str, WindowPlaces]] = [
            self._places_of(recordings[number]) for number in range(len(recordings))
        ]
        counts = [len(next(iter(places.values()))) for places in self._places]
        self._first_rows = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self._chosen: Any = None
        self.part: SplitPart | None = getattr(recordings, "part", None)

    @property
    def rows(self) -> int:
        """How many windows there are."""
        return int(self._first_rows[-1]) if self._chosen is None else len(self._chosen)

    def choose(self, rows: Any, part: SplitPart | None = None) -> RecordingWindows:
        """Some of the windows, by their rows here; what was computed is shared.

        Args:
            part: which part of a split they are; `None` for the same as all.
        """
        chosen = copy(self)
        chosen.part = part or self.part
        chosen._chosen = np.asarray(rows, np.int64) if self._chosen is None else self._chosen[rows]
        return chosen

    def __repr__(self) -> str:
        without = sum(not len(next(iter(places.values()))) for places in self._places)
        counted = f", {without:,} of which have none" if without else ""
        return f"<{self.rows:,} windows of {len(self.recordings):,} recordings{counted}>"

    def why_none(self) -> str:
        """Why there is no window, and what to do."""
        if not len(self.recordings):
            return "there are no recordings, all were filtered out or none was given; filter less"
        if self._first_rows[-1]:
            return f"none of {int(self._first_rows[-1]):,} is in {self.part or 'this selection'}; split otherwise"
        name, plan = next(iter(self._plan(self.recordings[0]).items()))
        if isinstance(plan.cut, EventWindow):
            numbers = range(min(len(self.recordings), 100))
            texts = dict.fromkeys(text for number in numbers for text in self.events(number).texts)
            events = f"events: {listed(texts)}" if texts else "there are no events"
            return f"none of the events {listed(plan.cut.event)} has its window between two gaps; {events}"
        parts = [one for n in range(len(self.recordings)) for one in self._segments_of(n, name)]
        longest = max(parts, key=lambda one: one.samples / one.fs, default=Segment(0, 1.0, 0.0))
        needed = _samples(plan.cut, longest.fs)
        return (
            f"the longest stretch without a gap has {longest.samples:,} samples of {name} before the windows, and a "
            f"window {needed or 1:,}; shorten {type(plan.cut).__name__}"
        )

    def _segments_of(self, number: int, name: str) -> list[Segment]:
        recording = self.recordings[number]
        plans = self._plan(recording)
        return self._segments(recording, name, plans[name]) if name in plans else []

    def __getstate__(self) -> dict[str, Any]:
        derived = ("_chains", "_settings", "_numeric", "_kept_events", "_firsts", "specs")
        return {name: value for name, value in self.__dict__.items() if name not in derived}

    # --- where windows lie ---

    def _places_of(self, recording: RecordingLike) -> dict[str, WindowPlaces]:
        """Where the windows of each column of a recording lie."""
        needs_events = any(isinstance(stage, EventWindow) for _, stage in self._row[: self.stages])
        events = events_of(recording) if needs_events else _NO_EVENTS
        if self._options[3] is not None and not all(hasattr(one, "identity") for one in recording.columns.values()):
            raise ConfigError(f"{recording.id}: cache needs columns with an identity; use bridgeflow.Recordings")
        segments = {name: len(column.segments) for name, column in recording.columns.items()}
        if len(set(segments.values())) > 1:
            raise DataError(f"{recording.id}: columns have gaps of their own ({segments}); read them one by one")
        places = {
            name: places_in(plan.cut, self._segments(recording, name, plan), events)
            for name, plan in self._plan(recording).items()
        }
        if len({len(one) for one in places.values()}) > 1:
            counts = ", ".join(f"{name} {len(one)}" for name, one in places.items())
            raise DataError(
                f"{recording.id}: columns are cut into different numbers of windows ({counts}); "
                "give lengths and hops of the same duration"
            )
        return places

    def _segments(self, recording: RecordingLike, name: str, plan: ColumnPlan) -> list[Segment]:
        """The segments of a column after its continuous stages; none of their samples where a filter cannot have so few
        between two gaps.
        """
        column = recording.columns[name]
        segments = []
        for number, (first, end) in enumerate(column.segments):
            spec = Recorded(column, (first, end), name).spec
            try:
                _, spec, _ = in_recording(plan.stages, spec, _facts(recording, name), name)
            except DataError:
                if len(column.segments) == 1:
                    raise
                spec = spec.with_time(0)
            segments.append(Segment(spec.time or 0, spec.fs or column.fs, _onset(column, number)))
        return segments

    def _plan(self, recording: RecordingLike) -> dict[str, ColumnPlan]:
        """What happens to each column of a recording."""
        names = tuple(recording.columns)
        if names not in self._plans:
            specs = {
                name: ArraySpec(kind="numpy", dtype=np.dtype(column.dtype).name, shape=(*column.shape, None))
                for name, column in recording.columns.items()
            }
            self._plans[names] = compile_columns(self._row[: self.stages], specs)
        return self._plans[names]

    # --- what a dataset asks for ---

    @cached_property
    def specs(self) -> dict[str, ArraySpec]:
        """What the columns of rows are."""
        number = next((n for n, places in enumerate(self._places) if len(next(iter(places.values())))), None)
        if number is None:
            return {}
        recording = self.recordings[number]
        specs = {}
        for name, plan in self._plan(recording).items():
            segment = self._places[number][name].at(0, 0.0).segment
            spec = self._chain(number, segment, name).spec
            tail = () if isinstance(plan.cut, WindowLabels) else (_samples(plan.cut, spec.fs),)
            specs[name] = spec.fresh(kind=self._kind, shape=(self.rows, *spec.shape[:-1], *tail))
        return specs

    def channels(self) -> dict[str, tuple[str, ...] | None]:
        """The names of each column's channels after the continuous stages; `None` where recordings differ in them."""
        names: dict[str, set[tuple[str, ...] | None]] = {}
        for number in range(len(self.recordings)):
            recording = self.recordings[number]
            for name, plan in self._plan(recording).items():
                column = recording.columns[name]
                spec = Recorded(column, column.segments[0], name).spec
                _, _, after = in_recording(plan.stages, spec, _facts(recording, name), name)
                names.setdefault(name, set()).add(after)
        return {name: one.pop() if len(one) == 1 else None for name, one in names.items()}

    @property
    def conversions(self) -> dict[str, str]:
        """`"lists"` for columns whose rows have lengths of their own."""
        plans = next(iter(self._plans.values()), {})
        return {name: "lists" for name, plan in plans.items() if _samples(plan.cut, 1e6) is None}

    def describe(self, name: str) -> Any:
        """Nothing is known of memory before windows are computed."""
        raise DataError(f"what {name} will be is not known before it is computed")

    def digest(self) -> str:
        """What tells these windows from others: recordings, their lengths, and the stages up to the windows."""
        digest = hashlib.sha256(repr((self._row[: self.stages], self.rows)).encode())
        for number in range(len(self.recordings)):
            recording = self.recordings[number]
            lengths = {name: column.segments for name, column in recording.columns.items()}
            digest.update(repr((recording.id, lengths, len(next(iter(self._places[number].values()))))).encode())
        if self._chosen is not None:
            digest.update(self._chosen.tobytes())
        return digest.hexdigest()[:32]

    def fetch(self, rows: Any, key: tuple[int, int] = (0, 0)) -> SampleSet:
        """The windows of these rows, before the stages that see one window.

        Args:
            rows: their numbers, int64.
            key: seed and epoch, for windows at random places.
        """
        numbers = rows if self._chosen is None else self._chosen[rows]
        samples: list[dict[str, Any]] = [{} for _ in numbers]
        for position in np.argsort(numbers, kind="stable"):  # neighbours after each other
            samples[position] = self._sample(int(numbers[position]), key)
        names = samples[0].keys()
        arrays = [name for name in names if isinstance(samples[0][name], np.ndarray) or kind_of(samples[0][name])]
        data: dict[str, Any] = {}
        for name in names:
            values = [sample[name] for sample in samples]
            if name not in arrays:
                data[name] = Values(values)
                continue
            together = _stacked(values)
            if together is None:
                own = [{key: self._as_kind(_copied(sample[key])) for key in arrays} for sample in samples]
                converted = [{**sample, **arrays_of} for sample, arrays_of in zip(samples, own, strict=True)]
                return SampleSet(None, len(samples), converted)
            data[name] = self._as_kind(together)
        return SampleSet(data, len(samples))

    def located(self, row: int, key: tuple[int, int] = (0, 0)) -> tuple[int, dict[str, Place], str | None]:
        """The number of the recording that a row is of, where the window lies in each column, and its event.

        Args:
            row: before any choice.
            key: seed and epoch.
        """
        number = bisect_right(self._firsts, row) - 1
        window = row - self._firsts[number]
        places = self._places[number]
        draw = draw_of(*key, row) if self._is_drawn else 0.0
        event = next((text for one in places.values() if (text := one.event(window)) is not None), None)
        return number, {name: one.at(window, draw) for name, one in places.items()}, event

    @cached_property
    def _firsts(self) -> list[int]:
        """The first row of each recording, as numbers."""
        return [int(row) for row in self._first_rows]

    @cached_property
    def _is_drawn(self) -> bool:
        """Whether windows lie elsewhere in each epoch."""
        return any(isinstance(stage, RandomWindow) for _, stage in self._row[: self.stages])

    def _sample(self, row: int, key: tuple[int, int]) -> dict[str, Any]:
        number, places, event = self.located(row, key)
        recording = self.recordings[number]
        sample: dict[str, Any] = {}
        for name, plan in self._plan(recording).items():
            segment, begin, end, missing = places[name]
            try:
                x = self._chain(number, segment, name).read(begin, end)
                sample[name] = cut_window(x, plan.cut, missing)
            except BridgeflowError as error:
                error.recording = error.recording or recording.id
                if error.place == "$":
                    at_place(error, place([name]))
                raise
        start, since, until, fs = self.times(number, places)
        sample |= {"recording": recording.id, "start": start}
        if event is not None:
            sample["event"] = event
        sample |= self._labels(recording)
        for stage in self.label_stages:
            sample[stage.name] = np.asarray(label_of(stage, self.events(number), since, until, fs))
        return sample

    def label(self, stage: EventLabels, number: int, places: Mapping[str, Place]) -> int:
        """The label of a window from the events of its recording."""
        _, since, until, fs = self.times(number, places)
        return label_of(stage, self.events(number), since, until, fs)

    def times(self, number: int, places: Mapping[str, Place]) -> tuple[int, float, float, float]:
        """The first sample of a window as it was recorded, its begin and end in seconds, and its rate.

        Args:
            number: of the recording.
            places: where the window lies in each column; the first counts.
        """
        name = next(iter(places))
        segment, begin, end, _ = places[name]
        column = self.recordings[number].columns[name]
        fs = self._chain(number, segment, name).spec.fs or column.fs
        start, onset = column.segments[segment][0], _onset(column, segment)
        return start + round(begin * column.fs / fs), onset + begin / fs, onset + end / fs, fs

    def rows_of(self, recordings: Iterable[int]) -> Any:
        """The rows of these recordings, as they are counted here, in order."""
        chosen = np.arange(self._first_rows[-1]) if self._chosen is None else self._chosen
        of = np.searchsorted(self._first_rows, chosen, side="right") - 1
        return np.flatnonzero(np.isin(of, np.fromiter(recordings, np.int64)))

    def where(self, row: int) -> tuple[int, dict[str, Place]]:
        """The number of the recording that a row is of, and where the window lies in each column.

        Raises:
            ValueError: windows are drawn at random.
        """
        if self._is_drawn:
            raise ValueError("windows of RandomWindow lie elsewhere in each epoch; choose among recordings instead")
        number, places, _ = self.located(self.chosen(row))
        return number, places

    def chosen(self, row: int) -> int:
        """The number that a row has before any choice."""
        return row if self._chosen is None else int(self._chosen[row])

    def events(self, number: int) -> Events:
        """The events of a recording, kept for the last few."""
        if number not in self._kept_events:
            if len(self._kept_events) > 64:
                self._kept_events.clear()
            self._kept_events[number] = events_of(self.recordings[number])
        return self._kept_events[number]

    @cached_property
    def _kept_events(self) -> dict[int, Events]:
        return {}

    def _labels(self, recording: RecordingLike) -> dict[str, Any]:
        """Numbers as arrays, all else as it is."""
        numeric = self._numeric
        return {name: np.asarray(value) if name in numeric else value for name, value in recording.labels.items()}

    @cached_property
    def _settings(self) -> ChainSettings:
        return ChainSettings(*self._options)

    @cached_property
    def _chains(self) -> Chains:
        return Chains(16 * self._options[1])

    def _chain(self, number: int, segment: int, name: str) -> Stretches:
        """A segment of a column of a recording after its continuous stages."""

        def make() -> tuple[Stretches, int]:
            recording = self.recordings[number]
            column, plan = recording.columns[name], self._plan(recording)[name]
            first = Recorded(column, column.segments[segment], f"{recording.id}, {name}")
            stages, _, _ = in_recording(plan.stages, first.spec, _facts(recording, name), name)
            return build(first, stages, self._settings, name, recording.id)

        return self._chains.get((number, segment, name), make)

    @cached_property
    def _numeric(self) -> frozenset[str]:
        """The labels that are numbers in every recording, which become tensors."""
        numeric: set[str] | None = None
        for number in range(len(self.recordings)):
            labels = self.recordings[number].labels
            names = {name for name, value in labels.items() if isinstance(value, (bool, int, float, np.number))}
            numeric = names if numeric is None else numeric & names
        return frozenset(numeric or ())

    def _as_kind(self, x: Any) -> Any:
        if self._kind == "torch":
            return to_tensor(x)
        return to_numpy(x)


def _samples(cut: Any, fs: float | None) -> int | None:
    """Samples of a window; `None` where each has its own."""
    if isinstance(cut, RecordingCut):
        return cut.window_samples(fs or 1.0)
    return int(cut.framing(fs).length)


def _onset(column: Any, segment: int) -> float:
    """Seconds from the recording's start to a segment."""
    return float(column.onsets[segment])


def _facts(recording: RecordingLike, name: str) -> RecordingFacts:
    """What is known of a recording and of one of its columns."""
    channels = getattr(recording.columns[name], "channels", None)
    names = None if channels is None else tuple(channel.name for channel in channels)
    return RecordingFacts(recording.id, names, recording.labels)


def cut_window(x: Any, cut: Any, missing: int) -> Any:
    """One window, completed where it lies at the end; or its label."""
    samples = int(x.shape[-1])
    if isinstance(cut, WindowLabels):
        return labels_of_frames(x, samples, rule=cut.rule)[..., 0]
    return Framing(samples + missing, 1, cut.pad).completed(x, missing) if missing else x


def _copied(x: Any) -> Any:
    """Memory of its own: a window may lie in the cache."""
    return x.copy() if isinstance(x, np.ndarray) else x.clone()


def _stacked(values: list[Any]) -> Any | None:
    """Windows of one shape and type as one array; `None` where they differ."""
    first = values[0]
    if any(type(one) is not type(first) or one.shape != first.shape or one.dtype != first.dtype for one in values):
        return None
    if isinstance(values[0], np.ndarray):
        stacked = empty((len(values), *values[0].shape), values[0].dtype)
        return np.stack(values, out=stacked)
    import torch

    return torch.stack(values)
