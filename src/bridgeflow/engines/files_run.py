"""Files of rows to shards: each recording goes through the transforms in chunks, or whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from bridgeflow.engines.folder_run import FolderRun, Stretch
from bridgeflow.engines.identity import require_hashed
from bridgeflow.engines.ledger import RecordingLog
from bridgeflow.errors import BridgeflowError
from bridgeflow.io import Recording, Source, shown
from bridgeflow.io.base import Columns
from bridgeflow.io.files import data_error
from bridgeflow.pipeline.chunked import ChunkedRun
from bridgeflow.pipeline.job import Job

__all__ = ["FilesRun"]

_WHOLE_TIMES: Final = 6
"""Times the bytes of a recording that are taken for what it needs when it goes through whole."""


class FilesRun(FolderRun[Job]):
    """One run of a job over files of rows."""

    @staticmethod
    def row_types(job: Job, recordings: Sequence[Recording]) -> dict[str, str]:
        """What a row of the first recording's results is; refused here, or after all inputs were read."""
        with job.open(recordings[0].path) as source:
            plan, row_types = job.plan_alike(source, None)
            job.settings(plan, source=recordings[0].name)
        if job.sink.shard_rows is not None:
            job.require_few_shards(plan, list(_rows_of(job, recordings)))
        return row_types

    def _recording(self, number: int) -> None:
        recording, log, job = self.recordings[number], self.logs[number], self.job
        if log.last:
            return
        with job.open(recording.path) as source:
            require_hashed(job, recording, self.ledger.identity.stamps[number], source)
            plan, _ = job.plan_alike(source, self._row_types)
            settings = job.settings(plan, source=recording.name)
            if job.whole(plan):
                nbytes = sum(spec.expected_nbytes() or spec.nbytes or 0 for spec in source.specs.values())
                with self._memory.of(_WHOLE_TIMES * nbytes, self._cancel.check):
                    whole = Stretch(0, source.rows, source.rows)
                    self._shard(number, whole, settings, self._whole(source), source=source)
                return
            chunked = ChunkedRun(job.transform, job.layout(source), job.specs(source), name=recording.name)
            if log.path is not None:
                self._continue(chunked, log, source)
            rows = job.shard_rows(source)
            for start in range(log.end, source.rows, rows):
                end = min(start + rows, source.rows)
                pieces = self._pieces(number, source, chunked, start, end)
                stretch = Stretch(start, end, source.rows)
                self._shard(number, stretch, settings, pieces, source=source, state=chunked.state_dict)

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
        rows = self.job.chunk_rows(source)
        chunks = source.chunks(rows, start=start, stop=end)
        for position in range(start, end, rows):
            self._cancel.check()
            upto = min(position + rows, end)
            with self.job.reading():
                columns = next(chunks)
            with self._locating(source):
                columns = chunked.push(columns, last=upto == source.rows)
            yield columns
            self.advance(number, upto, False, rows=source.rows)

    def rows_through(
        self, chunked: ChunkedRun, source: Source, columns: Columns, stretch: Stretch
    ) -> Iterator[Columns]:
        """The results of a stretch whose rows are there, of transforms that carry nothing, chunk by chunk.

        Args:
            chunked: new.
            columns: as the source gives them.
        """
        rows = self.job.chunk_rows(source)
        chunked.begin(source.slice(0, 0))
        chunked.skip(stretch.start)
        for position in range(stretch.start, stretch.end, rows):
            self._cancel.check()
            upto = min(position + rows, stretch.end)
            chunk = {name: one[position - stretch.start : upto - stretch.start] for name, one in columns.items()}
            with self._locating(source):
                yield chunked.push(chunk, last=upto == stretch.rows)

    def _whole(self, source: Source) -> Iterator[Any]:
        """What the transforms make of a recording that they need whole."""
        job, layout = self.job, self.job.layout(source)
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
            self.job.locate_stage(error)
            raise


def _rows_of(job: Job, recordings: Sequence[Recording]) -> Iterator[int]:
    for one in recordings:
        with job.open(one.path) as source:
            yield source.rows
