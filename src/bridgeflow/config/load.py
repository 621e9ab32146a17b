"""From a configuration to a `Job`: names looked up in closed registries, values checked, every finding with its line.

Paths in a configuration are relative to the configuration's own folder, so it means the same wherever it is run from.
They are taken as they are written: nothing is expanded, and what they lead to must lie beneath the caller's roots.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bridgeflow.config.document import MAX_BYTES, Document, Node, Steps, read_document, shown
from bridgeflow.config.models import ReportSection, SinkSection, SourceSection, parse_section
from bridgeflow.config.rates import Rates
from bridgeflow.errors import BridgeflowError, ConfigError, Location, StageId, nearest, quoted
from bridgeflow.io import all_formats
from bridgeflow.io import shown as shown_path
from bridgeflow.io.files import is_beneath, open_regular, real_path
from bridgeflow.io.output_roots import OutputRoots, default_output_roots, reserved_part
from bridgeflow.io.sink import refused_option
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.job import MAX_THREADS, Job
from bridgeflow.pipeline.job_parts import JobReport, JobSink, JobSource
from bridgeflow.transforms import Transform
from bridgeflow.transforms.registry import lookup, names

__all__ = ["load_job", "parse_job"]

VERSION = 1
_SECTIONS = ("version", "source", "transforms", "sink", "report", "threads")
_LONGEST_PATH = 1024
_LONGEST_NAME = 249
"""Bytes of a file's name: 255, of which the hidden file that becomes it takes 6 more."""
_NEVER_EXPANDED = {"~": "~ (a home)", "$": "$ (a variable)", "://": "a URL"}
_PATTERNS = {"*": "* (a pattern)", "?": "? (a pattern)"}


def load_job(
    path: str | os.PathLike[str],
    *,
    roots: Sequence[str | os.PathLike[str]] | None = None,
    output_roots: Sequence[str | os.PathLike[str]] | None = None,
) -> Job:
    """Read a job from a YAML file.

    Args:
        path: the configuration.
        roots: folders beneath one of which every file that the job reads must lie, all links followed. The caller
            declares them, never the file. `None` means the current folder and the configuration's own.
        output_roots: likewise for every file that it writes; hidden folders and those of installed packages below them
            are left out. `None` means the current folder and the configuration's own, unless these are such.

    Raises:
        ConfigError: the file does not describe a job; with file, line and column.
        DataError: the configuration cannot be opened, or the source is needed to learn the sampling rate and cannot.
    """
    descriptor = open_regular(path)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    folder = Path(os.path.abspath(path)).parent
    own = (Path.cwd(), folder)
    return parse_job(
        data,
        name=shown_path(path),
        folder=folder,
        roots=own if roots is None else _absolute(roots),
        output_roots=default_output_roots(own) if output_roots is None else OutputRoots(_absolute(output_roots)),
        inputs={"configuration": Path(path)},
    )


def _absolute(folders: Sequence[str | os.PathLike[str]]) -> tuple[Path, ...]:
    return tuple(Path(os.path.abspath(folder)) for folder in folders)


def parse_job(
    data: bytes,
    *,
    name: str,
    folder: str | os.PathLike[str],
    roots: tuple[Path, ...] | None = None,
    output_roots: tuple[Path, ...] | None = None,
    inputs: dict[str, Path] | None = None,
) -> Job:
    """A job from the bytes of a configuration.

    Args:
        data: the bytes, UTF-8.
        name: what messages call the configuration.
        folder: the folder that its paths are relative to.
        roots: as for `load_job`, but `None` means anywhere.
        output_roots: as for `load_job`, but `None` means those of `roots`.
        inputs: further files that no output may replace, by what they are.
    """
    if output_roots is None:
        output_roots = roots
    outputs = None if output_roots is None else OutputRoots(output_roots)
    return _Loader(read_document(data, name), Path(folder), roots, outputs, inputs or {}).job()


@dataclass(frozen=True)
class _Loader:
    document: Document
    folder: Path
    roots: tuple[Path, ...] | None
    output_roots: OutputRoots | None
    inputs: dict[str, Path]

    @cached_property
    def places(self) -> dict[tuple[str | int, ...], Location]:
        """Where each value is written."""
        return self.document.places()

    def job(self) -> Job:
        self._top()
        source = self._source()
        sink = self._sink()
        transform = self._transforms(source)
        report = self._report(transform) if "report" in self._map([]) else None
        return Job(
            source=source,
            transform=transform,
            sink=sink,
            report=report,
            roots=self.roots,
            output_roots=self.output_roots,
            inputs=self.inputs,
            places=self.places,
            threads=self._threads(sink),
        )

    # --- sections ---

    def _top(self) -> None:
        """The keys of the whole, and the version."""
        top = self._map([], "a map that begins with `version: 1`")
        for key in top:
            if key not in _SECTIONS:
                raise self.document.error([key], f"unknown key {quoted(key)}; {nearest(key, _SECTIONS)}", at_key=True)
        for key in ("version", "source", "sink"):
            if key not in top:
                raise self.document.error([], f"the key {key!r} is missing")
        version = top["version"].value
        if type(version) is not int or version != VERSION:
            raise self.document.error(["version"], f"expected {VERSION}, got {shown(top['version'])}")

    def _source(self) -> JobSource:
        self._map(["source"], "a map such as `{parquet: in.parquet}`")
        section = parse_section(self.document, ["source"], SourceSection, list(all_formats()))
        format, path = self._format_and_path("source")
        if section["normalize"] and not all_formats()[format].writer.has_full_scale:
            raise self.document.error(["source", "normalize"], f"a {format} file has no full scale; leave it out")
        return JobSource(path=path, format=format, **section)

    def _sink(self) -> JobSink:
        self._map(["sink"], "a map such as `{parquet: out.parquet}`")
        section = parse_section(self.document, ["sink"], SinkSection, list(all_formats()))
        format, path = self._format_and_path("sink")
        shards = self._map(["sink"])[format].plain().endswith("/")
        sink = JobSink(path=path, format=format, shards=shards, **section)
        if refused := refused_option(all_formats()[format], sink):
            raise self.document.error(["sink", refused[0]], refused[1])
        if sink.shard_rows is not None and not shards:
            problem = f"is for a folder of shards, whose path ends with a slash; {quoted(path.name)} is one file"
            raise self.document.error(["sink", "shard_rows"], problem, at_key=True)
        if not shards:
            self._require_suffix(["sink", format], path, all_formats()[format].suffixes, f"{format} files end in")
        return sink

    def _threads(self, sink: JobSink) -> int | None:
        """How many recordings to work on at a time, where the file says it."""
        node = self._map([]).get("threads")
        if node is None:
            return None
        if type(node.value) is not int or not 1 <= node.value <= MAX_THREADS:
            raise self.document.error(["threads"], f"expected a number from 1 to {MAX_THREADS}, got {shown(node)}")
        if not sink.shards:
            problem = "threads work on several recordings side by side, and this sink is one file; leave them out"
            raise self.document.error(["threads"], problem, at_key=True)
        return node.value

    def _report(self, transform: Compose) -> JobReport:
        self._map(["report"], "a map")
        report = JobReport(**parse_section(self.document, ["report"], ReportSection))
        stages = [type(stage).__name__ for stage in transform.stages]
        if report.before is not None and report.before not in stages:
            problem = f"there is no stage {quoted(report.before)}; {nearest(report.before, stages)}"
            raise self.document.error(["report", "before"], problem)
        if report.seconds is not None and not report.seconds[0] < report.seconds[1]:
            raise self.document.error(["report", "seconds"], f"must go forward, got {list(report.seconds)}")
        if report.png is None:
            return report
        png = self._path(["report", "png"], str(report.png))
        self._require_suffix(["report", "png"], png, (".png",), "pictures end in")
        return replace(report, png=png)

    # --- transforms ---

    def _transforms(self, source: JobSource) -> Compose:
        node = self._map([]).get("transforms")
        if node is None:
            return Compose()
        if not isinstance(node.value, list):
            raise self.document.error(["transforms"], f"expected a list of transforms, got {shown(node)}")
        rates = Rates(source, self.roots, self.places)
        return Compose([self._transform(["transforms", index], one, rates) for index, one in enumerate(node.value)])

    def _transform(self, steps: Steps, node: Node, rates: Rates) -> Transform:
        """One transform: `Name`, or `Name: {field: value}`."""
        name, written = self._name_and_fields(steps, node)
        if name not in names():
            raise self.document.error(steps, f"there is no transform {quoted(name)}; {nearest(name, names())}")
        cls: type[Transform] = lookup(name)
        if cls is Compose:
            return self._compose([*steps, name], written, rates)
        raw = {field: value.plain() for field, value in written.items()}
        names_of_fields = cls.field_names(raw)
        for field in written:
            if field not in names_of_fields:
                problem = f"{name} has no field {quoted(field)}; {nearest(field, names_of_fields)}"
                raise self.document.error([*steps, name, field], problem, at_key=True)
        lost = self._fill_rate([*steps, name], cls, raw, rates) if "fs" in names_of_fields and "fs" not in raw else None
        try:
            transform = cls.from_fields(raw)
        except BridgeflowError as error:
            raise self._about(error, steps, name, raw, lost) from error
        except (MemoryError, OverflowError) as error:
            raise self._about(ConfigError(f"too large ({error})"), steps, name, raw) from error
        rates.add(transform)
        return transform

    def _fill_rate(self, steps: Steps, cls: type[Transform], raw: dict[str, Any], rates: Rates) -> StageId | None:
        """Give `fs` the rate of the data at this place; return the stage after which they have none, if any."""
        keys = raw.get("keys")
        try:
            fs = rates.here((keys,) if isinstance(keys, str) else keys)
        except ConfigError as error:
            raise self.document.error(steps, str(error)) from error
        if fs is not None:
            raw["fs"] = fs
        elif rates.lost and any(one.name == "fs" and type(one.default) is float for one in fields(cls)):
            raise self.document.error(steps, f"fs is needed: the data have no sampling rate after {rates.lost}")
        return rates.lost

    def _compose(self, steps: Steps, fields: dict[str, Node], rates: Rates) -> Compose:
        """A composition among the transforms: its stages are transforms again."""
        if set(fields) != {"stages"} or not isinstance(fields["stages"].value, list):
            raise self.document.error(steps, "Compose has one field: stages, a list of transforms")
        stages = enumerate(fields["stages"].value)
        return Compose([self._transform([*steps, "stages", index], one, rates) for index, one in stages])

    def _name_and_fields(self, steps: Steps, node: Node) -> tuple[str, dict[str, Node]]:
        if isinstance(node.value, str):
            return node.value, {}
        if isinstance(node.value, dict) and len(node.value) == 1:
            ((name, content),) = node.value.items()
            if content.value is None:
                return name, {}
            if isinstance(content.value, dict):
                return name, content.value
            raise self.document.error([*steps, name], f"expected a map of fields, got {shown(content)}")
        raise self.document.error(steps, f"expected `Name: {{field: value}}`, got {shown(node)}")

    def _about(
        self, error: BridgeflowError, steps: Steps, name: str, raw: dict[str, Any], lost: StageId | None = None
    ) -> ConfigError:
        """What a transform says about its fields, at the field where it names one that is written here.

        Args:
            lost: the stage after which the data have no sampling rate.
        """
        message = str(error.args[0] if error.args else error).removeprefix(f"{name}: ")
        field = error.field
        if field == "fs" and "fs" not in raw:
            remedy = f"the data have none after {lost}" if lost else "or say it once, as `fs` of the source"
            message = f"{message}; {remedy}"
        written = self.document.root.at([*steps, name]).keys
        if field in written:
            return self.document.error([*steps, name, field], message)
        return self.document.error([*steps, name], message, at_key=bool(written))

    # --- paths ---

    def _format_and_path(self, section: str) -> tuple[str, Path]:
        """The one format that a section names, and its path."""
        content = self._map([section])
        named = [key for key in content if key in all_formats()]
        if not named:
            raise self.document.error([section], f"names no format; one of {', '.join(all_formats())} takes the path")
        if len(named) > 1:
            problem = f"names {' and '.join(named)}; a {section} is one file"
            raise self.document.error([section, named[1]], problem, at_key=True)
        node = content[named[0]]
        if not isinstance(node.value, str):
            raise self.document.error([section, named[0]], f"expected a path, got {shown(node)}")
        return named[0], self._path([section, named[0]], node.value)

    def _path(self, steps: Steps, text: str) -> Path:
        """A path as it is written, beneath the configuration's folder; that of a source may be a pattern."""
        for sign, what in (_NEVER_EXPANDED if steps[0] == "source" else {**_NEVER_EXPANDED, **_PATTERNS}).items():
            if sign in text:
                problem = f"a path is taken as it is written, so {what} has no place in {quoted(text)}"
                raise self.document.error(steps, problem)
        if not 0 < len(text) <= _LONGEST_PATH:
            raise self.document.error(steps, f"expected a path of 1 to {_LONGEST_PATH} characters, got {len(text)}")
        path = self.folder / text
        if too_long := next((part for part in path.parts if len(os.fsencode(part)) > _LONGEST_NAME), ""):
            problem = f"a name of {len(os.fsencode(too_long))} bytes; file systems take {_LONGEST_NAME} of ours"
            raise self.document.error(steps, f"{quoted(text)} has {problem}")
        if steps[0] != "source":
            self._require_output(steps, text, path)
        elif self.roots is not None and not is_beneath(path, self.roots):
            folders = " and ".join(dict.fromkeys(map(shown_path, self.roots)))
            raise self.document.error(steps, f"{quoted(text)} lies outside of {folders}; allow its folder with --root")
        return path

    def _require_output(self, steps: Steps, text: str, path: Path) -> None:
        """Refuse a path that is not for outputs: outside the folders for them, or hidden."""
        if part := reserved_part(Path(text)):
            problem = (
                f"outputs go into no hidden file or folder and no folder of installed packages, got {quoted(part)}"
            )
            raise self.document.error(steps, f"{problem} in {quoted(text)}")
        if self.output_roots is None:
            return
        if problem := self.output_roots.problem(real_path(path), shown=shown_path):
            raise self.document.error(steps, f"{quoted(text)} {problem}; allow another folder with --output-root")
        above = next(folder for folder in path.parents if os.path.lexists(folder))
        if not os.path.isdir(above):
            problem = f"{shown_path(above)} is not a folder, or a link to none; name another folder"
            raise self.document.error(steps, f"{quoted(text)}: {problem}")

    def _require_suffix(self, steps: Steps, path: Path, suffixes: Sequence[str], what: str) -> None:
        if path.suffix.lower() not in suffixes:
            problem = f"{what} {' or '.join(suffixes)}, got {quoted(path.name)}; a file is not called something else"
            raise self.document.error(steps, problem)

    # --- nodes ---

    def _map(self, steps: Steps, expected: str = "a map") -> dict[str, Node]:
        node = self.document.root.at(steps)
        if not isinstance(node.value, dict):
            raise self.document.error(steps, f"expected {expected}, got {shown(node)}")
        return node.value
