"""Memory that is used again: where a large result has lain, the next of its size is put.

The kernel finds, clears and maps every new page when it is first written to, which takes as long as filtering it. A
pipeline allocates results of the same few sizes again and again, so memory without a holder is kept, up to
`KEPT_NBYTES`, and handed out again: to any thread of this process, and to no other process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

import numpy as np

from bridgeflow._forks import call_in_children

__all__ = ["KEPT_NBYTES", "LINE", "fresh", "trim"]

KEPT_NBYTES: Final = 64 << 20
"""Most bytes that are kept."""

LINE: Final = 64
"""Bytes in a cache line, where all this memory begins."""

_WORTH_WHILE: Final = 1 << 18
"""Bytes from which on memory is kept; the C library keeps smaller pieces itself."""


def fresh(nbytes: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """`nbytes` writable bytes of any content, which are the caller's until the last array over them dies.

    >>> first = fresh(1 << 20)
    >>> address = first.ctypes.data
    >>> del first
    >>> fresh(1 << 20).ctypes.data == address
    True
    """
    if not _WORTH_WHILE <= nbytes <= KEPT_NBYTES:
        return _allocated(nbytes)
    return np.asarray(_Lease(_kept.take(nbytes)))


def trim() -> int:
    """Give what is kept back to the system; return how many bytes that were."""
    return _kept.clear()


def _allocated(nbytes: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    raw = np.empty(nbytes + LINE, np.uint8)
    start = -raw.__array_interface__["data"][0] % LINE
    return raw[start : start + nbytes]


class _Kept:
    """Blocks that wait to be used again, by size; last the size that came back last.

    A block may come back at any moment, even while another is being taken (the garbage collector runs in whichever
    thread allocates). So no caller waits for the lock: without it, it does without kept blocks.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.begin()

    def begin(self) -> None:
        """Begin with nothing, as in a forked child: its copy may be in the midst of a change, and its pages, being the
        parent's too, are not faster to write to than new ones.
        """
        self._blocks: OrderedDict[int, list[Any]] = OrderedDict()
        self._nbytes = 0
        self._lock = Lock()

    def take(self, nbytes: int) -> Any:
        """A block of this size, kept or new."""
        if self._lock.acquire(blocking=False):
            try:
                if nbytes in self._blocks:
                    return self._taken(nbytes, -1)
            finally:
                self._lock.release()
        return _allocated(nbytes)

    def give(self, block: Any) -> None:
        """Keep a block; where there are too many, drop the sizes that have not come back for longest."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            nbytes = block.nbytes
            self._blocks.setdefault(nbytes, []).append(block)
            self._blocks.move_to_end(nbytes)
            self._nbytes += nbytes
            while self._nbytes > self._most:
                self._taken(next(iter(self._blocks)), 0)
        finally:
            self._lock.release()

    def _taken(self, nbytes: int, which: int) -> Any:
        blocks = self._blocks[nbytes]
        self._nbytes -= nbytes
        if len(blocks) == 1:
            del self._blocks[nbytes]
        return blocks.pop(which)

    def clear(self) -> int:
        """Release all; return how many bytes that were."""
        if not self._lock.acquire(blocking=False):
            return 0
        try:
            nbytes, self._nbytes = self._nbytes, 0
            self._blocks.clear()
            return nbytes
        finally:
            self._lock.release()


_kept: Final = _Kept(KEPT_NBYTES)

call_in_children(_kept.begin)


class _Lease:
    """A block in use; the arrays over it hold it, and with the last of them it is returned."""

    __slots__ = ("__array_interface__", "_block")

    def __init__(self, block: Any) -> None:
        self._block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self, give: Callable[[Any], None] = _kept.give) -> None:  # at interpreter exit the globals are cleared
        give(self._block)
