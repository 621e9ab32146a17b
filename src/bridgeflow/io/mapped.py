"""A file mapped into memory: one read-only map that all readers share, and private memory to hand out.

A caller may write to its arrays, and neither the file nor the arrays of the next caller may change. So every piece that
is handed out stands on copy-on-write pages of its own, or, where it is small, on a copy, which then costs
less than the page faults of a new map.

The maps are the system's own rather than `mmap.mmap`, each of which would hold a file descriptor as long as any array.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from bridgeflow.io.opened import Identity, LocalFile, OpenedFile
from bridgeflow.io.stores.objects import ObjectVersion
from bridgeflow.memory.mapping import NORESERVE
from bridgeflow.memory.reuse import fresh

__all__ = ["COPIED_BELOW", "WIDEST", "FileBytes", "Held", "HeldFile", "MappedFile", "unpack_at"]

COPIED_BELOW = 4 << 20
"""Bytes below which a copy costs less than a map, whose time goes into page faults: more so if it is written to."""

WIDEST = 1 << 30
"""Most bytes of a row that is gathered."""

_FAILED = ctypes.c_void_p(-1).value

_unmap: Any = None
if hasattr(mmap, "MAP_PRIVATE"):  # Windows has none of it, and `open_regular` opens no file there
    _system = ctypes.CDLL(None, use_errno=True)
    _map = _system.mmap
    _map.restype = ctypes.c_void_p
    _map.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    _unmap = _system.munmap
    _unmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class _Pages:
    """Pages of a file, or of zeros (descriptor -1), unmapped when the last array over them is released."""

    __slots__ = ("__array_interface__", "__weakref__", "_address", "_length")

    def __init__(self, descriptor: int, start: int, length: int, *, private: bool) -> None:
        self._length = 0
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if private else 0)
        # Not reserving: pages that are never written to need no memory, however long the file is.
        flags = mmap.MAP_PRIVATE | NORESERVE if private else mmap.MAP_SHARED
        flags |= mmap.MAP_ANONYMOUS if descriptor < 0 else 0
        address = _map(None, length, protection, flags, descriptor, start)
        if address == _FAILED:
            error = ctypes.get_errno()
            raise OSError(error, f"cannot map {length:,} bytes: {os.strerror(error)}")
        self._address, self._length = address, length
        self.__array_interface__ = {"data": (address, not private), "shape": (length,), "typestr": "|u1", "version": 3}

    def __del__(self, unmap: Any = _unmap) -> None:
        if self._length:
            unmap(self._address, self._length)


class Held:
    """What a source reads from.

    Attributes:
        path: its name, for messages.
        identity: what it was when it was opened; `None` for what is in memory.
    """

    def __init__(self, path: Path, identity: Any = None) -> None:
        self.path = path
        self.identity = identity
        self.closed = False

    @property
    def nbytes(self) -> int | None:
        """Bytes of the file, or of all files; `None` for what is in memory."""
        if self.identity is None:
            return None
        several = [self.identity] if isinstance(self.identity, (Identity, ObjectVersion)) else self.identity
        return sum(one.nbytes for one in several)

    def require_unchanged(self) -> None:
        """Refuse to read on in what is not as it was when it was opened."""

    def close(self) -> None:
        """Close it; arrays over it stay valid."""
        self.closed = True


class HeldFile(Held):
    """A file kept open for reading, whatever becomes of its name.

    Attributes:
        opened: the file, which is closed with this.
    """

    def __init__(self, opened: OpenedFile) -> None:
        super().__init__(opened.path, opened.identity)
        self.opened = opened

    def require_unchanged(self) -> None:
        """Refuse to read on in a file that is being written: its values are not those that were checked, and reading
        beyond the end of a map whose file became shorter kills the process.

        Raises:
            DataError: the file is not as it was when it was opened.
        """
        self.opened.require_unchanged()

    def close(self) -> None:
        """Close the file; arrays over it stay valid."""
        super().close()
        self.opened.close()


class _ReadBytes:
    """The bytes of a file that is not to be mapped: a slice of them is read when it is asked for."""

    def __init__(self, file: MappedFile, memory: Any) -> None:
        self._file = file
        self._memory = memory

    def __len__(self) -> int:
        return len(self._memory)

    def __getitem__(self, piece: slice) -> memoryview:
        start, stop, _ = piece.indices(len(self))
        block = self._memory[start : max(start, stop)]
        self._file.opened.read_into(memoryview(block.data), start)
        return memoryview(block)


FileBytes: TypeAlias = memoryview | _ReadBytes
"""The bytes of a file, to be looked at by slices."""


def unpack_at(form: struct.Struct | str, data: FileBytes, position: int) -> tuple[Any, ...]:
    """`struct.unpack_from`, of bytes that are looked at by slices."""
    form = struct.Struct(form) if isinstance(form, str) else form
    return form.unpack(data[position : position + form.size])


class MappedFile(HeldFile):
    """A file held open and mapped.

    Attributes:
        data: all its bytes, `[nbytes]` uint8, read-only; where values are read rather than mapped, zeros, but for what
            was sliced from `bytes`.
        bytes: all its bytes, for what is looked at when the file is opened.
        reads: whether values are read into memory rather than mapped: a map of a file that another process makes
            shorter ends this process when it is looked at, maybe long after. The methods raise `DataError` instead.
    """

    def __init__(self, opened: OpenedFile, *, mapped: bool = True) -> None:
        super().__init__(opened)
        self._descriptor = opened.descriptor if mapped and isinstance(opened, LocalFile) else -1
        self.reads = self._descriptor < 0
        pages = _Pages(self._descriptor, 0, opened.nbytes, private=self.reads)
        memory: Any = np.asarray(pages)
        self.data = memory.view()
        self.data.flags.writeable = False
        self.bytes: FileBytes = _ReadBytes(self, memory) if self.reads else memoryview(self.data)

    def view(self, start: int, stop: int) -> Any:
        """The bytes `start` to `stop`, `[stop - start]` uint8, for looking at: those of the map, which all share."""
        return self.copy(start, stop) if self.reads else self.data[start:stop]

    def copy(self, start: int, stop: int) -> Any:
        """The same in new memory."""
        block = fresh(stop - start)
        if self.reads:
            self.opened.read_into(memoryview(block.data), start)
        else:
            np.copyto(block, self.data[start:stop])
        return block

    def private(self, start: int, stop: int) -> Any:
        """The same, writable, for one caller alone: copy-on-write pages, or where that is cheaper, a copy."""
        if self.reads or stop - start < COPIED_BELOW:
            return self.copy(start, stop)
        first = start - start % mmap.ALLOCATIONGRANULARITY
        return np.asarray(_Pages(self._descriptor, first, stop - first, private=True))[start - first :]

    def gather(self, width: int, offsets: Any) -> Any:
        """The `width` bytes that begin at each offset, `[len(offsets)]` of `V<width>`, in new memory."""
        if not self.reads:
            return np.ndarray((len(self.data) - width + 1,), f"V{width}", self.data, strides=(1,))[offsets]
        block = fresh(width * len(offsets))
        cuts = np.flatnonzero(np.diff(offsets) != width) + 1
        runs = zip([0, *cuts.tolist()], [*cuts.tolist(), len(offsets)], strict=True)
        view = memoryview(block.data)
        self.opened.read_pieces(
            [(view[begin * width : end * width], int(offsets[begin])) for begin, end in runs if begin < end]
        )
        return np.ndarray((len(offsets),), f"V{width}", block)
