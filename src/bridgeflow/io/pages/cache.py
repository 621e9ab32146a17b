"""Decoded pages that are kept: a row of a compressed page costs the whole page, and its neighbours may be next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from threading import Lock
from typing import Any, Final
from weakref import WeakSet

from bridgeflow._forks import call_in_children
from bridgeflow.memory.available import installed

__all__ = ["KEPT", "KEPT_NBYTES", "PageCache"]

KEPT_NBYTES: Final = min(512 << 20, (installed() or 4 << 30) // 32)
"""Most bytes of decoded pages that a process keeps, of all files: 512 MiB on machines with 16 GiB and more."""

_FEWEST = 2
"""Pages that are kept in any case: the one that two neighbouring slices share, and its dictionary."""

_LIVE: WeakSet[PageCache] = WeakSet()


class PageCache:
    """Arrays by key; those that were not asked for the longest are dropped first. Serves many threads.

    A key is a tuple that begins with the owner of the array.

    Args:
        most: bytes to keep.
    """

    def __init__(self, most: int = KEPT_NBYTES) -> None:
        self.most = most
        self.forget()
        _LIVE.add(self)

    def forget(self) -> None:
        """Begin with nothing kept or locked, as in a forked child, whose copy may be in the midst of a change."""
        self._lock = Lock()
        self._kept: OrderedDict[tuple[Hashable, ...], Any] = OrderedDict()
        self._nbytes = 0

    def get_many(self, keys: Sequence[tuple[Hashable, ...]]) -> list[Any]:
        """The array of each key; `None` where it is not kept."""
        with self._lock:
            arrays = [self._kept.get(key) for key in keys]
            for key, array in zip(keys, arrays, strict=True):
                if array is not None:
                    self._kept.move_to_end(key)
            return arrays

    def put(self, key: tuple[Hashable, ...], array: Any) -> None:
        """Keep an array, which must not be written to any more."""
        with self._lock:
            before = self._kept.pop(key, None)
            self._nbytes += array.nbytes - (0 if before is None else before.nbytes)
            self._kept[key] = array
            while self._nbytes > self.most and len(self._kept) > _FEWEST:
                self._nbytes -= self._kept.popitem(last=False)[1].nbytes

    def drop(self, owner: Hashable) -> None:
        """Drop what an owner has kept. May be called at any moment, even by the garbage collector in a thread that
        holds the lock; then the arrays stay until they are the oldest.
        """
        if self._lock.acquire(blocking=False):
            try:
                for key in [key for key in self._kept if key[0] == owner]:
                    self._nbytes -= self._kept.pop(key).nbytes
            finally:
                self._lock.release()


KEPT: Final = PageCache()
"""The pages of all files that this process reads."""


def _forget_in_child() -> None:
    for cache in _LIVE:
        cache.forget()


call_in_children(_forget_in_child)
