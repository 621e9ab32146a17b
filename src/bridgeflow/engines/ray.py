"""The engine `ray`: a job's recordings on the machines of a Ray cluster, one task each, through the local engine.

The driver owns the folder, hashes inputs (in tasks), compares what tasks say with what is committed, and writes the
manifest. Tasks follow the commit protocol on storage that all machines share, so that a task whose worker dies goes on
where it was when it is run again, and so does a job whose driver was killed. Jobs whose transforms carry nothing from
row to row go through Ray Data (`ray_rows`), a shard at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from os.path import abspath
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from bridgeflow._optional import require
from bridgeflow._threads import usable_cores
from bridgeflow.engines.background import CancelToken, run_interruptibly
from bridgeflow.engines.files_run import FilesRun
from bridgeflow.engines.folder_run import FolderRun, OnProgress
from bridgeflow.engines.identity import Hashed, JobIdentity, identity_of, versions
from bridgeflow.engines.ledger import Ledger, RecordingLog
from bridgeflow.engines.ray_cluster import call_all, connected
from bridgeflow.engines.ray_tasks import Receipt, Shared, commit_recording, hash_some
from bridgeflow.engines.shards import Committed, ShardsResult, new_run, run_shards
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.io import Recording
from bridgeflow.io.commit import JOB_RECORD, owned, remove_leftovers
from bridgeflow.io.files import data_error
from bridgeflow.io.urls import UrlPath
from bridgeflow.pipeline.job import Job
from bridgeflow.pipeline.windows_job import WindowsJob

__all__ = ["RayEngine", "run_on_ray"]

_MOST_CALLS: Final = 1_000
"""Tasks that wait or run at a time, where the job does not say: enough for a cluster to grow by."""

_HASHED_NBYTES: Final = 256 << 20
_HASHED_FILES: Final = 64
"""What one task hashes."""

_PATIENCE: Final = 15.0
"""Seconds that a file of another machine may need to be seen on this one."""


def run_on_ray(
    job: Job | WindowsJob,
    *,
    address: str | None = None,
    overwrite: bool = False,
    progress: OnProgress | None = None,
) -> ShardsResult:
    """Run a job whose sink is a folder of shards on a Ray cluster, or continue it: with the bytes of the local engine.

    Args:
        job: inputs and sink lie where every machine of the cluster sees them by the same paths. `threads` is how many
            recordings are worked on at a time; `None` for as many as the cluster has processors.
        address: of the cluster (`"auto"`, `"10.0.0.1:6379"`, `"ray://..."` is refused); `None` for the one that this
            process is connected to, or else processes of this machine, which end with the job.
        overwrite, progress: as for `bridgeflow.engines.shards.run_shards`.

    Raises:
        ConfigError: the sink is one file; no cluster answers; machines of the cluster have other versions of packages.
        DataError, BridgeflowError, OSError: as for `run_shards`, whichever machine they come from.
        WorkerDied: workers died again and again at the same place.
        MissingDependency: Ray is missing here, or another package on a machine of the cluster.
    """
    if not job.sink.shards:
        with job.locating(*job.sink_steps):
            raise ConfigError(
                f"the engine ray writes a folder of shards, and {job.sink.path.name!r} is one file; end its path with "
                "a slash, or run the job with the engine local"
            )
    if address is not None and address.startswith("ray://"):
        raise ConfigError(
            f"address: the driver owns the folder of shards, and Ray Client ({address!r}) moves it to another machine; "
            "run bridgeflow on a machine of the cluster with the address auto"
        )
    _refuse_urls(job)
    require("ray", needed_for="the engine ray")
    job = _absolute(job)
    job.check_outputs(overwrite=overwrite)  # before a cluster is started
    try:
        with connected(address, cores=job.threads or usable_cores()):
            return run_shards(job, overwrite=overwrite, progress=progress, engine=RayEngine())
    except BaseException:
        _tidy(job)  # after the workers have ended
        raise


def _refuse_urls(job: Job | WindowsJob) -> None:
    """Refuse inputs and sinks in object stores: tasks commit through a folder that they share."""
    for steps, path in ((("source",), job.source_path), (job.sink_steps, job.sink.path)):
        if isinstance(path, UrlPath):
            with job.locating(*steps):
                raise ConfigError(
                    f"the engine ray reads and writes folders that all machines see, and {str(path)!r} is a URL; mount "
                    "it as a folder, or run the job with the engine local"
                )


def _absolute(job: Job | WindowsJob) -> Job | WindowsJob:
    """The job with paths that mean the same to workers, whose current folder is another."""
    sink = replace(job.sink, path=Path(abspath(job.sink.path)))
    if isinstance(job, WindowsJob):
        return replace(job, sink=sink, index=job.opened)
    return replace(job, sink=sink, source=replace(job.source, path=Path(abspath(job.source.path))))


def _tidy(job: Job | WindowsJob) -> None:
    """Remove what workers were writing, unless another run has taken the folder."""
    folder = job.sink.path
    if (folder / JOB_RECORD).exists():
        with suppress(DataError, OSError), owned(folder, roots=job.output_roots):
            remove_leftovers(folder)
            remove_leftovers((folder / JOB_RECORD).parent)


class RayEngine:
    """The driver's part, for `run_shards`, in a process that is connected to a cluster."""

    def __init__(self) -> None:
        self._hashes: dict[int, Hashed] = {}

    def identify(self, job: Job | WindowsJob, recordings: Sequence[Recording]) -> JobIdentity:
        """The identity of the job, for which tasks hash the inputs."""
        reference = _put(Shared(job, recordings, {}, "", versions()))
        groups = list(_groups(recordings))

        def accept(number: int, hashes: list[Hashed]) -> None:
            self._hashes.update(zip(groups[number], hashes, strict=True))

        calls = {number: (reference, group) for number, group in enumerate(groups)}
        cancel = CancelToken()

        def hash_all() -> None:
            call_all(
                hash_some,
                calls,
                accept,
                most=job.threads or _MOST_CALLS,
                check=cancel.check,
                name=lambda number: recordings[groups[number][0]].name,
            )

        with job.reading():
            run_interruptibly([hash_all], cancel)
        return identity_of(job, recordings, self._hashes)

    def commit_all(
        self,
        job: Job | WindowsJob,
        recordings: Sequence[Recording],
        row_types: dict[str, str],
        ledger: Ledger,
        progress: OnProgress | None,
    ) -> Committed:
        """Commit all shards of all recordings that are not committed."""
        run = new_run(job, recordings, row_types, ledger, progress)
        run.begin()
        run.report()
        left = [number for number, log in run.logs.items() if not log.last]
        shared = Shared(job, recordings, row_types, ledger.identity.digest, versions())
        reference, cancel = _put(shared), CancelToken()

        def commit() -> None:
            if left and isinstance(job, Job) and isinstance(run, FilesRun):
                from bridgeflow.engines.ray_rows import carries_nothing, commit_rows

                if carries_nothing(job, recordings[left[0]]):
                    commit_rows(reference, run, left, self._hashes, cancel.check)
                    return
            self._commit_recordings(reference, run, left, ledger, cancel)

        run_interruptibly([commit], cancel, tick=run.report)
        run.report()
        return Committed(*run.committed(), run.written)

    def _commit_recordings(
        self, reference: list[Any], run: FolderRun[Any], left: Sequence[int], ledger: Ledger, cancel: CancelToken
    ) -> None:
        recordings = run.recordings

        def accept(number: int, receipt: Receipt) -> None:
            run.logs[number] = log = _checked(ledger, recordings[number], receipt)
            run.written += receipt.written
            run.advance(number, log.end, True, rows=log.rows)

        def advanced(number: int) -> int:
            return ledger.read_log(recordings[number]).records

        def name(number: int) -> str:
            return recordings[number].name

        calls = {number: (reference, number, self._hashes[number]) for number in left}
        most = run.job.threads or _MOST_CALLS
        call_all(commit_recording, calls, accept, most=most, check=cancel.check, advanced=advanced, name=name)
        missing = [recordings[number].name for number in left if not run.logs[number].last]
        if missing:
            raise DataError(f"no receipt for {', '.join(missing[:3])}; run the job again")


def _put(shared: Shared) -> list[Any]:
    """Something in the object store, in a list that tasks get without its being fetched for each."""
    return [require("ray", needed_for="the engine ray").put(shared)]


def _groups(recordings: Sequence[Recording]) -> Iterator[list[int]]:
    """Recordings, by number, that one task hashes."""
    group: list[int] = []
    nbytes = 0
    for number, one in enumerate(recordings):
        if group and (nbytes + one.nbytes > _HASHED_NBYTES or len(group) == _HASHED_FILES):
            yield group
            group, nbytes = [], 0
        group.append(number)
        nbytes += one.nbytes
    if group:
        yield group


def _checked(ledger: Ledger, recording: Recording, receipt: Receipt) -> RecordingLog:
    """What is committed of a recording as this machine sees it, which must be what the task says.

    Raises:
        DataError: it is not: the folder is not one that machines share.
    """
    until = monotonic() + _PATIENCE
    while True:
        problem: DataError | None = None
        try:
            log = ledger.read_log(recording)
            if log.last and (tuple(log.shards), log.end) == (receipt.shards, receipt.rows):
                return log
        except DataError as error:
            problem = error
        if monotonic() > until:
            break
        sleep(0.2)
    what = f"does not hold what {receipt.node} says that it has committed of {recording.name}"
    raise data_error(ledger.folder, what, "name a folder that all machines of the cluster share") from problem
