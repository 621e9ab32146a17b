"""One run of a job in its folder of shards: recordings side by side, each shard committed with the state after it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Final, Generic, NamedTuple, TypeVar

from bridgeflow._threads import share_threads, usable_cores
from bridgeflow.engines.background import CancelToken, MemoryBudget, run_interruptibly
from bridgeflow.engines.identity import require_hashed
from bridgeflow.engines.ledger import Ledger
from bridgeflow.errors import BridgeflowError
from bridgeflow.io import Recording, Source, open_source
from bridgeflow.io.files import data_error
from bridgeflow.io.records import Shard
from bridgeflow.pipeline.job_base import BaseJob

__all__ = ["FolderRun", "OnProgress", "Progress", "Stretch", "threads_of"]

_MOST_THREADS: Final = 8
_UNLIMITED: Final = 1 << 62
"""More bytes than anything becomes: what was just written needs no limit."""

AnyJob = TypeVar("AnyJob", bound=BaseJob)


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


class Stretch(NamedTuple):
    """Rows `start` to `end` of a recording of `rows`."""

    start: int
    end: int
    rows: int


def threads_of(job: BaseJob) -> int:
    """How many recordings are worked on at a time."""
    return job.threads or min(usable_cores(), _MOST_THREADS)


class FolderRun(ABC, Generic[AnyJob]):
    """One run of a job in a folder that it owns."""

    def __init__(
        self,
        job: AnyJob,
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
        threads = min(threads_of(self._job), len(self._recordings))
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

    @abstractmethod
    def _recording(self, number: int) -> None:
        """Commit what is left of a recording."""

    def _shard(
        self,
        number: int,
        stretch: Stretch,
        settings: dict[str, Any],
        pieces: Iterator[Any],
        *,
        source: Source | None = None,
        state: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        """Write one shard, and the record that commits it with the state after it.

        Args:
            number: of the recording.
            stretch: the rows that it is made of.
            settings: what is stored with it.
            pieces: what comes of them, piece by piece.
            source: what is read, where it is kept open.
            state: with which the recording continues; `None` where it carries none.
        """
        start, end, rows = stretch
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
            # Before the shard gets its name.
            require_hashed(job, recording, self._ledger.identity.stamps[number], source)
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
        last = end == rows
        carried = None if last or state is None else state()
        self._ledger.commit(recording, log.records, start=start, end=end, rows=rows, shard=shard, state=carried)
        with self._lock:
            log.records += 1
            log.end, log.last = end, last
            if shard is not None:
                log.shards.append(shard)
                self.written += 1
        self._advance(number, end, last, rows=rows)

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
