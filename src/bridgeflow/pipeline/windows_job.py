"""A job over recordings: windows of filtered recordings into a folder of shards, as a `SignalDataset` gives them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bridgeflow._optional import require
from bridgeflow.bridge import kind_of
from bridgeflow.errors import BridgeflowError, DataError
from bridgeflow.io import Recording, require_writable
from bridgeflow.io.files import data_error
from bridgeflow.io.urls import as_path
from bridgeflow.pipeline.chunked import different_lengths, lengths_of, require_columns
from bridgeflow.pipeline.config_places import locate_recordings
from bridgeflow.pipeline.dataset import SignalDataset
from bridgeflow.pipeline.job import CHUNK_NBYTES, SHARD_CHUNKS
from bridgeflow.pipeline.job_base import BaseJob
from bridgeflow.pipeline.job_parts import chosen_options
from bridgeflow.pipeline.placeholders import placeholder_columns
from bridgeflow.pipeline.recording_files import files_of
from bridgeflow.pipeline.recordings_source import RecordingsSource
from bridgeflow.pipeline.window_plan import plan_windows
from bridgeflow.recordings import Recordings
from bridgeflow.spec import itemsize
from bridgeflow.transforms import Plan
from bridgeflow.transforms.plan import UNKNOWN, is_spec
from bridgeflow.transforms.recording_windows import EventWindow
from bridgeflow.tree import place

__all__ = ["Checked", "WindowsJob"]


class Checked(NamedTuple):
    """What is known of a job before it runs: the plan of the first recording with windows, what a row of its results is
    by column, the windows of each recording.
    """

    plan: Plan
    row_types: dict[str, str]
    windows: list[int]


@dataclass(frozen=True, kw_only=True)
class WindowsJob(BaseJob):
    """Recordings, transforms that cut them into windows, and a folder of shards; the other arguments are those of
    `BaseJob`.

    A row of a shard is a window, with the bits that `SignalDataset(recordings, transform)` gives it, and the columns
    that a sample has there: the arrays, `recording`, `start`, labels.

    Args:
        source: the recordings.
        index: the recordings themselves, where they are open already.
    """

    source: RecordingsSource
    index: Recordings | None = field(default=None, compare=False, repr=False)

    @property
    def source_path(self) -> Path:
        """The first path that is named."""
        return self.source.named

    @property
    def is_many(self) -> bool:
        """Always: windows go into a folder, each recording's into shards of its own."""
        return True

    def input_paths(self) -> dict[str, Path]:
        """Every file of every recording, and that of a table or an index."""
        named = {key: path for key, path in self.source.paths.items() if not key.startswith("recordings")}
        return {**named, **{one.name: path for one in self.recordings() for path in self.files(one)}}

    def source_identity(self) -> dict[str, Any]:
        """Its options other than paths and budgets of memory, and which part of a split the recordings are."""
        without = (*RecordingsSource.where, "path", "id", "state_nbytes", "cache_nbytes")
        part = {} if self.opened.part is None else {"part": asdict(self.opened.part)}
        return {"recordings": True, **chosen_options(self.source, without=without), **part}

    @cached_property
    def opened(self) -> Recordings:
        """The recordings, whose headers are read when this is first asked for.

        Raises:
            DataError: they cannot be read.
        """
        if self.index is not None:
            return self.index
        with self.reading():
            return self.source.open(self.roots)

    @cached_property
    def dataset(self) -> SignalDataset:
        """All windows."""
        return self._dataset(self.opened)

    def _dataset(self, recordings: Sequence[Any]) -> SignalDataset:
        source = self.source
        try:
            with self.reading(only_data=True):
                return SignalDataset(
                    recordings,
                    self.transform,
                    kind="numpy",
                    whole=source.whole,
                    state_nbytes=source.state_nbytes,
                    cache_nbytes=source.cache_nbytes,
                )
        except BridgeflowError as error:
            self.locate_stage(error)
            with self.locating("transforms"):
                raise

    def recordings(self) -> tuple[Recording, ...]:
        """The recordings as files: id, path and size.

        Raises:
            DataError: they cannot be read.
        """
        recordings = []
        for one in self.opened:
            source: Any = one.source
            recordings.append(Recording(one.id, as_path(source.path), source.nbytes))
        return tuple(recordings)

    def files(self, recording: Recording) -> tuple[Path, ...]:
        """The file, with those that belong to it: samples and annotations of WFDB, the parts of a Zarr folder."""
        return files_of(recording.path)

    def described(self, recording: Recording) -> list[str]:
        """Its labels."""
        labels = self.opened[recording.name].labels
        return [json.dumps(dict(labels), sort_keys=True, default=str)] if labels else []

    @contextmanager
    def reading(self, *, only_data: bool = False) -> Iterator[None]:
        """Give errors of the source their place in the configuration: the option that they are about, or the path.

        Args:
            only_data: leave errors that are not about data without one.
        """
        try:
            yield
        except BridgeflowError as error:
            if error.stage is None and (isinstance(error, DataError) or not only_data):
                locate_recordings(error, self.source.channels, self.source.columns, self.places)
            raise

    # --- windows ---

    def windows(self, number: int) -> range:
        """The rows of `dataset` that are windows of a recording."""
        return range(self._bounds[number], self._bounds[number + 1])

    @cached_property
    def _bounds(self) -> list[int]:
        source: Any = self.dataset.source
        return [int(row) for row in source._first_rows]

    def plan(self, number: int = 0) -> Plan:
        """What the transforms will do to a recording and its windows, worked out before any sample is read.

        Raises:
            BridgeflowError: a stage cannot handle what it is given, or what comes out is not columns for the sink.
        """
        recording, rows = self.opened[number], len(self.windows(number))
        source: Any = self._dataset([recording]).source
        try:
            self.refuse_random()
            labels = {name: kind for name, kind in self._label_types.items() if isinstance(kind, np.dtype)}
            plan = plan_windows(recording, self.transform, rows, source, labels)
        except BridgeflowError as error:
            error.recording = error.recording or recording.id
            self.locate_stage(error)
            raise
        self._require_columns(plan)
        return plan

    def _require_columns(self, plan: Plan) -> None:
        """Refuse results that the sink cannot hold."""
        if plan.result is UNKNOWN:
            return
        with self.locating("transforms"):
            require_columns(plan.result, is_spec)
        axes = {place([name]): 0 for name in plan.result}
        with self.locating(*self.sink_steps):
            for name, spec in plan.result.items():
                if None in spec.shape[1:]:
                    problem = "windows of different lengths, and the rows of a column have one"
                    remedy = "give WholeRecording `max_length`, and a `pad` that completes shorter ones"
                    raise data_error(self.sink.path, problem, remedy, column=name)
            lengths = lengths_of(plan.result, axes)
            if len(set(lengths.values())) > 1:
                raise data_error(self.sink.path, different_lengths(lengths))
            fs = self.rate(plan)
            pa = require("pyarrow", needed_for="Arrow columns")
            text = {name: pa.array([None] * 2, kind) for name, kind in self._text_types(plan.result).items()}
            require_writable(
                self.sink.path,
                format=self.sink.format,
                options=self.sink,
                settings={} if fs is None else {"fs": fs},
                columns={**placeholder_columns(plan.result, axes, {}), **text},
            )

    def plan_alike(self, number: int, first: dict[str, str] | None) -> tuple[Plan, dict[str, str]]:
        """The plan for one of the recordings, and what a row of its results is, column by column.

        Args:
            first: what a row is of the first recording's; `None` for that one itself.

        Raises:
            DataError: a row is something else here, and all shards are to be read as one.
        """
        plan = self.plan(number)
        rows = {}
        for name, spec in plan.result.items() if isinstance(plan.result, dict) else ():
            row = list(spec.shape[1:])
            rows[name] = f"{spec.dtype}{row if row else ''}" + ("" if spec.fs is None else f" at {spec.fs:g} Hz")
        if first is not None and rows != first:
            here, there = (", ".join(f"{name} {row}" for name, row in one.items()) for one in (rows, first))
            problem = f"gives windows of {here}, and the first recording {there}"
            error = DataError(f"{problem}; choose channels that all have, and bring them to one rate with Resample")
            error.recording = self.opened[number].id
            with self.reading():
                raise error
        return plan, rows

    def checked(self) -> Checked:
        """The plan of every recording that has windows, and whether their results go together.

        Raises:
            BridgeflowError: what `run_shards` would refuse about them.
        """
        counts = [len(self.windows(number)) for number in range(len(self.opened))]
        numbers = [number for number, count in enumerate(counts) if count] or [0]
        plan, row_types = self.plan_alike(numbers[0], None)
        seen = {self._layout(numbers[0])}
        for number in numbers[1:]:
            if (layout := self._layout(number)) not in seen:
                self.plan_alike(number, row_types)
                seen.add(layout)
        self.settings(plan)
        self.require_few_shards(plan, counts)
        return Checked(plan, row_types, counts)

    def _layout(self, number: int) -> tuple[Any, ...]:
        """All that the plan of a recording depends on, but its length."""
        columns = self.opened[number].columns
        return tuple((name, one.fs, one.shape, one.dtype, len(one.segments)) for name, one in columns.items())

    def whole(self, plan: Plan) -> str:
        """Empty: windows are computed as they are asked for."""
        return ""

    def chunk_rows(self, plan: Plan) -> int:
        """Windows that are computed at a time."""
        columns = plan.result.values() if isinstance(plan.result, dict) else ()
        widths = [(itemsize(one.dtype) or 16) * math.prod(n or 1 for n in one.shape[1:]) for one in columns]
        source: Any = self.dataset.source
        widths += [
            (itemsize(one.dtype) or 16) * math.prod(n or 1 for n in one.shape[1:]) for one in source.specs.values()
        ]
        rows: int = max(CHUNK_NBYTES // max(sum(widths), 1), 1)
        return rows if self.sink.shard_rows is None else min(rows, self.sink.shard_rows)

    def shard_rows(self, plan: Plan) -> int:
        """Windows of a recording that become one shard."""
        return self.sink.shard_rows or SHARD_CHUNKS * self.chunk_rows(plan)

    def columns(self, rows: range) -> dict[str, Any]:
        """The windows of these rows as columns: arrays, and Arrow arrays of what is not numbers."""
        dataset = self.dataset
        batch = dataset._finish(dataset._begin(dataset._rows(rows))).columns(dataset.ragged)
        require_columns({name: value for name, value in batch.items() if not isinstance(value, list)}, _is_array)
        types = self._text_types(batch)
        pa = require("pyarrow", needed_for="Arrow columns")
        return {
            name: pa.array([_as(kind, one) for one in batch[name]], kind) if (kind := types.get(name)) else batch[name]
            for name in batch
        }

    # --- what is known of windows besides their samples ---

    def _text_types(self, result: Any) -> dict[str, Any]:
        """The Arrow types of the columns that are not arrays, by name."""
        pa = require("pyarrow", needed_for="Arrow columns")
        types = {"recording": pa.string(), "start": pa.int64()}
        if any(isinstance(stage, EventWindow) for _, stage in self.transform.row):
            types["event"] = pa.string()
        types |= {name: kind for name, kind in self._label_types.items() if not isinstance(kind, np.dtype)}
        return {name: kind for name, kind in types.items() if name not in result or isinstance(result[name], list)}

    @cached_property
    def _label_types(self) -> dict[str, Any]:
        """What each label is: a NumPy type where all recordings have a number of one, else an Arrow type."""
        pa = require("pyarrow", needed_for="Arrow columns")
        names = dict.fromkeys(name for one in self.opened for name in one.labels)
        types: dict[str, Any] = {}
        for name in names:
            values = self.opened.labels(name)
            if all(isinstance(value, (bool, int, float, np.number)) for value in values):
                types[name] = np.result_type(*(np.asarray(value).dtype for value in values))
                continue
            try:
                types[name] = pa.array(values).type
            except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
                types[name] = pa.string()
        return types


def _as(kind: Any, value: Any) -> Any:
    """A value of an Arrow type; text of what is not."""
    return str(value) if value is not None and str(kind) == "string" and not isinstance(value, str) else value


def _is_array(value: Any) -> bool:
    return kind_of(value) is not None
