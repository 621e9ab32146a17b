"""Anonymous shared memory: allocated in full, sealed, without a name, for as long as a process maps it."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bridgeflow.errors import DataError, NoRoute, OutOfSharedMemory, UnsupportedSystem
from bridgeflow.memory.available import available
from bridgeflow.memory.handles import Handle, hand_over
from bridgeflow.memory.mapping import Access, Descriptor, Mapping

__all__ = ["Segment", "require_shared_memory", "segment_of"]

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NEEDED: Final = (
    ("os", os, ("memfd_create", "MFD_CLOEXEC", "MFD_ALLOW_SEALING", "posix_fallocate")),
    ("fcntl", fcntl, ("F_ADD_SEALS", "F_GET_SEALS", "F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_SEAL")),
    ("socket", socket, ("SO_PEERCRED", "MSG_CMSG_CLOEXEC", "send_fds")),
)
_ASKED_FIRST: Final = 1 << 20
"""From this size on the system is asked how much there is: the kernel does not refuse, it kills a process."""


class Segment:
    """A piece of memory that several processes can map.

    It is a memfd: it has no name, so nothing remains when processes are killed, and /dev/shm plays no part. Its
    pages are allocated when it is created and its size is sealed, so that no later access can end in SIGBUS.

    Arrays over it keep the mapping; the descriptor is closed and the memory given back when the last of them, and the
    segment itself, are deleted. Pickling sends a handle (see `bridgeflow.memory.handles`), whatever the size.
    `copy.deepcopy` copies the memory.

    Args:
        nbytes: size; 0 is allowed.

    Raises:
        OutOfSharedMemory: no memory, file descriptor or address space is left; says how much was asked for, and what
            there is.
        UnsupportedSystem: the system has no such memory.

    >>> segment = Segment(1 << 20)
    >>> x = segment.array((2, 3), "float32")
    >>> x[:] = 1
    >>> segment.array((6,), "float32").sum()
    np.float32(6.0)
    """

    def __init__(self, nbytes: int) -> None:
        if nbytes < 0:
            raise ValueError(f"nbytes: a segment has 0 bytes or more, got {nbytes}")
        require_shared_memory("a Segment", "memory of one process is np.empty()")
        self.nbytes = nbytes
        self._mapping = _mapped(_allocated(max(nbytes, 1)), max(nbytes, 1), "shared")

    @classmethod
    def _over(cls, mapping: Mapping, nbytes: int) -> Segment:
        segment = cls.__new__(cls)
        segment.nbytes = nbytes
        segment._mapping = mapping
        return segment

    @property
    def access(self) -> Access:
        """`"shared"`, or `"private"`: whether what is written here is seen by others."""
        return self._mapping.access

    @property
    def mapping(self) -> Mapping:
        """The mapping that arrays over the segment keep alive."""
        return self._mapping

    def private(self) -> Segment:
        """The same memory, mapped copy-on-write: what is written through it stays in this process.

        A page that has been written to no longer shows what others write to it.
        """
        return Segment._over(_mapped(self._mapping.descriptor, self._mapping.nbytes, "private"), self.nbytes)

    def array(self, shape: Sequence[int], dtype: npt.DTypeLike, offset: int = 0) -> np.ndarray[Any, Any]:
        """An array over the memory, in C order, beginning `offset` bytes from its start.

        Raises:
            DataError: it would reach beyond the end.
            NoRoute: the dtype holds Python objects, which mean nothing to another process.
        """
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise NoRoute(
                "dtype", f"{kind} holds Python objects, which cannot be shared", "use a dtype of plain values"
            )
        needed = prod(shape) * kind.itemsize
        if offset < 0 or offset + needed > self.nbytes:
            raise DataError(
                f"{kind}{list(shape)} at offset {offset:,} needs {needed:,} bytes, and the segment has {self.nbytes:,}"
            )
        array: np.ndarray[Any, Any] = np.ndarray(tuple(shape), kind, self._mapping.bytes(), offset)
        return array

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (hand_over(self._mapping.descriptor), self.nbytes, self.access)

    def __deepcopy__(self, memo: dict[int, Any]) -> Segment:
        copied = Segment(self.nbytes)
        copied._mapping.bytes()[:] = self._mapping.bytes()
        return copied

    def __repr__(self) -> str:
        return f"Segment({self.nbytes}, access={self.access!r})"


def segment_of(x: Any) -> tuple[Segment, int] | None:
    """The segment that an ndarray looks at, and the byte where its first element lies; `None` for other memory."""
    base = x
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, Mapping):
        return None
    return Segment._over(base, base.nbytes), x.__array_interface__["data"][0] - base.address


def require_shared_memory(needed_for: str, remedy: str) -> None:
    """Refuse, by its name, what needs memory that processes share, on a system that has none of our kind.

    Raises:
        UnsupportedSystem: the system, or the C library that Python was built with, lacks memfd_create or file seals.
    """
    lacking = [f"{title}.{name}" for title, module, names in _NEEDED for name in names if not hasattr(module, name)]
    if lacking:
        raise UnsupportedSystem(
            f"{needed_for}: needs memory that processes share, and this system ({sys.platform}) lacks "
            f"{', '.join(lacking)}; {remedy}"
        )


def _seals() -> int:
    return fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def _allocated(nbytes: int) -> Descriptor:
    if nbytes >= _ASKED_FIRST:
        left = available()
        if left is not None and nbytes > left:
            raise _refusal(nbytes, errno.ENOMEM)
    try:
        descriptor = Descriptor(os.memfd_create("bridgeflow", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.posix_fallocate(descriptor.fd, 0, nbytes)
        fcntl.fcntl(descriptor.fd, fcntl.F_ADD_SEALS, _seals())
    except OverflowError:
        raise _refusal(nbytes, errno.EFBIG) from None
    except OSError as error:
        raise _refusal(nbytes, error.errno or errno.ENOMEM) from error
    return descriptor


def _mapped(descriptor: Descriptor, nbytes: int, access: Access) -> Mapping:
    try:
        return Mapping(descriptor, nbytes, access)
    except OSError as error:
        raise _refusal(nbytes, error.errno or errno.ENOMEM) from error


def _received(handle: Handle, nbytes: int, access: Access) -> Segment:
    descriptor = handle.open()
    size = os.fstat(descriptor.fd).st_size
    # Only what can neither shrink nor grow is touched: anything else could end in SIGBUS later.
    if size < nbytes or fcntl.fcntl(descriptor.fd, fcntl.F_GET_SEALS) & _seals() != _seals():
        raise DataError(f"the handle of {nbytes:,} bytes leads to {size:,} bytes that are not sealed as a segment is")
    return Segment._over(_mapped(descriptor, max(nbytes, 1), access), nbytes)


def _refusal(nbytes: int, number: int) -> OutOfSharedMemory:
    return OutOfSharedMemory(needed=nbytes, number=number, available=available())
