"""The messages of an Arrow IPC file or stream, walked without decoding a value.

What pyarrow leaves unchecked is checked here, on the raw bytes. A stream that stops between two messages reads as a
shorter one, so the end mark must be there, and be the end. A compressed buffer declares its size, and pyarrow allocates
that at once, so it is capped first. And a stream has no row count, so the walk counts.

Layout: https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc; the numbers
of the fields are those of Message.fbs and File.fbs, read by the rules of https://flatbuffers.dev/internals.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bridgeflow.errors import NotSupported
from bridgeflow.io.mapped import FileBytes, unpack_at

__all__ = ["MAX_BATCH_BYTES", "Message", "file_messages", "stream_messages"]

MAX_BATCH_BYTES = 4 << 30
"""Most bytes that one compressed record batch may declare to decompress into."""

END_MARK = b"\xff\xff\xff\xff\x00\x00\x00\x00"
FILE_MAGIC = b"ARROW1"

_SCHEMA, _DICTIONARY, _RECORD_BATCH = 1, 2, 3
_V4, _V5 = 3, 4
"""The version of the metadata that knew messages without a continuation mark."""


@dataclass(frozen=True)
class Message:
    """One message: where the next one begins; of a record batch its rows, and the nulls of each of its nodes; and how
    many bytes its buffers become when they are decompressed.
    """

    end: int
    is_batch: bool = False
    rows: int = 0
    nulls: tuple[int, ...] = ()
    compressed: bool = False
    nbytes: int = 0


class _Table:
    """A flatbuffer table: fields found through its vtable, absent ones read as their default, every access checked."""

    def __init__(self, data: memoryview, position: int) -> None:
        self.data = data
        self.position = position
        self._vtable = position - self._read("<i", position)
        self._vtable_size = self._read("<H", self._vtable)

    def _read(self, form: str, position: int) -> int:
        if position < 0:
            raise ValueError(f"offset {position} lies before its message")
        value: int = struct.unpack_from(form, self.data, position)[0]
        return value

    def _where(self, field: int) -> int | None:
        slot = 4 + 2 * field
        offset = self._read("<H", self._vtable + slot) if slot < self._vtable_size else 0
        return self.position + offset if offset else None

    def integer(self, field: int, form: str, default: int = 0) -> int:
        where = self._where(field)
        return default if where is None else self._read(form, where)

    def table(self, field: int) -> _Table | None:
        where = self._where(field)
        return None if where is None else _Table(self.data, where + self._read("<I", where))

    def structs(self, field: int, form: str) -> Iterator[tuple[int, ...]]:
        where = self._where(field)
        if where is None:
            return
        start = where + self._read("<I", where)
        size = struct.calcsize(form)
        for index in range(self._read("<I", start)):
            yield struct.unpack_from(form, self.data, start + 4 + index * size)


def stream_messages(data: FileBytes, start: int = 0) -> Iterator[Message]:
    """The messages of a stream, whose end mark must close the data.

    Raises:
        ValueError: the data is cut off, goes on after its end, or declares sizes out of range.
        struct.error: a message points outside the data.
    """
    position = start
    while data[position : position + 8] != END_MARK:
        if position >= len(data):
            raise ValueError("no end-of-stream mark: cut off, or its writer was never closed")
        message = _message(data, position)
        yield message
        position = message.end
    if position + 8 != len(data):
        raise ValueError(f"{len(data) - position - 8} bytes follow the end-of-stream mark")


def file_messages(data: FileBytes) -> Iterator[Message]:
    """The messages of a file, as its footer lists them; errors as `stream_messages`."""
    if data[:6] != FILE_MAGIC or data[-6:] != FILE_MAGIC:
        raise ValueError("it must begin and end with ARROW1")
    (size,) = unpack_at("<i", data, len(data) - 10)
    start = len(data) - 10 - size
    if not 8 <= start < len(data) - 10:
        raise ValueError(f"a footer of {size} bytes does not fit")
    footer = _Table(data[start : start + size], unpack_at("<I", data, start)[0])
    for field in (2, 3):  # dictionaries, record batches
        for offset, length, body in footer.structs(field, "<qi4xq"):
            message = _message(data, offset)
            if not message.end == offset + length + body <= start:
                raise ValueError("the footer and a message disagree about its length")
            yield message


def _message(data: FileBytes, start: int) -> Message:
    """Read the message at `start` and check what it declares against what is there."""
    if start < 0 or start % 8 or data[start : start + 4] != END_MARK[:4]:
        if _is_legacy(data, start):
            said = "its messages are those of Arrow before version 0.15"
            raise NotSupported(said, "this is not supported: write it again without use_legacy_format")
        raise ValueError(f"no message at byte {start}")
    (size,) = unpack_at("<i", data, start + 4)
    body = start + 8 + size
    if size < 4 or body > len(data):
        raise ValueError(f"the message at byte {start} is cut off")
    message = _Table(data[start:body], 8 + unpack_at("<I", data, start + 8)[0])
    end = body + message.integer(3, "<q")
    if not body <= end <= len(data):
        raise ValueError(f"the body of the message at byte {start} is cut off")
    kind = message.integer(1, "<B")
    header = message.table(2)
    if kind == _SCHEMA:
        return Message(end)
    if header is not None and kind == _DICTIONARY:
        compressed, nbytes = _check_batch(header.table(1), data, body, end)
        return Message(end, compressed=compressed, nbytes=nbytes)
    if header is not None and kind == _RECORD_BATCH:
        nulls = tuple(count for _, count in header.structs(1, "<qq"))
        compressed, nbytes = _check_batch(header, data, body, end)
        return Message(end, True, header.integer(0, "<q"), nulls, compressed=compressed, nbytes=nbytes)
    raise ValueError(f"the message at byte {start} is neither schema, dictionary nor record batch")


def _is_legacy(data: FileBytes, start: int) -> bool:
    """Whether a message begins with its size, as it did before there were continuation marks."""
    if start < 0 or start + 8 > len(data):
        return False
    (size,) = unpack_at("<i", data, start)
    if not 8 <= size <= len(data) - start - 4:
        return False
    try:
        message = _Table(data[start : start + 4 + size], 4 + unpack_at("<I", data, start + 4)[0])
        return message.integer(0, "<h") in (_V4, _V5) and message.integer(1, "<B") in (
            _SCHEMA,
            _DICTIONARY,
            _RECORD_BATCH,
        )
    except (ValueError, struct.error):
        return False


def _check_batch(batch: _Table | None, data: FileBytes, body: int, end: int) -> tuple[bool, int]:
    """Check the row count, the place of each buffer in the body, and what compressed ones declare; return whether there
    are such, and how many bytes the buffers become.
    """
    if batch is None or batch.integer(0, "<q") < 0:
        raise ValueError("a record batch without a row count")
    compressed = batch.table(3) is not None
    declared = plain = 0
    for offset, length in batch.structs(2, "<qq"):
        if offset < 0 or offset % 8 or length < 0 or offset + length > end - body:
            raise ValueError("a buffer lies outside its message, or not on a multiple of 8 bytes")
        if compressed and length:
            declared += max(unpack_at("<q", data, body + offset)[0], 0)
        plain += length
    if declared > MAX_BATCH_BYTES:
        raise ValueError(f"a record batch declares {declared:,} bytes, more than {MAX_BATCH_BYTES:,}")
    return compressed, max(declared, plain)
