"""Sections that jobs and pipeline files have in common: the version, and sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridgeflow._document import Document, Node, Steps, shown
from bridgeflow.config.expressions import expression_problem
from bridgeflow.config.models import RecordingsSection, SourceSection, parse_section
from bridgeflow.config.paths import PathReader
from bridgeflow.errors import nearest, quoted
from bridgeflow.io import all_formats
from bridgeflow.pipeline.job_parts import JobSource
from bridgeflow.pipeline.recordings_source import RecordingsSource, RegridOptions
from bridgeflow.recordings.formats import recording_formats

__all__ = ["RECORDINGS", "VERSION", "SectionReader"]

VERSION = 1
RECORDINGS = ("recordings", "table", "index")
"""The keys of which one makes a source one of recordings."""


class SectionReader:
    """Reads sections of a document.

    Args:
        document: the configuration.
        paths: reads its paths.
    """

    def __init__(self, document: Document, paths: PathReader) -> None:
        self.document = document
        self.paths = paths

    def map(self, steps: Steps, expected: str = "a map") -> dict[str, Node]:
        """The map that stands there.

        Raises:
            ConfigError: something else does.
        """
        node = self.document.root.at(steps)
        if not isinstance(node.value, dict):
            raise self.document.error(steps, f"expected {expected}, got {shown(node)}")
        return node.value

    def top(self, sections: Sequence[str], needed: Sequence[str]) -> dict[str, Node]:
        """The keys of the whole, with a version that is known.

        Raises:
            ConfigError: an unknown key, a missing one, or another version.
        """
        top = self.map([], "a map that begins with `version: 1`")
        for key in top:
            if key not in sections:
                raise self.document.error([key], f"unknown key {quoted(key)}; {nearest(key, sections)}", at_key=True)
        for key in needed:
            if key not in top:
                raise self.document.error([], f"the key {key!r} is missing")
        version = top["version"].value
        if type(version) is not int or version != VERSION:
            raise self.document.error(["version"], f"expected {VERSION}, got {shown(top['version'])}")
        return top

    def source(self, steps: Steps) -> JobSource | RecordingsSource:
        """Files of rows, or recordings."""
        content = self.map(steps, "a map such as `{parquet: in.parquet}` or `{recordings: '*.edf'}`")
        if not set(RECORDINGS).isdisjoint(content):
            return self._recordings(steps, content)
        section = parse_section(self.document, steps, SourceSection, list(all_formats()), near=RECORDINGS)
        format = self.format_of(steps, or_else=" (or `recordings`)")
        path = self.paths.input([*steps, format], pattern=True, url=True)
        if section["normalize"] and not all_formats()[format].writer.has_full_scale:
            raise self.document.error([*steps, "normalize"], f"a {format} file has no full scale; leave it out")
        return JobSource(path=path, format=format, **section)

    def format_of(self, steps: Steps, or_else: str = "") -> str:
        """The one format that a section names.

        Args:
            or_else: what may stand there instead, for the message.
        """
        content = self.map(steps)
        named = [key for key in content if key in all_formats()]
        if not named:
            problem = f"names no format; one of {', '.join(all_formats())} takes the path{or_else}"
            raise self.document.error(steps, problem)
        if len(named) > 1:
            problem = f"names {' and '.join(named)}; a {steps[0]} is one file"
            raise self.document.error([*steps, named[1]], problem, at_key=True)
        return named[0]

    # --- recordings ---

    def _recordings(self, steps: Steps, content: dict[str, Node]) -> RecordingsSource:
        section = parse_section(self.document, steps, RecordingsSection, RecordingsSource.where)
        named = [key for key in RECORDINGS if key in content]
        if len(named) > 1:
            problem = f"names {' and '.join(named)}; recordings come from one of them"
            raise self.document.error([*steps, named[1]], problem, at_key=True)
        self._refuse_options(steps, content, named[0])
        paths: dict[str, Any] = {}
        if named[0] == "recordings":
            paths["recordings"] = self._patterns([*steps, "recordings"])
        else:
            paths[named[0]] = self.paths.input([*steps, named[0]])
        if "root" in content:
            paths["root"] = self.paths.input([*steps, "root"])
        if section["group"] is not None and (problem := expression_problem(section["group"])):
            raise self.document.error([*steps, "group"], problem)
        if section["format"] is not None and section["format"] not in recording_formats():
            hint = nearest(section["format"], recording_formats())
            raise self.document.error([*steps, "format"], f"no format {quoted(section['format'])}; {hint}")
        if (section["time"] is None) != (section["regrid"] is None):
            one, other = ("regrid", "time") if section["time"] is None else ("time", "regrid")
            raise self.document.error([*steps, one], f"goes with `{other}`, which is not there", at_key=True)
        if section["regrid"] is not None:
            section["regrid"] = RegridOptions(**dict(section["regrid"]))
        return RecordingsSource(**paths, **section)

    def _refuse_options(self, steps: Steps, content: dict[str, Node], named: str) -> None:
        """Refuse options that what names the recordings does not take."""
        of_files = ("format", "fs", "inside", "time_axis", "nulls", "time", "regrid")
        refused = {
            "recordings": {"path", "id", "root"},
            "table": {"group"},
            "index": {"path", "id", "root", "group", *of_files},
        }[named]
        if one := next((key for key in content if key in refused), None):
            taken = "a `table`" if one in ("path", "id", "root") else "`recordings`"
            problem = f"goes with {taken}, and this source has `{named}`; leave it out"
            raise self.document.error([*steps, one], problem, at_key=True)

    def _patterns(self, steps: Steps) -> tuple[Path, ...]:
        node = self.document.root.at(steps)
        if not isinstance(node.value, list):
            return (self.paths.input(steps, pattern=True, url=True),)
        if not node.value:
            raise self.document.error(steps, "expected a path or a list of paths, got an empty list")
        return tuple(self.paths.input([*steps, number], pattern=True, url=True) for number in range(len(node.value)))
