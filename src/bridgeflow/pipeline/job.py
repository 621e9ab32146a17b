"""A job: source, transforms, sink. What one configuration file describes, and what an engine runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bridgeflow import __version__
from bridgeflow.errors import BridgeflowError, DataError, nearest
from bridgeflow.io import ColumnNulls, Compression, Roots, Source, open_source, refuse_existing, refuse_overlap
from bridgeflow.io.files import data_error
from bridgeflow.pipeline.compose import Compose
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms import Plan

__all__ = ["Job", "JobReport", "JobSink", "JobSource"]


@dataclass(frozen=True, kw_only=True)
class JobSource:
    """What is read.

    Args:
        path, format: the file; `format=None` for what its suffix says.
        columns: names to read; `None` for all.
        fs: sampling rate in Hz; `None` for what the file says.
        nulls: `"error"`, or `"keep"` to hand them on.
    """

    path: Path
    format: str | None = None
    columns: tuple[str, ...] | None = None
    fs: float | None = None
    nulls: ColumnNulls = "error"


@dataclass(frozen=True, kw_only=True)
class JobSink:
    """What is written.

    Args:
        path, format: the file; `format=None` for what its suffix says.
        compression: one of the format's words; `None` for the format's own choice.
    """

    path: Path
    format: str | None = None
    compression: Compression | None = None


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


@dataclass(frozen=True, kw_only=True)
class Job:
    """Source, transforms and sink, with what to report.

    Args:
        source, transform, sink, report: the parts.
        roots: folders beneath which every file of the job must lie, links followed; `None` for anywhere.
        inputs: further files that no output may replace (the configuration), by what they are.
        places: where each transform is written ("job.yaml:5:5"), for messages; empty for jobs made in Python.
    """

    source: JobSource
    transform: Compose
    sink: JobSink
    report: JobReport | None = None
    roots: Roots = None
    inputs: Mapping[str, Path] = field(default_factory=dict)
    places: tuple[str, ...] = ()

    @property
    def outputs(self) -> dict[str, Path]:
        """The files that the job writes, by what they are."""
        png = self.report.png if self.report else None
        return {"sink": self.sink.path, **({"picture": png} if png else {})}

    def check_outputs(self, *, overwrite: bool = False) -> None:
        """Refuse outputs that would destroy something.

        Raises:
            DataError: an output is an input or another output, lies inside one, or exists and may not be replaced.
        """
        refuse_overlap(self.outputs, {"source": self.source.path, **self.inputs})
        for path in self.outputs.values():
            refuse_existing(path, overwrite=overwrite)

    def open(self) -> Source:
        """Open the source.

        Raises:
            DataError: it cannot be read, has no rows, or says another sampling rate than the job.
        """
        wanted = self.source
        source = open_source(
            wanted.path, format=wanted.format, columns=wanted.columns, nulls=wanted.nulls, roots=self.roots
        )
        if source.rows == 0:
            source.close()
            raise data_error(source.path, "has no rows", "there is nothing to transform")
        if wanted.fs is not None and source.fs not in (None, wanted.fs):
            source.close()
            problem = f"was sampled at {source.fs:g} Hz by its own account, at {wanted.fs:g} Hz by the job's"
            raise data_error(source.path, problem, "correct `fs`, or leave it out")
        return source

    def plan(self, source: Source) -> Plan:
        """What the transforms will do to the columns of the source, worked out before any of them is read.

        Raises:
            BridgeflowError: a transform cannot handle a column or selects one that is not there, what comes out is no
                columns, or the report is about a column that does not come out.
        """
        specs = {name: replace(spec, fs=self.source.fs or spec.fs) for name, spec in source.specs.items()}
        try:
            plan = self.transform.plan(specs)
        except BridgeflowError as error:
            raise self.located(error) from error
        self.rate(plan)
        if isinstance(plan.result, dict):
            self.report_column(plan.result)
        return plan

    def rate(self, plan: Plan) -> float | None:
        """The sampling rate in Hz of what comes out; `None` where nobody knows it.

        Raises:
            DataError: the columns differ in it, and a file has one.
        """
        columns = plan.result.values() if isinstance(plan.result, dict) else ()
        rates = {spec.fs for spec in columns if isinstance(spec, ArraySpec)}
        if len(rates) > 1:
            raise data_error(
                self.sink.path, f"columns at {' and '.join(map(str, rates))} Hz", "write a file for each rate"
            )
        return next(iter(rates), None)

    def report_column(self, columns: Mapping[str, Any]) -> str:
        """The name of the column to report on, among those that come out.

        Raises:
            DataError: there is no such column, or several to choose from.
        """
        wanted = self.report.column if self.report else None
        if wanted is None and len(columns) > 1 and self.report:
            raise DataError(
                f"report: {len(columns)} columns to choose from ({', '.join(columns)}); name one as `column`"
            )
        if wanted is not None and wanted not in columns:
            raise DataError(f"report: no column {wanted!r} comes out; {nearest(wanted, columns)}")
        return wanted or next(iter(columns))

    def located(self, error: BridgeflowError) -> BridgeflowError:
        """The error of a stage, with the line where the stage is written."""
        number = re.match(r"stage (\d+)", error.stage)
        if number is None or not self.places:
            return error
        placed = DataError(f"{self.places[int(number[1]) - 1]}: {error}")
        placed.file = str(self.source.path)
        return placed

    def settings(self, plan: Plan) -> dict[str, Any]:
        """What is stored with the result: enough to make it again, and nothing that differs from run to run."""
        fs = self.rate(plan)
        return {
            "bridgeflow": __version__,
            **({"fs": fs} if fs is not None else {}),
            "source": self.source.path.name,
            "transforms": self.transform.to_config()["Compose"]["stages"],
        }
