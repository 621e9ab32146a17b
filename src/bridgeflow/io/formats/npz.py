"""npz: several arrays in a zip archive, read strictly: no pickles, no bombs, every checksum compared with its bytes."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bridgeflow.bridge import describe
from bridgeflow.io.base import Columns, Format, Reader, Writer, pick_columns
from bridgeflow.io.files import data_error
from bridgeflow.io.formats.npy import MAX_HEADER, ArrayBytes, NpyWriter, npy_header, require_rows
from bridgeflow.io.formats.zip_entries import STORED, Entry, directory, entries, local_header
from bridgeflow.io.mapped import MappedFile
from bridgeflow.io.opened import OpenedFile
from bridgeflow.io.options import OpenOptions, WriterOptions
from bridgeflow.io.urls import UrlPath
from bridgeflow.memory.reuse import fresh

__all__ = ["FORMATS"]

_SUFFIX = ".npy"
_RATE = "fs"
"""The single value that is the sampling rate in Hz, and no column."""

_ALIGNED = 64
KEPT_BYTES = 128 << 20
"""Decoded bytes of an array above which it is not kept beside what is given of it."""

_PIECE, _INFLATED = 1 << 20, 1 << 16


class NpzReader(Reader):
    """A map of the file. Stored arrays are read in place; deflated ones are decoded whole, and kept, when first used.

    Each entry is compared with its checksum then. A single value called `fs` is the sampling rate.
    """

    file: MappedFile

    def __init__(self, opened: OpenedFile, options: OpenOptions) -> None:
        path, columns = opened.path, options.columns
        self.file = MappedFile(opened, mapped=options.mapped)
        by_name = {entry.name: entry for entry in entries(self.file.bytes)}
        for name in by_name:
            if not name.endswith(_SUFFIX) or name == _SUFFIX:
                raise data_error(path, f"its entry {name!r} is not an array", "np.savez writes arrays alone")
        self._entries = {name.removesuffix(_SUFFIX): entry for name, entry in by_name.items()}
        self._arrays: dict[str, ArrayBytes] = {}
        self.settings = self._rate()
        present = [name for name in self._entries if name != _RATE or not self.settings]
        specs = {name: self._spec(name) for name in pick_columns(path, columns, present)}
        lengths = {name: spec.shape[0] for name, spec in specs.items()}
        if len(set(lengths.values())) != 1:
            listed = ", ".join(f"{name} {length}" for name, length in lengths.items()) or "none"
            raise data_error(path, f"needs columns of one length, got {listed}", "choose with `columns`")
        self.specs = specs
        options.require_small(path, sum(self._entries[name].nbytes for name in specs), len(self.file.data))
        self.rows = next(iter(lengths.values())) or 0
        self.random_access = all(self._entries[name].method == STORED for name in specs)

    def _spec(self, name: str) -> Any:
        """What an array is, from its header alone."""
        head = BytesIO(self._head(self._entries[name]))
        shape, _, dtype = npy_header(head, self.file.path, name)
        require_rows(self.file.path, shape, name)
        need = int(np.prod(shape, dtype=object)) * dtype.itemsize + head.tell()
        if need != self._entries[name].nbytes:
            problem = f"its header promises {need:,} bytes in all, and it has {self._entries[name].nbytes:,}"
            raise data_error(self.file.path, problem, "write it again with np.savez", column=name)
        return replace(describe(np.empty((0, *shape[1:]), dtype)), shape=shape, strides=None, nbytes=need - head.tell())

    def _rate(self) -> dict[str, Any]:
        entry = self._entries.get(_RATE)
        if entry is None:
            return {}
        shape, _, dtype = npy_header(BytesIO(self._head(entry)), self.file.path, _RATE)
        if shape == (1,) and len(self._entries) > 1:
            problem = "has shape (1,), and a sampling rate is a single value"
            raise data_error(
                self.file.path, problem, "store it as a scalar (fs=360.0), or rename the column", column=_RATE
            )
        if shape:
            return {}
        if dtype.kind not in "iuf":
            raise data_error(self.file.path, f"is {dtype} and no sampling rate", "store hertz", column=_RATE)
        rate = self._array(_RATE).value()
        if not 0 < rate < float("inf"):
            raise data_error(self.file.path, f"is {rate} and no sampling rate", "store hertz", column=_RATE)
        return {"fs": rate}

    def _pieces(self, entry: Entry) -> Iterator[Any]:
        """The bytes of an entry as they lie in the file, piece by piece."""
        end = entry.begin + entry.stored
        return (self.file.view(begin, min(begin + _PIECE, end)).data for begin in range(entry.begin, end, _PIECE))

    def _head(self, entry: Entry) -> bytes:
        head = next(self._pieces(entry), b"")
        if entry.method == STORED:
            return bytes(head[: MAX_HEADER + 64])
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(head, MAX_HEADER + 64)

    def _array(self, name: str) -> ArrayBytes:
        """The array, its bytes checked the first time. Two threads may do that at once, to the same end."""
        return self._arrays.get(name) or self._arrays.setdefault(name, self._checked(name))

    def _checked(self, name: str) -> ArrayBytes:
        """The array, in place or decoded, its bytes compared with their checksum."""
        entry, file = self._entries[name], self.file
        stored = entry.method == STORED
        data = file.data[entry.begin : entry.begin + entry.stored] if stored else self._inflated(name, entry)
        crc = 0
        for piece in self._pieces(entry) if stored else (data.data,):
            crc = zlib.crc32(piece, crc)
        if crc != entry.crc:
            raise data_error(file.path, "its checksum (CRC) does not fit its bytes", "the file is damaged", column=name)
        return ArrayBytes(data, file.path, file=file if stored else None, offset=entry.begin, column=name)

    def _inflated(self, name: str, entry: Entry) -> np.ndarray:
        """The decoded bytes, piece by piece into the place where they stay: nothing is held twice."""
        block, position = fresh(entry.nbytes), 0
        decoder, pieces = zlib.decompressobj(-zlib.MAX_WBITS), self._pieces(entry)
        while not decoder.eof:
            piece = decoder.unconsumed_tail or next(pieces, b"")
            decoded = decoder.decompress(piece, _INFLATED)
            fits = (piece or decoded) and position + len(decoded) <= entry.nbytes
            if not fits:
                break
            block[position : position + len(decoded)] = np.frombuffer(decoded, np.uint8)
            position += len(decoded)
        else:
            if position == entry.nbytes and not decoder.unused_data and not next(pieces, b""):
                return block
        raise data_error(self.file.path, "does not become what it declares", "write it again", column=name)

    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """Views of the map where arrays are stored, else of what was decoded, or copies of it. A large one that is
        read whole is handed out instead of being kept.
        """
        self.file.require_unchanged()
        columns: Columns = {}
        for name, spec in self.specs.items():
            entry = self._entries[name]
            is_large = entry.method != STORED and entry.nbytes > KEPT_BYTES
            if is_large and writable and (start, stop) == (0, spec.shape[0]) and name not in self._arrays:
                columns[name] = self._checked(name).release()
            else:
                columns[name] = self._array(name).slice(start, stop, writable=writable)
        return columns

    def take(self, indices: Any) -> Columns:
        """Rows gathered."""
        self.file.require_unchanged()
        return {name: self._array(name).take(indices) for name in self.specs}


class NpzWriter(Writer):
    """What `np.savez` writes, each array where it can be mapped. Columns grow in files without a name, and are put one
    after the other at the end.
    """

    def __init__(self, file: BinaryIO, path: Path, first: Columns, options: WriterOptions) -> None:
        self._file = file
        self._rate = options.settings.get("fs")
        if self._rate is not None and _RATE in first:
            raise data_error(path, "has the place of the sampling rate", "rename the column", column=_RATE)
        with ExitStack() as stack:
            self._columns = {}
            for name, column in first.items():
                if not name.isprintable() or not name:
                    raise data_error(path, "its name does not fit into an archive", "rename it", column=name)
                grown: Any = (
                    BytesIO()  # of what is only tried: the folder need not be there
                    if isinstance(file, BytesIO)
                    else stack.enter_context(
                        tempfile.TemporaryFile(dir=None if isinstance(path, UrlPath) else path.parent)
                    )
                )
                self._columns[name] = NpyWriter(grown, path, {name: column}, options), grown
            self._temporary = stack.pop_all()

    def append(self, columns: Columns) -> None:
        """Write rows."""
        for name, column in columns.items():
            self._columns[name][0].append({name: column})

    def finish(self) -> None:
        """Put the columns together, and write the directory."""
        written = []
        with self._temporary:
            for name, (writer, grown) in self._columns.items():
                writer.finish()
                written.append(self._put(name, grown))
        if self._rate is not None:
            single = BytesIO()
            np.save(single, np.float64(self._rate))
            written.append(self._put(_RATE, single))
        self._file.write(directory(written, self._file.tell()))

    def _put(self, name: str, content: Any) -> tuple[Entry, int]:
        offset, nbytes = self._file.tell(), content.seek(0, 2)
        entry = Entry(name=name + _SUFFIX, method=STORED, crc=0, begin=0, stored=nbytes, nbytes=nbytes)
        self._file.write(local_header(entry, offset, aligned=_ALIGNED))
        content.seek(0)
        crc = 0
        while piece := content.read(_PIECE):
            crc = zlib.crc32(piece, crc)
            self._file.write(piece)
        entry = replace(entry, crc=crc)
        self._file.seek(offset)
        self._file.write(local_header(entry, offset, aligned=_ALIGNED))
        self._file.seek(0, 2)
        return entry, offset


FORMATS = (
    Format(
        name="npz",
        suffixes=(".npz",),
        magic=(b"PK\3\4", b"PK\5\6"),
        about="NumPy's archive of arrays: checksums verified, stored arrays read in place, `fs` as a single value",
        reader=NpzReader,
        writer=NpzWriter,
    ),
)
