"""Windows out of filtered recordings, computed when they are asked for.

The stages of a pipeline before `Window` are continuous: a window of their result has the bits of the same window out of
the whole recording run in one piece. The stages after it see one window. Nothing is computed before a window is asked
for but where windows lie, which follows from lengths and rates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeGuard

import numpy as np

from bridgeflow.bridge import kind_of, to_numpy, to_tensor
from bridgeflow.errors import BridgeflowError, ConfigError, DataError, StageId, at_place
from bridgeflow.pipeline.batches import SampleSet, Values
from bridgeflow.pipeline.chains import Chains, ChainSettings, WholeRecordings, build, spec_after
from bridgeflow.pipeline.columns import ArrayKind
from bridgeflow.pipeline.compose import AnyStage, Compose
from bridgeflow.pipeline.stretches import Recorded, RecordedColumn, Stretches
from bridgeflow.policy import parse_integer, parse_word
from bridgeflow.signal.framing import Framing
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.base import LeafTransform
from bridgeflow.transforms.plan import select_specs
from bridgeflow.transforms.window import Window, WindowLabels
from bridgeflow.tree import place

__all__ = ["RecordingWindows", "is_recordings"]

Cut = Window | WindowLabels


class RecordingLike(Protocol):
    """A recording, as `bridgeflow.recordings` has it."""

    @property
    def id(self) -> str:
        """Its name among the others."""

    @property
    def columns(self) -> Mapping[str, RecordedColumn]:
        """Its signals."""

    @property
    def labels(self) -> Mapping[str, Any]:
        """What is known of it: groups, columns of a table."""


class RecordingsLike(Protocol):
    """Recordings, as `bridgeflow.recordings` has them, or a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> RecordingLike: ...


def is_recordings(source: object) -> TypeGuard[RecordingsLike]:
    """Whether a dataset's source is recordings rather than rows: a sequence of them, with or without a table."""
    if not isinstance(source, Sequence) and not (hasattr(source, "table") and hasattr(source, "__getitem__")):
        return False
    recordings: Any = source
    return len(recordings) > 0 and hasattr(recordings[0], "columns") and hasattr(recordings[0], "id")


class ColumnPlan(NamedTuple):
    """What happens to a column: its continuous stages, and the stage that cuts it."""

    stages: tuple[tuple[StageId | None, LeafTransform], ...]
    cut: Cut


class Piece(NamedTuple):
    """A segment of a recording with its windows: number of the recording, number of the segment, first row."""

    recording: int
    segment: int
    row: int


class RecordingWindows:
    """The windows of recordings, as what a `SignalDataset` reads its rows from. Threads may share it.

    Args:
        recordings: a sequence of recordings with a `table`.
        transform: the whole pipeline.
        kind: windows are `"torch"` tensors or `"numpy"` arrays.
        whole, state_nbytes, cache_nbytes: see `SignalDataset`.

    Attributes:
        stages: how many stages of the pipeline are done here, those up to the windows.
        rows: how many windows there are.
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
        )
        cuts = [number for number, (_, stage) in enumerate(self._row) if isinstance(stage, Cut)]
        if not cuts:
            raise ConfigError(
                "a dataset of recordings needs a stage that cuts windows: put Window(length=...) into the transform"
            )
        self.stages = cuts[0]
        while self.stages < len(self._row) and isinstance(self._row[self.stages][1], Cut):
            self.stages += 1
        self._plans: dict[tuple[str, ...], dict[str, ColumnPlan]] = {}
        self._pieces, self.rows = self._index()

    def __repr__(self) -> str:
        return f"<{self.rows:,} windows of {len(self.recordings):,} recordings>"

    def __getstate__(self) -> dict[str, Any]:
        derived = ("_chains", "_settings", "_numeric", "_first_rows", "specs")
        return {name: value for name, value in self.__dict__.items() if name not in derived}

    # --- where windows lie ---

    def _index(self) -> tuple[list[Piece], int]:
        pieces, rows = [], 0
        for number in range(len(self.recordings)):
            recording = self.recordings[number]
            plans = self._plan(recording)
            segments = {name: len(column.segments) for name, column in recording.columns.items()}
            if len(set(segments.values())) > 1:
                raise DataError(f"{recording.id}: columns have gaps of their own ({segments}); read them one by one")
            for segment in range(next(iter(segments.values()), 0)):
                counts = {name: self._count(recording, name, segment, plan) for name, plan in plans.items()}
                if len(set(counts.values())) > 1:
                    told = ", ".join(f"{name} {count}" for name, count in counts.items())
                    raise DataError(
                        f"{recording.id}: columns are cut into different numbers of windows ({told}); "
                        "give lengths and hops of the same duration"
                    )
                count = next(iter(counts.values()))
                if count:
                    pieces.append(Piece(number, segment, rows))
                    rows += count
        return pieces, rows

    def _count(self, recording: RecordingLike, name: str, segment: int, plan: ColumnPlan) -> int:
        """How many windows a segment of a column has."""
        column = recording.columns[name]
        first, end = column.segments[segment]
        shape = (*column.shape, end - first)
        spec = ArraySpec(kind="numpy", dtype=np.dtype(column.dtype).name, shape=shape, fs=float(column.fs))
        try:
            return framing_of(plan.cut).count(_time_after(plan, spec, name, recording.id))
        except DataError:
            if len(column.segments) > 1:  # too short between two gaps for a filter: no window of it can be had
                return 0
            raise

    def _plan(self, recording: RecordingLike) -> dict[str, ColumnPlan]:
        """What happens to each column of a recording."""
        names = tuple(recording.columns)
        if names not in self._plans:
            specs = {
                name: ArraySpec(kind="numpy", dtype=np.dtype(column.dtype).name, shape=(*column.shape, None))
                for name, column in recording.columns.items()
            }
            self._plans[names] = self._compiled(specs)
        return self._plans[names]

    def _compiled(self, specs: dict[str, ArraySpec]) -> dict[str, ColumnPlan]:
        stages: dict[str, list[tuple[StageId | None, LeafTransform]]] = {name: [] for name in specs}
        cuts: dict[str, Cut] = {}
        places = {place([name]): name for name in specs}
        for label, stage in self._row[: self.stages]:
            if not isinstance(stage, LeafTransform):
                raise ConfigError(
                    f"{label}: stands before the windows, and only transforms of arrays can be computed stretch by "
                    "stretch; put it after Window"
                )
            recipe, _ = select_specs(specs, stage, label)
            for name in (places[each] for each in recipe.places):
                if name in cuts:
                    raise ConfigError(f"{label}: {name} is cut into windows by a stage before it already")
                if isinstance(stage, Cut):
                    cuts[name] = stage
                else:
                    stages[name].append((label, stage))
        if uncut := [name for name in specs if name not in cuts]:
            raise ConfigError(f"no stage cuts {', '.join(uncut)} into windows; add to the keys of Window, or leave out")
        return {name: ColumnPlan(tuple(stages[name]), cuts[name]) for name in specs}

    @cached_property
    def _first_rows(self) -> Any:
        return np.array([piece.row for piece in self._pieces], np.int64)

    # --- what a dataset asks for ---

    @cached_property
    def specs(self) -> dict[str, ArraySpec]:
        """What the columns of rows are."""
        if not self._pieces:
            return {}
        first = self._pieces[0]
        recording = self.recordings[first.recording]
        made = {}
        for name, plan in self._plan(recording).items():
            spec = self._chain(first, name).spec
            tail = (framing_of(plan.cut).length,) if isinstance(plan.cut, Window) else ()
            made[name] = spec.fresh(kind=self._kind, shape=(self.rows, *spec.shape[:-1], *tail))
        return made

    @property
    def conversions(self) -> dict[str, str]:
        """Columns whose rows may have lengths of their own: none."""
        return {}

    def describe(self, name: str) -> Any:
        """Nothing is known of memory before windows are computed."""
        raise DataError(f"what {name} will be is not known before it is computed")

    def digest(self) -> str:
        """What tells these windows from others: recordings, their lengths, and the stages up to the windows."""
        told = hashlib.sha256(repr(self._row[: self.stages]).encode())
        for piece in self._pieces:
            recording = self.recordings[piece.recording]
            lengths = {name: column.segments for name, column in recording.columns.items()}
            told.update(repr((recording.id, piece, lengths)).encode())
        return told.hexdigest()[:32]

    def fetch(self, rows: Any, read_only: frozenset[str] = frozenset()) -> SampleSet:
        """The windows of these rows, before the stages that see one window.

        Args:
            rows: their numbers, int64.
            read_only: not looked at: windows are always memory of their own.
        """
        where = [self._located(int(row)) for row in rows]
        samples: list[dict[str, Any]] = [{} for _ in where]
        for number in sorted(range(len(where)), key=where.__getitem__):  # neighbours after each other
            piece, window = where[number]
            samples[number] = self._sample(piece, window)
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
                converted = [{**sample, **{key: self._as_kind(sample[key]) for key in arrays}} for sample in samples]
                return SampleSet(None, len(samples), converted)
            data[name] = self._as_kind(together)
        return SampleSet(data, len(samples))

    def _located(self, row: int) -> tuple[int, int]:
        """The number of the piece that holds a row, and the number of the window in it."""
        piece = int(np.searchsorted(self._first_rows, row, side="right")) - 1
        return piece, row - self._pieces[piece].row

    def _sample(self, number: int, window: int) -> dict[str, Any]:
        piece = self._pieces[number]
        recording = self.recordings[piece.recording]
        sample: dict[str, Any] = {}
        start = 0
        for position, (name, plan) in enumerate(self._plan(recording).items()):
            framing = framing_of(plan.cut)
            begin = window * framing.hop
            try:
                chain = self._chain(piece, name)
                x = chain.read(begin, min(begin + framing.length, chain.length))
                sample[name] = _cut(x, plan.cut, framing)
            except BridgeflowError as error:
                error.recording = error.recording or recording.id
                if error.place == "$":
                    at_place(error, place([name]))
                raise
            if position == 0:
                first = recording.columns[name].segments[piece.segment][0]
                start = begin if not first else first + begin
        return {**sample, "recording": recording.id, "start": start, **self._labels(recording)}

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

    def _chain(self, piece: Piece, name: str) -> Stretches:
        """The column of a recording after its continuous stages."""

        def make() -> tuple[Stretches, int]:
            recording = self.recordings[piece.recording]
            column, plan = recording.columns[name], self._plan(recording)[name]
            first = Recorded(column, column.segments[piece.segment], f"{recording.id}, {name}")
            return build(first, plan.stages, self._settings, name, recording.id)

        return self._chains.get((piece.recording, piece.segment, name), make)

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


def framing_of(cut: Cut) -> Framing:
    """Where a stage cuts."""
    return cut.live.framing


def _time_after(plan: ColumnPlan, spec: ArraySpec, name: str, recording: str) -> int:
    """Samples of a column after its continuous stages."""
    for label, stage in plan.stages:
        try:
            spec = spec_after(stage, spec)
        except BridgeflowError as error:
            error.stage, error.recording = error.stage or label, recording
            at_place(error, place([name]))
            raise
    assert spec.time is not None
    return spec.time


def _cut(x: Any, cut: Cut, framing: Framing) -> Any:
    """One window, completed where it lies at the end; or its label."""
    if isinstance(cut, WindowLabels):
        return cut.live(x)[..., 0]
    missing = framing.length - int(x.shape[-1])
    return framing.completed(x, missing) if missing else x


def _stacked(values: list[Any]) -> Any | None:
    """Windows of one shape and type as one array; `None` where they differ."""
    if len({(type(value), tuple(value.shape), str(value.dtype)) for value in values}) > 1:
        return None
    if isinstance(values[0], np.ndarray):
        return np.stack(values)
    import torch

    return torch.stack(values)
