"""The entries of a zip archive, read so strictly that every byte belongs to exactly one thing, and written so plainly.

Python's zipfile looks for the directory from the end and forgives what stands before, between and after: entries that
overlap (bombs), names that differ, trailing comments. Here the entries follow each other without gaps, from the first
byte to the directory, which ends the file. Layout: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bridgeflow.errors import NotSupported
from bridgeflow.io.mapped import FileBytes, unpack_at

__all__ = ["DEFLATED", "MAX_ENTRIES", "STORED", "Entry", "directory", "entries", "local_header"]

STORED, DEFLATED = 0, 8
MAX_ENTRIES = 10_000
"""Most entries of an archive."""

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_WIDE_END = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_UNSET, _UNSET_SHORT = 0xFFFFFFFF, 0xFFFF
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 1, 8, 0x800
_WIDE = 1
_SAVE_AGAIN = "this is not supported: write it again with np.savez or np.savez_compressed"
_MIDNIGHT_1980 = 0x0021


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file in an archive: its name, how it is kept, its checksum, where its bytes are, and how many it will be."""

    name: str
    method: int
    crc: int
    begin: int
    stored: int
    nbytes: int


def entries(data: FileBytes) -> list[Entry]:
    """The entries, in the order in which they lie.

    Raises:
        ValueError: anything that such an archive cannot be.
        struct.error: a header goes beyond the end.
    """
    count, start, end = _end(data)
    if count > MAX_ENTRIES:
        raise ValueError(f"{count:,} entries, more than {MAX_ENTRIES:,}")
    result: list[Entry] = []
    position, expected = start, 0
    for _ in range(count):
        header = unpack_at(_CENTRAL, data, position)
        signature, _, _, flags, method, _, _, crc, stored, nbytes, *lengths, _, _, _, offset = header
        name, extra, comment = _cut(data, position + _CENTRAL.size, lengths)
        position += _CENTRAL.size + sum(lengths)
        if signature != b"PK\1\2" or position > end:
            raise ValueError("its directory is damaged")
        _require_supported(name, flags, method, comment)
        wide = _wide(extra, [nbytes == _UNSET, stored == _UNSET, offset == _UNSET])
        nbytes, stored, offset = (next(wide) if value == _UNSET else value for value in (nbytes, stored, offset))
        if offset != expected:
            raise ValueError(f"entry {name!r} begins at byte {offset:,}, and the one before ends at {expected:,}")
        entry = Entry(name=_text(name), method=method, crc=crc, begin=0, stored=stored, nbytes=nbytes)
        entry, expected = _located(data, entry, name, flags, offset, start)
        result.append(entry)
    if position != end or expected != start:
        raise ValueError("bytes that belong to no entry")
    names = [entry.name for entry in result]
    if len(set(names)) < len(names):
        raise ValueError("two entries of one name")
    return result


_METHODS = {
    1: "shrinking", 6: "imploding", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 94: "MP3", 95: "xz",
    97: "WavPack", 98: "PPMd", 99: "AES",
}  # fmt: skip


def _require_supported(name: bytes, flags: int, method: int, comment: bytes) -> None:
    """Refuse what an archive may be and those of numbers are not."""
    if flags & (_ENCRYPTED | 0x40 | 0x2000):
        raise NotSupported(f"entry {name!r} is encrypted", _SAVE_AGAIN)
    if method not in (STORED, DEFLATED):
        how = f"method {method} ({_METHODS.get(method, 'unknown')})"
        raise NotSupported(f"entry {name!r} is compressed by {how}; stored and deflated ones are read", _SAVE_AGAIN)
    if flags & ~(_DESCRIPTOR | _UTF8 | 6) or comment:
        raise ValueError(f"entry {name!r}: flags {flags:#x}, or with a comment")


def _end(data: FileBytes) -> tuple[int, int, int]:
    """Number of entries, and where the directory begins and ends."""
    place = len(data) - _END.size
    if place < 0 or bytes(data[place : place + 4]) != b"PK\5\6":
        raise ValueError("it does not end with its directory: cut off, or something follows (a comment counts)")
    _, disk, disk_too, here, count, size, start, comment = unpack_at(_END, data, place)
    if disk or disk_too or comment or here != count:
        raise NotSupported("a part of several, or with a comment", _SAVE_AGAIN)
    end = place
    if _UNSET in (size, start) or count == _UNSET_SHORT:
        signature, _, end, _ = unpack_at(_LOCATOR, data, place - _LOCATOR.size)
        if signature != b"PK\6\7" or end + _WIDE_END.size + _LOCATOR.size != place:
            raise ValueError("sizes of 64 bits, and no place where they stand")
        signature, _, _, _, disk, disk_too, here, count, size, start = unpack_at(_WIDE_END, data, end)
        if signature != b"PK\6\6" or disk or disk_too or here != count:
            raise ValueError("its directory of 64 bits is damaged")
    if start + size != end:
        raise ValueError(f"a directory of {size:,} bytes from byte {start:,} on does not end at {end:,}")
    return count, start, end


def _located(data: FileBytes, entry: Entry, name: bytes, flags: int, offset: int, limit: int) -> tuple[Entry, int]:
    """The entry with the place of its bytes, and where the next one begins; its own header must say the same."""
    header = unpack_at(_LOCAL, data, offset)
    signature, _, local_flags, method, _, _, crc, stored, nbytes, *lengths = header
    local_name, extra = _cut(data, offset + _LOCAL.size, lengths)
    begin = offset + _LOCAL.size + sum(lengths)
    end = begin + entry.stored
    if signature != b"PK\3\4" or (local_flags, method, local_name) != (flags, entry.method, name) or end > limit:
        raise ValueError(f"entry {entry.name!r} and the directory disagree, or it is cut off")
    sizes = entry.crc, entry.stored, entry.nbytes
    if flags & _DESCRIPTOR:
        for mark, form in ((b"PK\7\x08", "<III"), (b"PK\7\x08", "<IQQ"), (b"", "<III"), (b"", "<IQQ")):
            after = end + len(mark) + struct.calcsize(form)
            if after <= limit and bytes(data[end:after]) == mark + struct.pack(form, *sizes):
                return _placed(entry, begin), after
        raise ValueError(f"entry {entry.name!r} and its descriptor disagree")
    wide = _wide(extra, [nbytes == _UNSET, stored == _UNSET])
    nbytes, stored = (next(wide) if value == _UNSET else value for value in (nbytes, stored))
    if (crc, stored, nbytes) != sizes:
        raise ValueError(f"entry {entry.name!r} and the directory disagree about its size or checksum")
    return _placed(entry, begin), end


def _placed(entry: Entry, begin: int) -> Entry:
    if entry.method == STORED and entry.stored != entry.nbytes:
        raise ValueError(f"entry {entry.name!r} is stored in {entry.stored:,} bytes and declares {entry.nbytes:,}")
    if entry.nbytes > 1100 * entry.stored + 100:  # deflate cannot do more than 1032 to one
        raise ValueError(f"entry {entry.name!r} cannot become {entry.nbytes:,} bytes out of {entry.stored:,}")
    return Entry(**{**vars(entry), "begin": begin})


def _cut(data: FileBytes, position: int, lengths: list[int]) -> list[bytes]:
    pieces = []
    for length in lengths:
        if position + length > len(data):
            raise ValueError("a header goes beyond the end")
        pieces.append(bytes(data[position : position + length]))
        position += length
    return pieces


def _wide(extra: bytes, missing: list[bool]) -> Iterator[int]:
    """The sizes of 64 bits in an extra field, for those that 32 bits left open."""
    position = 0
    while any(missing) and position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == _WIDE:
            yield from struct.unpack_from(f"<{sum(missing)}Q", extra, position + 4)
            return
        position += 4 + length
    if any(missing):
        raise ValueError("sizes of 64 bits, and no field that holds them")


def _text(name: bytes) -> str:
    text = name.decode("utf-8")
    if not text.isprintable():
        raise ValueError(f"an entry is called {text!r}")
    return text


def local_header(entry: Entry, offset: int, *, aligned: int) -> bytes:
    """What stands before the bytes of a stored entry: sizes of 64 bits, and filling, so that they begin at a multiple
    of `aligned` when it stands at `offset`. Its length does not depend on the sizes.
    """
    name = entry.name.encode()
    extra = struct.pack("<HHQQ", _WIDE, 16, entry.nbytes, entry.stored)
    fill = -(offset + _LOCAL.size + len(name) + len(extra) + 4) % aligned
    extra += struct.pack("<HH", 0xD935, fill) + bytes(fill)  # as Android's zipalign calls its own
    flags = _UTF8 if not name.isascii() else 0
    sizes = entry.crc, _UNSET, _UNSET, len(name), len(extra)
    return _LOCAL.pack(b"PK\3\4", 45, flags, STORED, 0, _MIDNIGHT_1980, *sizes) + name + extra


def directory(written: list[tuple[Entry, int]], start: int) -> bytes:
    """The directory of stored entries, each with the place of its header, that follows them at byte `start`."""
    listed = b""
    for entry, offset in written:
        name = entry.name.encode()
        extra = struct.pack("<HHQQQ", _WIDE, 24, entry.nbytes, entry.stored, offset)
        flags = _UTF8 if not name.isascii() else 0
        listed += _CENTRAL.pack(
            b"PK\1\2", 45, 45, flags, STORED, 0, _MIDNIGHT_1980, entry.crc, _UNSET, _UNSET, len(name), len(extra),
            0, 0, 0, 0, _UNSET,
        )  # fmt: skip
        listed += name + extra
    count, size = len(written), len(listed)
    wide = _WIDE_END.pack(b"PK\6\6", _WIDE_END.size - 12, 45, 45, 0, 0, count, count, size, start)
    locator = _LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
    end = _END.pack(b"PK\5\6", 0, 0, min(count, _UNSET_SHORT), min(count, _UNSET_SHORT), size, _UNSET, 0)
    return listed + wide + locator + end
