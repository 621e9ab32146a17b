"""Readers of formats that come in pieces (record batches, row groups): rows found across them, pieces kept while used.

A piece of a mapped file costs nothing to keep. One that has to be decoded is kept until a few others were used, so
that reading on from where the last reader stopped does not decode again. Readers may be used by many threads.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any
from weakref import WeakSet

import numpy as np
import pyarrow as pa

from bridgeflow._forks import call_in_children
from bridgeflow.io.arrow_take import no_rows
from bridgeflow.io.base import Columns, Reader
from bridgeflow.io.columns import Nulls, column_spec
from bridgeflow.io.mapped import WIDEST, Held, MappedFile
from bridgeflow.io.plain import as_array, by_part, gather, gather_from, join, numbers, own

__all__ = ["PieceReader"]

KEPT_BYTES = 128 << 20
"""Decoded bytes that are kept, so long as more than one piece is."""

_UNSEEN, _ELSEWHERE = -2, -1

_LIVE: WeakSet[PieceReader] = WeakSet()


class PieceReader(Reader):
    """Reads rows out of numbered pieces.

    A subclass calls `_begin` in its `__init__` and says with `_load` how a piece is read.
    """

    file: Held

    def _begin(
        self,
        file: Held,
        fields: Sequence[pa.Field],
        piece_rows: Sequence[int],
        nulls: Mapping[str, Nulls],
        *,
        keep_nulls: bool,
        values: Mapping[str, int] | None = None,
    ) -> None:
        """Set `rows` and `specs`.

        Args:
            nulls: of each column, as far as they are known without reading it.
            values: how many values all lists of a column hold together, where that is known.
        """
        self.file = file
        self._types = {field.name: field.type for field in fields}
        self._bounds = np.concatenate([[0], np.cumsum(piece_rows, dtype=np.int64)])
        self.rows = int(self._bounds[-1])
        counts = values or {}
        self.specs = {
            name: column_spec(file.path, field, self.rows, nulls[name], keep_nulls=keep_nulls, values=counts.get(name))
            for name, field in zip(self._types, fields, strict=True)
        }
        kinds = {field.name: numbers(field.type) for field in fields if self.specs[field.name].kind == "numpy"}
        self._plain = {name: kind for name, kind in kinds.items() if kind is not None}
        # Where rows of plain columns begin in a mapped file, by piece; other pieces are kept as columns.
        located = {}
        if isinstance(file, MappedFile) and self.random_access:
            located = {name: kind for name, kind in self._plain.items() if kind.width <= WIDEST}
        self._offsets = {name: np.full(len(piece_rows), _UNSEEN) for name in located}
        self.register()

    def register(self) -> None:
        """Begin with nothing kept, now and in forked children."""
        self._forget()
        _LIVE.add(self)

    @abstractmethod
    def _load(self, number: int) -> pa.RecordBatch:
        """Piece `number`, validated in full; called by one thread at a time."""

    def _forget(self) -> None:
        """Begin without anything kept or locked, as in a forked child, whose copy may be in the midst of a change."""
        self._lock = Lock()
        self._kept: OrderedDict[int, Columns] = OrderedDict()

    @property
    def _most_kept(self) -> int | None:
        """Bytes of pieces to keep beyond two: any (`None`) that are mapped, none that are read again as cheaply."""
        if not self.random_access:
            return KEPT_BYTES
        return 0 if isinstance(self.file, MappedFile) and self.file.reads else None

    def _piece(self, number: int) -> Columns:
        """The columns of a piece that are not found by their offset in a mapped file, read-only."""
        with self._lock:
            piece = self._kept.get(number)
            if piece is None:
                piece = {name: self._column(name, column) for name, column in self._loaded(number).items()}
                for name, offsets in self._offsets.items():
                    offsets[number] = self._offset(piece[name])
                    if offsets[number] != _ELSEWHERE:
                        del piece[name]
                for column in piece.values():
                    if isinstance(column, np.ndarray):
                        column.flags.writeable = False
                self._kept[number] = piece
                most = self._most_kept
                while most is not None and len(self._kept) > 2 and _nbytes(self._kept.values()) > most:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(number)
            return piece

    def _loaded(self, number: int) -> Columns:
        batch = self._load(number)
        return {name: batch.column(name) for name in self._types}

    def _column(self, name: str, column: Any) -> Any:
        """A column as it is handed out."""
        return as_array(column, self._plain[name]) if name in self._plain else column

    def _offset(self, column: Any) -> int:
        """Where the rows of a plain column begin in the mapped file; `_ELSEWHERE` for rows in other memory."""
        if not isinstance(column, np.ndarray) or not column.size or not isinstance(self.file, MappedFile):
            return _ELSEWHERE
        data = self.file.data
        offset = int(column.ctypes.data - data.ctypes.data)
        return offset if 0 <= offset <= len(data) - column.nbytes else _ELSEWHERE

    def _spans(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The pieces that hold rows `start` to `stop`: number, first row and last row (exclusive) within it."""
        number = int(np.searchsorted(self._bounds, start, "right")) - 1
        while start < stop:
            begin, end = int(self._bounds[number]), int(self._bounds[number + 1])
            if end > start:
                yield number, start - begin, min(stop, end) - begin
                start = end
            number += 1

    def _empty(self) -> Columns:
        plain = self._plain
        return {name: plain[name].empty() if name in plain else no_rows(type) for name, type in self._types.items()}

    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """Rows within one piece of a mapped file are a view of it; others are put together, which copies."""
        self.file.require_unchanged()
        if writable and (start, stop) == (0, self.rows) and self._is_better_not_kept():
            return self._all()
        number = int(self._bounds.searchsorted(start, "right")) - 1
        first = int(self._bounds[number])
        if start < stop <= self._bounds[number + 1]:
            return self._within(number, start - first, stop - first, writable)
        parts = [self._within(*span, False) for span in self._spans(start, stop)]
        return self._joined(parts) if parts else self._empty()

    def _joined(self, parts: Sequence[Columns]) -> Columns:
        return {name: join([part[name] for part in parts]) for name in self._types}

    def _within(self, number: int, begin: int, end: int, writable: bool) -> Columns:
        """Rows of one piece."""
        columns: Columns = {}
        for name in self._types:
            offset = self._offset_of(name, number)
            if offset != _ELSEWHERE:
                assert isinstance(self.file, MappedFile)
                dtype, inner, width = self._plain[name]
                first, last = offset + begin * width, offset + end * width
                memory = self.file.private(first, last) if writable else self.file.view(first, last)
                columns[name] = np.ndarray((end - begin, *inner), dtype, memory)
                continue
            column = self._column(name, self._piece(number)[name][begin:end])
            columns[name] = own(column) if writable else column
        return columns

    def _is_better_not_kept(self) -> bool:
        """Whether all rows are decoded to be read once: too many to be kept beside what is handed out."""
        nbytes = sum(spec.nbytes or spec.expected_nbytes() or 0 for spec in self.specs.values())
        return not self.random_access and nbytes > KEPT_BYTES and not self._kept

    def _all(self) -> Columns:
        """All rows, of pieces that no other caller is given."""
        with self._lock:
            pieces = [self._loaded(number) for number, _, _ in self._spans(0, self.rows)]
        if not pieces:
            return self._empty()
        parts = [{name: self._column(name, column) for name, column in piece.items()} for piece in pieces]
        return self._joined(parts) if len(parts) > 1 else {name: own(column) for name, column in parts[0].items()}

    def _offset_of(self, name: str, number: int) -> int:
        """Where the rows of a column of a piece begin in the mapped file, the piece having been checked."""
        offsets = self._offsets.get(name)
        if offsets is None:
            return _ELSEWHERE
        if offsets[number] == _UNSEEN:
            self._piece(number)
        return int(offsets[number])

    def take(self, indices: Any) -> Columns:
        """Rows of a mapped file are gathered at once, wherever they lie; decoded pieces are taken one after another."""
        self.file.require_unchanged()
        if not len(indices):
            return self._empty()
        pieces = np.searchsorted(self._bounds, indices, "right") - 1
        local = indices - self._bounds[pieces]
        return {name: self._gather(name, pieces, local) for name in self._types}

    def _gather(self, name: str, pieces: Any, local: Any) -> Any:
        if name in self._offsets:
            array = self._gathered(name, pieces, local)
            if array is not None:
                return array
        needed, groups = by_part(pieces)
        rows = [local[group] for group in groups]
        columns = [self._whole(name, number) for number in needed]
        if len(columns) > 1:
            return self._column(name, gather_from(columns, rows, groups))
        return self._column(name, gather(columns[0], local))

    def _whole(self, name: str, number: int) -> Any:
        """A column of a piece, all rows, read-only."""
        piece = self._piece(number)
        return piece[name] if name in piece else self._within(number, 0, self._count(number), False)[name]

    def _count(self, number: int) -> int:
        return int(self._bounds[number + 1] - self._bounds[number])

    def _gathered(self, name: str, pieces: Any, local: Any) -> Any:
        """Rows of a plain column of a mapped file in new memory; `None` where a piece lies elsewhere."""
        offsets = self._offsets[name][pieces]
        if (unseen := offsets == _UNSEEN).any():
            for number in np.unique(pieces[unseen]).tolist():
                self._piece(number)
            offsets = self._offsets[name][pieces]
        if (offsets < 0).any():
            return None
        assert isinstance(self.file, MappedFile)
        kind = self._plain[name]
        rows = self.file.gather(kind.width, offsets + local * kind.width)
        return np.ndarray((len(local), *kind.inner), kind.dtype, rows)


def _nbytes(pieces: Iterable[Columns]) -> int:
    return sum(int(column.nbytes) for piece in pieces for column in piece.values())


def _forget_in_child() -> None:
    for reader in _LIVE:
        reader._forget()


call_in_children(_forget_in_child)
