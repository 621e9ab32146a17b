"""Arrow IPC, as a file (random access) and as a stream (front to back): mapped into memory, values read in place."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa
from pyarrow import ipc

from bridgeflow.io.arrow_file import arrow_file
from bridgeflow.io.arrow_take import referenced_nbytes
from bridgeflow.io.base import Columns, Format, Writer, pick_columns
from bridgeflow.io.columns import Nulls, Regroup, group_rows, to_batch
from bridgeflow.io.files import not_supported
from bridgeflow.io.formats.ipc_messages import END_MARK, FILE_MAGIC, Message, file_messages, stream_messages
from bridgeflow.io.mapped import MappedFile
from bridgeflow.io.opened import OpenedFile
from bridgeflow.io.options import Compression, OpenOptions, WriterOptions, parse_settings
from bridgeflow.io.pieces import PieceReader

__all__ = ["FORMATS"]


_READ_WHOLE = 64 << 20
"""Bytes of a record batch up to which it is read as a whole, if it is not mapped."""


class _FileBatches:
    """The record batches of a file, whose footer lists them.

    Args:
        data: a buffer, or what pyarrow reads from.
        fields: positions of the columns that are needed; `[]` for all.
        keeps: whether a batch that was passed on the way to another costs nothing to keep.
    """

    messages = staticmethod(file_messages)
    open = staticmethod(ipc.open_file)

    def __init__(self, data: Any, fields: list[int], *, keeps: bool) -> None:
        self._reader = self.open(data, options=ipc.IpcReadOptions(included_fields=fields))

    def batch(self, number: int) -> pa.RecordBatch:
        """Record batch `number`, with at least the columns that are needed."""
        return self._reader.get_batch(number)


class _StreamBatches:
    """The record batches of a stream, each of which is found after those before it; args as for `_FileBatches`."""

    messages = staticmethod(stream_messages)
    open = staticmethod(ipc.open_stream)

    def __init__(self, data: Any, fields: list[int], *, keeps: bool) -> None:
        self._data = data
        self._options = ipc.IpcReadOptions(included_fields=fields)
        self._keeps = keeps
        self._passed: dict[int, pa.RecordBatch] = {}
        self._rewind()

    def _rewind(self) -> None:
        if isinstance(self._data, pa.NativeFile):
            self._data.seek(0)
        self._position, self._stream = 0, self.open(self._data, options=self._options)

    def batch(self, number: int) -> pa.RecordBatch:
        """Record batch `number`, with at least the columns that are needed."""
        if number in self._passed:
            return self._passed[number]
        if number < self._position:
            self._rewind()
        while True:
            batch = self._stream.read_next_batch()
            if self._keeps:
                self._passed[self._position] = batch
            self._position += 1
            if self._position > number:
                return batch


class _IpcReader(PieceReader):
    """What file and stream share: a map of the file, whose messages are checked before pyarrow sees them.

    Reading in chunks allocates no more for a long recording than for a short one: the pages are the kernel's to take
    back, and compressed record batches are decoded one at a time. Where values are to be read rather than mapped, they
    are read a record batch at a time; of large ones the message tells where those of plain columns are, which are read
    as far as they are asked for.
    """

    file: MappedFile
    _kind: ClassVar[type[_FileBatches | _StreamBatches]]

    def __init__(self, opened: OpenedFile, options: OpenOptions) -> None:
        path, mapped = opened.path, MappedFile(opened, mapped=options.mapped)
        messages = list(self._kind.messages(mapped.bytes))
        schema = self._kind.open(pa.py_buffer(mapped.data)).schema  # of bytes that the walk over messages has read
        names = pick_columns(path, options.columns, schema.names)
        self._fields = {name: schema.get_field_index(name) for name in names}
        self.random_access = not any(message.compressed for message in messages)
        nulls = _declared_nulls(schema, messages)
        fields = [schema.field(name) for name in names]
        rows = [message.rows for message in messages if message.is_batch]
        self._begin(mapped, fields, rows, nulls, keep_nulls=options.nulls == "keep")
        self._nbytes = [message.nbytes for message in messages if message.is_batch]
        self.settings = parse_settings(path, schema.metadata)
        decoded = sum(message.nbytes for message in messages)
        described = sum(spec.expected_nbytes() or 0 for spec in self.specs.values())
        self._require_small = partial(options.require_small, path, nbytes=len(mapped.data))
        self._require_small(max(decoded, described))

    def _forget(self) -> None:
        super()._forget()
        self._batches: dict[tuple[bool, int], Any] = {}

    def close(self) -> None:
        """Close the file; arrays that were read stay valid."""
        super().close()
        self._batches = {}

    def _batch(self, number: int, names: Sequence[str], *, read: bool) -> pa.RecordBatch:
        """Record batch `number` with these columns, from the map or read into memory."""
        key = read, len(names)
        if key not in self._batches:
            data = arrow_file(self.file.opened) if read else pa.py_buffer(self.file.data)
            # Leaving out columns spares decompression; of an uncompressed map pyarrow would copy what is left.
            fields = [self._fields[name] for name in names] if read or not self.random_access else []
            self._batches[key] = self._kind(data, fields, keeps=self.random_access and not read)
        return self._batches[key].batch(number).select(names)

    def _load(self, number: int) -> pa.RecordBatch:
        located = list(self._offsets) if self.file.reads and self._nbytes[number] > _READ_WHOLE else []
        others = [name for name in self._types if name not in located]
        columns: Columns = {}
        if located:
            batch = self._batch(number, located, read=False)
            batch.validate()
            columns.update(zip(located, batch.columns, strict=True))
        if others:
            batch = self._batch(number, others, read=self.file.reads)
            batch.validate(full=True)
            self._require_small(sum(map(referenced_nbytes, batch.columns)))
            columns.update(zip(others, batch.columns, strict=True))
        return pa.record_batch(columns)


def _declared_nulls(schema: pa.Schema, messages: Sequence[Message]) -> dict[str, Nulls]:
    """Nulls by column, from the nodes of the record batches: one for a column, followed by those of its children."""
    batches = [message.nulls for message in messages if message.is_batch]
    counts, node = {}, 0
    for field in schema:
        end = node + _nodes(field.type)
        counts[field.name] = Nulls(
            sum(nulls[node] for nulls in batches), sum(sum(nulls[node + 1 : end]) for nulls in batches)
        )
        node = end
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
    """The file format."""

    _kind = _FileBatches


class StreamReader(_IpcReader):
    """The stream format."""

    _kind = _StreamBatches

    def __init__(self, opened: OpenedFile, options: OpenOptions) -> None:
        super().__init__(opened, options)
        self.seekable = self.random_access


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
