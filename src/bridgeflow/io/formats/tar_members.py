"""Members of a tar file: walked header by header, checked, and never written anywhere.

Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from bridgeflow.io.files import data_error, not_supported
from bridgeflow.io.mapped import FileBytes

__all__ = ["BLOCK", "Member", "members", "require_plain_name"]

BLOCK: Final = 512
_FILE, _FOLDER, _PAX, _GLOBAL, _LONG_NAME = (b"0", b"\0"), b"5", b"x", b"g", b"L"
_LINKS: Final = {b"1": "a link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
_PIECE: Final = 1 << 16
_MOST_EXTENDED: Final = 1 << 20
"""Most bytes of a header that extends the next one."""


class Member(NamedTuple):
    """A file in an archive: its name, and where its bytes lie; of a global header, `settings` is what it says."""

    name: str
    begin: int
    nbytes: int
    settings: dict[str, str] | None = None


def members(data: FileBytes, path: Path) -> Iterator[Member]:
    """The files of an archive in their order, folders left out, and global headers.

    Raises:
        DataError: damaged headers, links, devices, names that lead out of a folder, members beyond the end.
    """
    position, extended = 0, dict[str, str]()
    while True:
        block = bytes(data[position : position + BLOCK])
        if len(block) < BLOCK:
            raise data_error(path, f"has no end: the header at byte {position:,} is missing", "it was cut off")
        if not any(block):
            _require_end(data, path, position)
            return
        _require_checksum(block, path, position)
        kind = block[156:157]
        size = int(extended["size"]) if extended.get("size", "").isdigit() else _number(block[124:136], path, position)
        begin, end = position + BLOCK, position + BLOCK + size
        if size < 0 or end > len(data):
            problem = f"the member at byte {position:,} has {size:,} bytes, which lie beyond the end"
            raise data_error(path, problem, "the file is damaged or cut off")
        position = begin + -(-size // BLOCK) * BLOCK
        if kind in (_PAX, _GLOBAL, _LONG_NAME):
            if size > _MOST_EXTENDED:
                raise data_error(path, f"a header of {size:,} bytes at byte {begin:,}", "write it again")
            content = bytes(data[begin:end])
            if kind == _LONG_NAME:
                extended["path"] = _text(content.rstrip(b"\0"), path)
            elif kind == _PAX:
                extended |= _records(content, path)
            else:
                yield Member("", begin, size, _records(content, path))
            continue
        name = extended.get("path") or _name(block, path)
        extended = {}
        if kind == _FOLDER:
            continue
        if kind not in _FILE:
            what = _LINKS.get(kind, f"a member of type {kind!r}")
            raise not_supported(path, f"{name!r} is {what}", "archives of files alone are read")
        require_plain_name(path, name)
        yield Member(name, begin, size)


def require_plain_name(path: Path, name: str) -> None:
    """Refuse a name that is not a place beneath a folder.

    Raises:
        DataError: an absolute name, one with `..`, or one that is not printable.
    """
    if not name or name.startswith("/") or ".." in name.split("/") or "\\" in name or not name.isprintable():
        raise data_error(path, f"has a member named {name!r}", "names are relative, printable and without '..'")


def _name(block: bytes, path: Path) -> str:
    name, prefix = block[:100].split(b"\0")[0], block[345:500].split(b"\0")[0]
    has_prefix = prefix and block[257:263] in (b"ustar\0", b"ustar ")
    return _text(prefix + b"/" + name if has_prefix and block[257:263] == b"ustar\0" else name, path)


def _text(name: bytes, path: Path) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise data_error(path, f"has a member named {name!r}", "names are UTF-8") from None


def _require_end(data: FileBytes, path: Path, position: int) -> None:
    """Refuse what is not two blocks of zeros or more, up to the end of the file."""
    if len(data) - position < 2 * BLOCK or len(data) % BLOCK:
        raise data_error(path, f"has no end: two empty blocks are missing at byte {position:,}", "it was cut off")
    for begin in range(position, len(data), _PIECE):
        if any(bytes(data[begin : begin + _PIECE])):
            raise data_error(path, "holds something after its end", "write it again")


def _require_checksum(block: bytes, path: Path, position: int) -> None:
    values = np.frombuffer(block, np.uint8)
    expected = int(values.sum(dtype=np.int64)) - int(values[148:156].sum(dtype=np.int64)) + 8 * 32
    if _number(block[148:156], path, position) != expected:
        what = "is not a tar file" if position == 0 else f"the checksum of the header at byte {position:,} does not fit"
        raise data_error(path, what, "the file is damaged, or of another format")


def _number(field: bytes, path: Path, position: int) -> int:
    """An octal number, or one of base 256."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big") if field[0] == 0x80 else -1
    text = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", text):
        problem = f"the header at byte {position:,} has {field!r} in the place of a number"
        raise data_error(path, problem, "the file is damaged, or of another format")
    return int(text, 8) if text else 0


def _records(content: bytes, path: Path) -> dict[str, str]:
    """What a pax header says: `length key=value` lines."""
    records: dict[str, str] = {}
    position = 0
    while position < len(content):
        match = re.compile(rb"(\d{1,9}) ([^=\n]+)=").match(content, position)
        end = position + int(match[1]) if match else 0
        if match is None or not match.end() <= end - 1 < len(content) or content[end - 1 : end] != b"\n":
            raise data_error(path, "has an extended header that cannot be read", "write it again")
        records[_text(match[2], path)] = _text(content[match.end() : end - 1], path)
        position = end
    return records
