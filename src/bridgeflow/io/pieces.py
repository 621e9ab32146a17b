"""Readers of formats that come in pieces (record batches, row groups): rows found across them, pieces kept while used.

A piece of a mapped file costs nothing to keep. One that has to be decoded is kept until a few others were used, so
that reading on from where the last reader stopped does not decode anew. Readers may be used by many threads.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from math import prod
from threading import Lock
from typing import Any
from weakref import WeakSet

import numpy as np
import pyarrow as pa

from bridgeflow.io.arrow_take import no_rows
from bridgeflow.io.base import Arrays, Columns, Reader
from bridgeflow.io.mapped import Held, MappedFile
from bridgeflow.io.plain import adopt, by_part, gather, gather_from, join, numbers, over, own, row_width, rows_of

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

    def _begin(self, file: Held, fields: Sequence[pa.Field], piece_rows: Sequence[int]) -> None:
        self.file = file
        self._types = {field.name: field.type for field in fields}
        known = {field.name: numbers(field.type) for field in fields}
        self._numbers = {name: found for name, found in known.items() if found is not None}
        self.only_numbers = self.random_access and isinstance(file, MappedFile) and len(self._numbers) == len(known)
        self._bounds = np.concatenate([[0], np.cumsum(piece_rows, dtype=np.int64)])
        self.rows = int(self._bounds[-1])
        self._offsets = {field.name: np.full(len(piece_rows), _UNSEEN) for field in fields}
        self._forget()
        _LIVE.add(self)

    @abstractmethod
    def _load(self, number: int) -> pa.RecordBatch:
        """Piece `number`, validated in full; called by one thread at a time."""

    def _forget(self) -> None:
        """Begin without anything kept or locked, as in a forked child, whose copy may be in the midst of a change."""
        self._lock = Lock()
        self._kept: OrderedDict[int, pa.RecordBatch] = OrderedDict()

    def _piece(self, number: int) -> pa.RecordBatch:
        with self._lock:
            piece = self._kept.get(number)
            if piece is None:
                piece = self._load(number)
                for name, offsets in self._offsets.items():
                    offsets[number] = self._offset(piece.column(name))
                self._kept[number] = piece
                while not self.random_access and len(self._kept) > 2 and _nbytes(self._kept.values()) > KEPT_BYTES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(number)
            return piece

    def _offset(self, column: pa.Array) -> int:
        """Where the rows of a plain column begin in the mapped file; `_ELSEWHERE` for all other columns."""
        rows = rows_of(column)
        if rows is None or not rows.size or not isinstance(self.file, MappedFile):
            return _ELSEWHERE
        data = self.file.data
        offset = int(rows.ctypes.data - data.ctypes.data)
        return offset if 0 <= offset <= len(data) - rows.nbytes else _ELSEWHERE

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
        return {name: no_rows(type) for name, type in self._types.items()}

    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """Rows within one piece of a mapped file are a view of it; others are put together, which copies."""
        self.file.require_unchanged()
        if writable and (start, stop) == (0, self.rows) and self._is_better_not_kept():
            return self._all()
        spans = [(number, self._piece(number), begin, end) for number, begin, end in self._spans(start, stop)]
        return {name: self._cut(name, spans, writable) for name in self._types} if spans else self._empty()

    def _is_better_not_kept(self) -> bool:
        """Whether all rows are decoded to be read once: too many to be kept beside what is given."""
        nbytes = sum(spec.nbytes or spec.expected_nbytes() or 0 for spec in self.specs.values())
        return not self.random_access and nbytes > KEPT_BYTES and not self._kept

    def _all(self) -> Columns:
        """All rows, of pieces that nobody else is given."""
        with self._lock:
            pieces = [self._load(number) for number, _, _ in self._spans(0, self.rows)]
        if not pieces:
            return self._empty()
        parts = {name: [piece.column(name) for piece in pieces] for name in self._types}
        return {name: join(part) if len(part) > 1 else adopt(part[0]) for name, part in parts.items()}

    def slice_arrays(self, start: int, stop: int, *, writable: bool) -> Arrays | None:
        """Rows within one piece of a mapped file, if all columns are numbers without nulls."""
        if not self.only_numbers:
            return None
        assert isinstance(self.file, MappedFile)
        self.file.require_unchanged()
        number = int(np.searchsorted(self._bounds, start, "right")) - 1
        begin, end = start - int(self._bounds[number]), stop - int(self._bounds[number])
        if stop > self._bounds[number + 1]:
            return None
        arrays: Arrays = {}
        for name, (dtype, inner) in self._numbers.items():
            offset = self._offset_of(name, number)
            if offset == _ELSEWHERE:
                return None
            width, shape = prod(inner) * dtype.itemsize, (stop - start, *inner)
            if writable:
                memory = self.file.private(offset + begin * width, offset + end * width)
                arrays[name] = np.ndarray(shape, dtype, memory)
            else:
                arrays[name] = np.ndarray(shape, dtype, self.file.data, offset + begin * width)
        return arrays

    def take_arrays(self, indices: Any) -> Arrays | None:
        """Rows anywhere in a mapped file, likewise."""
        if not self.only_numbers:
            return None
        self.file.require_unchanged()
        pieces = np.searchsorted(self._bounds, indices, "right") - 1
        local = indices - self._bounds[pieces]
        arrays: Arrays = {}
        for name, (dtype, inner) in self._numbers.items():
            rows = self._gathered(name, pieces, local, prod(inner) * dtype.itemsize)
            if rows is None:
                return None
            arrays[name] = np.ndarray((len(indices), *inner), dtype, rows)
        return arrays

    def _offset_of(self, name: str, number: int) -> int:
        """Where the rows of a column of a piece begin in the mapped file, the piece having been checked."""
        if self._offsets[name][number] == _UNSEEN:
            self._piece(number)
        return int(self._offsets[name][number])

    def _gathered(self, name: str, pieces: Any, local: Any, width: int) -> Any:
        """Rows of a column in new memory, `[rows]` of `V<width>`; `None` where one is not plain in a mapped file."""
        offsets = self._offsets[name][pieces]
        if (unseen := offsets == _UNSEEN).any():
            for number in np.unique(pieces[unseen]).tolist():
                self._piece(number)
            offsets = self._offsets[name][pieces]
        if (offsets < 0).any():
            return None
        assert isinstance(self.file, MappedFile)
        return _at(self.file.data, width, offsets + local * width)

    def _cut(self, name: str, spans: Sequence[tuple[int, pa.RecordBatch, int, int]], writable: bool) -> Any:
        parts = [piece.column(name).slice(begin, end - begin) for _, piece, begin, end in spans]
        if len(parts) > 1:
            return join(parts)
        (part,), (number, _, begin, end) = parts, spans[0]
        offset = int(self._offsets[name][number])
        if not writable:
            return part
        if offset == _ELSEWHERE:
            return own(part)
        assert isinstance(self.file, MappedFile)
        width = row_width(part.type) or 0
        return over(part.type, len(part), self.file.private(offset + begin * width, offset + end * width))

    def take(self, indices: Any) -> Columns:
        """Rows of a mapped file are gathered at once, wherever they lie; decoded pieces are taken one after another."""
        self.file.require_unchanged()
        if not len(indices):
            return self._empty()
        pieces = np.searchsorted(self._bounds, indices, "right") - 1
        local = indices - self._bounds[pieces]
        return {name: self._gather(name, pieces, local) for name in self._types}

    def _gather(self, name: str, pieces: Any, local: Any) -> Any:
        type = self._types[name]
        if self.random_access and (rows := self._gathered(name, pieces, local, row_width(type) or 0)) is not None:
            return over(type, len(local), rows)
        needed, groups = by_part(pieces)
        columns = [self._piece(number).column(name) for number in needed]
        if len(columns) == 1:
            return gather(columns[0], local)
        return gather_from(columns, [local[group] for group in groups], groups)


def _nbytes(pieces: Iterable[pa.RecordBatch]) -> int:
    return sum(int(piece.nbytes) for piece in pieces)


def _at(data: Any, width: int, offsets: Any) -> Any:
    """The `width` bytes that begin at each offset, `[len(offsets)]` of `V<width>`, in new memory."""
    everywhere = np.ndarray((len(data) - width + 1,), f"V{width}", data, strides=(1,))
    return everywhere[offsets]


def _forget_in_child() -> None:
    for reader in _LIVE:
        reader._forget()


os.register_at_fork(after_in_child=_forget_in_child)
