"""A file that is open for reading: its bytes by ranges, and whether it is still the file that was opened.

Readers of formats see no more of a file than this, so that it makes no difference to them where its bytes lie.
"""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from weakref import finalize

from bridgeflow.io.files import Roots, data_error, open_regular
from bridgeflow.memory.mapping import close_own, which_file

__all__ = ["Cursor", "Identity", "LocalFile", "OpenedFile", "open_file"]


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


class OpenedFile(ABC):
    """A file that is open for reading; many threads may read from it.

    Attributes:
        path: its name, for messages.
        identity: what it was when it was opened; has `nbytes`.
    """

    path: Path
    identity: Any

    @property
    def nbytes(self) -> int:
        """Its size in bytes when it was opened."""
        return int(self.identity.nbytes)

    @abstractmethod
    def read_at(self, count: int, position: int) -> bytes:
        """The `count` bytes that begin at a position; fewer where the file ends."""

    @abstractmethod
    def read_into(self, view: memoryview, position: int) -> None:
        """Fill writable memory with the bytes that begin at a position.

        Raises:
            DataError: the file ends before that, or has changed.
        """

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:  # noqa: B027  (a local file has no use for it)
        """Say which bytes, `(start, stop)` each, are about to be read, so that few requests can fetch them."""

    @abstractmethod
    def require_unchanged(self) -> None:
        """Refuse to read on in a file that is not as it was when it was opened.

        Raises:
            DataError: it has changed.
        """

    @abstractmethod
    def close(self) -> None:
        """Close it."""


class LocalFile(OpenedFile):
    """A file of this machine, kept open whatever becomes of its name.

    Attributes:
        descriptor: of the file; closed with this object.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self.path = path
        self.descriptor = descriptor
        self.identity = Identity.of(descriptor)
        self._close = finalize(self, close_own, descriptor, which_file(descriptor))

    def read_at(self, count: int, position: int) -> bytes:
        """The bytes as the system gives them."""
        return os.pread(self.descriptor, count, position)

    def read_into(self, view: memoryview, position: int) -> None:
        """Read until the memory is full."""
        done = 0
        while done < len(view):
            count = os.preadv(self.descriptor, [view[done:]], position + done)
            if not count:
                raise data_error(self.path, "has become shorter since it was opened", "let no job write its inputs")
            done += count

    def require_unchanged(self) -> None:
        """Compare what the system says of the file."""
        try:
            identity = Identity.of(self.descriptor)
        except OSError as error:
            raise data_error(self.path, "was closed by other code, by its descriptor", "open it again") from error
        if identity != self.identity:
            raise data_error(self.path, "has changed since it was opened", "open it again when its writer is done")

    def close(self) -> None:
        """Close the descriptor, unless other code has."""
        self._close()


def open_file(path: Path, *, roots: Roots = None) -> OpenedFile:
    """Open a file for reading; arguments and errors as `bridgeflow.io.files.open_regular`."""
    return LocalFile(open_regular(path, roots=roots), path)


class Cursor(io.RawIOBase):
    """A file that is open as a file object of Python, at a position of its own; closing it leaves the file open."""

    def __init__(self, opened: OpenedFile) -> None:
        self._opened = opened
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._position

    def size(self) -> int:
        """Bytes of the file."""
        return self._opened.nbytes

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position, which may lie after the end."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._opened.nbytes}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} lies before the file")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """As many bytes as the memory holds, or as there are."""
        view = memoryview(buffer).cast("B")
        count = max(min(len(view), self._opened.nbytes - self._position), 0)
        self._opened.read_into(view[:count], self._position)
        self._position += count
        return count
