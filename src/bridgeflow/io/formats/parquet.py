"""Parquet: one file, page checksums written and verified, settings in the schema metadata."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar
from weakref import finalize

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute

from bridgeflow.errors import DataError
from bridgeflow.io.arrow_file import arrow_file
from bridgeflow.io.arrow_take import no_rows, referenced_nbytes
from bridgeflow.io.base import Columns, Format, Reader, Writer, pick_columns
from bridgeflow.io.columns import Nulls, Regroup, between, cut, group_rows, require_same, single, to_batch
from bridgeflow.io.files import not_supported
from bridgeflow.io.formats.parquet_footer import (
    PAGE_BECOMES,
    check_pages,
    column_of,
    decoded_nbytes,
    null_counts,
    pages_of,
    parse_footer,
    protect,
    require_intact,
    require_supported,
    value_counts,
)
from bridgeflow.io.mapped import MappedFile
from bridgeflow.io.opened import LocalFile, OpenedFile
from bridgeflow.io.options import Compression, OpenOptions, WriterOptions, parse_settings
from bridgeflow.io.pages.cache import KEPT, KEPT_NBYTES, PageCache
from bridgeflow.io.pages.columns import Irregular, PageColumn, is_built
from bridgeflow.io.pages.leaves import chunk_places, full_lists, leaves_of, number_leaf
from bridgeflow.io.pieces import PieceReader
from bridgeflow.io.plain import gather, join, numbers, own

__all__ = ["FORMATS"]

_BATCH_ROWS = 1 << 16
_READ_AHEAD = 1 << 20
"""Bytes read at once from a column: without a limit pyarrow loads a column of a row group as a whole."""

_LARGE_GROUP = 512 << 20
"""Decoded bytes of a row group above which it is not decoded as a whole to get at some of its rows."""

_PAGE_BYTES = {"zstd": 1 << 20}
_SMALL_PAGE_BYTES = 256 << 10
"""Bytes of a page of ours: few, because one row costs its whole page; but each page costs a call, and Zstandard's takes
as long as 64 KiB.
"""

_PLAIN_TEXT = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
"""What categories of views are written as: polars writes them, and pyarrow has no Parquet for them."""

_THRIFT_LIMIT = 16 << 20
"""Largest text and longest list that a footer may declare, before pyarrow allocates them."""


class RowGroupReader(PieceReader):
    """Columns that pyarrow decodes, all values of a row group at once.

    Reads through the descriptor, whatever becomes of the name meanwhile; pages are compared with their checksums.
    """

    file: MappedFile

    def __init__(self, opened: OpenedFile, options: OpenOptions) -> None:
        path, file = opened.path, MappedFile(opened, mapped=options.mapped)
        self._footer = parse_footer(require_intact(_from(opened), opened.nbytes))
        self._described = self._footer and self._footer.groups
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

    def only(self, names: Sequence[str]) -> RowGroupReader:
        """A reader of some of the columns, with pieces of its own."""
        other = copy(self)
        other._types = {name: self._types[name] for name in names}
        other._checked = set()  # of the pages of other columns nothing was looked at
        other.register()
        return other

    def page_columns(self, owner: Hashable) -> dict[str, PageColumn]:
        """The columns of numbers, and of lists of them, that may be decoded page by page: those whose rows have one
        shape as far as the footer tells. Their pages belong to `owner` in caches.
        """
        is_local = isinstance(self.file.opened, LocalFile)  # elsewhere pyarrow asks for many pages at once
        leaves = leaves_of(self._footer.schema) if is_built() and is_local and self._footer else None
        chunks = [group.get(1, []) for group in self._described or []]
        if leaves is None or any(len(each) != len(leaves) for each in chunks):
            return {}
        names = [leaf.path[0].decode("utf-8", "replace") for leaf in leaves]
        rows, columns = np.diff(self._bounds).tolist(), {}
        for place, (name, leaf) in enumerate(zip(names, leaves, strict=True)):
            if name not in self._types or names.count(name) > 1:
                continue
            of_name, lists = [each[place] for each in chunks], None
            type = self._types[name]
            if name not in self._plain:
                lists, type = type, full_lists(type, of_name, rows)
            kind = None if type is None else numbers(type)
            leaf_of_numbers = None if kind is None else number_leaf(type, kind, leaf)
            if kind is None or leaf_of_numbers is None:
                continue
            places = chunk_places(of_name, leaf_of_numbers, rows)
            if places is not None:
                columns[name] = PageColumn(
                    self.file, kind, leaf_of_numbers, places, self._bounds, PAGE_BECOMES, owner, lists
                )
        return columns

    def _open(self, file: MappedFile, read_dictionary: Sequence[str] | None = None) -> pq.ParquetFile:
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
            group = self._read_columns(self._described[number])
            self.file.opened.prefetch(pages_of(group))
            repeated = check_pages(_from(self.file.opened), group)
            for name, most in repeated.items():
                if name in self._types and self._is_large(most):
                    self._check_texts(number, name)
            self._checked.add(number)

    def _read_columns(self, group: dict[int, Any]) -> dict[int, Any]:
        """What the footer says of a row group, of the columns that are read."""
        names = {name.encode() for name in self._types}
        return {**group, 1: [chunk for chunk in group.get(1, []) if names.intersection(column_of(chunk)[:1])]}

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


class ParquetReader(Reader):
    """Columns of numbers page by page (`io/pages/`); all others, and those whose pages are not regular, by pyarrow."""

    def __init__(self, opened: OpenedFile, options: OpenOptions) -> None:
        whole = RowGroupReader(opened, options)
        self.file, self.rows, self.specs, self.settings = whole.file, whole.rows, whole.specs, whole.settings
        self._whole = whole
        owner = object()
        self._release = finalize(self, KEPT.drop, owner)
        self._pages = whole.page_columns(owner)
        nbytes = sum(self.rows * column.row_nbytes for column in self._pages.values())
        for column in self._pages.values():
            column.keeps_all = nbytes <= KEPT_NBYTES
        others = [name for name in whole.specs if name not in self._pages]
        self._others = [whole.only(others)] if others else []

    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """Decodes the pages that hold the rows; of columns that pyarrow reads, their row groups."""
        self.file.require_unchanged()
        cache = PageCache(0) if stop - start == self.rows else KEPT  # all rows are not kept beside what is handed out
        columns = self._by_pages(lambda column: column.slice(start, stop, cache, writable=writable))
        return self._completed(columns, lambda reader: reader.slice(start, stop, writable=writable))

    def take(self, indices: Any) -> Columns:
        """Decodes the pages that hold the rows; of columns that pyarrow reads, their row groups."""
        self.file.require_unchanged()
        columns = self._by_pages(lambda column: column.take(indices, KEPT))
        return self._completed(columns, lambda reader: reader.take(indices))

    def batches(self, rows: int, start: int, stop: int) -> Iterator[Columns]:
        """Keeps no more than the pages and row groups that the next rows begin in."""
        self.file.require_unchanged()
        cache = PageCache(0)
        streams: dict[RowGroupReader, Iterator[Columns]] = {}

        def following(reader: RowGroupReader) -> Columns:
            if reader not in streams:
                streams[reader] = reader.batches(rows, begin, stop)
            return next(streams[reader])

        for begin in range(start, stop, rows):
            end = min(begin + rows, stop)
            columns = self._by_pages(lambda column: column.slice(begin, end, cache, writable=True))  # noqa: B023
            yield self._completed(columns, following)

    def close(self) -> None:
        """Close the file, and drop its pages."""
        super().close()
        self._release()

    def _by_pages(self, read: Callable[[PageColumn], Any]) -> Columns:
        """What is read of each column of numbers; one that proves not to be regular is left to pyarrow from now on."""
        columns = {}
        for name, column in list(self._pages.items()):
            try:
                columns[name] = read(column)
            except Irregular:
                self._others = [*self._others, self._whole.only([name])]
                self._pages = {other: column for other, column in self._pages.items() if other != name}
        return columns

    def _completed(self, columns: Columns, read: Callable[[RowGroupReader], Columns]) -> Columns:
        """The columns with those that pyarrow reads, in their order."""
        for reader in self._others:
            columns.update(read(reader))
        return {name: columns[name] for name in self.specs}


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


def _by_dictionary(schema: pa.Schema) -> list[str]:
    """The leaves that a dictionary may make smaller: all but those of floats, which seldom repeat."""
    sink = pa.BufferOutputStream()
    columns = [no_rows(field.type) for field in schema]  # `schema.empty_table()` would import pandas
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), sink)
    leaves = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
    plain = {field.name for field in schema if (kind := numbers(field.type)) is not None and kind.dtype.kind in "fc"}
    paths = [leaves.column(number).path for number in range(len(leaves))]
    return [path for path in paths if path.split(".list.")[0] not in plain]


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
            use_dictionary=_by_dictionary(self._schema),
            data_page_size=_PAGE_BYTES.get(options.compression or "", _SMALL_PAGE_BYTES),
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
