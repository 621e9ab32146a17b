"""A file mapped into memory: one map to look at, shared by all, and private ones to hand out.

What a caller is given must be his alone: he may write to it, and neither the file nor what the next caller is given may
change. So every piece that is handed out stands on copy-on-write pages of its own, or, where it is small, on a copy,
which then costs less than the page faults of a new map.

The maps are the system's own rather than `mmap.mmap`, each of which would hold a file descriptor as long as any array.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path
from typing import Any, NamedTuple
from weakref import finalize

import numpy as np

from bridgeflow.io.files import data_error
from bridgeflow.memory.mapping import NORESERVE, close_own, which_file
from bridgeflow.memory.reuse import fresh

__all__ = ["COPIED_BELOW", "Held", "HeldFile", "Identity", "MappedFile"]

COPIED_BELOW = 4 << 20
"""Bytes below which a copy costs less than a map, whose time goes into page faults: more so if it is written to."""

_FAILED = ctypes.c_void_p(-1).value

_system = ctypes.CDLL(None, use_errno=True)
_map = _system.mmap
_map.restype = ctypes.c_void_p
_map.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_unmap = _system.munmap
_unmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Identity(NamedTuple):
    """Which file it is, and in which state."""

    device: int
    inode: int
    nbytes: int
    modified_ns: int

    @classmethod
    def of(cls, descriptor: int) -> Identity:
        """The identity of an open file."""
        status = os.fstat(descriptor)
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class _Pages:
    """Pages of a file, unmapped when the last array over them is gone."""

    __slots__ = ("__array_interface__", "__weakref__", "_address", "_length")

    def __init__(self, descriptor: int, start: int, length: int, *, private: bool) -> None:
        self._length = 0
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if private else 0)
        # Not reserving: pages that are never written to need no memory, however long the file is.
        flags = mmap.MAP_PRIVATE | NORESERVE if private else mmap.MAP_SHARED
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
        reads: whether what is handed out is read into memory rather than mapped: a map of a file that another process
            makes shorter ends this process when it is looked at, maybe long after.
    """

    def __init__(self, path: Path, identity: Any = None) -> None:
        self.path = path
        self.identity = identity
        self.closed = False
        self.reads = False

    @property
    def nbytes(self) -> int | None:
        """Bytes of the file, or of all files; `None` for what is in memory."""
        if self.identity is None:
            return None
        several = [self.identity] if isinstance(self.identity, Identity) else self.identity
        return sum(one.nbytes for one in several)

    def require_unchanged(self) -> None:
        """Refuse to read on in what is not as it was when it was opened."""

    def close(self) -> None:
        """Let go of it; arrays over it stay valid."""
        self.closed = True


class HeldFile(Held):
    """A file kept open for reading, whatever becomes of its name.

    Attributes:
        descriptor: a duplicate of the caller's.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(path, Identity.of(descriptor))
        self.descriptor = os.dup(descriptor)  # child programs do not inherit it, like all that Python opens
        self._close = finalize(self, close_own, self.descriptor, which_file(self.descriptor))

    def require_unchanged(self) -> None:
        """Refuse to read on in a file that is being written: its values are not those that were checked, and reading
        behind the end of a map whose file became shorter kills the process.

        Raises:
            DataError: the file is not as it was when it was opened.
        """
        try:
            identity = Identity.of(self.descriptor)
        except OSError as error:
            raise data_error(self.path, "was closed by other code, by its descriptor", "open it again") from error
        if identity != self.identity:
            raise data_error(self.path, "has changed since it was opened", "open it again when its writer is done")

    def close(self) -> None:
        """Let go of the file; arrays over it stay valid."""
        super().close()
        self._close()


class MappedFile(HeldFile):
    """A file held open and mapped.

    Attributes:
        data: all its bytes, `[nbytes]` uint8, read-only, for everybody to look at.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(descriptor, path)
        self.data: Any = np.asarray(_Pages(self.descriptor, 0, self.identity.nbytes, private=False))

    def private(self, start: int, stop: int) -> Any:
        """The bytes `start` to `stop`, `[stop - start]` uint8, writable, for one caller alone.

        Raises:
            DataError: with `reads`, the file ends before `stop`.
        """
        if self.reads:
            return self._read(start, stop)
        if stop - start < COPIED_BELOW:
            made = fresh(stop - start)
            np.copyto(made, self.data[start:stop])
            return made
        first = start - start % mmap.ALLOCATIONGRANULARITY
        return np.asarray(_Pages(self.descriptor, first, stop - first, private=True))[start - first :]

    def _read(self, start: int, stop: int) -> Any:
        made = fresh(stop - start)
        view, done = memoryview(made.data), 0
        while done < len(view):
            count = os.preadv(self.descriptor, [view[done:]], start + done)
            if not count:
                raise data_error(self.path, "has become shorter since it was opened", "let no job write its inputs")
            done += count
        return made
