"""One run of a job in its folder of shards: recordings side by side, each shard committed with the state after it."""

from __future__ import annotations

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
from bridgeflow.engines.ledger import Ledger, require_there
from bridgeflow.errors import BridgeflowError
from bridgeflow.io import Recording, Source, open_source
from bridgeflow.io.files import data_error
from bridgeflow.io.records import Shard
from bridgeflow.memory.available import installed
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
    """One run of a job in a folder that it owns.

    Args:
        job, recordings, ledger: what is run, and where it is committed.
        row_types: what a row of the results is.
        progress: called now and then.
        numbers: of the recordings that this run is for; `None` for all.

    Attributes:
        logs: what is committed of each of these recordings, by its number.
        written: shards that this run wrote.
    """

    def __init__(
        self,
        job: AnyJob,
        recordings: Sequence[Recording],
        row_types: dict[str, str],
        ledger: Ledger,
        progress: OnProgress | None,
        numbers: Sequence[int] | None = None,
    ) -> None:
        self.job = job
        self._row_types = row_types
        self._numbers = range(len(recordings)) if numbers is None else numbers
        self.recordings = recordings
        self.ledger = ledger
        self._progress = progress
        self._cancel = CancelToken()
        self._memory = MemoryBudget((installed() or 4 << 30) // 2)
        self._lock = Lock()
        self._waiting = iter(self._numbers)
        self._done = dict.fromkeys(self._numbers, 0.0)  # bytes of each recording
        self._finished = 0
        self.written = 0
        self.logs = {number: ledger.read_log(recordings[number]) for number in self._numbers}
        self._began = monotonic()
        self._before = 0.0

    def all(self) -> None:
        """Commit all shards of all recordings."""
        self.begin()
        errors: list[tuple[int, BaseException]] = []
        threads = min(threads_of(self.job), len(self._numbers))
        run_interruptibly([lambda: self._some(errors, threads)] * threads, self._cancel, tick=self.report)
        if errors:
            raise min(errors, key=lambda one: one[0])[1]
        self.report()

    def begin(self) -> None:
        """Count what earlier runs have committed as done."""
        for number, log in self.logs.items():
            self.advance(number, log.end, log.last, rows=log.rows)
        self._before = sum(self._done.values())

    def committed(self) -> tuple[tuple[Shard, ...], dict[str, int]]:
        """All shards in order, and the rows of each recording that they come from."""
        rows = {self.recordings[number].name: log.end for number, log in self.logs.items()}
        return tuple(shard for log in self.logs.values() for shard in log.shards), rows

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
        shard = self.write(number, stretch, settings, pieces, source=source)
        carried = None if stretch.end == stretch.rows or state is None else state()
        self.commit(number, stretch, shard, carried)

    def write(
        self,
        number: int,
        stretch: Stretch,
        settings: dict[str, Any],
        pieces: Iterator[Any],
        *,
        source: Source | None = None,
    ) -> Shard | None:
        """Write one shard, which stays unknown to readers until it is committed; `None` where nothing came.

        Args as for `_shard`.
        """
        start, end, _ = stretch
        recording, job = self.recordings[number], self.job
        name = self.ledger.shard_name(recording, start, end)
        sink = None
        with ExitStack() as stack:
            for columns in pieces:
                if not any(map(len, columns.values())):
                    continue
                if sink is None:  # a stretch without results has no file
                    opened = job.open_sink(settings, self.ledger.folder / name, overwrite="same", source=source)
                    sink = stack.enter_context(opened)
                sink.write(columns)
            # Before the shard gets its name.
            require_hashed(job, recording, self.ledger.identity.stamps[number], source)
        if sink is None:
            return None
        assert sink.receipt is not None
        self._require_rows(sink.receipt.path, sink.rows)
        return Shard(
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

    def commit(self, number: int, stretch: Stretch, shard: Shard | None, state: dict[str, Any] | None) -> None:
        """Publish the record that commits a stretch, with the state after it."""
        start, end, rows = stretch
        recording, log, last = self.recordings[number], self.logs[number], stretch.end == stretch.rows
        self.ledger.commit(recording, log.records, start=start, end=end, rows=rows, shard=shard, state=state)
        with self._lock:
            log.records += 1
            log.end, log.last = end, last
            if shard is not None:
                log.shards.append(shard)
                self.written += 1
        self.advance(number, end, last, rows=rows)

    def require_there(self, shard: Shard | None) -> None:
        """Require that a shard that another process wrote is seen here, whole.

        Raises:
            DataError: it is not: the folder is not one that machines share.
        """
        if shard is not None:
            require_there(self.ledger.folder, shard)

    def _require_rows(self, path: Path, rows: int) -> None:
        """Require that the file that was written reads with its number of rows."""
        options: dict[str, Any] = {"format": self.job.sink.format, "nulls": "keep", "roots": self.job.output_roots}
        with open_source(path, max_nbytes=_UNLIMITED, **options) as written:
            if written.rows != rows:
                raise data_error(path, f"holds {written.rows} rows where {rows} were written", "check the disk")

    def advance(self, number: int, end: int, last: bool, *, rows: int) -> None:
        """Count a recording as done up to row `end`; `last` where that is its end."""
        with self._lock:
            self._finished += last
            self._done[number] = self.recordings[number].nbytes * end / max(rows, 1)

    def report(self) -> None:
        """Say how far the run has got, where a caller asked for that."""
        if self._progress is None:
            return
        with self._lock:
            done, finished = sum(self._done.values()), self._finished
        total = sum(self.recordings[number].nbytes for number in self._numbers)
        rate = (done - self._before) / max(monotonic() - self._began, 1e-9)
        self._progress(
            Progress(
                done=int(done),
                total=total,
                recordings=finished,
                of=len(self._numbers),
                rate=rate,
                left=(total - done) / rate if rate > 0 else None,
            )
        )
