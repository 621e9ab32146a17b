"""Arrow IPC, as a file (random access) and as a stream (front to back): mapped into memory, values read in place."""

from __future__ import annotations

import mmap
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa
from pyarrow import ipc

from bridgeflow.io.base import Columns, Compression, Format, Reader, Writer, parse_settings, pick_columns
from bridgeflow.io.columns import Regroup, between, column_spec, cut, group_rows, single, to_batch
from bridgeflow.io.ipc_messages import END_MARK, FILE_MAGIC, Message, file_messages, stream_messages

__all__ = ["FORMATS"]


class _MappedReader(Reader):
    """What file and stream share: a private map of the file, whose messages are checked before pyarrow sees them.

    The map is copy-on-write: nothing that happens to arrays over it reaches the file. Its pages are the kernel's to
    take back, so reading in chunks allocates no more for a long recording than for a short one.
    """

    def __init__(self, descriptor: int, path: Path, columns: Sequence[str] | None) -> None:
        mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
        self._data = pa.py_buffer(mapped)
        messages = list(self._messages(memoryview(mapped)))
        self._batch_rows = [message.rows for message in messages if message.is_batch]
        self.rows = sum(self._batch_rows)
        schema = self._open(ipc.IpcReadOptions()).schema
        self._names = pick_columns(path, columns, schema.names)
        # Leaving out columns spares decompression; of an uncompressed file pyarrow would copy what is otherwise mapped.
        wanted = [schema.names.index(name) for name in self._names] if any(m.compressed for m in messages) else []
        self._options = ipc.IpcReadOptions(included_fields=wanted)
        nulls = _declared_nulls(schema, messages)
        self.specs = {name: column_spec(path, schema.field(name), self.rows, nulls[name]) for name in self._names}
        self.settings = parse_settings(path, schema.metadata)

    @abstractmethod
    def _messages(self, data: memoryview) -> Iterator[Message]:
        """The messages of the mapped bytes, checked."""

    @abstractmethod
    def _open(self, options: Any) -> Any:
        """pyarrow's reader over the map."""

    @abstractmethod
    def _from(self, first: int) -> Iterator[pa.RecordBatch]:
        """The record batches from number `first` on."""

    def whole(self) -> Columns:
        """One record batch is handed out as it lies in the map; several are put together, which copies."""
        table = pa.Table.from_batches(self._from(0), self._open(self._options).schema)
        return {name: single(table.column(name)) for name in self._names}

    def batches(self, rows: int, start: int, stop: int) -> Iterator[Columns]:
        """Pieces are views of the map unless they span record batches."""
        ends = list(accumulate(self._batch_rows))
        first = sum(end <= start for end in ends)
        base = ends[first - 1] if first else 0
        wanted = (batch.select(self._names) for batch in self._from(first))
        yield from cut(between(wanted, start - base, stop - base), rows)


def _declared_nulls(schema: pa.Schema, messages: Sequence[Message]) -> dict[str, int]:
    """Nulls by column, from the nodes of the record batches: one for a column, followed by those of its children."""
    counts, node = {}, 0
    for field in schema:
        counts[field.name] = sum(message.nulls[node] for message in messages if message.is_batch)
        node += _nodes(field.type)
    return counts


def _nodes(type: Any) -> int:
    storage = getattr(type, "storage_type", type)
    return 1 + sum(_nodes(storage.field(child).type) for child in range(storage.num_fields))


class FileReader(_MappedReader):
    """The file format, with a footer that lists the record batches."""

    def _messages(self, data: memoryview) -> Iterator[Message]:
        return file_messages(data)

    def _open(self, options: Any) -> Any:
        return ipc.open_file(self._data, options=options)

    def _from(self, first: int) -> Iterator[pa.RecordBatch]:
        reader = self._open(self._options)
        return (reader.get_batch(index) for index in range(first, reader.num_record_batches))


class StreamReader(_MappedReader):
    """The stream format: a later row is reached over all those before it."""

    seekable: ClassVar[bool] = False

    def _messages(self, data: memoryview) -> Iterator[Message]:
        return stream_messages(data)

    def _open(self, options: Any) -> Any:
        return ipc.open_stream(self._data, options=options)

    def _from(self, first: int) -> Iterator[pa.RecordBatch]:
        return (batch for index, batch in enumerate(self._open(self._options)) if index >= first)


class _IpcWriter(Writer):
    """Record batches of a size that the schema alone decides, so the bytes do not depend on how the rows came.

    Uncompressed by default: that is what can be mapped and read in place.
    """

    compressions: ClassVar[tuple[Compression, ...]] = ("none", "lz4", "zstd")

    def __init__(
        self, file: BinaryIO, path: Path, first: Columns, compression: Compression, metadata: dict[bytes, bytes]
    ) -> None:
        self._path = path
        self._schema = to_batch(path, first).schema.with_metadata(metadata or None)
        self._regroup = Regroup(group_rows(self._schema))
        options = ipc.IpcWriteOptions(compression=None if compression == "none" else compression)
        self._writer = self._create(pa.PythonFile(file, mode="w"), options)

    @abstractmethod
    def _create(self, file: Any, options: Any) -> Any:
        """pyarrow's writer over the file."""

    def append(self, columns: Columns) -> None:
        """Write each record batch that has become complete."""
        for batch in self._regroup.push(to_batch(self._path, columns, self._schema)):
            self._writer.write_batch(batch)

    def finish(self) -> None:
        """Write the last record batch and the end mark or footer."""
        for batch in self._regroup.rest():
            self._writer.write_batch(batch)
        self._writer.close()


class FileWriter(_IpcWriter):
    """The file format."""

    def _create(self, file: Any, options: Any) -> Any:
        return ipc.new_file(file, self._schema, options=options)


class StreamWriter(_IpcWriter):
    """The stream format."""

    def _create(self, file: Any, options: Any) -> Any:
        return ipc.new_stream(file, self._schema, options=options)


FORMATS = (
    Format(
        name="arrow",
        suffixes=(".arrow", ".feather"),
        magic=FILE_MAGIC,
        about="Apache Arrow IPC file: columns mapped and read in place, settings in the metadata",
        reader=FileReader,
        writer=FileWriter,
    ),
    Format(
        name="arrow_stream",
        suffixes=(".arrows",),
        magic=END_MARK[:4],
        about="Apache Arrow IPC stream: read front to back, settings in the metadata",
        reader=StreamReader,
        writer=StreamWriter,
    ),
)
