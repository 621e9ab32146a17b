"""Parquet: one file, page checksums written and verified, settings in the schema metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from bridgeflow.io.base import Columns, Compression, Format, Reader, Writer, parse_settings, pick_columns
from bridgeflow.io.columns import Regroup, between, column_spec, cut, group_rows, single, to_batch

__all__ = ["FORMATS"]

_BATCH_ROWS = 1 << 16
_READ_AHEAD = 1 << 20
"""Bytes read at once from a column: without a limit pyarrow loads a column of a row group as a whole."""

_THRIFT_LIMIT = 16 << 20
"""Largest text and longest list that a footer may declare, before pyarrow allocates them."""


class ParquetReader(Reader):
    """Reads through the descriptor, whatever becomes of the name meanwhile; pages are held against their checksums."""

    def __init__(self, descriptor: int, path: Path, columns: Sequence[str] | None) -> None:
        self._file = pq.ParquetFile(
            pa.OSFile(f"/proc/self/fd/{descriptor}"),
            page_checksum_verification=True,
            pre_buffer=False,
            buffer_size=_READ_AHEAD,
            thrift_string_size_limit=_THRIFT_LIMIT,
            thrift_container_size_limit=_THRIFT_LIMIT,
        )
        schema = self._file.schema_arrow
        self._names = pick_columns(path, columns, schema.names)
        self.rows = self._file.metadata.num_rows
        nulls = self._declared_nulls()
        self.specs = {name: column_spec(path, schema.field(name), self.rows, nulls.get(name)) for name in self._names}
        self.settings = parse_settings(path, schema.metadata)

    def _declared_nulls(self) -> dict[str, int]:
        """Nulls by column, of those whose statistics tell in every row group."""
        metadata = self._file.metadata
        counts: dict[str, int | None] = {}
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                known = column.statistics.null_count if column.is_stats_set else None
                before = counts.get(column.path_in_schema, 0)
                counts[column.path_in_schema] = None if known is None or before is None else before + known
        return {name: count for name, count in counts.items() if count is not None}

    def whole(self) -> Columns:
        """Decodes row group by row group; always new memory."""
        table = self._file.read(columns=self._names)
        return {name: single(table.column(name)) for name in self._names}

    def batches(self, rows: int, start: int, stop: int) -> Iterator[Columns]:
        """Begins at the row group that holds `start`; the groups before it are not read."""
        metadata = self._file.metadata
        ends = list(accumulate(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)))
        begins = [0, *ends][: len(ends)]
        groups = [group for group in range(len(ends)) if begins[group] < stop and ends[group] > start]
        if groups:
            decoded = self._file.iter_batches(min(rows, _BATCH_ROWS), row_groups=groups, columns=self._names)
            yield from cut(between(decoded, start - begins[groups[0]], stop - begins[groups[0]]), rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ParquetWriter(Writer):
    """Row groups of a size that the schema alone decides, so the bytes do not depend on how the rows came."""

    compressions: ClassVar[tuple[Compression, ...]] = ("zstd", "snappy", "none")

    def __init__(
        self, file: BinaryIO, path: Path, first: Columns, compression: Compression, metadata: dict[bytes, bytes]
    ) -> None:
        self._path = path
        self._schema = to_batch(path, first).schema.with_metadata(metadata or None)
        self._regroup = Regroup(group_rows(self._schema))
        self._writer = pq.ParquetWriter(
            pa.PythonFile(file, mode="w"),
            self._schema,
            compression=compression,
            version="2.6",
            write_page_checksum=True,
        )

    def append(self, columns: Columns) -> None:
        """Write each row group that has become complete."""
        for group in self._regroup.push(to_batch(self._path, columns, self._schema)):
            self._write(group)

    def finish(self) -> None:
        """Write the last row group and the footer."""
        for group in self._regroup.rest():
            self._write(group)
        self._writer.close()

    def _write(self, group: pa.RecordBatch) -> None:
        self._writer.write_table(pa.Table.from_batches([group]), row_group_size=group.num_rows)


FORMATS = (
    Format(
        name="parquet",
        suffixes=(".parquet", ".pq"),
        magic=b"PAR1",
        about="Apache Parquet: compressed columns, page checksums, settings in the metadata",
        reader=ParquetReader,
        writer=ParquetWriter,
    ),
)
