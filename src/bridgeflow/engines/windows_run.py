"""Recordings to shards of windows: each window as a `SignalDataset` of the recordings gives it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bridgeflow.engines.folder_run import FolderRun, Stretch
from bridgeflow.errors import BridgeflowError
from bridgeflow.io.files import data_error
from bridgeflow.pipeline.windows_job import WindowsJob

__all__ = ["WindowsRun"]


class WindowsRun(FolderRun[WindowsJob]):
    """One run of a job over recordings. Rows are windows; they carry no state, so that any of them may come next."""

    @staticmethod
    def row_types(job: WindowsJob) -> dict[str, str]:
        """What a row of the results is, of the first recording that has windows."""
        return job.checked().row_types

    def _recording(self, number: int) -> None:
        recording, log, job = self.recordings[number], self.logs[number], self.job
        windows = job.windows(number)
        if log.last:
            return
        if not len(windows):
            self.advance(number, 0, True, rows=0)
            return
        if log.path is not None and log.rows != len(windows):
            problem = f"says {log.rows:,} windows, and there are {len(windows):,}"
            raise data_error(log.path, problem, "delete the folder and run the job again")
        plan, _ = job.plan_alike(number, self._row_types)
        settings, rows = job.settings(plan, source=recording.name), job.shard_rows(plan)
        for start in range(log.end, len(windows), rows):
            end = min(start + rows, len(windows))
            pieces = self._pieces(number, windows[start:end], job.chunk_rows(plan), start)
            self._shard(number, Stretch(start, end, len(windows)), settings, pieces)

    def _pieces(self, number: int, windows: range, rows: int, start: int) -> Iterator[Any]:
        """The columns of some windows, a few at a time."""
        for position in range(0, len(windows), rows):
            self._cancel.check()
            part = windows[position : position + rows]
            try:
                columns = self.job.columns(part)
            except BridgeflowError as error:
                error.recording = error.recording or self.recordings[number].name
                self.job.locate_stage(error)
                with self.job.reading():
                    raise
            yield columns
            self.advance(number, start + position + len(part), False, rows=len(self.job.windows(number)))
