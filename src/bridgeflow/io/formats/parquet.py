"""Parquet: one file, page checksums written and verified, settings in the schema metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute

from bridgeflow.errors import DataError
from bridgeflow.io.arrow_file import arrow_file
from bridgeflow.io.arrow_take import referenced_nbytes
from bridgeflow.io.base import Columns, Format, Writer, pick_columns
from bridgeflow.io.columns import Nulls, Regroup, between, cut, group_rows, require_same, single, to_batch
from bridgeflow.io.files import not_supported
from bridgeflow.io.formats.parquet_footer import (
    check_pages,
    decoded_nbytes,
    groups_of,
    null_counts,
    protect,
    require_intact,
    require_supported,
    value_counts,
)
from bridgeflow.io.mapped import HeldFile
from bridgeflow.io.opened import OpenedFile
from bridgeflow.io.options import Compression, OpenOptions, WriterOptions, parse_settings
from bridgeflow.io.pieces import PieceReader
from bridgeflow.io.plain import gather, join, own

__all__ = ["FORMATS"]

_BATCH_ROWS = 1 << 16
_READ_AHEAD = 1 << 20
"""Bytes read at once from a column: without a limit pyarrow loads a column of a row group as a whole."""

_LARGE_GROUP = 512 << 20
"""Decoded bytes of a row group above which it is not decoded as a whole to get at some of its rows."""

_PLAIN_TEXT = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
"""What categories of views are written as: polars writes them, and pyarrow has no Parquet for them."""

_THRIFT_LIMIT = 16 << 20
"""Largest text and longest list that a footer may declare, before pyarrow allocates them."""


class ParquetReader(PieceReader):
    """Reads through the descriptor, whatever becomes of the name meanwhile; pages are compared with their checksums."""

    file: HeldFile

    def __init__(self, opened: OpenedFile, options: OpenOptions) -> None:
        path, file = opened.path, HeldFile(opened)
        self._described = groups_of(require_intact(_from(opened), opened.nbytes))
        self._checked: set[int] = set()
        self._metadata: Any = None
        with self._open(file) as parquet:
            self._metadata, schema = parquet.metadata, parquet.schema_arrow
        _require_values(path, schema)
        fields = [schema.field(name) for name in pick_columns(path, options.columns, schema.names)]
        groups = [self._metadata.row_group(number) for number in range(self._metadata.num_row_groups)]
        nulls, values = null_counts(self._described or []), value_counts(self._described or [])
        counts = {field.name: _nulls(field, nulls) for field in fields}
        rows, keep_nulls = [group.num_rows for group in groups], options.nulls == "keep"
        self._begin(file, fields, rows, counts, keep_nulls=keep_nulls, values=values)
        self._large = np.array([group.total_byte_size > _LARGE_GROUP for group in groups], bool)
        if self.rows != self._metadata.num_rows:
            raise ValueError(f"{self._metadata.num_rows:,} rows by its footer, {self.rows:,} in its row groups")
        self.settings = parse_settings(path, schema.metadata)
        require_supported(self._described or [], set(self.specs))
        decoded = decoded_nbytes(self._described or [], set(self.specs))
        described = {name: spec.expected_nbytes() or 0 for name, spec in self.specs.items()}
        self._require_small = partial(options.require_small, path, nbytes=file.identity.nbytes)
        self._require_small(sum(max(decoded.get(name, 0), nbytes) for name, nbytes in described.items()))

    def _open(self, file: HeldFile, read_dictionary: Sequence[str] | None = None) -> pq.ParquetFile:
        """pyarrow's reader, for one thread; the footer is read once."""
        return pq.ParquetFile(
            arrow_file(file.opened),
            metadata=self._metadata,
            read_dictionary=read_dictionary,
            page_checksum_verification=True,
            pre_buffer=False,
            buffer_size=_READ_AHEAD,
            thrift_string_size_limit=_THRIFT_LIMIT,
            thrift_container_size_limit=_THRIFT_LIMIT,
        )

    def _check(self, number: int) -> None:
        """Hold what the pages of a row group declare against the file, the first time. Twice at once does no harm."""
        if number not in self._checked and self._described is not None:
            repeated = check_pages(_from(self.file.opened), self._described[number])
            for name, most in repeated.items():
                if name in self._types and self._is_large(most):
                    self._check_texts(number, name)
            self._checked.add(number)

    def _is_large(self, nbytes: int) -> bool:
        try:
            self._require_small(nbytes)
        except DataError:
            return True
        return False

    def _check_texts(self, number: int, name: str) -> None:
        """Hold the texts of a column of a row group against the limit: its values may repeat a long one many times."""
        with self._open(self.file, read_dictionary=[name]) as opened:
            column = opened.read_row_group(number, columns=[name]).column(name)
        self._require_small(sum(map(referenced_nbytes, column.chunks)))

    def _load(self, number: int) -> pa.RecordBatch:
        self._check(number)
        with self._open(self.file) as opened:
            table = opened.read_row_group(number, columns=list(self._types))
        return pa.record_batch([single(table.column(name)) for name in self._types], names=list(self._types))

    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """Decodes the row groups that hold the rows, or of large ones no more than is needed."""
        if stop - start == self.rows:
            self.file.require_unchanged()
            for number in range(len(self._large)):
                self._check(number)
            with self._open(self.file) as opened:
                table = opened.read(columns=list(self._types))
            return {name: own(self._column(name, single(table.column(name)))) for name in self._types}
        if start == stop or not self._large.any():
            return super().slice(start, stop, writable=writable)
        pieces = list(self.batches(_BATCH_ROWS, start, stop))
        return self._joined(pieces)

    def take(self, indices: Any) -> Columns:
        """Decodes the row groups that hold the rows; large ones front to back, piece by piece."""
        if not self._large.any() or not len(indices):
            return super().take(indices)
        position, stop = int(indices.min()), int(indices.max()) + 1
        order = np.argsort(indices, kind="stable")
        parts = []
        for piece in self.batches(_BATCH_ROWS, position, stop):
            begin, end = np.searchsorted(indices[order], [position, position + _BATCH_ROWS])
            parts.append({name: gather(piece[name], indices[order[begin:end]] - position) for name in piece})
            position += _BATCH_ROWS
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return {name: gather(join([piece[name] for piece in parts]), back) for name in self._types}

    def batches(self, rows: int, start: int, stop: int) -> Iterator[Columns]:
        """Begins at the row group that holds `start`; the groups before it are not read."""
        self.file.require_unchanged()
        first, last = (int(np.searchsorted(self._bounds, row, "right")) for row in (start, max(start, stop - 1)))
        base = int(self._bounds[first - 1])
        groups = list(range(first - 1, min(last, len(self._bounds) - 1)))
        with self._open(self.file) as opened:
            for piece in cut(between(self._decoded(opened, groups, rows), start - base, stop - base), rows):
                yield {name: own(self._column(name, piece[name])) for name in self._types}

    def _decoded(self, opened: pq.ParquetFile, groups: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
        for number in groups:
            self._check(number)
            yield from opened.iter_batches(min(rows, _BATCH_ROWS), row_groups=[number], columns=list(self._types))


def _nulls(field: pa.Field, counts: Mapping[str, int]) -> Nulls:
    """The nulls of a column, where its statistics tell; those of lists of a fixed length count at any depth."""
    rows, names = counts.get(field.name), [field.name]
    type = getattr(field.type, "storage_type", field.type)
    while pa.types.is_fixed_size_list(type):
        names += ["list", type.value_field.name]
        type = type.value_type
    if len(names) == 1:
        return Nulls(rows, 0)
    deep = counts.get(".".join(names))
    return Nulls(0, 0) if deep == 0 else Nulls(None, deep)


def _require_values(path: Path, schema: pa.Schema) -> None:
    """Refuse fixed-size lists and tensors without values: pyarrow writes them and cannot read them."""
    for field in schema:
        storage = getattr(field.type, "storage_type", field.type)
        if pa.types.is_fixed_size_list(storage) and not storage.list_size:
            problem = "has rows without values, which pyarrow does not support in Parquet"
            raise not_supported(path, problem, "leave the column out, or use Arrow IPC", column=field.name)


def _storable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch in types that pyarrow writes as Parquet: runs written out, and categories of views as plain text."""
    for number, column in enumerate(batch.columns):
        type = column.type
        if pa.types.is_run_end_encoded(type):
            batch = batch.set_column(number, batch.schema.names[number], compute.run_end_decode(column))
        elif pa.types.is_dictionary(type) and type.value_type in _PLAIN_TEXT:
            text = column.dictionary.cast(_PLAIN_TEXT[type.value_type])
            plain = pa.DictionaryArray.from_arrays(column.indices, text, ordered=type.ordered)
            batch = batch.set_column(number, batch.schema.names[number], plain)
    return batch


def _from(opened: OpenedFile) -> Callable[[int, int], bytes]:
    """A function that reads a number of bytes from a position on."""

    def read(count: int, position: int) -> bytes:
        if count < 0 or position < 0:
            raise ValueError(f"it refers to {count:,} bytes at byte {position:,}")
        return opened.read_at(count, position)

    return read


class ParquetWriter(Writer):
    """Row groups of a size that the schema alone decides, so the bytes do not depend on how the rows came."""

    compressions: ClassVar[tuple[Compression, ...]] = ("zstd", "snappy", "none")

    def __init__(self, file: BinaryIO, path: Path, first: Columns, options: WriterOptions) -> None:
        self._path = path
        self._file = file
        self._schema = _storable(to_batch(path, first)).schema.with_metadata(options.metadata)
        _require_values(path, self._schema)
        self._regroup = Regroup(group_rows(self._schema))
        self._writer = pq.ParquetWriter(
            pa.PythonFile(file, mode="w"),
            self._schema,
            compression=options.compression,
            version="2.6",
            write_page_checksum=True,
        )

    def append(self, columns: Columns) -> None:
        """Write each row group that has become complete."""
        batch = _storable(to_batch(self._path, columns))
        for group in self._regroup.push(require_same(self._path, batch, self._schema)):
            self._write(group)

    def finish(self) -> None:
        """Write the last row group, and the footer with its checksum."""
        for group in self._regroup.rest():
            self._write(group)
        self._writer.close()
        protect(self._file)

    def _write(self, group: pa.RecordBatch) -> None:
        self._writer.write_table(pa.Table.from_batches([group]), row_group_size=group.num_rows)


FORMATS = (
    Format(
        name="parquet",
        suffixes=(".parquet", ".pq"),
        magic=(b"PAR1",),
        about="Apache Parquet: compressed columns, page checksums, settings in the metadata",
        reader=ParquetReader,
        writer=ParquetWriter,
    ),
)
