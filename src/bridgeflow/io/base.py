"""What a format is: a reader and a writer of columns.

A *column* is an array whose axis 0 is the row: an ndarray where its values are plain numbers (`io.plain`), else an
Arrow array. In a recording a row is a time step (`[T]`, `[T, ...]`); in a set of examples a row is a whole piece of
signal (`[B, T]`). Formats do not distinguish the two; jobs do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple, TypeAlias

from bridgeflow.errors import nearest
from bridgeflow.io.dtypes import SinkDtype
from bridgeflow.io.files import data_error
from bridgeflow.io.mapped import Held
from bridgeflow.io.opened import OpenedFile
from bridgeflow.io.options import Compression, OpenOptions, Settings, WriterOptions
from bridgeflow.policy import words
from bridgeflow.spec import ArraySpec

__all__ = ["Columns", "Format", "Part", "Reader", "Writer", "pick_columns"]

Columns: TypeAlias = dict[str, Any]
"""Column name to NumPy or Arrow array, all of one length along axis 0."""


class Part(NamedTuple):
    """One of the files of a source: its name among them, its path, and its rows in the source, `start` to `stop`."""

    name: str
    path: Path
    start: int
    stop: int


class Reader(ABC):
    """Reads one format. The methods may raise whatever the format's library raises; `Source` makes a `DataError` of it.

    `specs` say which columns are ndarrays: always the same ones. A column that turns out to have nulls against its spec
    is an Arrow array, which `Source` refuses. One reader serves many threads.

    Attributes:
        rows: number of rows in the file.
        specs: what each chosen column is; shape `(rows, ...)`.
        settings: what the job that wrote the file stored in it; empty for foreign files.
        seekable: whether reading from a later row costs no more than reading from the first.
        random_access: whether rows are read without decoding others: `take` costs what it gives.
        file: what is read from.
        parts: the files that several are; empty for one.
        format: the one of all files that several are; `None` where they differ.
        reopened: what to open in another process, where that is not what was opened here; `None` for the same.
    """

    rows: int
    specs: Mapping[str, ArraySpec]
    settings: Settings
    seekable: bool = True
    random_access: bool = False
    file: Held
    parts: tuple[Part, ...] = ()
    format: Format | None = None
    reopened: Any = None

    @abstractmethod
    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """Rows `start` to `stop` of the chosen columns. With `writable=True` ndarrays are writable and the caller's
        alone; else they may be memory that all share.
        """

    @abstractmethod
    def take(self, indices: Any) -> Columns:
        """The rows at `indices` (int64, in range), in that order; ndarrays are writable and the caller's alone."""

    def batches(self, rows: int, start: int, stop: int) -> Iterator[Columns]:
        """Rows `start` to `stop`, cut every `rows` rows, in memory that does not grow with the file."""
        for begin in range(start, stop, rows):
            yield self.slice(begin, min(begin + rows, stop), writable=True)

    def close(self) -> None:
        """Close the file; arrays that were read stay valid."""
        self.file.close()


class Writer(ABC):
    """Writes one format to an open file. The bytes depend on rows and settings alone, not on how the rows were cut."""

    compressions: ClassVar[tuple[Compression, ...]] = ("none",)
    """What `compression` may be, the format's own choice first."""

    dtypes: ClassVar[tuple[str, ...]] = tuple(word for word in words(SinkDtype) if word != "int24")
    """What `dtype` may be."""

    has_full_scale: ClassVar[bool] = False
    """Whether the format says what the loudest value is, as those of audio do."""

    @abstractmethod
    def __init__(self, file: BinaryIO, path: Path, first: Columns, options: WriterOptions) -> None:
        """Begin the file with the schema of `first`, whose rows come again with `append`."""

    @abstractmethod
    def append(self, columns: Columns) -> None:
        """Write rows."""

    @abstractmethod
    def finish(self) -> None:
        """Write what comes after the last row."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One file format, as the registry knows it.

    Args:
        name: the word for it in YAML and on the command line.
        suffixes: file name endings that mean this format.
        magic: how its files begin, in one of these ways.
        magic_at: the byte at which that stands, if it is not the first.
        about: one line for `bridgeflow list`.
        reader: makes the reader of an open file, which checks the file, learns its schema and closes it in the end.
        writer: the class that writes.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: tuple[bytes, ...]
    about: str
    reader: Callable[[OpenedFile, OpenOptions], Reader]
    writer: type[Writer]
    magic_at: int = 0

    def begins(self, head: bytes) -> bool:
        """Whether the first 512 bytes of a file are those of one."""
        return head.startswith(self.magic, self.magic_at)

    @property
    def beginning(self) -> str:
        """How its files begin, in words."""
        words = " or ".join(map(repr, self.magic))
        return f"have {words} at byte {self.magic_at}" if self.magic_at else f"begin with {words}"


def pick_columns(path: Path, chosen: Sequence[str] | None, present: Sequence[str]) -> list[str]:
    """The chosen names, each of which the file must have exactly once; all of its names for `None`."""
    counts = Counter(present)
    for name in chosen or ():
        if name not in counts:
            raise data_error(path, "no such column", nearest(name, present), column=name)
    for name in present if chosen is None else chosen:
        if counts[name] > 1:
            raise data_error(path, f"there are {counts[name]} columns of this name", "rename them", column=name)
    return list(present if chosen is None else dict.fromkeys(chosen))
