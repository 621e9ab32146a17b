"""Jobs whose transforms carry nothing from row to row, through Ray Data: the rows of a shard are an Arrow block, which
a task reads, transforms without a copy and writes; the driver commits shards in their order.
"""

from __future__ import annotations

import json
import pickle
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from time import monotonic, sleep
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import ray
from ray.data import DataContext, Datasource, ReadTask, TaskPoolStrategy, read_datasource
from ray.data.block import BlockMetadata

from bridgeflow.engines.files_run import FilesRun
from bridgeflow.engines.folder_run import Stretch
from bridgeflow.engines.identity import Hashed, require_hashed
from bridgeflow.engines.ray_cluster import MOST_DEATHS, Failure, died_again_and_again, failures_returned, quiet, revived
from bridgeflow.engines.ray_tasks import ledger_here, shared_of
from bridgeflow.engines.shards import new_run
from bridgeflow.errors import DataError
from bridgeflow.io import Recording, Source
from bridgeflow.io.base import Columns
from bridgeflow.io.columns import to_batch
from bridgeflow.io.commit import BeingWritten
from bridgeflow.io.plain import as_array, numbers
from bridgeflow.io.records import Shard
from bridgeflow.pipeline.chunked import ChunkedRun
from bridgeflow.pipeline.job import Job

__all__ = ["carries_nothing", "commit_rows"]

_KEY: Final = b"bridgeflow.rows"
"""Where the metadata of a block says which rows it holds."""

_PATIENCE: Final = 60.0


class Rows(NamedTuple):
    """Rows of a recording, by its number, that become one shard."""

    recording: int
    start: int
    end: int
    rows: int

    @property
    def stretch(self) -> Stretch:
        """Which they are."""
        return Stretch(self.start, self.end, self.rows)


def carries_nothing(job: Job, recording: Recording) -> bool:
    """Whether the transforms carry nothing from row to row, and Arrow holds the rows as they are."""
    with job.open(recording.path) as source:
        plan = job.plan(source)
        if job.whole(plan):
            return False
        empty = source.slice(0, 0)
        try:
            batch = to_batch(source.path, empty)
        except DataError:
            return False
        plain = (not isinstance(empty[name], np.ndarray) or numbers(batch[name].type) for name in empty)
        return all(plain) and not _chunked(job, recording, source).begin(empty)


def _chunked(job: Job, recording: Recording, source: Source) -> ChunkedRun:
    return ChunkedRun(job.transform, job.layout(source), job.specs(source), name=recording.name)


def commit_rows(
    reference: list[Any], run: FilesRun, left: Sequence[int], hashes: Mapping[int, Hashed], check: Callable[[], None]
) -> None:
    """Commit what is left of these recordings.

    Args:
        reference: what `ray_tasks.shared_of` takes.
        run: the driver's; its records are published here, in the order of rows.
        left: numbers of recordings.
        hashes: of all recordings.
        check: raises where the work is to end.

    Raises:
        Exception: of the shards that failed, that of the first.
    """
    pieces = [one for number in left for one in _shards_left(run, number)]
    if not pieces:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Ray 2.60 warns of its own defaults
        context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.max_errored_blocks = 0
    context.target_max_block_size = None  # a block is a shard
    with quiet(), DataContext.current(context):
        threads = run.job.threads
        attempts = ray.remote(num_cpus=0, max_restarts=-1)(_Attempts).remote()
        source = _RowsOfShards(reference, attempts, pieces, hashes)
        blocks = read_datasource(source, override_num_blocks=len(pieces))
        receipts = blocks.map_batches(
            _Writing(reference, hashes),
            batch_format="pyarrow",
            batch_size=None,
            zero_copy_batch=True,
            compute=None if threads is None else TaskPoolStrategy(size=min(threads, len(pieces))),
        )
        commits = _Commits(run)
        with closing(commits):
            answers = receipts.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
            for number, answer in enumerate(one for batch in answers for one in batch["answer"].to_pylist()):
                check()
                commits.add(pieces[number], pickle.loads(answer))


def _shards_left(run: FilesRun, number: int) -> Iterator[Rows]:
    """The shards of a recording that are not committed."""
    with run.job.open(run.recordings[number].path) as source:
        each = run.job.shard_rows(source)
        for start in range(run.logs[number].end, source.rows, each):
            yield Rows(number, start, min(start + each, source.rows), source.rows)


class _Commits:
    """Commits shards in their order, each with the state that the local engine would go on with."""

    def __init__(self, run: FilesRun) -> None:
        self._run = run
        self._recording = -1
        self._open = ExitStack()

    def add(self, piece: Rows, answer: Failure | Shard | None) -> None:
        """Commit a shard, or raise what came in its place."""
        if isinstance(answer, Failure):
            raise revived(answer)
        run, job = self._run, self._run.job
        if piece.recording != self._recording:
            self.close()
            recording = run.recordings[piece.recording]
            source = self._open.enter_context(job.open(recording.path))
            self._chunked = _chunked(job, recording, source)
            self._chunked.begin(source.slice(0, 0))
            self._recording = piece.recording
        self._chunked.skip(piece.end)
        run.require_there(answer)
        run.commit(
            piece.recording, piece.stretch, answer, None if piece.end == piece.rows else self._chunked.state_dict()
        )

    def close(self) -> None:
        """Close what is open."""
        self._open.close()


# --- in workers ---


class _RowsOfShards(Datasource):  # type: ignore[misc]
    """The rows of shards, a block each."""

    def __init__(
        self, reference: list[Any], attempts: Any, pieces: Sequence[Rows], hashes: Mapping[int, Hashed]
    ) -> None:
        super().__init__()
        self._reference = reference
        self._attempts = attempts
        self._pieces = pieces
        self._hashes = hashes

    def estimate_inmemory_data_size(self) -> int | None:
        """Not known: files may be compressed."""
        return None

    def get_read_tasks(self, parallelism: int, *args: Any, **more: Any) -> list[Any]:
        """One for each shard."""
        tasks = []
        for number, piece in enumerate(self._pieces):
            read = partial(_block, self._reference, self._attempts, number, piece, self._hashes[piece.recording])
            size = piece.end - piece.start
            tasks.append(
                ReadTask(read, BlockMetadata(num_rows=size, size_bytes=None, input_files=None, exec_stats=None))
            )
        return tasks


def _block(reference: list[Any], attempts: Any, number: int, piece: Rows, hashed: Hashed) -> list[pa.Table]:
    """The rows as a table, or an empty one that says what was wrong."""
    answer = _read(reference, attempts, number, piece, hashed)
    about: dict[str, Any] = {"piece": list(piece), "failure": None}
    if isinstance(answer, Failure):
        about["failure"] = [answer.error.hex(), answer.text]
        answer = pa.table({"failed": [True]})
    return [answer.replace_schema_metadata({**(answer.schema.metadata or {}), _KEY: json.dumps(about)})]


@failures_returned
def _read(reference: list[Any], attempts: Any, number: int, piece: Rows, hashed: Hashed) -> Any:
    shared = shared_of(reference)
    if ray.get(attempts.begin.remote(number)) > MOST_DEATHS:
        raise died_again_and_again(
            f"rows {piece.start:,} to {piece.end:,} of {shared.recordings[piece.recording].name}"
        )
    job, recording = shared.job, shared.recordings[piece.recording]
    assert isinstance(job, Job)
    stamps = ledger_here(shared, piece.recording, hashed).identity.stamps[piece.recording]
    with job.open(recording.path) as source:
        with job.reading():
            batch = to_batch(source.path, source.slice(piece.start, piece.end, writable=False))
        require_hashed(job, recording, stamps, source)
    return pa.Table.from_batches([batch])


class _Attempts:
    """Counts how often the work on each piece has begun: Ray Data runs a task whose worker died again without end."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        """How often the piece was begun before."""
        self._counts[number] += 1
        return self._counts[number] - 1


class _Writing:
    """Transforms blocks and writes what comes of them."""

    def __init__(self, reference: list[Any], hashes: Mapping[int, Hashed]) -> None:
        self._reference = reference
        self._hashes = hashes

    def __call__(self, block: pa.Table) -> pa.Table:
        """A table of one row: the shard, `None` where nothing came of the rows, or what went wrong."""
        about = json.loads(block.schema.metadata[_KEY])
        answer: Any
        if about["failure"] is not None:
            error, text = about["failure"]
            answer = Failure(bytes.fromhex(error), text)
        else:
            answer = _written(self._reference, Rows(*about["piece"]), self._hashes, block)
        return pa.table({"answer": pa.array([pickle.dumps(answer)], pa.large_binary())})


@failures_returned
def _written(reference: list[Any], piece: Rows, hashes: Mapping[int, Hashed], block: pa.Table) -> Any:
    """The shard that is made of a block."""
    shared = shared_of(reference)
    job, recording = shared.job, shared.recordings[piece.recording]
    assert isinstance(job, Job)
    ledger = ledger_here(shared, piece.recording, hashes[piece.recording])
    run = new_run(job, shared.recordings, dict(shared.row_types), ledger, None, [])
    assert isinstance(run, FilesRun)
    until = monotonic() + _PATIENCE
    with job.open(recording.path) as source:
        require_hashed(job, recording, ledger.identity.stamps[piece.recording], source)
        plan, _ = job.plan_alike(source, dict(shared.row_types))
        settings = job.settings(plan, source=recording.name)
        while True:
            pieces = run.rows_through(_chunked(job, recording, source), source, _columns(block, source), piece.stretch)
            try:
                return run.write(piece.recording, piece.stretch, settings, pieces, source=source)
            except BeingWritten:
                if monotonic() > until:
                    raise
                sleep(0.1)


def _columns(block: pa.Table, source: Source) -> Columns:
    """The columns of a block as the source gives them: views, plain numbers as ndarrays."""
    columns = {}
    for name, empty in source.slice(0, 0).items():
        column = block.column(name)
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        kind = numbers(array.type)
        columns[name] = as_array(array, kind) if isinstance(empty, np.ndarray) and kind is not None else array
    return columns
