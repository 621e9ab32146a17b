"""What a format is, a reader and a writer of columns; and what every file gets around them, `Source` and `Sink`.

A *column* is an Arrow or NumPy array whose axis 0 is the row. In a recording a row is an instant (`[T]`, `[T, ...]`);
in a set of examples a row is a whole piece of signal (`[B, T]`). Formats do not care: that is the job's business.
"""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np

from bridgeflow.bridge import to_numpy
from bridgeflow.bridge.tracing import at
from bridgeflow.errors import BridgeflowError, DataError, nearest, printable
from bridgeflow.io.commit import Overwrite, Receipt, publish
from bridgeflow.io.dtypes import OnOverflow, SinkDtype, fit
from bridgeflow.io.files import Roots, Unsupported, data_error, not_supported, shown
from bridgeflow.io.full_scale import SCALE_REMEDY, Level, from_unit
from bridgeflow.io.mapped import Held
from bridgeflow.policy import parse_word, words
from bridgeflow.spec import ArraySpec

__all__ = [
    "ColumnNulls",
    "Columns",
    "Compression",
    "Format",
    "OnOverflow",
    "Reader",
    "Sink",
    "SinkDtype",
    "SinkOptions",
    "Source",
    "SourceOptions",
    "Writer",
    "pick_columns",
]

Columns: TypeAlias = dict[str, Any]
"""Column name to Arrow or NumPy array, all of one length along axis 0."""

Arrays: TypeAlias = "dict[str, np.ndarray[Any, Any]]"
"""Column name to ndarray, likewise."""

ColumnNulls: TypeAlias = Literal["error", "keep"]
"""What a source does with nulls: refuse the column, or hand them on to a transform that knows what to do with them."""

Compression: TypeAlias = Literal["none", "lz4", "snappy", "zstd"]
"""How a sink may compress; each format takes some of these words."""

Settings: TypeAlias = Mapping[str, Any]
"""What a job stores in the file it writes: plain values, among them `fs`, the sampling rate of the columns in Hz."""

SETTINGS_KEY = b"bridgeflow"
"""The schema metadata entry that holds the settings as JSON."""


class Part(NamedTuple):
    """One of the files of a source: its name among them, its path, and its rows in the source, `start` to `stop`."""

    name: str
    path: Path
    start: int
    stop: int


class Reader(ABC):
    """Reads one format. The methods may raise whatever the format's library raises; `Source` makes a `DataError` of it.

    What `slice`, `take` and `batches` give is the caller's alone where it can be written to: an ndarray, or an Arrow
    column over private memory (`io.plain`). One reader serves many threads.

    Attributes:
        rows: number of rows in the file.
        specs: what each chosen column is; shape `(rows, ...)`.
        settings: what the job that wrote the file stored in it; empty for foreign files.
        seekable: whether reading from a later row costs no more than reading from the first.
        random_access: whether rows are read without decoding others: `take` costs what it gives.
        only_numbers: whether nothing but numbers in mapped files is read, so that `slice_arrays` may have an answer.
        file: what is read from.
        parts: the files that several are; empty for one.
        format: the one of all files that several are; `None` where they differ.
        given: what to open instead of what was given, in another process; `None` for the same.
    """

    rows: int
    specs: Mapping[str, ArraySpec]
    settings: Settings
    seekable: bool = True
    random_access: bool = False
    only_numbers: bool = False
    file: Held
    parts: tuple[Part, ...] = ()
    format: Format | None = None
    given: Any = None

    @abstractmethod
    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """Rows `start` to `stop` of the chosen columns; with `writable=False` they may be memory that all share."""

    @abstractmethod
    def take(self, indices: Any) -> Columns:
        """The rows at `indices` (int64, in range), in that order."""

    def slice_arrays(self, start: int, stop: int, *, writable: bool) -> Arrays | None:
        """See `Source.slice_arrays`; the rows are one or more, and in range."""
        return None

    def take_arrays(self, indices: Any) -> Arrays | None:
        """See `Source.take_arrays`; the indices (int64) are one or more, and in range."""
        return None

    def batches(self, rows: int, start: int, stop: int) -> Iterator[Columns]:
        """Rows `start` to `stop`, cut every `rows` rows, in memory that does not grow with the file."""
        for begin in range(start, stop, rows):
            yield self.slice(begin, min(begin + rows, stop), writable=True)

    def close(self) -> None:
        """Let go of the file; arrays that were read stay valid."""
        self.file.close()


@dataclass(frozen=True, kw_only=True)
class SinkOptions:
    """How a sink writes, apart from its path and format: the arguments of `open_sink`.

    Attributes:
        compression: `None` for the format's own choice.
        dtype: what the values of every column become; `None` for what they are.
        on_overflow: what becomes of values that `dtype` cannot hold.
        normalize: whether values are between -1 and 1, full scale; see `open_sink`.
        settings: plain values to store.
    """

    compression: Compression | None = None
    dtype: SinkDtype | None = None
    on_overflow: OnOverflow = "raise"
    normalize: bool | None = None
    settings: Settings = field(default_factory=dict)

    @property
    def metadata(self) -> dict[bytes, bytes] | None:
        """The settings as schema metadata."""
        return {SETTINGS_KEY: _canonical(self.settings)} if self.settings else None


class Writer(ABC):
    """Writes one format to an open file. The bytes depend on rows and settings alone, not on how the rows were cut."""

    compressions: ClassVar[tuple[Compression, ...]] = ("none",)
    """What `compression` may be, the format's own choice first."""

    dtypes: ClassVar[tuple[str, ...]] = tuple(word for word in words(SinkDtype) if word != "int24")
    """What `dtype` may be."""

    has_full_scale: ClassVar[bool] = False
    """Whether the format says what the loudest value is, as those of audio do."""

    @abstractmethod
    def __init__(self, file: BinaryIO, path: Path, first: Columns, options: SinkOptions) -> None:
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
        about: one line for `bridgeflow list`.
        reader: makes the reader of an open file (its descriptor, closed by the caller afterwards; its path; how it is
            to be opened), which checks the file and learns its schema.
        writer: the class that writes.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: tuple[bytes, ...]
    about: str
    reader: Callable[[int, Path, SourceOptions], Reader]
    writer: type[Writer]


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How a source is to be opened: the arguments of `open_source`."""

    format: str | None = None
    columns: tuple[str, ...] | None = None
    nulls: ColumnNulls = "error"
    normalize: bool = False
    max_nbytes: int | None = None
    mapped: bool = True
    roots: Roots = None

    def require_small(self, path: Path, becomes: int, nbytes: int) -> None:
        """Refuse a file that becomes more than it may when it is decoded: a few bytes can say a great deal.

        Args:
            becomes: bytes of the decoded values, as the file declares them.
            nbytes: bytes of the file.

        Raises:
            DataError: more than `max_nbytes`, or where that is not set more than 512 MiB and 250 times its bytes.
        """
        limit = max(_BECOMES, _TIMES * nbytes) if self.max_nbytes is None else self.max_nbytes
        if becomes > limit:
            problem = f"its {nbytes:,} bytes become {becomes:,}, more than the {limit:,} that are allowed"
            raise data_error(path, problem, f"if that is meant, open it with max_nbytes={becomes}")


_LOWEST_RATE, _HIGHEST_RATE = 1e-9, 1e12
"""What can be a sampling rate, in Hz."""

_BECOMES, _TIMES = 512 << 20, 250
"""What a file may become without a word from its user: so many bytes, or so many times its own."""


class Source:
    """Columns to read; made by `open_source`. One source serves many threads, and pickles by its path.

    Attributes:
        path: what is read: a file, a folder or a pattern; of arrays in memory a name in angle brackets.
        format: of the file, or of all files; `None` where they differ, and for arrays in memory.
        name: what messages call it.
        parts: the files that it consists of, with their rows; empty for arrays in memory.
        rows: number of rows.
        fs: sampling rate in Hz, where the file says it.
        specs: what each column is: dtype, shape `(rows, ...)`, and `fs`.
        settings: what the job that wrote the file stored in it; empty for foreign files.
        seekable: whether reading from a later row costs no more than reading from the first.
        random_access: whether rows are read without decoding others, so that `take` costs what it gives.
        only_numbers: whether nothing but numbers in mapped files is read, so that `slice_arrays` may have an answer.
    """

    def __init__(
        self, given: Any, path: Path, format: Format | None, options: SourceOptions, make: Callable[[], Reader]
    ) -> None:
        self.path = path
        self.format: Format | None = format
        self.name = shown(path)
        self._given = given
        self._options = options
        self._keep_nulls = parse_word(options.nulls, ColumnNulls, field="nulls") == "keep"
        with self._typed_errors():
            self._reader = make()
        self._reader.file.reads = not options.mapped
        self.format = format or self._reader.format
        self.rows = self._reader.rows
        self.settings = self._reader.settings
        self.parts = self._reader.parts or ((Part(path.stem, path, 0, self.rows),) if format else ())
        self.seekable = self._reader.seekable
        self.random_access = self._reader.random_access
        self.only_numbers = self._reader.only_numbers
        self.fs = self._rate(self.settings.get("fs"))
        self.specs = {name: self._promised(spec) for name, spec in self._reader.specs.items()}
        if not self._keep_nulls and any(spec.null_count for spec in self._reader.specs.values()):
            for _ in self.chunks(1 << 16):  # the error says in which row
                pass

    def _rate(self, fs: Any) -> float | None:
        """The sampling rate that the file says, which must be one."""
        if fs is not None and not (type(fs) in (int, float) and _LOWEST_RATE <= fs <= _HIGHEST_RATE):
            problem = f"says a sampling rate of {printable(str(fs), 40)} Hz"
            raise data_error(self.path, problem, f"a rate is between {_LOWEST_RATE:g} and {_HIGHEST_RATE:g} Hz")
        return None if fs is None else float(fs)

    def read(self) -> Columns:
        """The whole file, one array per column; a view of the file where the format allows.

        Raises:
            DataError: the file is damaged, has changed, a column has nulls, or it needs more memory than there is.
        """
        self._require_memory()
        return self.slice(0, self.rows)

    def slice(self, start: int, stop: int, *, writable: bool = True) -> Columns:
        """The rows `start` to `stop`, one array per column.

        Args:
            writable: what is given is yours alone: writing to it changes neither the file nor what anybody else is
                given. Of a mapped file that takes pages, and page faults, of its own. `False` is your promise not to
                write: a mapped file then gives read-only views of the one map that all readers share, for nothing.

        Raises:
            DataError: the file is damaged, has changed since it was opened, or a column has nulls.
            ValueError: `start` or `stop` make no sense for this file, or it was closed.
        """
        if not 0 <= start <= stop <= self.rows:
            raise ValueError(f"need 0 <= start <= stop <= {self.rows}, got start={start}, stop={stop}")
        self._require_open()
        with self._typed_errors():
            columns = self._reader.slice(start, stop, writable=writable)
        return self._checked(columns, start, stop - start)

    def take(self, indices: Any) -> Columns:
        """The rows at `indices`, in their order (repeated ones too), one array per column, yours to write to.

        Args:
            indices: integers `[n]`, each at least 0 and less than `rows`.

        Raises:
            DataError: as for `slice`.
            IndexError: an index out of range.
            TypeError: indices that are no integers along one axis.
        """
        chosen = self._chosen(indices)
        with self._typed_errors():
            columns = self._reader.take(chosen)
        return self._checked(columns, chosen, len(chosen))

    def slice_arrays(self, start: int, stop: int, *, writable: bool = True) -> Arrays | None:
        """What `slice` gives, as ndarrays, where nothing but numbers in a mapped file is asked for; `None` elsewhere.

        It goes without Arrow arrays, which take several times as long to make as to find their bytes: for many small
        pieces, such as batches. Rows of two record batches are left to `slice`, which puts them together.

        Args and errors as for `slice`.
        """
        if not 0 <= start < stop <= self.rows:
            return None
        self._require_open()
        with self._typed_errors():
            return self._reader.slice_arrays(start, stop, writable=writable)

    def take_arrays(self, indices: Any) -> Arrays | None:
        """What `take` gives, as ndarrays, where nothing but numbers in a mapped file is asked for; `None` elsewhere.

        Args and errors as for `take`.
        """
        chosen = self._chosen(indices)
        if not chosen.size:
            return None
        with self._typed_errors():
            return self._reader.take_arrays(chosen)

    def _chosen(self, indices: Any) -> Any:
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or (chosen.dtype.kind not in "iu" and chosen.size):
            raise TypeError(f"indices must be integers along one axis, got {chosen.dtype} of shape {chosen.shape}")
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < self.rows:
            raise IndexError(f"{self.name} has rows 0 to {self.rows - 1}, got {chosen.min()} to {chosen.max()}")
        self._require_open()
        return chosen.astype(np.int64, copy=False)

    def chunks(self, rows: int, *, start: int = 0, stop: int | None = None) -> Iterator[Columns]:
        """Pieces of exactly `rows` rows (the last one shorter) from row `start` up to `stop`, in constant memory.

        Raises:
            DataError: as for `slice`.
            ValueError: `rows`, `start` or `stop` make no sense for this file.
        """
        end = self.rows if stop is None else stop
        if rows < 1 or not 0 <= start <= end <= self.rows:
            raise ValueError(
                f"need rows >= 1 and 0 <= start <= stop <= {self.rows}, got rows={rows}, start={start}, stop={stop}"
            )
        self._require_open()
        batches = self._reader.batches(rows, start, end)
        for position in range(start, end, rows):
            with self._typed_errors():
                columns = next(batches, None)
            yield self._checked(columns or {}, position, min(rows, end - position))

    def close(self) -> None:
        """Let go of the file; arrays that were read stay valid."""
        self._reader.close()

    def _require_open(self) -> None:
        if self._reader.file.closed:
            raise ValueError(f"the source {self.name} is closed")

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Source {self.name}: {self.rows:,} rows of {printable(', '.join(self.specs), 200)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        from bridgeflow.io.opening import reopen

        given = self._given if self._reader.given is None else self._reader.given
        return reopen, (given, self._options, self.identity)

    @property
    def identity(self) -> Any:
        """What tells the files apart from others and from later states of themselves; `None` for what is in memory."""
        return self._reader.file.identity

    @property
    def nbytes(self) -> int | None:
        """Bytes of the files that are read; `None` for what is in memory."""
        return self._reader.file.nbytes

    def require_identity(self, identity: Any) -> None:
        """Refuse files that are others than they were, or were written to since.

        Raises:
            DataError: device, inode, size or time of change differ.
        """
        if self.identity != identity:
            raise data_error(
                self.path, "is not the file that was opened first, or has changed since", "let no job write its inputs"
            )

    def _checked(self, columns: Columns, position: Any, rows: int) -> Columns:
        """The columns as promised: so many rows, and no nulls unless they are to be kept. `position` is the number of
        the first row, or of each.
        """
        for name in self.specs:
            found = len(columns[name]) if name in columns else 0
            if found != rows:
                raise data_error(
                    self.path,
                    f"holds {found} rows from row {position} on where its own index says {rows}",
                    "the file is damaged or cut off",
                    column=name,
                )
            nulls = 0 if self._keep_nulls else getattr(columns[name], "null_count", 0)
            if nulls:
                first = columns[name].is_null().to_pylist().index(True)
                first = position + first if isinstance(position, int) else position[first]
                nulls = self._reader.specs[name].null_count or nulls
                raise data_error(
                    self.path,
                    f"{nulls} {'null' if nulls == 1 else 'nulls'}, the first in row {first}",
                    "fill them, or set `nulls: keep` and let a transform say what becomes of them",
                    column=name,
                )
        return columns

    def _promised(self, spec: ArraySpec) -> ArraySpec:
        """What a column is when it is handed out."""
        return replace(spec, fs=self.fs, null_count=spec.null_count if self._keep_nulls else 0)

    def _require_memory(self) -> None:
        """A file may declare any number of rows: refuse what cannot be held, before anything is allocated."""
        need = sum(spec.expected_nbytes() or spec.nbytes or 0 for spec in self.specs.values())
        have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if need > have:
            gib = f"{need / 2**30:,.0f} GiB where this machine has {have / 2**30:,.0f}"
            raise data_error(self.path, f"{self.rows:,} rows need {gib}", "read it in chunks, or fewer columns")

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        """What a format's library raises over bad bytes, as a `DataError` that names the file. What the system says of
        the disk stays an `OSError`.
        """
        try:
            yield
        except BridgeflowError:
            raise
        except Exception as error:  # pyarrow's errors share no base with those of its file layer, struct or NumPy
            if isinstance(error, OSError) and error.errno:
                raise
            problem = f"cannot be read as {self.format.name if self.format else 'columns'} ({_said(error)})"
            if isinstance(error, Unsupported):
                raise not_supported(self.path, problem, error.remedy) from error
            said = not isinstance(error, TypeError) and _NOT_SUPPORTED.search(str(error))
            if said or isinstance(error, NotImplementedError):
                raise not_supported(self.path, problem, "it is not supported here: convert it") from error
            if isinstance(error, MemoryError):
                raise data_error(self.path, problem, "it needs more memory than there is") from error
            if "offset overflow" in problem:
                remedy = "its texts or lists are too long for one array of their type: read it in pieces"
                raise data_error(self.path, problem, remedy) from error
            is_file = self.format is not None or isinstance(self._given, str)
            remedy = "the file is damaged or cut off; write it again" if is_file else "the arrays contradict themselves"
            raise data_error(self.path, problem, remedy) from error


class Sink:
    """A file being written; made by `open_sink`.

    Attributes:
        rows: number of rows written so far.
        saturated: number of values that were out of the range of the sink's `dtype`, and became its last.
        beyond: number of float samples beyond full scale in a file of audio, which players clip.
        careful: whether a file of audio far beyond full scale is refused: set for jobs, whose author does not look at
            `beyond` or `saturated`.
        counts: whether values are known to be counts of the file's own type, so that a quiet file is one.
        receipt: path, size and SHA-256; there once the file is published.
    """

    def __init__(self, path: Path, format: Format, file: BinaryIO, options: SinkOptions) -> None:
        for option, given, takes in (
            ("compression", options.compression, format.writer.compressions),
            ("dtype", options.dtype, format.writer.dtypes),
        ):
            if given is not None and given not in takes:
                raise ValueError(f"{option}: {format.name} takes {', '.join(map(repr, takes))}, got {given!r}")
        parse_word(options.on_overflow, OnOverflow, field="on_overflow")
        if options.normalize not in (None, False, True):
            raise ValueError(f"normalize: true, false or nothing, got {options.normalize!r}")
        if options.normalize is not None and not format.writer.has_full_scale:
            raise ValueError(f"normalize: a {format.name} file has no full scale; leave it out")
        self.path = path
        self.rows = 0
        self.saturated = self.beyond = 0
        self.careful = self.counts = False
        self._level = Level() if format.writer.has_full_scale else None
        self.receipt: Receipt | None = None
        self._format = format
        self._file = file
        self._options = replace(options, compression=options.compression or format.writer.compressions[0])
        self._writer: Writer | None = None
        self._names: tuple[str, ...] = ()

    def write(self, columns: Columns) -> None:
        """Append rows: arrays of one length, with the names and types of the first call.

        Raises:
            DataError: a value that is no array, unequal lengths, columns unlike the first call's, or values that the
                sink's `dtype` cannot hold.
        """
        lengths = {name: self._length(name, column) for name, column in columns.items()}
        if len(set(lengths.values())) != 1:
            found = ", ".join(f"{name} {length}" for name, length in lengths.items()) or "none"
            raise data_error(self.path, f"needs columns of one length, got {found}", "write them to files of their own")
        if self._options.dtype is not None or self._level is not None:
            columns = {name: self._fitted(name, column) for name, column in columns.items()}
        with self._typed_errors():
            if self._writer is None:
                self._names = tuple(columns)
                self._writer = self._format.writer(self._file, self.path, columns, self._options)
            elif tuple(columns) != self._names:
                problem = f"columns {', '.join(columns)} after columns {', '.join(self._names)}"
                raise data_error(self.path, problem, "write the same columns each time")
            self._writer.append(columns)
        self.rows += next(iter(lengths.values()))

    def _fitted(self, name: str, column: Any) -> Any:
        """The column in the sink's type; values out of its range are an error, or counted."""
        dtype, level = self._options.dtype, self._level
        try:
            with at(f"$.{name}", "sink"):
                values = to_numpy(column)
            encoding = dtype or str(values.dtype)
            if level is not None and (not self._options.normalize or values.dtype.kind == encoding[0] == "f"):
                level.take(values, encoding)
            if dtype is None:
                return column
            fitted = from_unit(values, dtype) if self._options.normalize else fit(values, dtype)
        except (BridgeflowError, TypeError, ValueError) as error:
            problem = f"cannot be written as {dtype or self._format.name}: {error}"
            raise data_error(self.path, problem, column=name) from error
        if fitted.outside and self._options.on_overflow == "raise":
            row = self.rows + fitted.first
            limit = "beyond full scale" if self._options.normalize else f"out of the range of {dtype}"
            problem = f"{fitted.outside:,} values are {limit}, the first in row {row}"
            raise data_error(self.path, problem, "scale them, or set `on_overflow: saturate`", column=name)
        self.saturated += fitted.outside
        return fitted.values

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        """What pyarrow raises over columns that a format cannot hold, as a `DataError` that names the file."""
        try:
            yield
        except BridgeflowError:
            raise
        except Exception as error:
            problem = f"cannot be written as {self._format.name} ({_said(error)})"
            if isinstance(error, NotImplementedError):
                raise not_supported(self.path, problem, "cast the column, or choose another format") from error
            if not type(error).__module__.startswith("pyarrow"):
                raise
            raise data_error(self.path, problem, "cast the column, or choose another format") from error

    def _length(self, name: str, column: Any) -> int:
        if getattr(column, "ndim", 1) == 0 or not hasattr(column, "__len__") or isinstance(column, (str, bytes)):
            raise data_error(
                self.path, f"is {type(column).__name__}, not an array with rows", "leave it out", column=name
            )
        return len(column)

    def _finish(self) -> None:
        if self._writer is None:
            raise data_error(self.path, "nothing was written to it", "write at least one piece, if an empty one")
        self.beyond = self._level.beyond if self._level else 0
        problem = ""
        if self._level is not None and self._options.normalize is None:
            problem = "" if self.counts else self._level.silence()
            problem = problem or (self._level.noise() if self.careful else "")
        if problem:
            raise data_error(self.path, problem, SCALE_REMEDY)
        with self._typed_errors():
            self._writer.finish()

    def _abandon(self) -> None:
        """End the writer, whose file is about to vanish: pyarrow's complain when they are dropped unfinished."""
        if self._writer is not None:
            with suppress(Exception):
                self._writer.finish()


@contextmanager
def writing(path: Path, format: Format, options: SinkOptions, *, overwrite: Overwrite, roots: Roots) -> Iterator[Sink]:
    """The `Sink` of one file, published when the block ends and gone when it fails."""
    with publish(path, overwrite=overwrite, roots=roots) as output:
        sink = Sink(path, format, output.file, options)
        try:
            yield sink
            sink._finish()
        except BaseException:
            sink._abandon()
            raise
    sink.receipt = output.receipt


_NOT_SUPPORTED = re.compile(r"not (yet |currently )?(supported|implemented)|unsupported", re.IGNORECASE)
"""What libraries say of files that are whole, whatever the class of the error."""


def _said(error: Exception) -> str:
    """The first line of what a library says."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def pick_columns(path: Path, wanted: Sequence[str] | None, present: Sequence[str]) -> list[str]:
    """The wanted names, each of which the file must have exactly once; all of its names for `None`."""
    counts = Counter(present)
    for name in wanted or ():
        if name not in counts:
            raise data_error(path, "no such column", nearest(name, present), column=name)
    for name in present if wanted is None else wanted:
        if counts[name] > 1:
            raise data_error(path, f"there are {counts[name]} columns of this name", "rename them", column=name)
    return list(present if wanted is None else dict.fromkeys(wanted))


def parse_settings(path: Path, metadata: Mapping[bytes, bytes] | None) -> Settings:
    """The settings that a BridgeFlow sink stored in schema metadata; none in a foreign file."""
    text = (metadata or {}).get(SETTINGS_KEY)
    if text is None:
        return {}
    try:
        settings = json.loads(text)
        fs = settings.get("fs", 1)
        if type(fs) in (int, float) and 0 < fs < float("inf"):
            return dict(settings)
    except (ValueError, AttributeError, RecursionError):
        pass
    raise _unreadable_settings(path)


def _unreadable_settings(path: Path) -> DataError:
    return data_error(path, "its schema metadata entry 'bridgeflow' holds no settings of ours", "write the file again")


def _canonical(settings: Settings) -> bytes:
    """The settings as JSON, the same bytes for the same settings."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()
