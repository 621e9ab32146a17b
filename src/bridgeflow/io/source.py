"""Columns to read: what every file gets around its format's reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bridgeflow.bridge import describe
from bridgeflow.bridge.arrow_layout import null_mask
from bridgeflow.errors import printable
from bridgeflow.io.base import Columns, Format, Part, Reader
from bridgeflow.io.files import data_error, reading_errors, shown
from bridgeflow.io.options import ColumnNulls, OpenOptions
from bridgeflow.memory.available import installed
from bridgeflow.policy import parse_word
from bridgeflow.spec import ArraySpec

__all__ = ["Source"]

_LOWEST_RATE, _HIGHEST_RATE = 1e-9, 1e12
"""What can be a sampling rate, in Hz."""


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
    """

    def __init__(
        self,
        opened: Any,
        path: Path,
        format: Format | None,
        options: OpenOptions,
        make: Callable[[], Reader],
        reopen: Callable[[Any, OpenOptions, Any], Source],
    ) -> None:
        self.path = path
        self.format: Format | None = format
        self.name = shown(path)
        self._opened = opened
        self._reopen = reopen
        self._options = options
        self._keep_nulls = parse_word(options.nulls, ColumnNulls, field="nulls") == "keep"
        with self._reading():
            self._reader = make()
        self.format = format or self._reader.format
        self.rows = self._reader.rows
        self.settings = self._reader.settings
        self.parts = self._reader.parts or ((Part(path.stem, path, 0, self.rows),) if format else ())
        self.seekable = self._reader.seekable
        self.random_access = self._reader.random_access
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
            writable: the columns are yours alone: writing to them changes neither the file nor the columns of any
                other call. Of a mapped file that takes pages, and page faults, of its own. `False` is your promise not
                to write: a mapped file then gives read-only views of the one map that all readers share, for nothing.

        Raises:
            DataError: the file is damaged, has changed since it was opened, or a column has nulls.
            ValueError: `start` or `stop` make no sense for this file, or it was closed.
        """
        if not 0 <= start <= stop <= self.rows:
            raise ValueError(f"need 0 <= start <= stop <= {self.rows}, got start={start}, stop={stop}")
        return self.rows_between(start, stop, writable=writable)

    def rows_between(self, start: int, stop: int, *, writable: bool = True) -> Columns:
        """`slice`, of row numbers that the caller has checked."""
        self._require_open()
        with self._reading():
            columns = self._reader.slice(start, stop, writable=writable)
        return self._checked(columns, start, stop - start)

    def take(self, indices: Any) -> Columns:
        """The rows at `indices`, in their order (repeated ones too), one array per column, yours to write to.

        Args:
            indices: integers `[n]`, each at least 0 and less than `rows`.

        Raises:
            DataError: as for `slice`.
            IndexError: an index out of range.
            TypeError: indices other than integers along one axis.
        """
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or (chosen.dtype.kind not in "iu" and chosen.size):
            raise TypeError(f"indices must be integers along one axis, got {chosen.dtype} of shape {chosen.shape}")
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < self.rows:
            raise IndexError(f"{self.name} has rows 0 to {self.rows - 1}, got {chosen.min()} to {chosen.max()}")
        return self.rows_at(chosen.astype(np.int64, copy=False))

    def rows_at(self, indices: Any) -> Columns:
        """`take`, of row numbers (int64 `[n]`) that the caller has checked."""
        self._require_open()
        with self._reading():
            columns = self._reader.take(indices)
        return self._checked(columns, indices, len(indices))

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
            with self._reading():
                columns = next(batches, None)
            yield self._checked(columns or {}, position, min(rows, end - position))

    def only(self, columns: Sequence[str]) -> Source:
        """The same rows with some of the columns, opened again, so that no others are read.

        Raises:
            DataError: a file lacks a column, or has changed since this source was opened.
        """
        opened = self._opened if self._reader.reopened is None else self._reader.reopened
        return self._reopen(opened, replace(self._options, columns=tuple(columns)), self.identity)

    def close(self) -> None:
        """Close the file; arrays that were read stay valid."""
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
        source = self._opened if self._reader.reopened is None else self._reader.reopened
        return self._reopen, (source, self._options, self.identity)

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
        """The columns as promised: `rows` rows, and nulls only where they are kept. `position` is the number of the
        first row, or of each.
        """
        for name, spec in self.specs.items():
            column = columns.get(name)
            if column is None or len(column) != rows:
                count = 0 if column is None else len(column)
                problem = f"holds {count} rows from row {position} on where its own index says {rows}"
                raise data_error(self.path, problem, "the file is damaged or cut off", column=name)
            if type(column) is not np.ndarray and (spec.kind == "numpy" or not self._keep_nulls):
                self._refuse_nulls(name, column, position)
        return columns

    def _refuse_nulls(self, name: str, column: Any, position: Any) -> None:
        """Refuse a column with rows that are null, and one that was promised as plain numbers and has a null."""
        if isinstance(column, np.ndarray) or not (column.null_count or self.specs[name].kind == "numpy"):
            return
        nulls = np.asarray(column.is_null())
        if self.specs[name].kind == "numpy":
            nulls = null_mask(column, describe(column)).reshape(len(column), -1).any(axis=1)
        first = int(nulls.argmax())
        first = position + first if isinstance(position, int) else position[first]
        count = self._reader.specs[name].null_count or int(nulls.sum())
        problem = f"{count} {'null' if count == 1 else 'nulls'}, the first in row {first}"
        remedy = "fill them, or set `nulls: keep` and let a transform say what becomes of them"
        if self._keep_nulls:
            problem, remedy = f"{problem}, where the file declares none", "write the file again"
        raise data_error(self.path, problem, remedy, column=name)

    def _promised(self, spec: ArraySpec) -> ArraySpec:
        """What a column is when it is handed out."""
        return replace(spec, fs=self.fs, null_count=spec.null_count if self._keep_nulls else 0)

    def _require_memory(self) -> None:
        """A file may declare any number of rows: refuse what cannot be held, before anything is allocated."""
        need = sum(spec.expected_nbytes() or spec.nbytes or 0 for spec in self.specs.values())
        have = installed()
        if have is not None and need > have:
            gib = f"{need / 2**30:,.0f} GiB where this machine has {have / 2**30:,.0f}"
            raise data_error(self.path, f"{self.rows:,} rows need {gib}", "read it in chunks, or fewer columns")

    def _reading(self) -> AbstractContextManager[None]:
        """Give what the format's library raises this source's name."""
        format = self.format.name if self.format else "columns"
        if self.format is None and not isinstance(self._opened, str):
            return reading_errors(self.path, format, remedy="the arrays contradict themselves")
        return reading_errors(self.path, format)
