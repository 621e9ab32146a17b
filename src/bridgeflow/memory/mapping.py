"""Memory mappings whose lifetime is that of the arrays over them.

`mmap.mmap` would keep a second file descriptor for each mapping, and a process has few (1024 unless raised); the C
library's own calls keep none.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
import weakref
from contextlib import suppress
from typing import Any, Final, Literal, TypeAlias

import numpy as np

__all__ = ["NORESERVE", "Access", "Descriptor", "Mapping", "close_own", "which_file"]

Access: TypeAlias = Literal["shared", "private"]
"""Writes reach every process that maps the memory; or they stay here, on pages copied when first written to."""

_MAP_FAILED: Final = ctypes.c_void_p(-1).value
_MAP_FIXED: Final = 0x10
NORESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)
"""For mmap: pages that are never written to need no memory. The number differs from system to system."""


if hasattr(mmap, "MAP_PRIVATE"):  # Windows has none of it: nothing is mapped there
    _libc = ctypes.CDLL(None, use_errno=True)
    _mmap = _libc.mmap
    _mmap.restype = ctypes.c_void_p
    _mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    _munmap = _libc.munmap
    _munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    _madvise = _libc.madvise
    _madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Mapping:
    """The pages of a file descriptor in this process, until the last array over them dies.

    Args:
        descriptor: what to map; kept alive beside the mapping.
        nbytes: length, at least 1.
        access: `"shared"`, or `"private"` for copy-on-write.
        offset: where it begins, on a page's boundary.

    Raises:
        OSError: the address space or the number of mappings is used up.
    """

    def __init__(self, descriptor: Descriptor, nbytes: int, access: Access, offset: int = 0) -> None:
        self.descriptor = descriptor
        self.nbytes = nbytes
        self.access: Access = access
        self._offset = offset
        self.address = self._map(None, 0)
        # At exit the kernel unmaps: other exit handlers and threads may still look at the memory.
        weakref.finalize(self, _munmap, self.address, nbytes).atexit = False

    def _map(self, address: int | None, flags: int) -> int:
        flags |= mmap.MAP_SHARED if self.access == "shared" else mmap.MAP_PRIVATE | NORESERVE
        rights = mmap.PROT_READ | mmap.PROT_WRITE
        mapped = _mmap(address, self.nbytes, rights, flags, self.descriptor.fd, self._offset)
        if mapped is None or mapped == _MAP_FAILED:
            number = ctypes.get_errno() or errno.ENOMEM
            raise OSError(number, os.strerror(number))
        return int(mapped)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {"data": (self.address, False), "shape": (self.nbytes,), "typestr": "|u1", "version": 3}

    def bytes(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """All of it, uint8 `[nbytes]`; this array, and any view of it, keeps the mapping."""
        return np.asarray(self)

    def forget(self, start: int, nbytes: int) -> None:
        """Drop the private copies of these pages (`start` on a page's boundary): what others wrote is seen again."""
        if _madvise(self.address + start, nbytes, mmap.MADV_DONTNEED) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def detach(self, nbytes: int) -> None:
        """Part from the shared memory: arrays over the first `nbytes` go on with their values, on private pages."""
        values = self.bytes()[:nbytes].copy()
        self.access = "private"
        self._map(self.address, _MAP_FIXED)
        self.bytes()[:nbytes] = values


class Descriptor:
    """A file descriptor that is closed with the last reference to it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        weakref.finalize(self, close_own, fd, which_file(fd)).atexit = False


def which_file(fd: int) -> tuple[int, int]:
    """What tells the open file of a descriptor from another one that has got its number since."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def close_own(fd: int, file: tuple[int, int]) -> None:
    """Close a descriptor, unless other code has: by then its number may be another file's."""
    with suppress(OSError):
        if which_file(fd) == file:
            os.close(fd)
