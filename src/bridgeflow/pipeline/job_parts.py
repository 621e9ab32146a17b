"""What a job reads, writes and reports, as plain values: the parts that one configuration file describes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bridgeflow.io import ColumnNulls, Compression, OnOverflow, SinkDtype
from bridgeflow.io.listing import has_pattern
from bridgeflow.pipeline.chunked import RowsAre

__all__ = ["JobReport", "JobSink", "JobSource"]


@dataclass(frozen=True, kw_only=True)
class JobSource:
    """What is read.

    Args:
        path, format: the file, or the folder or pattern of many; `format=None` for what the suffix says.
        columns: names to read; `None` for all.
        fs: sampling rate in Hz; `None` for what the file says.
        nulls: `"error"`, or `"keep"` to hand them on.
        rows: what a row is, where it holds several numbers: `"instants"` of a recording, or `"examples"`; `None` for
            instants in wav files, examples in others.
        normalize, max_nbytes: see `bridgeflow.io.open_source`.
    """

    path: Path
    format: str | None = None
    columns: tuple[str, ...] | None = None
    fs: float | None = None
    nulls: ColumnNulls = "error"
    rows: RowsAre | None = None
    normalize: bool = False
    max_nbytes: int | None = None

    @property
    def is_many(self) -> bool:
        """Whether the path is a folder or a pattern."""
        return self.folder is not None

    @property
    def folder(self) -> Path | None:
        """The folder of many, or of a pattern the one in which all that it matches must lie; `None` for a file."""
        if has_pattern(self.path):
            return next(parent for parent in self.path.parents if not has_pattern(parent))
        return self.path if self.path.is_dir() else None


@dataclass(frozen=True, kw_only=True)
class JobSink:
    """What is written.

    Args:
        path, format: the file, or with `shards` the folder; `format=None` for what its suffix says.
        compression: one of the format's words; `None` for the format's own choice.
        dtype: element type that every column is written in; `None` for what the transforms make.
        on_overflow: what becomes of values that `dtype` cannot hold.
        normalize: of wav, whether values are between -1 and 1, full scale; see `bridgeflow.io.open_sink`.
        shards: write a folder of shards, each committed by itself, so that a job that was killed goes on where it was.
        shard_rows: rows of a recording whose results become one shard; `None` for some 64 MiB of input.
    """

    path: Path
    format: str | None = None
    compression: Compression | None = None
    dtype: SinkDtype | None = None
    on_overflow: OnOverflow = "raise"
    normalize: bool | None = None
    shards: bool = False
    shard_rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """What is measured and drawn, of one column.

    Args:
        column: its name; `None` where there is only one.
        before: name of the stage whose result is the "before"; `None` for what was read.
        hum: frequency in Hz to measure against its neighbours; `None` not to.
        unit: of the values, for the picture's axis.
        png: picture to draw; `None` for none.
        seconds: stretch of time to draw; `None` for a few seconds from the middle.
    """

    column: str | None = None
    before: str | None = None
    hum: float | None = None
    unit: str = ""
    png: Path | None = None
    seconds: tuple[float, float] | None = None
