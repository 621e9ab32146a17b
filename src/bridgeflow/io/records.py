"""The records in a folder of shards, read as input from anybody: each field has a type, a range and a meaning.

A seal tells that a record was damaged, not who wrote it. So no name in a record leads out of its folder, and no field
is used that was not checked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridgeflow.errors import DataError
from bridgeflow.io.commit import JOB_RECORD, MANIFEST, read_record
from bridgeflow.io.files import Roots, data_error
from bridgeflow.io.opened import OpenedFile, open_file

__all__ = [
    "VERSION",
    "JobRecord",
    "Manifest",
    "Shard",
    "Step",
    "open_shard",
    "read_job",
    "read_manifest",
    "read_step",
    "wrong_size",
]

VERSION: Final = 1

_MOST: Final = 1 << 62
_LONGEST: Final = 4096
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REMEDY: Final = "no job of ours wrote this record"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A committed shard: its file, the stretch of the recording that it comes from, its rows, size and SHA-256, how
    many values the sink's `dtype` could not hold, which became the nearest it can, and how many samples are beyond full
    scale.
    """

    name: str
    recording: str
    start: int
    end: int
    rows: int
    nbytes: int
    sha256: str
    saturated: int
    beyond: int = 0


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """What the results in a folder depend on: `parts` (configuration, versions, inputs), and their SHA-256."""

    digest: str
    parts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Manifest(JobRecord):
    """All shards of a folder in order, and the recordings that they come from with their rows."""

    shards: tuple[Shard, ...]
    recordings: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Step:
    """The commit of a stretch of a recording: its shard, if anything came out, and the state with which to go on."""

    digest: str
    recording: str
    number: int
    start: int
    end: int
    rows: int
    last: bool
    shard: Shard | None
    state: dict[str, Any] | None


def read_manifest(folder: Path, *, roots: Roots = None) -> Manifest:
    """The manifest of a finished job.

    Raises:
        DataError: there is none, it is damaged, or an entry is not what ours would be; names file and entry.
    """
    path = folder / MANIFEST
    top = _Fields(path, "", read_record(path, roots=roots))
    job = _job(top)
    shards = tuple(_shard(one) for one in top.maps("shards"))
    seen: set[str] = set()
    for shard in shards:
        if shard.name in seen:
            raise data_error(path, f"shards: {shard.name} is there twice", _REMEDY)
        seen.add(shard.name)
    recordings = {}
    for one in top.maps("recordings"):
        recordings[one.text("name")] = one.count("rows")
        one.no_others()
    top.count("rows")
    top.no_others()
    return Manifest(digest=job.digest, parts=job.parts, shards=shards, recordings=recordings)


def read_job(folder: Path, *, roots: Roots = None) -> JobRecord:
    """The record of whose a folder is; errors as `read_manifest`."""
    top = _Fields(folder / JOB_RECORD, "", read_record(folder / JOB_RECORD, roots=roots))
    job = _job(top)
    top.no_others()
    return job


def read_step(path: Path, *, roots: Roots = None) -> Step:
    """One record of a log; errors as `read_manifest`."""
    top = _Fields(path, "", read_record(path, roots=roots))
    top.version()
    step = Step(
        digest=top.sha256("digest"),
        recording=top.text("recording"),
        number=top.count("number"),
        start=top.count("start"),
        end=top.count("end"),
        rows=top.count("rows"),
        last=top.flag("last"),
        shard=None if top.get("shard") is None else _shard(top.map("shard")),
        state=None if top.get("state") is None else top.map("state").values,
    )
    if not step.start <= step.end <= step.rows:
        raise top.error("end", f"a row from {step.start} to {step.rows}", step.end)
    top.no_others()
    return step


def open_shard(folder: Path, shard: Shard, *, roots: Roots = None) -> OpenedFile:
    """Open the file of a shard, which must lie in the folder itself; the caller closes it.

    Raises:
        DataError: it is not there, is a link or anything else than a file, or has another size.
    """
    path = folder / shard.name
    if path.is_symlink():
        raise data_error(path, "is a link, and shards are files in their folder", "run the job that wrote it again")
    opened = open_file(path, roots=roots)
    if opened.nbytes != shard.nbytes:
        opened.close()
        raise wrong_size(folder, shard, opened.nbytes)
    return opened


def wrong_size(folder: Path, shard: Shard, nbytes: int) -> DataError:
    """The error of a shard with another size than its manifest says."""
    problem = f"has {nbytes:,} bytes, and its folder's manifest says {shard.nbytes:,}"
    return data_error(folder / shard.name, problem, "run the job that wrote it again")


def _job(top: _Fields) -> JobRecord:
    top.version()
    parts = {"configuration": top.map("configuration").values, "versions": top.map("versions").values}
    inputs = []
    for one in top.maps("inputs"):
        inputs.append({"name": one.text("name"), "nbytes": one.count("nbytes"), "sha256": one.sha256("sha256")})
        one.no_others()
    return JobRecord(digest=top.sha256("digest"), parts={**parts, "inputs": inputs})


def _shard(one: _Fields) -> Shard:
    shard = Shard(
        name=one.name("name"),
        recording=one.text("recording"),
        start=one.count("start"),
        end=one.count("end"),
        rows=one.count("rows"),
        nbytes=one.count("nbytes"),
        sha256=one.sha256("sha256"),
        saturated=one.count("saturated"),
        beyond=one.count("beyond", 0),
    )
    if shard.end < shard.start:
        raise one.error("end", f"a row from {shard.start} on", shard.end)
    one.no_others()
    return shard


class _Fields:
    """A map in a record, whose fields are asked for one by one; knows its place for messages."""

    def __init__(self, path: Path, place: str, values: Any) -> None:
        self.path = path
        self.place = place
        self._asked: set[str] = set()
        if not isinstance(values, dict):
            raise self.error("", "a map", values)
        self.values: dict[str, Any] = values

    def _at(self, key: str) -> str:
        return ".".join(filter(None, [self.place, key]))

    def error(self, key: str, expected: str, value: Any) -> DataError:
        """The error about a field."""
        return data_error(self.path, f"{self._at(key) or 'it'}: expected {expected}, got {_spelled(value)}", _REMEDY)

    def get(self, key: str) -> Any:
        """What is written; an error where nothing is."""
        self._asked.add(key)
        if key not in self.values:
            raise data_error(self.path, f"{self._at(key)} is missing", _REMEDY)
        return self.values[key]

    def no_others(self) -> None:
        """Refuse fields that were not asked for."""
        for key in self.values:
            if key not in self._asked:
                raise data_error(self.path, f"{self._at(key[:60])}: there is no such field", _REMEDY)

    def _held(self, key: str, expected: str, holds: Callable[[Any], bool]) -> Any:
        value = self.get(key)
        if not holds(value):
            raise self.error(key, expected, value)
        return value

    def version(self) -> None:
        """Refuse records of another version."""
        self._held("version", f"{VERSION}", lambda value: type(value) is int and value == VERSION)

    def count(self, key: str, default: int | None = None) -> int:
        """A whole number from 0 on; `default` where the field may be missing."""
        if default is not None and key not in self.values:
            return default
        number = self._held(key, "a whole number from 0 on", lambda value: type(value) is int and 0 <= value <= _MOST)
        return int(number)

    def flag(self, key: str) -> bool:
        """True or false."""
        return bool(self._held(key, "true or false", lambda value: type(value) is bool))

    def text(self, key: str) -> str:
        """Text of a reasonable length."""
        expected = f"text of 1 to {_LONGEST} characters"
        return str(self._held(key, expected, lambda value: type(value) is str and 0 < len(value) <= _LONGEST))

    def name(self, key: str) -> str:
        """The name of a file in the folder itself."""
        expected = "a plain file name (letters, digits and ._-)"
        return str(self._held(key, expected, lambda value: type(value) is str and bool(_NAME.fullmatch(value))))

    def sha256(self, key: str) -> str:
        """A SHA-256 in hexadecimal."""
        expected = "64 hexadecimal digits"
        return str(self._held(key, expected, lambda value: type(value) is str and bool(_SHA256.fullmatch(value))))

    def map(self, key: str) -> _Fields:
        """A map below."""
        return _Fields(self.path, self._at(key), self.get(key))

    def maps(self, key: str) -> list[_Fields]:
        """A list of maps below."""
        values = self._held(key, "a list", lambda value: isinstance(value, list))
        return [_Fields(self.path, f"{self._at(key)}[{index}]", one) for index, one in enumerate(values)]


def _spelled(value: Any) -> str:
    """A value as messages show it."""
    if isinstance(value, (dict, list)):
        return f"a {'map' if isinstance(value, dict) else 'list'} of {len(value)}"
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
