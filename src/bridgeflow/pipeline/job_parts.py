"""What a job reads, writes and reports, as plain values: the parts that one configuration file describes."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from bridgeflow.io.files import is_folder
from bridgeflow.io.listing import has_pattern
from bridgeflow.io.options import SinkOptions, SourceOptions, option
from bridgeflow.pipeline.chunked import RowsAre
from bridgeflow.transforms.fields import plain

__all__ = ["JobReport", "JobSink", "JobSource", "chosen_options"]


def chosen_options(part: Any, *, without: tuple[str, ...]) -> dict[str, Any]:
    """The options that are not at their defaults, so that a new one leaves the identities of other jobs as they are.

    Args:
        part: a dataclass of options.
        without: names of those left out.
    """
    chosen = {one.name: getattr(part, one.name) for one in fields(part) if one.name not in without}
    defaults = {one.name: one.default for one in fields(part)}
    return {name: _plain(value) for name, value in chosen.items() if value != defaults[name]}


def _plain(value: Any) -> Any:
    """A value as JSON holds it: options of options as maps."""
    return chosen_options(value, without=()) if is_dataclass(value) else plain(value)


@dataclass(frozen=True, kw_only=True)
class JobSource(SourceOptions):
    """What is read: the path of a file, of a folder of many, or a pattern; and how."""

    path: Path
    fs: float | None = option(
        None,
        "Sampling rate in Hz; where left out, the file must say it. Transforms take their `fs` from here.",
        gt=0,
        le=1e12,
    )
    rows: RowsAre | None = option(
        None,
        "What a row of several numbers is: `instants` of a recording, whose channels they are, or `examples`, pieces "
        "of signal. Where left out, time steps in wav files and examples in others.",
    )

    @property
    def is_many(self) -> bool:
        """Whether the path is a folder or a pattern."""
        return self.folder is not None

    @property
    def folder(self) -> Path | None:
        """The folder of many, or of a pattern the one in which all that it matches must lie; `None` for a file."""
        if has_pattern(self.path):
            return next(parent for parent in self.path.parents if not has_pattern(parent))
        return self.path if is_folder(self.path) else None


@dataclass(frozen=True, kw_only=True)
class JobSink(SinkOptions):
    """What is written, and how.

    Args:
        path, format: the file, or with `shards` the folder; `format=None` for what its suffix says.
        shards: write a folder of shards, each committed by itself, so that a job that was killed continues.
    """

    path: Path
    format: str | None = None
    shards: bool = False
    shard_rows: int | None = option(
        None,
        "For a folder: rows of a recording whose results become one shard; where left out, some 64 MiB of input.",
        ge=1,
        le=10**12,
    )


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """What is measured and drawn, of one column: before (what was read, or what a stage made of it) and after."""

    column: str | None = option(None, "The column; may be left out where there is only one.")
    before: str | None = option(
        None,
        "The first stage of this name makes the `before`, for instance the one that brings units; where left out, "
        "`before` is what was read.",
    )
    hum: float | None = option(
        None,
        "Frequency of the mains in Hz, whose interference is measured against its neighbours, before and after.",
        gt=0,
        le=1e12,
    )
    unit: str | None = option(None, "The unit of the values, for the picture's axis.")
    png: Path | None = option(None, "Picture to draw: before and after, in time and as spectra.")
    seconds: tuple[float, float] | None = option(
        None,
        "Stretch of time to draw, from and to, in seconds; a few seconds from the middle where left out.",
    )
