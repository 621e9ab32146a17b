"""Arrow columns in and out of files: what a foreign file may hold, and rows cut into pieces of a chosen size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from bridgeflow.bridge import describe, to_arrow
from bridgeflow.bridge.arrow_layout import levels
from bridgeflow.bridge.rules import LISTS
from bridgeflow.bridge.tracing import at
from bridgeflow.errors import BridgeflowError, StageId
from bridgeflow.io.arrow_take import no_rows, remembered_by_type
from bridgeflow.io.base import Columns
from bridgeflow.io.files import data_error, not_supported
from bridgeflow.io.plain import numbers
from bridgeflow.spec import ArraySpec, itemsize

__all__ = ["Nulls", "Regroup", "between", "column_spec", "cut", "group_rows", "require_same", "single", "to_batch"]

EXTENSION_NAME = b"ARROW:extension:name"
GROUP_BYTES = 8 << 20
"""About how many bytes a row group or record batch of ours holds: small against memory, large against overhead."""


_LONGEST_ROW = (1 << 31) - 1
"""Most values of a row of a fixed shape, whose number Arrow keeps in 32 bits."""


class Nulls(NamedTuple):
    """How many rows of a column are null, and how many values within its rows; `None` where that is not known."""

    rows: int | None
    within: int | None

    @classmethod
    def of(cls, column: pa.Array | pa.ChunkedArray) -> Nulls:
        """Those of a column in memory."""
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        counts = [[int(level.null_count) for level in levels(chunk)] for chunk in chunks]
        return cls(sum(each[0] for each in counts), sum(sum(each[1:]) for each in counts))


def column_spec(
    path: Path, field: pa.Field, rows: int, nulls: Nulls, *, keep_nulls: bool, values: int | None = None
) -> ArraySpec:
    """What a column is, from its field and the nulls that the file declares: an ndarray where its type is plain, and
    it either has no nulls or may have none.

    A column of lists is `[rows, None, ...]`: how long its lists are, and whether they are of one length, is known when
    they are read.

    Args:
        keep_nulls: whether nulls are handed on; else they are an error.
        values: how many values all lists of a column of lists hold together, where the file tells it.

    Raises:
        DataError: an extension type that this process does not know; its values would be read as what they are not.
    """
    unknown = _unknown_extension(field)
    if unknown is not None:
        raise data_error(path, f"unknown extension type {unknown!r}", "store it as a plain type", column=field.name)
    empty = _described(field.type)
    kind = numbers(field.type)
    if kind is not None and (not any(nulls) if not keep_nulls else nulls == (0, 0)):
        array = describe(kind.empty()).fresh(shape=(rows, *kind.inner))
        return replace(array, null_count=nulls.rows)
    inner, nbytes = empty.shape[1:], None
    if empty.layout in LISTS and inner:
        inner = (None, *inner[1:])
        nbytes = None if values is None else values * (itemsize(empty.dtype) or 0)
    return replace(empty, shape=(rows, *inner), nbytes=nbytes, null_count=nulls.rows)


@remembered_by_type
def _described(type: pa.DataType) -> ArraySpec:
    """What a column of a type is."""
    empty: ArraySpec = describe(no_rows(type))
    return empty


def single(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece, checked in full: the one chunk as it is, several put together (which copies)."""
    pieces = [chunk for chunk in column.chunks if len(chunk)] or column.chunks[:1]
    for piece in pieces:  # before they are put together: that reads through dictionary indices
        piece.validate(full=True)
    return pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces) if pieces else no_rows(column.type)


def cut(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[Columns]:
    """The rows of `batches` in pieces of exactly `rows` rows, the last one shorter; views where they fit in."""
    regroup = Regroup(rows)
    for batch in batches:
        batch.validate(full=True)
        for piece in regroup.push(batch):
            yield dict(zip(piece.schema.names, piece.columns, strict=True))
    for piece in regroup.rest():
        yield dict(zip(piece.schema.names, piece.columns, strict=True))


def between(batches: Iterable[pa.RecordBatch], start: int, stop: int) -> Iterator[pa.RecordBatch]:
    """The rows `start` to `stop`, counted from the first batch's first."""
    position = 0
    for batch in batches:
        begin, end = max(start - position, 0), min(stop - position, batch.num_rows)
        if begin < end:
            yield batch.slice(begin, end - begin)
        position += batch.num_rows
        if position >= stop:
            return


class Regroup:
    """Takes batches of any length and gives batches of `rows` rows: what is written does not depend on the cuts."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._held: list[pa.RecordBatch] = []
        self._count = 0

    def push(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Take a batch; give every piece that has become complete."""
        start = 0
        while batch.num_rows - start >= self._rows - self._count:
            take = self._rows - self._count
            self._held.append(batch.slice(start, take))
            start += take
            yield from self.rest()
        if start < batch.num_rows:
            self._held.append(batch.slice(start))
            self._count += batch.num_rows - start

    def rest(self) -> Iterator[pa.RecordBatch]:
        """Give what is left, if anything."""
        held, self._held, self._count = self._held, [], 0
        if len(held) == 1:
            yield held[0]
        elif held:
            yield from pa.Table.from_batches(held).combine_chunks().to_batches()


def to_batch(path: Path, columns: Columns, schema: pa.Schema | None = None) -> pa.RecordBatch:
    """Columns of any kind as one Arrow record batch: 1-D arrays as they are, `[B, ...]` as fixed-shape tensors.

    Raises:
        DataError: a column that Arrow cannot hold, or types other than `schema` has.
    """
    arrays = []
    for name, column in columns.items():
        values = math.prod(getattr(column, "shape", ())[1:])
        if values > _LONGEST_ROW:
            problem = f"has rows of {values:,} values, and Arrow holds at most {_LONGEST_ROW:,}"
            raise not_supported(path, problem, "cut them, or write npy or npz", column=name)
        try:
            with at(f"$.{name}", StageId((), "sink")):
                arrays.append(to_arrow(column))
        except BridgeflowError as error:
            raise data_error(path, f"has no place in an Arrow file: {error}", column=name) from error
    batch = pa.record_batch(arrays, names=list(columns))
    return batch if schema is None else require_same(path, batch, schema)


def require_same(path: Path, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with the metadata of `schema`, whose types it must have."""
    for before, now in zip(schema, batch.schema, strict=True):
        if before.type != now.type:
            raise data_error(path, f"is {now.type} after {before.type}", "write one type throughout", column=now.name)
    return pa.record_batch(batch.columns, schema=schema)


def group_rows(schema: pa.Schema) -> int:
    """Rows per row group or record batch, from the schema alone: a power of two that makes about `GROUP_BYTES`."""
    width = sum(_width(field.type) for field in schema)
    return 1 << max(GROUP_BYTES // max(width, 1), 1).bit_length() - 1


def _width(type: Any) -> int:
    """Bytes of one row, an estimate for types without a fixed width."""
    storage = getattr(type, "storage_type", type)
    if pa.types.is_fixed_size_list(storage):
        return int(storage.list_size) * _width(storage.value_type)
    try:
        return max(1, int(storage.bit_width) // 8)
    except ValueError:
        return 64


def _unknown_extension(field: pa.Field) -> str | None:
    """The name of an extension type that Arrow left as mere metadata because it is not registered here."""
    name = (field.metadata or {}).get(EXTENSION_NAME)
    if name is not None:
        return str(name.decode("utf-8", "replace"))
    type = getattr(field.type, "storage_type", field.type)
    children = (type.field(i) for i in range(type.num_fields))
    return next((name for name in map(_unknown_extension, children) if name is not None), None)
