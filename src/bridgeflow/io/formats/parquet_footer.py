"""The footer of a Parquet file, which nothing in the format protects: a checksum of our own, and a look without risk.

Pages have checksums, but a bit turned over in the footer renames a column, changes its type or drops its settings. So
our files carry a CRC-32 of the footer in the 16 bytes before it, where other readers never look.

What a footer says of its columns is read here from the bytes (https://parquet.apache.org/docs/file-format/metadata,
in Thrift's compact protocol): pyarrow's own view of it aborts the process where the footer contradicts itself.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from bridgeflow.errors import NotSupported

__all__ = [
    "PAGE_BECOMES",
    "Footer",
    "Groups",
    "check_pages",
    "column_of",
    "decoded_nbytes",
    "null_counts",
    "pages_of",
    "parse_footer",
    "protect",
    "require_intact",
    "require_supported",
    "value_counts",
]

Groups: TypeAlias = list[dict[int, Any]]
"""The row groups of a footer, as structs: fields by number."""


class Footer(NamedTuple):
    """What a footer says: the nodes of the schema, parents before their children, and the row groups."""

    schema: list[dict[int, Any]]
    groups: Groups


_MARK = b"bridgeflow\0\1"
_TAG = struct.Struct("<12sI")
_LARGEST = 4 << 20
"""Bytes of a footer above which it is not looked into: Python takes about a second for these."""

PAGE_BECOMES = _MOST, _ALWAYS = 40_000, 64 << 20
"""How many bytes a byte of a page can become (zstd does 32,000 at best), and how many a page may become in any case:
brotli knows no bound that would help.
"""

_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 11, 12
_DEEPEST = 32


def protect(file: BinaryIO) -> None:
    """Put the checksum before the footer of a finished file, open for reading and writing."""
    end = file.seek(0, 2)
    file.seek(end - 8)
    size = struct.unpack("<I4x", file.read(8))[0]
    file.seek(end - 8 - size)
    footer = file.read(size + 8)
    file.seek(end - 8 - size)
    file.write(_TAG.pack(_MARK, zlib.crc32(footer)) + footer)


def require_intact(read: Callable[[int, int], bytes], nbytes: int) -> bytes:
    """The footer, compared with its checksum where the file has one.

    Args:
        read: gives a number of bytes from a position on.
        nbytes: size of the file.

    Raises:
        ValueError: the file does not end as Parquet does, or the checksum does not fit.
        struct.error: the file is too short.
    """
    size, magic = struct.unpack("<I4s", read(8, nbytes - 8))
    start = nbytes - 8 - size
    if magic != b"PAR1" or start < 4:
        raise ValueError("it does not end with a footer: cut off, or something follows")
    footer = read(size + 8, start)
    mark, crc = _TAG.unpack(read(_TAG.size, start - _TAG.size)) if start >= _TAG.size + 4 else (b"", 0)
    if mark == _MARK and crc != zlib.crc32(footer):
        raise ValueError("the checksum of its footer does not fit")
    return footer[:-8]


def parse_footer(footer: bytes) -> Footer | None:
    """What the footer says; `None` for very large footers, which are not looked into.

    Raises:
        ValueError, struct.error: no footer.
    """
    if len(footer) > _LARGEST:
        return None
    described = _Compact(footer).struct()
    if 8 in described or 9 in described:
        raise NotSupported("its columns are encrypted", "encryption is not supported: write it without")
    return Footer(described.get(2, []), described.get(4, []))


def require_supported(groups: Groups, names: set[str]) -> None:
    """Refuse codecs and encodings that pyarrow does not have, of these columns.

    Raises:
        NotSupported: names the column and the codec or encoding.
    """
    for group in groups:
        for chunk in group.get(1, []):
            described = chunk.get(3, {})
            name = b"".join(described.get(3, [])[:1]).decode("utf-8")
            if name not in names:
                continue
            codec = described.get(4, 0)
            if not 0 <= codec < len(_CODECS) or codec == _LZO:
                word = _CODECS[codec] if codec == _LZO else f"codec {codec}"
                raise NotSupported(
                    f"the column {name!r} is compressed by {word}", "pyarrow does not support this codec"
                )
            unknown = [one for one in described.get(2, []) if not 0 <= one < len(_ENCODINGS)]
            if unknown:
                raise NotSupported(f"the column {name!r} has encoding {unknown[0]}", "pyarrow does not support it")


_CODECS = ("none", "snappy", "gzip", "LZO", "brotli", "lz4 of Hadoop", "zstd", "lz4")
_LZO = _CODECS.index("LZO")
_ENCODINGS = range(10)
"""What there is, by the numbers in the footer."""


_WIDTHS = {0: 1 / 8, 1: 4, 2: 8, 3: 8, 4: 4, 5: 8, 6: 4}
"""Bytes of a value in memory, by the number of its physical type; of texts those of their offsets alone."""


_OF_ANY_LENGTH = {6, 7}
"""The physical types of texts and of bytes of a fixed number."""


def decoded_nbytes(groups: Groups, names: set[str]) -> dict[str, int]:
    """How many bytes the values of each of these columns are, at least: a page of a few bytes can repeat one value."""
    sizes: dict[str, int] = dict.fromkeys(names, 0)
    for group in groups:
        for chunk in group.get(1, []):
            described = chunk.get(3, {})
            name = b"".join(described.get(3, [])[:1]).decode("utf-8")
            if name in sizes:
                values = int(described.get(5, 0) * _WIDTHS.get(described.get(1, 0), 1))
                sizes[name] += max(values, described.get(6, 0))
    return sizes


def null_counts(groups: Groups) -> dict[str, int]:
    """Nulls by column, of those flat ones whose statistics say it in every row group."""
    counts: dict[str, int | None] = {}
    for group in groups:
        for chunk in group.get(1, []):
            described = chunk.get(3, {})
            name = b".".join(described.get(3, [])).decode("utf-8")
            nulls, before = described.get(12, {}).get(3), counts.get(name, 0)
            counts[name] = None if nulls is None or before is None else before + nulls
    return {name: count for name, count in counts.items() if count is not None}


def value_counts(groups: Groups) -> dict[str, int]:
    """Values by column, those within lists counted each; of a structure those of all its fields."""
    counts: dict[str, int] = {}
    for group in groups:
        for chunk in group.get(1, []):
            described = chunk.get(3, {})
            name = (described.get(3) or [b""])[0].decode("utf-8", "replace")
            counts[name] = counts.get(name, 0) + max(described.get(5, 0), 0)
    return counts


def check_pages(read: Callable[[int, int], bytes], group: dict[int, Any]) -> dict[str, int]:
    """Walk over the headers of the pages of a row group: pyarrow allocates what they and the footer declare.

    Returns:
        By column how many bytes its values can be at most, for those whose values refer to a dictionary.

    Raises:
        ValueError: pages that are not where the footer says, that cannot become what they declare, or that hold
            another number of values.
    """
    repeated: dict[str, int] = {}
    for chunk in group.get(1, []) if group.get(3) else []:  # a group without rows need not have pages
        described = chunk.get(3, {})
        name = b".".join(described.get(3, [])).decode("utf-8")
        declared, compressed = described.get(5, 0), described.get(7, 0)
        first = described.get(9, 0)
        position = min(first, described.get(11) or first)
        end, values = position + compressed, 0
        while position < end:
            head, size = _page_header(read, position, end)
            packed, unpacked = head.get(3, -1), head.get(2, -1)
            count = next((head[kind].get(1, -1) for kind in (5, 7, 8) if kind in head), 0)
            position += size + packed
            if packed < 0 or position > end or not 0 <= unpacked <= _MOST * packed + _ALWAYS:
                raise ValueError(f"a page of {name!r} declares {packed:,} bytes that become {unpacked:,}")
            if count < 0 or (7 in head and count > 8 * unpacked + 8):
                raise ValueError(f"a page of {name!r} declares {count:,} values in {unpacked:,} bytes")
            values += 0 if 7 in head else count
            if 7 in head and described.get(1) in _OF_ANY_LENGTH:
                repeated[name] = max(repeated.get(name, 0), declared * unpacked)
        if values != declared or position != end:
            raise ValueError(f"the pages of {name!r} hold {values:,} values, and the footer declares {declared:,}")
        if len(described.get(3, [])) == 1 and declared != group.get(3):
            raise ValueError(f"{name!r} has {declared:,} values in {group.get(3):,} rows")
    return repeated


def column_of(chunk: dict[int, Any]) -> list[bytes]:
    """The names that lead to the column of a chunk."""
    path: list[bytes] = chunk.get(3, {}).get(3, [])
    return path


def pages_of(group: dict[int, Any]) -> list[tuple[int, int]]:
    """Where the pages of each column of a row group lie, start and stop, as far as the footer says what can be."""
    ranges = []
    for chunk in group.get(1, []):
        described = chunk.get(3, {})
        first, compressed = described.get(9, 0), described.get(7, 0)
        position = min(first, described.get(11) or first)
        if position >= 0 and compressed > 0:
            ranges.append((position, position + compressed))
    return ranges


def _page_header(read: Callable[[int, int], bytes], position: int, end: int) -> tuple[dict[int, Any], int]:
    """A page's header and its length; most are short, some hold long extremes of the values."""
    for limit in (1 << 10, 1 << 20):
        compact = _Compact(read(min(limit, end - position), position))
        try:
            return compact.struct(), compact.position
        except ValueError:
            if limit >= end - position:
                raise
    raise ValueError(f"no page begins at byte {position:,}")


class _Compact:
    """Values of Thrift's compact protocol: a struct is a dict of its fields by number."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def _take(self, count: int) -> bytes:
        start, self.position = self.position, self.position + count
        if count < 0 or self.position > len(self._data):
            raise ValueError("its footer ends within a value")
        return self._data[start : self.position]

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise ValueError("a number in its footer does not end")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _many(self, size: int) -> int:
        if size > len(self._data) - self.position:
            raise ValueError(f"its footer declares {size:,} values and has fewer bytes")
        return size

    def _value(self, type: int, depth: int) -> Any:
        if type in (_TRUE, _FALSE):
            return type == _TRUE
        if type == _BYTE:
            return self._take(1)[0]
        if type < _DOUBLE:
            return self._integer()
        if type == _DOUBLE:
            return struct.unpack("<d", self._take(8))[0]
        if type == _BINARY:
            return self._take(self._varint())
        if type in (_LIST, _SET):
            size, of = divmod(self._take(1)[0], 16)
            size = self._many(self._varint() if size == 15 else size)
            return [self._element(of, depth) for _ in range(size)]
        if type == _MAP:
            size = self._many(self._varint())
            key, value = divmod(self._take(1)[0], 16) if size else (0, 0)
            return [(self._element(key, depth), self._element(value, depth)) for _ in range(size)]
        if type == _STRUCT:
            return self.struct(depth + 1)
        raise ValueError(f"its footer has a value of type {type}")

    def _element(self, type: int, depth: int) -> Any:
        """A value in a list, where booleans are bytes."""
        return self._take(1)[0] == _TRUE if type in (_TRUE, _FALSE) else self._value(type, depth + 1)

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields up to the end of the struct."""
        if depth > _DEEPEST:
            raise ValueError("its footer is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._take(1)[0]) != _STOP:
            step, type = divmod(head, 16)
            number = number + step if step else self._integer()
            fields[number] = self._value(type, depth)
        return fields
