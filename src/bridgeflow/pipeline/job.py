"""A job: source, transforms, sink. What one configuration file describes, and what an engine runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from bridgeflow.errors import BridgeflowError, DataError, listed, nearest, quoted
from bridgeflow.io import Recording, Source, open_source, recordings, require_writable
from bridgeflow.io.commit import JOB_RECORD
from bridgeflow.io.files import data_error, is_folder
from bridgeflow.io.full_scale import SCALE_REMEDY
from bridgeflow.io.options import SourceOptions, options_of
from bridgeflow.pipeline.chunk_axes import check_time_axis
from bridgeflow.pipeline.chunked import Layout, different_lengths, lengths_of, require_columns
from bridgeflow.pipeline.config_places import locate_source
from bridgeflow.pipeline.job_base import BaseJob
from bridgeflow.pipeline.job_parts import JobSource, chosen_options
from bridgeflow.pipeline.placeholders import placeholder_columns, with_a_null
from bridgeflow.pipeline.report import Sides, plan_sides
from bridgeflow.pipeline.shard_folders import sharded_recordings
from bridgeflow.spec import ArraySpec, itemsize
from bridgeflow.transforms import Plan
from bridgeflow.transforms.plan import UNKNOWN, is_spec
from bridgeflow.tree import place

__all__ = ["Job"]

CHUNK_NBYTES: Final = 8 << 20
"""Bytes of input that go through the transforms at a time."""

MAX_THREADS: Final = 256
"""Most threads that a job may ask for."""

SHARD_CHUNKS: Final = 8
"""Chunks whose results become one shard, where a job does not say."""


@dataclass(frozen=True, kw_only=True)
class Job(BaseJob):
    """Source, transforms and sink, with what to report; the other arguments are those of `BaseJob`.

    Args:
        source: files of rows.
    """

    source: JobSource

    @property
    def source_path(self) -> Path:
        """The path of the source."""
        return self.source.path

    @property
    def is_many(self) -> bool:
        """Whether the source is a folder or a pattern."""
        return self.source.is_many

    def input_paths(self) -> dict[str, Path]:
        """The file or the folder of the source."""
        return {"source": self.source.folder or self.source.path}

    def source_identity(self) -> dict[str, Any]:
        """Its options other than the path."""
        return chosen_options(self.source, without=("path", "max_nbytes"))

    def files(self, recording: Recording) -> tuple[Path, ...]:
        """One, or those of a recording in shards."""
        return tuple(one.path for one in recordings(recording.path, roots=self.roots))

    def recordings(self) -> tuple[Recording, ...]:
        """The recordings to be read, in the order of their names; those of a folder of shards as they were before.

        Raises:
            DataError: there are none, or too many, or one lies outside the roots.
        """
        path = self.source.path
        with self.reading():
            if is_folder(path) and (path / JOB_RECORD).exists():
                return sharded_recordings(path, self.roots)
            return recordings(path, format=self.source.format, roots=self.roots)

    def open(self, path: Path | None = None) -> Source:
        """Open the source, or this one of its recordings.

        Raises:
            DataError: it cannot be read, has no rows, or says another sampling rate than the job.
        """
        with self.reading():
            return self._opened(path or self.source.path)

    def _opened(self, path: Path) -> Source:
        settings = self.source
        source = open_source(path, **options_of(SourceOptions, settings), mapped=False, roots=self.roots)
        if source.rows == 0:
            source.close()
            raise data_error(source.path, "has no rows", "there is nothing to transform")
        if settings.fs is not None and source.fs not in (None, settings.fs):
            source.close()
            problem = f"was sampled at {source.fs:g} Hz by its own account, at {settings.fs:g} Hz by the job's"
            with self.locating("source", "fs"):
                raise data_error(source.path, problem, "correct `fs`, or leave it out")
        return source

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Give errors of the source their place in the configuration: the column that they are about, or the path."""
        try:
            yield
        except BridgeflowError as error:
            locate_source(error, self.source, self.places)
            raise

    def keeps_counts(self, source: Source) -> bool:
        """Whether integers of the source become integers of the same type, and no stage gives them another scale: then
        a quiet recording is one, and no mistake.
        """
        return self._keeps_scale() and all(spec.dtype == self._sink_memory() for spec in source.specs.values())

    def _keeps_scale(self) -> bool:
        return all(getattr(stage, "scale", 1.0) in (None, 1.0) for stage in self.transform.stages)

    def _sink_memory(self) -> str | None:
        """The element type of the sink in memory, where it is said."""
        return "int32" if self.sink.dtype == "int24" else self.sink.dtype

    def _require_scale(self, source: Source) -> None:
        """Refuse integers of a file of audio in integers of another full scale, where nothing gives them that."""
        dtypes = {str(spec.dtype) for spec in source.specs.values()}
        target = self._sink_memory()
        if (
            source.format is not None
            and source.format.writer.has_full_scale
            and target is not None
            and self.sink.normalize is None
            and "int" in target
            and any("int" in dtype and dtype != target for dtype in dtypes)
            and self._keeps_scale()
        ):
            problem = f"counts of {' and '.join(sorted(dtypes))} in {self.sink.dtype}, whose full scale is another"
            raise data_error(self.sink.path, problem, SCALE_REMEDY)

    def plan(self, source: Source) -> Plan:
        """What the transforms will do to the columns of the source, worked out before any of them is read.

        Raises:
            BridgeflowError: a transform cannot handle a column or selects one that is not there, what comes out is no
                columns, or the report is about a column that does not come out.
        """
        return self._planned(source)[0]

    def _planned(self, source: Source) -> tuple[Plan, dict[str, int]]:
        """The plan, and the axes of what comes out."""
        layout = self.layout(source)
        try:
            self.refuse_random()
            plan = self.transform.plan(layout.specs(self.specs(source)), axis=layout.axis)
            if layout.rows == "instants":
                check_time_axis(self.transform.row, layout.specs(self.specs(source)))
        except BridgeflowError as error:
            self.locate_stage(error)
            raise
        axes = self.axes(source)
        with self.locating(*self.sink_steps):
            if plan.result is not UNKNOWN:
                with self.locating("transforms"):
                    require_columns(plan.result, is_spec)
            self.rate(plan)
            if isinstance(plan.result, dict):
                with self.locating("report", "column"):
                    self.report_column(plan.result)
                self.sides(source, plan)
                lengths = lengths_of(plan.result, axes)
                if len(set(lengths.values())) > 1:
                    raise data_error(self.sink.path, different_lengths(lengths))
                self._require_writable(plan, axes, source)
        return plan, axes

    def _require_writable(self, plan: Plan, axes: Mapping[str, int], source: Source) -> None:
        """Ask the sink whether it can hold what comes out."""
        fs, job_sink = self.rate(plan), self.sink
        require = partial(
            require_writable,
            job_sink.path,
            format=job_sink.format,
            options=job_sink,
            settings={} if fs is None else {"fs": fs},
        )
        with self.locating(*self.sink_steps):
            self._require_scale(source)
            columns = placeholder_columns(plan.result, axes, source.slice(0, 0))
            require(columns)
            for name, spec in plan.result.items():
                if not spec.null_count or spec.kind not in {"arrow", "capsule"}:
                    continue
                try:
                    require({name: with_a_null(columns[name])})
                except BridgeflowError as error:
                    problem = f"{spec.null_count} of its rows are null, which the format cannot hold"
                    remedy = "fill them: put `ToNumpy: {nulls: nan}` after the last transform, or a value for `nan`"
                    raise data_error(job_sink.path, problem, remedy, column=name) from error

    def plan_alike(self, source: Source, first: dict[str, str] | None) -> tuple[Plan, dict[str, str]]:
        """The plan for one of many recordings, and what a row of its results is, column by column.

        Args:
            first: what a row is of the first recording's; `None` for that one itself.

        Raises:
            DataError: a row is something else here, and all shards are to be read as one.
        """
        plan, axes = self._planned(source)
        rows = {}
        for name, spec in plan.result.items() if isinstance(plan.result, dict) else ():
            axis = axes.get(place([name]), 0)
            row = [n for number, n in enumerate(spec.shape) if number != axis]
            rows[name] = f"{spec.dtype}{row if row else ''}" + ("" if spec.fs is None else f" at {spec.fs:g} Hz")
        if first is not None and rows != first:
            here, there = (", ".join(f"{name} {row}" for name, row in one.items()) for one in (rows, first))
            remedy = "bring them to one rate and type, or give them jobs of their own"
            with self.reading():
                raise data_error(source.path, f"gives {here}, and the first recording {there}", remedy)
        return plan, rows

    def specs(self, source: Source) -> dict[str, ArraySpec]:
        """What each column of the source is, with the sampling rate that the job says."""
        return {name: replace(spec, fs=self.source.fs or spec.fs) for name, spec in source.specs.items()}

    def axes(self, source: Source) -> dict[str, int]:
        """On which axis of each array that comes out of the transforms the rows of the source follow each other."""
        layout = self.layout(source)
        return self.transform.out_axes(layout.specs(self.specs(source)), axis=layout.axis)

    def layout(self, source: Source) -> Layout:
        """What a row of the source is."""
        flat = all(spec.ndim < 2 for spec in source.specs.values())
        return Layout(
            self.source.rows
            or ("instants" if flat or (source.format is not None and source.format.name == "wav") else "examples")
        )

    def chunk_rows(self, source: Source) -> int:
        """Rows that go through the transforms at a time: as many as a fixed budget of memory holds, on any machine."""
        rows = max(CHUNK_NBYTES // sum(_row_nbytes(source, spec) for spec in source.specs.values()), 1)
        return rows if self.sink.shard_rows is None else min(rows, self.sink.shard_rows)

    def shard_rows(self, source: Source) -> int:
        """Rows of a recording whose results become one shard."""
        return self.sink.shard_rows or SHARD_CHUNKS * self.chunk_rows(source)

    def gives_nothing(self, plan: Plan, source: Source) -> bool:
        """Whether no rows come of a recording, as far as the plan knows: it is too short for a window."""
        lengths = lengths_of(plan.result, self.axes(source)).values()
        return bool(lengths) and not any(lengths)

    def whole(self, plan: Plan) -> str:
        """Why a recording must be read whole; empty where it can go through in chunks."""
        if plan.obstacles:
            return "; ".join(dict.fromkeys(plan.obstacles))
        if self.report is not None and (self.report.hum is not None or self.report.png is not None):
            return "the report measures the whole recording"
        return ""

    def sides(self, source: Source, plan: Plan) -> Sides | None:
        """What the report measures; `None` where nothing is, or where a stage does not say what it makes.

        Raises:
            DataError: there is no such column, or what it holds before or after cannot be measured.
        """
        report = self.report
        if report is None or not isinstance(plan.result, dict):
            return None
        name = self.report_column(plan.result)
        if report.hum is None and report.png is None:
            return None
        specs = self.layout(source).specs(self.specs(source))
        with self.locating("report"):
            sides = plan_sides(self.transform, specs, name=name, before=report.before)
        if sides is not None and report.hum is not None:
            with self.locating("report", "hum"):
                sides.require_line(report.hum)
        if sides is not None and report.png is not None and report.seconds is not None:
            with self.locating("report", "seconds"):
                sides.require_stretch(report.seconds)
        return sides

    def report_column(self, columns: Mapping[str, Any]) -> str:
        """The name of the column to report on, among those that come out.

        Raises:
            DataError: there is no such column, or several to choose from.
        """
        name = self.report.column if self.report else None
        if name is None and len(columns) > 1 and self.report:
            raise DataError(f"report: {len(columns)} columns to choose from ({listed(columns)}); name one as `column`")
        if name is not None and name not in columns:
            raise DataError(f"report: no column {quoted(name)} comes out; {nearest(name, columns)}")
        return name or next(iter(columns))


def _row_nbytes(source: Source, spec: ArraySpec) -> int:
    """Bytes of a row of a column, an estimate where rows differ: for lists of unknown length their mean by what the
    file tells of the column, or of all its bytes.
    """
    if None not in spec.shape[1:]:
        return (itemsize(spec.dtype) or 16) * math.prod(n or 1 for n in spec.shape[1:] if n is not None)
    return max((spec.nbytes or source.nbytes or 0) // max(source.rows, 1), 16)
