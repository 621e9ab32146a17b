"""Many recordings, or a long one, to a folder of shards that survives whatever kills the job.

A shard is the result of a stretch of one recording; `engines.ledger` says how it is committed. Nothing in names or
bytes depends on time, machine, number of threads, or on how often the job was killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Final

from bridgeflow._threads import share_threads, usable_cores
from bridgeflow.engines.background import CancelToken, MemoryBudget, run_interruptibly
from bridgeflow.engines.identity import identify, require_hashed
from bridgeflow.engines.ledger import Ledger, RecordingLog
from bridgeflow.errors import BridgeflowError
from bridgeflow.io import Recording, Source, format_of, open_source, shown
from bridgeflow.io.commit import MANIFEST, owned
from bridgeflow.io.files import data_error
from bridgeflow.io.records import Shard
from bridgeflow.pipeline.chunked import ChunkedRun
from bridgeflow.pipeline.job import Job

__all__ = ["OnProgress", "Progress", "ShardsResult", "run_shards"]

_MOST_THREADS: Final = 8
_WHOLE_TIMES: Final = 6
"""Times the bytes of a recording that are taken for what it needs when it goes through whole."""
_UNLIMITED: Final = 1 << 62
"""More bytes than anything becomes: what was just written needs no limit."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job has got.

    Attributes:
        done, total: bytes of input that are done, and in all; recordings, of: likewise recordings.
        rate: bytes of input a second; left: seconds that are left at that rate; 0 and `None` where it has not begun.
    """

    done: int
    total: int
    recordings: int
    of: int
    rate: float
    left: float | None


OnProgress = Callable[[Progress], None]
"""Called now and then with how far a job has got, and once at the end."""


@dataclass(frozen=True, kw_only=True)
class ShardsResult:
    """What a job with shards did.

    Attributes:
        path: the folder.
        shards: all that the manifest lists.
        recordings: how many there are; rows_in: their rows in all; without_rows: those that gave no rows, such as
            recordings shorter than a window.
        written: shards that this run wrote; kept: those that an earlier run had committed.
        took: seconds.
        digest: SHA-256 of configuration, versions and inputs, in hexadecimal.
        was_complete: whether all was there already, and nothing was touched.
    """

    path: Path
    shards: tuple[Shard, ...] = field(repr=False)
    recordings: int
    rows_in: int
    written: int
    kept: int
    took: float
    digest: str
    was_complete: bool

    @property
    def without_rows(self) -> int:
        """Recordings that gave no rows."""
        return self.recordings - len({shard.recording for shard in self.shards})

    @property
    def rows(self) -> int:
        """Rows in all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def nbytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.nbytes for shard in self.shards)

    @property
    def saturated(self) -> int:
        """Values that the sink's `dtype` could not hold."""
        return sum(shard.saturated for shard in self.shards)

    @property
    def beyond(self) -> int:
        """Float samples beyond full scale in files of audio, which players clip."""
        return sum(shard.beyond for shard in self.shards)


def run_shards(job: Job, *, overwrite: bool = False, progress: OnProgress | None = None) -> ShardsResult:
    """Run a job whose sink is a folder of shards, or continue it where an earlier run was stopped.

    Args:
        overwrite: whether a finished folder of this job, or one of another job, may be replaced: its shards, log and
            manifest are removed, and only they; a folder that holds anything else is refused. What this job has begun
            is continued all the same.
        progress: called with how far it has got.

    Raises:
        DataError: the source, the outputs or the data are not as the job says; another run owns the folder (its process
            is named); the folder holds the results of another job, or files of unknown origin.
        BridgeflowError: what a transform refuses.
        OSError: the disk is full or broken. What was committed stays; the next run continues from there.
    """
    began = monotonic()
    job.check_outputs(overwrite=overwrite)
    recordings = job.recordings()
    with job.open(recordings[0].path) as source:  # refused here, or after all inputs were read
        plan, row_types = job.plan_alike(source, None)
        job.settings(plan, source=recordings[0].name)
    if job.sink.shard_rows is not None:
        job.require_few_shards(plan, list(_rows_of(job, recordings)))
    folder = job.sink.path

    def ledger() -> Ledger:
        suffix = format_of(folder, job.sink.format).suffixes[0]
        return Ledger(folder, identify(job, recordings, _threads(job)), suffix, job.output_roots)

    if (folder / MANIFEST).exists() and not overwrite:
        with job.locating(*job.sink_steps):
            records = ledger()
            result = _complete(records, recordings, began)
        records.tidy()
        return result
    with job.locating(*job.sink_steps), owned(folder, roots=job.output_roots) as opened:
        records = ledger()
        if overwrite:
            records.make_way(opened)
        elif records.is_complete:  # its owner has just ended
            return _complete(records, recordings, began)
        records.claim(opened)
        try:
            run = _FolderRun(job, recordings, row_types, records, progress)
            run.all()
        except Exception:
            records.unclaim()
            raise
        shards, rows = run.committed()
        records.write_manifest(shards, rows)
    return ShardsResult(
        path=folder,
        shards=shards,
        recordings=len(recordings),
        rows_in=sum(rows.values()),
        written=run.written,
        kept=len(shards) - run.written,
        took=monotonic() - began,
        digest=records.identity.digest,
        was_complete=False,
    )


def _rows_of(job: Job, recordings: Sequence[Recording]) -> Iterator[int]:
    for one in recordings:
        with job.open(one.path) as source:
            yield source.rows


def _threads(job: Job) -> int:
    return job.threads or min(usable_cores(), _MOST_THREADS)


def _complete(ledger: Ledger, recordings: Sequence[Recording], began: float) -> ShardsResult:
    """The result of a run of a job that was complete before."""
    manifest = ledger.read_manifest()
    return ShardsResult(
        path=ledger.folder,
        shards=manifest.shards,
        recordings=len(recordings),
        rows_in=sum(manifest.recordings.values()),
        written=0,
        kept=len(manifest.shards),
        took=monotonic() - began,
        digest=ledger.identity.digest,
        was_complete=True,
    )


class _FolderRun:
    """One run of a job in a folder that it owns."""

    def __init__(
        self,
        job: Job,
        recordings: Sequence[Recording],
        row_types: dict[str, str],
        ledger: Ledger,
        progress: OnProgress | None,
    ) -> None:
        self._job = job
        self._row_types = row_types
        self._recordings = recordings
        self._ledger = ledger
        self._progress = progress
        self._cancel = CancelToken()
        self._memory = MemoryBudget(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
        self._lock = Lock()
        self._waiting = iter(range(len(recordings)))
        self._done = dict.fromkeys(range(len(recordings)), 0.0)  # bytes of each recording
        self._finished = 0
        self.written = 0
        self._logs = [ledger.read_log(one) for one in recordings]
        self._began = monotonic()
        self._before = 0.0

    def all(self) -> None:
        """Commit all shards of all recordings."""
        for number, log in enumerate(self._logs):
            self._advance(number, log.end, log.last, rows=log.rows)
        self._before = sum(self._done.values())
        errors: list[tuple[int, BaseException]] = []
        threads = min(_threads(self._job), len(self._recordings))
        run_interruptibly([lambda: self._some(errors, threads)] * threads, self._cancel, tick=self._report)
        if errors:
            raise min(errors, key=lambda one: one[0])[1]
        self._report()

    def committed(self) -> tuple[tuple[Shard, ...], dict[str, int]]:
        """All shards in order, and the rows of each recording that they come from."""
        rows = {one.name: log.end for one, log in zip(self._recordings, self._logs, strict=True)}
        return tuple(shard for log in self._logs for shard in log.shards), rows

    def _some(self, errors: list[tuple[int, BaseException]], threads: int) -> None:
        """One recording after the other, until none is left; one of `threads` threads that do this."""
        share_threads(threads)
        while True:
            self._cancel.check()
            with self._lock:
                number = next(self._waiting, None)
            if number is None:
                return
            try:
                self._recording(number)
            except (BridgeflowError, OSError) as error:
                errors.append((number, error))
                self._cancel.set()

    def _recording(self, number: int) -> None:
        recording, log, job = self._recordings[number], self._logs[number], self._job
        if log.last:
            return
        with job.open(recording.path) as source:
            self._require_hashed(number, source)
            plan, _ = job.plan_alike(source, self._row_types)
            settings = job.settings(plan, source=recording.name)
            if job.whole(plan):
                nbytes = sum(spec.expected_nbytes() or spec.nbytes or 0 for spec in source.specs.values())
                with self._memory.of(_WHOLE_TIMES * nbytes, self._cancel.check):
                    self._shard(number, source, 0, source.rows, settings, self._whole(source))
                return
            chunked = ChunkedRun(job.transform, job.layout(source), job.specs(source), name=recording.name)
            if log.path is not None:
                self._continue(chunked, log, source)
            rows = job.shard_rows(source)
            for start in range(log.end, source.rows, rows):
                end = min(start + rows, source.rows)
                pieces = self._pieces(number, source, chunked, start, end)
                self._shard(number, source, start, end, settings, pieces, chunked)

    def _require_hashed(self, number: int, source: Source) -> None:
        stamps = self._ledger.identity.stamps[number]
        require_hashed(self._recordings[number], stamps, source, roots=self._job.roots)

    def _continue(self, chunked: ChunkedRun, log: RecordingLog, source: Source) -> None:
        """Bring a chunked run to where the log says that it is."""
        assert log.path is not None
        remedy = "delete the folder and run the job again"
        if log.rows != source.rows:
            raise data_error(log.path, f"says {log.rows:,} rows, and there are {source.rows:,}", remedy)
        if log.state is None:
            raise data_error(log.path, "has no state to continue from", remedy)
        try:
            chunked.load_state_dict(log.state)
        except (BridgeflowError, ValueError, TypeError, LookupError, AttributeError, MemoryError) as error:
            raise data_error(log.path, f"has a state that does not fit the job ({error})", remedy) from error

    def _pieces(self, number: int, source: Source, chunked: ChunkedRun, start: int, end: int) -> Iterator[Any]:
        """The results of a stretch, chunk by chunk."""
        rows = self._job.chunk_rows(source)
        chunks = source.chunks(rows, start=start, stop=end)
        for position in range(start, end, rows):
            self._cancel.check()
            upto = min(position + rows, end)
            with self._job.reading():
                columns = next(chunks)
            with self._locating(source):
                columns = chunked.push(columns, last=upto == source.rows)
            yield columns
            self._advance(number, upto, False, rows=source.rows)

    def _whole(self, source: Source) -> Iterator[Any]:
        """What the transforms make of a recording that they need whole."""
        job, layout = self._job, self._job.layout(source)
        with job.reading():
            read = source.read()
        with self._locating(source):
            result = job.transform(layout.opened(read))
        columns = layout.closed(result, job.axes(source))
        self._cancel.check()
        yield columns

    @contextmanager
    def _locating(self, source: Source) -> Iterator[None]:
        """Say of errors in the block which recording they are about, and where their stage is written."""
        try:
            yield
        except BridgeflowError as error:
            error.recording = shown(source.path)
            self._job.locate_stage(error)
            raise

    def _shard(
        self,
        number: int,
        source: Source,
        start: int,
        end: int,
        settings: dict[str, Any],
        pieces: Iterator[Any],
        chunked: ChunkedRun | None = None,
    ) -> None:
        """Write one shard, and the record that commits it with the state after it."""
        recording, log, job = self._recordings[number], self._logs[number], self._job
        name = self._ledger.shard_name(recording, start, end)
        sink = None
        with ExitStack() as stack:
            for columns in pieces:
                if not any(map(len, columns.values())):
                    continue
                if sink is None:  # a stretch without results has no file
                    opened = job.open_sink(settings, self._ledger.folder / name, overwrite="same", source=source)
                    sink = stack.enter_context(opened)
                sink.write(columns)
            self._require_hashed(number, source)  # before the shard gets its name
        shard = None
        if sink is not None:
            assert sink.receipt is not None
            self._require_rows(sink.receipt.path, sink.rows)
            shard = Shard(
                name=name,
                recording=recording.name,
                start=start,
                end=end,
                rows=sink.rows,
                nbytes=sink.receipt.nbytes,
                sha256=sink.receipt.sha256,
                saturated=sink.saturated,
                beyond=sink.beyond,
            )
        last = end == source.rows
        state = None if last or chunked is None else chunked.state_dict()
        self._ledger.commit(recording, log.records, start=start, end=end, rows=source.rows, shard=shard, state=state)
        with self._lock:
            log.records += 1
            log.end, log.last = end, last
            if shard is not None:
                log.shards.append(shard)
                self.written += 1
        self._advance(number, end, last, rows=source.rows)

    def _require_rows(self, path: Path, rows: int) -> None:
        """Require that the file that was written reads with its number of rows."""
        options: dict[str, Any] = {"format": self._job.sink.format, "nulls": "keep", "roots": self._job.output_roots}
        with open_source(path, max_nbytes=_UNLIMITED, **options) as written:
            if written.rows != rows:
                raise data_error(path, f"holds {written.rows} rows where {rows} were written", "check the disk")

    def _advance(self, number: int, end: int, last: bool, *, rows: int) -> None:
        with self._lock:
            self._finished += last
            self._done[number] = self._recordings[number].nbytes * end / max(rows, 1)

    def _report(self) -> None:
        if self._progress is None:
            return
        with self._lock:
            done, finished = sum(self._done.values()), self._finished
        total = sum(one.nbytes for one in self._recordings)
        rate = (done - self._before) / max(monotonic() - self._began, 1e-9)
        self._progress(
            Progress(
                done=int(done),
                total=total,
                recordings=finished,
                of=len(self._recordings),
                rate=rate,
                left=(total - done) / rate if rate > 0 else None,
            )
        )
