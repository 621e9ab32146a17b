"""Arrow IPC, as a file (random access) and as a stream (front to back): mapped into memory, values read in place."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa
from pyarrow import ipc

from bridgeflow.io.arrow_take import referenced_nbytes
from bridgeflow.io.base import Columns, Format, Writer, pick_columns
from bridgeflow.io.columns import Regroup, column_spec, group_rows, to_batch
from bridgeflow.io.files import not_supported
from bridgeflow.io.formats.ipc_messages import END_MARK, FILE_MAGIC, Message, file_messages, stream_messages
from bridgeflow.io.mapped import MappedFile
from bridgeflow.io.options import Compression, SourceOptions, WriterOptions, parse_settings
from bridgeflow.io.pieces import PieceReader

__all__ = ["FORMATS"]


class _IpcReader(PieceReader):
    """What file and stream share: a map of the file, whose messages are checked before pyarrow sees them.

    Reading in chunks allocates no more for a long recording than for a short one: the pages are the kernel's to take
    back, and compressed record batches are decoded one at a time.
    """

    def __init__(self, descriptor: int, path: Path, options: SourceOptions) -> None:
        mapped = MappedFile(descriptor, path)
        self._data = pa.py_buffer(mapped.data)
        messages = list(self._messages(memoryview(mapped.data)))
        schema = self._open(ipc.IpcReadOptions()).schema
        names = pick_columns(path, options.columns, schema.names)
        compressed = any(message.compressed for message in messages)
        # Leaving out columns spares decompression; of an uncompressed file pyarrow would copy what is otherwise mapped.
        wanted = [schema.get_field_index(name) for name in names] if compressed else []
        self._options = ipc.IpcReadOptions(included_fields=wanted)
        self.random_access = not compressed
        nulls = _declared_nulls(schema, messages)
        fields = [schema.field(name) for name in names]
        self._begin(mapped, fields, [message.rows for message in messages if message.is_batch])
        self.specs = {field.name: column_spec(path, field, self.rows, nulls[field.name]) for field in fields}
        self.settings = parse_settings(path, schema.metadata)
        decoded = sum(message.nbytes for message in messages)
        described = sum(spec.expected_nbytes() or 0 for spec in self.specs.values())
        self._require_small = partial(options.require_small, path, nbytes=len(mapped.data))
        self._require_small(max(decoded, described))

    @abstractmethod
    def _messages(self, data: memoryview) -> Iterator[Message]:
        """The messages of the mapped bytes, checked."""

    @abstractmethod
    def _open(self, options: Any) -> Any:
        """pyarrow's reader over the map."""

    @abstractmethod
    def _batch(self, number: int) -> pa.RecordBatch:
        """Record batch `number`, with at least the chosen columns."""

    def _load(self, number: int) -> pa.RecordBatch:
        batch = self._batch(number).select(list(self._types))
        batch.validate(full=True)
        self._require_small(sum(map(referenced_nbytes, batch.columns)))
        return batch


def _declared_nulls(schema: pa.Schema, messages: Sequence[Message]) -> dict[str, int]:
    """Nulls by column, from the nodes of the record batches: one for a column, followed by those of its children."""
    counts, node = {}, 0
    for field in schema:
        counts[field.name] = sum(message.nulls[node] for message in messages if message.is_batch)
        node += _nodes(field.type)
    return counts


def _has_nested_dictionary(type: Any, *, within: bool = False) -> bool:
    storage = getattr(type, "storage_type", type)
    if pa.types.is_dictionary(storage):
        return within or _has_nested_dictionary(storage.value_type, within=True)
    fields = range(storage.num_fields)
    return any(_has_nested_dictionary(storage.field(child).type, within=within) for child in fields)


def _nodes(type: Any) -> int:
    storage = getattr(type, "storage_type", type)
    return 1 + sum(_nodes(storage.field(child).type) for child in range(storage.num_fields))


class FileReader(_IpcReader):
    """The file format, with a footer that lists the record batches."""

    _reader: Any = None

    def _messages(self, data: memoryview) -> Iterator[Message]:
        return file_messages(data)

    def _open(self, options: Any) -> Any:
        return ipc.open_file(self._data, options=options)

    def _forget(self) -> None:
        super()._forget()
        self._reader = None

    def _batch(self, number: int) -> pa.RecordBatch:
        self._reader = self._reader or self._open(self._options)
        return self._reader.get_batch(number)


class StreamReader(_IpcReader):
    """The stream format: a later record batch is found behind those before it, and these are kept if that is free."""

    _position: int
    _stream: Any
    _passed: dict[int, pa.RecordBatch]

    def __init__(self, descriptor: int, path: Path, options: SourceOptions) -> None:
        super().__init__(descriptor, path, options)
        self.seekable = self.random_access

    def _messages(self, data: memoryview) -> Iterator[Message]:
        return stream_messages(data)

    def _open(self, options: Any) -> Any:
        return ipc.open_stream(self._data, options=options)

    def _forget(self) -> None:
        super()._forget()
        self._position, self._stream, self._passed = 0, None, {}

    def _batch(self, number: int) -> pa.RecordBatch:
        if number in self._passed:
            return self._passed[number]
        if self._stream is None or number < self._position:
            self._position, self._stream = 0, self._open(self._options)
        while True:
            batch = self._stream.read_next_batch()
            if self.random_access:
                self._passed[self._position] = batch
            self._position += 1
            if self._position > number:
                return batch


class _IpcWriter(Writer):
    """Record batches of a size that the schema alone decides, so the bytes do not depend on how the rows came.

    Uncompressed by default: that is what can be mapped and read in place.
    """

    compressions: ClassVar[tuple[Compression, ...]] = ("none", "lz4", "zstd")

    def __init__(self, file: BinaryIO, path: Path, first: Columns, options: WriterOptions) -> None:
        self._path = path
        self._schema = to_batch(path, first).schema.with_metadata(options.metadata)
        for field in self._schema:
            if _has_nested_dictionary(field.type):
                problem = f"is {field.type}: a dictionary of dictionaries, of which a file loses one"
                remedy = "decode one of the two"
                raise not_supported(path, problem, remedy, column=field.name)
        self._regroup = Regroup(group_rows(self._schema))
        write_options = ipc.IpcWriteOptions(compression=None if options.compression == "none" else options.compression)
        self._writer = self._create(pa.PythonFile(file, mode="w"), write_options)

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
        magic=(FILE_MAGIC,),
        about="Apache Arrow IPC file: columns mapped and read in place, settings in the metadata",
        reader=FileReader,
        writer=FileWriter,
    ),
    Format(
        name="arrow_stream",
        suffixes=(".arrows",),
        magic=(END_MARK[:4],),
        about="Apache Arrow IPC stream: read front to back, settings in the metadata",
        reader=StreamReader,
        writer=StreamWriter,
    ),
)
