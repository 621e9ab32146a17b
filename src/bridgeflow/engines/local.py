"""The local engine: a job, from its source through its transforms into its sink, in this process."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, Final

import numpy as np

from bridgeflow.bridge import describe, shape_of, to_numpy, trace
from bridgeflow.engines.background import CancelToken, run_interruptibly
from bridgeflow.errors import BridgeflowError, ConfigError, DataError, StageId
from bridgeflow.io import Receipt, Source
from bridgeflow.io.base import Columns
from bridgeflow.io.sink import Sink
from bridgeflow.pipeline.chunked import ChunkedRun
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.job import Job
from bridgeflow.pipeline.measure import interference_db
from bridgeflow.spec import Exchange, itemsize
from bridgeflow.transforms.base import is_leafwise
from bridgeflow.transforms.runner import Runner, Stage

__all__ = ["CopyMade", "Interference", "OnStep", "Pair", "Picture", "Result", "run_job"]

OnStep = Callable[["StageId | str", int, int], None]
"""Called before each step with the stage, or the name of another step, its number from 0, and how many there are; at
the end with an empty name. A step is a stage where all is done at once, and a chunk where it is done chunk by chunk."""

_WRITE_ROWS: Final = 1 << 20
"""Rows that are written between two checks of whether to continue."""


@dataclass(frozen=True, kw_only=True)
class CopyMade:
    """A copy of a crossing, or of each chunk: in which stage, of which column, how many bytes, and why."""

    stage: str
    place: str
    action: str
    nbytes: int | None
    why: str


@dataclass(frozen=True, kw_only=True)
class Interference:
    """How far the mains frequency is above its neighbours in the spectrum; see `pipeline.measure.interference_db`."""

    frequency: float
    before_db: float
    after_db: float


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The reported column before and after, as float64 arrays `[..., time]`, each at its own sampling rate in Hz.

    `one_unit` says whether both are in the unit of the report; else what was before is in another.
    """

    name: str
    before: np.ndarray
    after: np.ndarray
    before_fs: float
    fs: float
    one_unit: bool = True


Picture = Callable[[Pair, "Interference | None"], None]
"""Called with what a report is about, before the results are written."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a job did.

    Attributes:
        rows, samples: rows of the source, and values in all its columns together.
        fs: sampling rate in Hz, where known; seconds: how long the recording is, or all examples together.
        took: seconds that each step took.
        rows_written: rows of the sink.
        chunks: in how many pieces the rows went through; 1 where they were read whole.
        saturated: values that the sink's `dtype` could not hold, and that became the nearest it can.
        beyond: float samples beyond full scale in a file of audio, which players clip.
        crossings: how many there were; copies: those that copied, and why.
        hum: measured where the report asks for it.
        pair: the reported column, where a report is asked for.
        receipt: what was published.
    """

    rows: int
    samples: int
    fs: float | None
    seconds: float | None
    took: dict[StageId | str, float]
    crossings: int
    copies: tuple[CopyMade, ...]
    hum: Interference | None
    pair: Pair | None = field(repr=False)
    receipt: Receipt
    rows_written: int = 0
    chunks: int = 1
    saturated: int = 0
    beyond: int = 0

    @property
    def rate(self) -> float:
        """Samples a second, over all steps."""
        return self.samples / max(sum(self.took.values()), 1e-9)


def run_job(
    job: Job, *, overwrite: bool = False, progress: OnStep | None = None, picture: Picture | None = None
) -> Result:
    """Run a job: carry the columns of the source through the transforms, publish the sink.

    What is long and can stream goes through chunk by chunk, in memory that does not grow with it; everything else is
    read whole. The output appears complete or not at all, and what can be refused is refused before data is read.

    Args:
        overwrite: whether existing outputs may be replaced.
        progress: called before each step.
        picture: called with what a report is about before anything is written, so that an error leaves no output.

    Raises:
        ConfigError: the sink is a folder of shards, which is for `bridgeflow.engines.shards.run_shards`.
        DataError: the source, the outputs or the data are not as the job says.
        BridgeflowError: what a transform refuses.
        OSError: the disk is full or broken.
    """
    if job.sink.shards:
        raise ConfigError(
            "the sink of this job is a folder of shards: run it with bridgeflow.engines.shards.run_shards"
        )
    job.check_outputs(overwrite=overwrite)
    results: list[Result] = []
    cancel = CancelToken()
    with job.open() as source:
        run = _FileRun(job, source, overwrite, progress, cancel, picture)
        run_interruptibly([lambda: results.append(run.result())], cancel)
    return results[0]


class _FileRun:
    """One run of a job from file to file."""

    def __init__(
        self,
        job: Job,
        source: Source,
        overwrite: bool,
        progress: OnStep | None,
        cancel: CancelToken,
        picture: Picture | None,
    ) -> None:
        self._job = job
        self._source = source
        self._overwrite = overwrite
        self._on_step = progress or (lambda name, number, total: None)
        self._cancel = cancel
        self._picture = picture
        plan = job.plan(source)
        self._sides = job.sides(source, plan)
        self._settings = job.settings(plan)
        self._chunk_rows = source.rows if job.whole(plan) else min(job.chunk_rows(source), source.rows)

    def result(self) -> Result:
        """Do it."""
        return self._at_once() if self._chunk_rows == self._source.rows else self._in_chunks()

    def _at_once(self) -> Result:
        job, source = self._job, self._source
        layout = job.layout(source)
        clock = _Clock(
            ["read", *(StageId.of(stage, number) for number, stage in enumerate(job.transform.stages, 1)), "write"],
            self._on_step,
        )
        with trace() as crossings:
            with clock.step(), job.reading():
                read = source.read()
            result, before = _transform(job, layout.opened(read), clock, self._cancel)
        # Measured before anything is written: what cannot be reported must not leave half of its results.
        with job.locating("report"):
            pair = self._pair(before, result)
        with job.locating("report", "hum"):
            hum = None if pair is None else _interference(job, pair)
        if pair is not None and self._picture is not None:
            with job.locating("report", "png"):
                self._picture(pair, hum)
        with trace() as last_crossings, clock.step():
            written = self._write(lambda sink: self._write_all(sink, layout.closed(result, job.axes(source))))
        clock.done()
        exchanges = [*crossings, *last_crossings]
        return self._result(
            read=_Amount.of(read),
            took=clock.took,
            crossings=len(exchanges),
            copies=_copies(exchanges),
            hum=hum,
            pair=pair,
            **written,
        )

    def _in_chunks(self) -> Result:
        job, source, rows = self._job, self._source, self._chunk_rows
        chunked = ChunkedRun(job.transform, job.layout(source), job.specs(source), name=source.path.name)
        chunks = -(-source.rows // rows)
        took: dict[StageId | str, float] = {}
        amount, crossings = _Amount(), 0
        copies: dict[CopyMade, int] = {}

        def write(sink: Sink) -> None:
            nonlocal amount, crossings
            begun = False
            pieces = source.chunks(rows)
            for number in range(chunks):
                self._cancel.check()
                self._on_step(f"chunk {number + 1}", number, chunks)
                with trace() as exchanges:
                    with _timed(took, "read"), job.reading():
                        columns = next(pieces)
                    amount += _Amount.of(columns)
                    with _timed(took, "transforms"):
                        try:
                            columns = chunked.push(columns, last=number == chunks - 1)
                        except BridgeflowError as error:
                            job.locate_stage(error)
                            raise
                    with _timed(took, "write"):
                        if not begun or any(map(len, columns.values())):
                            sink.write(columns)
                            begun = True
                crossings += len(exchanges)
                for copy in _copies(exchanges):
                    key = replace(copy, nbytes=None)
                    copies[key] = copies.get(key, 0) + (copy.nbytes or 0)

        written = self._write(write)
        self._on_step("", chunks, chunks)
        return self._result(
            read=amount,
            took=took,
            crossings=crossings,
            copies=tuple(replace(copy, nbytes=nbytes) for copy, nbytes in copies.items()),
            hum=None,
            pair=None,
            chunks=chunks,
            **written,
        )

    def _pair(self, before: Any, after: Any) -> Pair | None:
        """The reported column, or `None` where nothing needs it."""
        report = self._job.report
        if report is None or (report.hum is None and report.png is None):
            return None
        name = self._job.report_column(after)
        if name not in before:
            raise DataError(
                f"report: the column {name!r} is not in what was before; set `before` to a stage that has it"
            )
        fs, one_unit = self._settings.get("fs"), True
        before_fs = self._source_fs or fs
        if self._sides is not None:
            before_fs, fs, one_unit = self._sides.before_fs, self._sides.after_fs, self._sides.one_unit
        if fs is None or before_fs is None:
            raise DataError("report: frequencies need a sampling rate; set `fs` of the source")
        return Pair(
            name=name,
            before=_real(name, before[name]),
            after=_real(name, after[name]),
            before_fs=before_fs,
            fs=fs,
            one_unit=one_unit,
        )

    @property
    def _source_fs(self) -> float | None:
        return self._job.source.fs or self._source.fs

    def _result(self, *, read: _Amount, **facts: Any) -> Result:
        source = self._source
        fs = self._source_fs
        is_recording = self._job.layout(source).rows == "instants"
        long = source.rows if is_recording else max(read.along_time.values())
        seconds = None if fs is None else long / fs
        return Result(rows=source.rows, samples=read.values, fs=fs, seconds=seconds, **facts)

    def _write(self, write: Callable[[Sink], None]) -> dict[str, Any]:
        with self._job.open_sink(self._settings, overwrite=self._overwrite, source=self._source) as sink:
            write(sink)
        return {"receipt": sink.receipt, "rows_written": sink.rows, "saturated": sink.saturated, "beyond": sink.beyond}

    def _write_all(self, sink: Sink, columns: Columns) -> None:
        rows = max(map(len, columns.values()), default=0)
        for start in range(0, max(rows, 1), _WRITE_ROWS):
            self._cancel.check()
            sink.write({name: column[start : start + _WRITE_ROWS] for name, column in columns.items()})


def _transform(job: Job, columns: Any, clock: _Clock, cancel: CancelToken) -> tuple[Any, Any]:
    """The columns after the last stage, and those that the report calls "before"."""
    name = None if job.report is None else job.report.before
    before = columns if job.report and name is None else None
    for number, stage in enumerate(job.transform.stages, 1):
        label = StageId.of(stage, number)
        cancel.check()
        with clock.step():
            try:
                columns = (Runner([Stage(label, stage)]) if is_leafwise(stage) else stage)(columns)
            except BridgeflowError as error:
                inner = error.stage if isinstance(stage, Compose) else None
                error.stage = label if inner is None else inner.within(label)
                job.locate_stage(error)
                raise
        if before is None and type(stage).__name__ == name:
            before = columns
    return columns, before


def _real(name: str, column: Any) -> np.ndarray:
    values: np.ndarray = to_numpy(column, nulls="nan")
    if values.dtype.kind not in "iuf":
        raise DataError(f"report: {name!r} holds {values.dtype}, and what is measured are real numbers")
    if not values.size:
        raise DataError(f"report: {name!r} has no samples; leave the report out")
    return values.astype(np.float64, copy=False)


def _interference(job: Job, pair: Pair) -> Interference | None:
    if job.report is None or job.report.hum is None:
        return None
    frequency = job.report.hum
    before = interference_db(pair.before, pair.before_fs, frequency)
    after = interference_db(pair.after, pair.fs, frequency)
    return Interference(frequency=frequency, before_db=before, after_db=after)


def _copies(crossings: Iterable[Exchange]) -> tuple[CopyMade, ...]:
    return tuple(
        CopyMade(
            stage=str(one.stage or ""),
            place=one.place,
            action=one.action,
            nbytes=one.nbytes,
            why=f"{one.reason}: {one.detail}" if one.reason else one.detail,
        )
        for one in crossings
        if one.action != "view"
    )


@dataclass(frozen=True)
class _Amount:
    """How much was read: values in all columns, and of each column samples along time if its rows are examples."""

    values: int = 0
    along_time: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, columns: Columns) -> _Amount:
        sizes = {name: _size(column) for name, column in columns.items()}
        each = {name: _along_time(column, sizes[name]) for name, column in columns.items()}
        return cls(sum(sizes.values()), each)

    def __add__(self, more: _Amount) -> _Amount:
        along = {name: self.along_time.get(name, 0) + samples for name, samples in more.along_time.items()}
        return _Amount(self.values + more.values, along)


def _size(column: Any) -> int:
    """Values in a column, those within lists of any length counted each."""
    spec = describe(column)
    lengths = [n for n in spec.shape if n is not None]
    if len(lengths) == spec.ndim:
        return math.prod(lengths)
    return (spec.nbytes or 0) // (itemsize(spec.dtype) or 1)


def _along_time(column: Any, size: int) -> int:
    """Samples along time in a column of `size` values: its rows, or of rows that are pieces of signal those of all."""
    shape = shape_of(column)
    return len(column) if len(shape) < 2 else size // max(math.prod(n or 1 for n in shape[1:-1]), 1)


@contextmanager
def _timed(took: dict[StageId | str, float], name: StageId | str) -> Iterator[None]:
    start = perf_counter()
    yield
    took[name] = took.get(name, 0.0) + perf_counter() - start


class _Clock:
    """Times each step and reports it."""

    def __init__(self, names: list[StageId | str], progress: OnStep) -> None:
        self.took: dict[StageId | str, float] = {}
        self._names = names
        self._on_step = progress

    @contextmanager
    def step(self) -> Iterator[None]:
        name = self._names[len(self.took)]
        self._on_step(name, len(self.took), len(self._names))
        with _timed(self.took, name):
            yield

    def done(self) -> None:
        self._on_step("", len(self._names), len(self._names))
