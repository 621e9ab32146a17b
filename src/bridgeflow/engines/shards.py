"""Many recordings, or a long one, to a folder of shards that survives whatever kills the job.

A shard is the result of a stretch of one recording; `engines.ledger` says how it is committed. Nothing in names or
bytes depends on time, machine, number of threads, or on how often the job was killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, Protocol

from bridgeflow.engines.files_run import FilesRun
from bridgeflow.engines.folder_run import FolderRun, OnProgress, Progress, threads_of
from bridgeflow.engines.identity import JobIdentity, identify
from bridgeflow.engines.ledger import Ledger
from bridgeflow.engines.windows_run import WindowsRun
from bridgeflow.io import Recording, format_of
from bridgeflow.io.commit import MANIFEST, owned
from bridgeflow.io.records import Shard
from bridgeflow.pipeline.job import Job
from bridgeflow.pipeline.windows_job import WindowsJob

__all__ = ["Committed", "Engine", "OnProgress", "Progress", "ShardsResult", "new_run", "run_shards", "shard_suffix"]


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


class Committed(NamedTuple):
    """All shards in order, the rows of each recording that they come from, and how many shards this run wrote."""

    shards: tuple[Shard, ...]
    rows: dict[str, int]
    written: int


class Engine(Protocol):
    """Who reads the inputs and writes the shards of a job; the folder and its manifest are `run_shards`'s own."""

    def identify(self, job: Job | WindowsJob, recordings: Sequence[Recording]) -> JobIdentity:
        """The identity of the job, for which all inputs are hashed."""

    def commit_all(
        self,
        job: Job | WindowsJob,
        recordings: Sequence[Recording],
        row_types: dict[str, str],
        ledger: Ledger,
        progress: OnProgress | None,
    ) -> Committed:
        """Commit all shards of all recordings, those left out that earlier runs have committed."""


class LocalEngine:
    """Threads of this process."""

    def identify(self, job: Job | WindowsJob, recordings: Sequence[Recording]) -> JobIdentity:
        """The identity of the job, for which all inputs are hashed."""
        return identify(job, recordings, threads_of(job))

    def commit_all(
        self,
        job: Job | WindowsJob,
        recordings: Sequence[Recording],
        row_types: dict[str, str],
        ledger: Ledger,
        progress: OnProgress | None,
    ) -> Committed:
        """Commit all shards of all recordings."""
        run = new_run(job, recordings, row_types, ledger, progress)
        run.all()
        return Committed(*run.committed(), run.written)


def run_shards(
    job: Job | WindowsJob,
    *,
    overwrite: bool = False,
    progress: OnProgress | None = None,
    engine: Engine | None = None,
) -> ShardsResult:
    """Run a job whose sink is a folder of shards, or continue it where an earlier run was stopped.

    Args:
        engine: who does the work; `None` for threads of this process. `bridgeflow.engines.ray.run_on_ray` gives one
            that has it done by a cluster. Results have the same bytes, and what one has begun another may continue.
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
    row_types = WindowsRun.row_types(job) if isinstance(job, WindowsJob) else FilesRun.row_types(job, recordings)
    folder = job.sink.path

    worker = engine or LocalEngine()

    def ledger() -> Ledger:
        return Ledger(folder, worker.identify(job, recordings), shard_suffix(job), job.output_roots)

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
            shards, rows, written = worker.commit_all(job, recordings, row_types, records, progress)
        except Exception:
            records.unclaim()
            raise
        records.write_manifest(shards, rows)
    return ShardsResult(
        path=folder,
        shards=shards,
        recordings=len(recordings),
        rows_in=sum(rows.values()),
        written=written,
        kept=len(shards) - written,
        took=monotonic() - began,
        digest=records.identity.digest,
        was_complete=False,
    )


def shard_suffix(job: Job | WindowsJob) -> str:
    """How the names of a job's shards end."""
    return format_of(job.sink.path, job.sink.format).suffixes[0]


def new_run(
    job: Job | WindowsJob,
    recordings: Sequence[Recording],
    row_types: dict[str, str],
    ledger: Ledger,
    progress: OnProgress | None = None,
    numbers: Sequence[int] | None = None,
) -> FolderRun[Any]:
    """A run of a job in a folder that this process or its driver owns; args as for `FolderRun`."""
    if isinstance(job, WindowsJob):
        return WindowsRun(job, recordings, row_types, ledger, progress, numbers)
    return FilesRun(job, recordings, row_types, ledger, progress, numbers)


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
