"""A file that is open for reading: its bytes by ranges, and whether it is still the file that was opened.

Readers of formats see no more of a file than this, so that it makes no difference to them where its bytes lie.
"""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from weakref import finalize

from bridgeflow.io.files import Roots, data_error, is_beneath, open_regular, plainly, require_beneath
from bridgeflow.io.stores.blocks import Blocks
from bridgeflow.io.stores.objects import ObjectChanged, ObjectVersion
from bridgeflow.io.stores.options import store_options
from bridgeflow.io.urls import UrlPath, as_path
from bridgeflow.memory.mapping import close_own, which_file

__all__ = [
    "Cursor",
    "Identity",
    "LocalFile",
    "OpenedFile",
    "RemoteFile",
    "WatchedCursor",
    "open_file",
    "open_here",
    "roots_here",
    "stamp_of",
]


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

    def read_pieces(self, pieces: Sequence[tuple[memoryview, int]]) -> None:
        """Fill several pieces of memory, each with the bytes that begin at its position; errors as `read_into`."""
        for view, position in pieces:
            self.read_into(view, position)

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:  # noqa: B027  (a local file has no use for it)
        """Say which bytes, `(start, stop)` each, are about to be read, so that few requests can fetch them."""

    @abstractmethod
    def stamp(self) -> tuple[Any, ...]:
        """What tells this state of the file from others, asked for now; begins with the values of `identity`."""

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

    def stamp(self) -> tuple[int, ...]:
        """The identity, and when anything about the file changed last."""
        return _stamp(os.fstat(self.descriptor))

    def close(self) -> None:
        """Close the descriptor, unless other code has."""
        self._close()


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class RemoteFile(OpenedFile):
    """A file of an object store or a web server, read by ranges of the version that was opened.

    Nothing is open between two requests: in another process, after a fork, it is read on. A server that gives no
    ranges is asked for the whole once.

    Args:
        path: its URL.
        roots: URLs among them say where redirects may lead; `None` for anywhere.
    """

    path: UrlPath
    identity: ObjectVersion

    def __init__(self, path: UrlPath, *, roots: Roots = None) -> None:
        self.path = path
        self._roots = roots
        with plainly(path):
            self.identity, head, whole = path.store.open(path.url, store_options().block_nbytes, self._allowed)
        self._whole = None if whole is None else LocalFile(whole, path)
        if not self.nbytes:
            raise data_error(path, "is empty (0 bytes)", "nothing was written to it, or its writer was cut off")
        self._blocks = Blocks(self.nbytes, self._fetch, head)

    @property
    def _allowed(self) -> Any:
        roots = self._roots
        return None if roots is None else lambda url: is_beneath(as_path(url), roots)

    def _fetch(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        try:
            with plainly(self.path):
                return self.path.store.ranges(self.path.url, self.identity, ranges, self._allowed)
        except ObjectChanged:
            remedy = "open it again when its writer is done"
            raise data_error(self.path, "has changed since it was opened", remedy) from None

    def read_at(self, count: int, position: int) -> bytes:
        """From blocks that are there, or a request."""
        content = bytearray(max(min(count, self.nbytes - position), 0))
        self.read_into(memoryview(content), position)
        return bytes(content)

    def read_into(self, view: memoryview, position: int) -> None:
        """From blocks that are there, or requests."""
        self.read_pieces([(view, position)])

    def read_pieces(self, pieces: Sequence[tuple[memoryview, int]]) -> None:
        """From blocks that are there, and what is missing by few requests side by side."""
        if self._whole is not None:
            self._whole.read_pieces(pieces)
            return
        for view, position in pieces:
            if position < 0 or position + len(view) > self.nbytes:
                problem = f"has {self.nbytes:,} bytes, and {len(view):,} from byte {position:,} on are needed"
                raise data_error(self.path, problem, "it is damaged or cut off")
        self._blocks.read_pieces([(view.cast("B"), position) for view, position in pieces if len(view)])

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Fetch what of the ranges is missing."""
        if self._whole is None:
            self._blocks.load(ranges)

    def require_unchanged(self) -> None:
        """Nothing: each request asks for the version that was opened, and gets it or is an error."""

    def stamp(self) -> tuple[Any, ...]:
        """The version as it is now."""
        with plainly(self.path):
            return tuple(self.path.store.version(self.path.url, self._allowed))

    def close(self) -> None:
        """Close the file that holds the whole, where there is one; blocks are dropped with this object."""
        if self._whole is not None:
            self._whole.close()


def stamp_of(path: Path) -> tuple[Any, ...]:
    """What `OpenedFile.stamp` would say of a file, which is not opened."""
    with plainly(path):
        if isinstance(path, UrlPath):
            return tuple(path.store.version(path.url))
        return _stamp(os.stat(path))


def open_file(path: Path, *, roots: Roots = None) -> OpenedFile:
    """Open a file for reading; arguments and errors as `bridgeflow.io.files.open_regular`. A URL must lie beneath one
    of those among the roots.
    """
    if isinstance(path, UrlPath):
        require_beneath(path, roots)
        return RemoteFile(path, roots=roots)
    return LocalFile(open_regular(path, roots=roots), path)


def open_here(path: Path) -> OpenedFile:
    """Open a file; of a web server, only where it is not redirected to another host."""
    return open_file(path, roots=roots_here(path))


def roots_here(path: Path) -> Roots:
    """The bucket or the host of a URL, beyond which nothing is followed; `None` for a file of this machine."""
    return ([path, *path.parents][-1],) if isinstance(path, UrlPath) else None


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


class WatchedCursor(Cursor):
    """A cursor for libraries that cannot pass on what Python raises while they read: they see the end of the file, and
    `check` raises it afterwards.
    """

    def __init__(self, opened: OpenedFile) -> None:
        super().__init__(opened)
        self._error: Exception | None = None

    def readinto(self, buffer: Any) -> int:
        """As many bytes as there are; none after an error."""
        try:
            return super().readinto(buffer)
        except Exception as error:
            self._error = self._error or error
            return 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raise what happened while the block read, instead of what the library makes of it."""
        self._error = None
        try:
            yield
        finally:
            error, self._error = self._error, None
            if error is not None:
                raise error from None
