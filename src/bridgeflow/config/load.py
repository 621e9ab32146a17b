"""From a configuration to a job: names looked up in closed registries, values checked, every finding with its line.

Paths in a configuration are relative to the configuration's own folder, so it means the same wherever it is run from.
They are taken as they are written: nothing is expanded, and what they lead to must lie beneath the caller's roots.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridgeflow._document import Document, overridden, read_document, shown
from bridgeflow.config.files import read_bytes
from bridgeflow.config.models import ReportSection, SinkSection, parse_section
from bridgeflow.config.paths import PathReader, declared_roots
from bridgeflow.config.rates import Rates
from bridgeflow.config.sections import SectionReader
from bridgeflow.errors import nearest, quoted
from bridgeflow.io import all_formats
from bridgeflow.io import shown as shown_path
from bridgeflow.io.output_roots import OutputRoots, default_output_roots
from bridgeflow.io.sink import refused_option
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.job import MAX_THREADS, Job
from bridgeflow.pipeline.job_parts import JobReport, JobSink
from bridgeflow.pipeline.recordings_source import RecordingsSource
from bridgeflow.pipeline.yaml_stages import StageReader
from bridgeflow.transforms.plugins import load_plugins

if TYPE_CHECKING:
    from bridgeflow.config.recording_rates import RecordingRates
    from bridgeflow.pipeline.windows_job import WindowsJob

__all__ = ["is_pipeline", "load_job", "parse_job"]

_SECTIONS = ("version", "source", "transforms", "sink", "report", "threads")
_OF_PIPELINES = ("sources", "split", "reject", "dataset", "loader", "sampler")


def load_job(
    path: str | os.PathLike[str],
    *,
    roots: Sequence[str | os.PathLike[str]] | None = None,
    output_roots: Sequence[str | os.PathLike[str]] | None = None,
    overrides: Sequence[str] = (),
    plugins: Sequence[str] = (),
) -> Job | WindowsJob:
    """Read a job from a YAML file.

    Args:
        path: the configuration.
        roots: folders beneath one of which every file that the job reads must lie, all links followed. The caller
            declares them, never the file. `None` means the current folder and the configuration's own. A URL among
            them (`s3://bucket/`, `https://host/data/`) allows the URLs below it; where there are URLs alone, folders
            are those of `None`.
        output_roots: likewise for every file that it writes; hidden folders and those of installed packages below them
            are left out. `None` means the current folder and the configuration's own, unless these are such.
        overrides: values that take the place of those in the file, `key.path=value` each, as in `source.fs=250` or
            `transforms[1].SignalFilter.order=4`; values are read and checked as those of the file are.
        plugins: names of entry points of the group `bridgeflow.transforms` whose transforms the file may name.

    Returns:
        A `Job` over files of rows, or over recordings a `WindowsJob`; `run_shards` takes both.

    Raises:
        ConfigError: the file does not describe a job; with file, line and column.
        DataError: the configuration cannot be opened, or the source is needed to learn the sampling rate and cannot.
    """
    load_plugins(plugins)
    data, folder = read_bytes(path), Path(os.path.abspath(path)).parent
    own = (Path.cwd(), folder)
    return parse_job(
        data,
        name=shown_path(path),
        folder=folder,
        roots=declared_roots(roots, own),
        output_roots=OutputRoots(declared_roots(output_roots, default_output_roots(own))),
        inputs={"configuration": Path(path)},
        overrides=overrides,
    )


def is_pipeline(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> bool:
    """Whether a file is for `load_pipeline`: without a sink, and with a section that only a pipeline has.

    Raises:
        ConfigError: it is not YAML, or an override does not fit it.
        DataError: it cannot be opened.
    """
    top = overridden(read_document(read_bytes(path), shown_path(path)), overrides).root.value
    return isinstance(top, dict) and _pipeline_key(top) is not None


def _pipeline_key(top: Mapping[str, Any]) -> str | None:
    """The first section that only a pipeline has, in a file that is not a job."""
    return None if "sink" in top else next((key for key in top if key in _OF_PIPELINES), None)


def parse_job(
    data: bytes,
    *,
    name: str,
    folder: str | os.PathLike[str],
    roots: tuple[Path, ...] | None = None,
    output_roots: tuple[Path, ...] | None = None,
    inputs: dict[str, Path] | None = None,
    overrides: Sequence[str] = (),
) -> Job | WindowsJob:
    """A job from the bytes of a configuration.

    Args:
        data: the bytes, UTF-8.
        name: what messages call the configuration.
        folder: the folder that its paths are relative to.
        roots: as for `load_job`, but `None` means anywhere.
        output_roots: as for `load_job`, but `None` means those of `roots`.
        inputs: further files that no output may replace, by what they are.
        overrides: as for `load_job`.
    """
    if output_roots is None:
        output_roots = roots
    outputs = None if output_roots is None else OutputRoots(output_roots)
    document = overridden(read_document(data, name), overrides)
    return _JobReader(document, PathReader(document, Path(folder), roots, outputs), inputs or {}).job()


class _JobReader(SectionReader):
    """Reads a job."""

    def __init__(self, document: Document, paths: PathReader, inputs: dict[str, Path]) -> None:
        super().__init__(document, paths)
        self._inputs = inputs

    def job(self) -> Job | WindowsJob:
        top = self.map([], "a map that begins with `version: 1`")
        if (only := _pipeline_key(top)) is not None:
            problem = "makes this a pipeline, which bridgeflow.load_pipeline reads; a job has a sink"
            raise self.document.error([only], problem, at_key=True)
        self.top(_SECTIONS, ("version", "source", "sink"))
        source = self.source(["source"])
        sink = self._sink()
        parts: dict[str, Any] = {
            "sink": sink,
            "roots": self.paths.roots,
            "output_roots": self.paths.output_roots,
            "inputs": self._inputs,
            "places": self.document.places(),
        }
        if isinstance(source, RecordingsSource):
            return self._windows_job(source, parts)
        rates = Rates(source, self.paths.roots, parts["places"])
        transform = self._transforms(rates)
        report = self._report(transform) if "report" in top else None
        return Job(source=source, transform=transform, report=report, threads=self._threads(sink), **parts)

    def _windows_job(self, source: RecordingsSource, parts: dict[str, Any]) -> WindowsJob:
        from bridgeflow.config.recording_rates import RecordingRates
        from bridgeflow.pipeline.windows_job import WindowsJob

        sink: JobSink = parts["sink"]
        if not sink.shards:
            problem = "windows of recordings go into a folder of shards, whose path ends with a slash"
            raise self.document.error(["sink", sink.format or ""], f"{problem}; {quoted(sink.path.name)} is one file")
        if "report" in self.map([]):
            problem = "a report is about one file, and this job writes a folder of shards; remove it"
            raise self.document.error(["report"], problem, at_key=True)
        rates = RecordingRates(lambda: WindowsJob(source=source, transform=Compose(), **parts).opened)
        transform = self._transforms(rates)
        threads = self._threads(sink)
        return WindowsJob(source=source, transform=transform, threads=threads, index=rates.recordings, **parts)

    def _transforms(self, rates: Rates | RecordingRates) -> Compose:
        node = self.map([]).get("transforms")
        return (
            Compose()
            if node is None
            else Compose(StageReader(self.document, rates, self.paths.statistics).stages(["transforms"], node))
        )

    def _sink(self) -> JobSink:
        self.map(["sink"], "a map such as `{parquet: out.parquet}`")
        section = parse_section(self.document, ["sink"], SinkSection, list(all_formats()))
        format = self.format_of(["sink"])
        path = self.paths.output(["sink", format], url=True)
        shards = self.map(["sink"])[format].plain().endswith("/")
        sink = JobSink(path=path, format=format, shards=shards, **section)
        if refused := refused_option(all_formats()[format], sink):
            raise self.document.error(["sink", refused[0]], refused[1])
        if sink.shard_rows is not None and not shards:
            problem = f"is for a folder of shards, whose path ends with a slash; {quoted(path.name)} is one file"
            raise self.document.error(["sink", "shard_rows"], problem, at_key=True)
        if not shards:
            suffixes = all_formats()[format].suffixes
            self.paths.require_suffix(["sink", format], path, suffixes, f"{format} files end in")
        return sink

    def _threads(self, sink: JobSink) -> int | None:
        """How many recordings to work on at a time, where the file says it."""
        node = self.map([]).get("threads")
        if node is None:
            return None
        if type(node.value) is not int or not 1 <= node.value <= MAX_THREADS:
            raise self.document.error(["threads"], f"expected a number from 1 to {MAX_THREADS}, got {shown(node)}")
        if not sink.shards:
            problem = "threads work on several recordings side by side, and this sink is one file; leave them out"
            raise self.document.error(["threads"], problem, at_key=True)
        return node.value

    def _report(self, transform: Compose) -> JobReport:
        self.map(["report"])
        report = JobReport(**parse_section(self.document, ["report"], ReportSection))
        stages = [type(stage).__name__ for stage in transform.stages]
        if report.before is not None and report.before not in stages:
            problem = f"there is no stage {quoted(report.before)}; {nearest(report.before, stages)}"
            raise self.document.error(["report", "before"], problem)
        if report.seconds is not None and not report.seconds[0] < report.seconds[1]:
            raise self.document.error(["report", "seconds"], f"must go forward, got {list(report.seconds)}")
        if report.png is None:
            return report
        png = self.paths.output(["report", "png"])
        self.paths.require_suffix(["report", "png"], png, (".png",), "pictures end in")
        return replace(report, png=png)
