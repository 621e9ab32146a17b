"""Blocks of remote files: kept while they are used, fetched few requests at a time, ahead of who reads on.

All remote files of a process share one cache of bounded bytes. A block that one thread is fetching is waited for by the
others; blocks that lie near each other are fetched by one request.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from threading import Event
from typing import Final
from weakref import WeakSet, finalize

from bridgeflow._forks import ForkLock, call_in_children
from bridgeflow.io.stores.options import store_options

__all__ = ["Blocks"]

_LONGEST: Final = 8 << 20
"""Most bytes of one request."""

_GAP: Final = 2
"""Blocks that nobody asked for, between others, that are fetched with them rather than by a request of their own."""

_FRONTS: Final = 16
"""Places up to which a file is being read front to back that are remembered."""

Fetch = Callable[[Sequence[tuple[int, int]]], "list[bytes]"]


class _Cache:
    """Blocks of all files, those used last."""

    def __init__(self) -> None:
        self.lock = ForkLock()
        self.nbytes = 0
        self.dropped: deque[int] = deque()
        """Files that are used no longer. Written to by the garbage collector, which may run where the lock is held."""
        self._blocks: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def get(self, key: tuple[int, int]) -> bytes | None:
        """A block; the caller holds the lock."""
        block = self._blocks.get(key)
        if block is not None:
            self._blocks.move_to_end(key)
        return block

    def put(self, key: tuple[int, int], block: bytes) -> None:
        """Keep a block; the caller holds the lock."""
        if self.dropped:
            self._forget_dropped()
        self.nbytes += len(block) - len(self._blocks.pop(key, b""))
        self._blocks[key] = block
        while self.nbytes > store_options().cache_nbytes and self._blocks:
            self.nbytes -= len(self._blocks.popitem(last=False)[1])

    def _forget_dropped(self) -> None:
        files = {self.dropped.popleft() for _ in range(len(self.dropped))}
        for key in [key for key in self._blocks if key[0] in files]:
            self.nbytes -= len(self._blocks.pop(key))

    def clear(self) -> None:
        """Forget all."""
        self._blocks.clear()
        self.nbytes = 0


_cache = _Cache()
_numbers = count()
_LIVE: WeakSet[Blocks] = WeakSet()


class Blocks:
    """The bytes of one version of a file, by blocks.

    Args:
        nbytes: of the file.
        fetch: fetches ranges, `(start, stop)` each.
        head: its first bytes, where they are known.
    """

    def __init__(self, nbytes: int, fetch: Fetch, head: bytes = b"") -> None:
        self._nbytes = nbytes
        self._fetch = fetch
        self._number = next(_numbers)
        self._width = store_options().block_nbytes
        self.begin_in_child()
        _LIVE.add(self)
        finalize(self, _cache.dropped.append, self._number).atexit = False
        if len(head) >= min(self._width, nbytes):
            with _cache.lock:
                _cache.put((self._number, 0), bytes(head[: self._width]))

    def begin_in_child(self) -> None:
        """Wait for nothing that the threads of the parent are fetching."""
        self._pending: dict[int, Event] = {}
        self._fronts: OrderedDict[int, int] = OrderedDict()

    def read_pieces(self, pieces: Sequence[tuple[memoryview, int]]) -> None:
        """Fill each piece of memory with the bytes that begin at its position, by few requests."""
        held: list[tuple[memoryview, int]] = []
        numbers: set[int] = set()
        most = self._most
        for view, position in pieces:
            if not len(view):
                continue
            if len(view) >= _LONGEST:
                self._read_directly(view, position)
                continue
            first, last = position // self._width, (position + len(view) - 1) // self._width
            if first not in numbers or last not in numbers:
                mine = range(first, last + 1)
                if held and len(numbers) + len(mine) > most:
                    self._fill(held, numbers, 0)
                    held, numbers = [], set()
                numbers.update(mine)
            held.append((view, position))
        if held:
            ahead = self._ahead(held[0][1], held[-1][1] + len(held[-1][0])) if len(pieces) == 1 else 0
            self._fill(held, numbers, ahead)

    @property
    def _most(self) -> int:
        """How many blocks are fetched at a time: half the cache, but as many as there are requests side by side."""
        options = store_options()
        return max(options.cache_nbytes // 2 // self._width, options.requests)

    def load(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetch the blocks of these ranges, as many as half the cache holds."""
        most = self._most
        numbers: set[int] = set()
        for start, stop in ranges:
            if start < stop:
                numbers.update(range(start // self._width, (min(stop, self._nbytes) - 1) // self._width + 1))
            if len(numbers) >= most:
                break
        self._blocks(sorted(numbers)[:most], 0)

    def _read_directly(self, view: memoryview, position: int) -> None:
        """Long stretches go past the cache, which they would only empty."""
        at_a_time = store_options().requests
        cuts = list(range(0, len(view), _LONGEST))
        for first in range(0, len(cuts), at_a_time):
            some = [(cut, min(cut + _LONGEST, len(view))) for cut in cuts[first : first + at_a_time]]
            parts = self._fetch([(position + start, position + stop) for start, stop in some])
            for (start, stop), part in zip(some, parts, strict=True):
                view[start:stop] = part

    def _ahead(self, start: int, stop: int) -> int:
        """How many blocks to fetch beyond the end: twice as many each time that a read begins where another ended."""
        with _cache.lock:
            window = self._fronts.pop(start, 0)
            self._fronts[stop] = min(max(2 * window, self._width), store_options().read_ahead_nbytes)
            while len(self._fronts) > _FRONTS:
                self._fronts.popitem(last=False)
        return window // self._width

    def _fill(self, pieces: Sequence[tuple[memoryview, int]], numbers: set[int], ahead: int) -> None:
        blocks = self._blocks(sorted(numbers), ahead)
        for view, position in pieces:
            done = 0
            while done < len(view):
                number, begin = divmod(position + done, self._width)
                part = blocks[number][begin : begin + len(view) - done]
                view[done : done + len(part)] = part
                done += len(part)

    def _blocks(self, numbers: Sequence[int], ahead: int) -> dict[int, bytes]:
        """Blocks by their numbers."""
        blocks: dict[int, bytes] = {}
        while True:
            mine: list[int] = []
            others: list[Event] = []
            with _cache.lock:
                for number in numbers:
                    if number in blocks:
                        continue
                    block = _cache.get((self._number, number))
                    if block is not None:
                        blocks[number] = block
                    elif number in self._pending:
                        others.append(self._pending[number])
                    else:
                        mine.append(number)
                needed = set(mine)
                if mine:
                    mine += self._extra(mine[-1], ahead)
                done = Event()
                self._pending.update(dict.fromkeys(mine, done))
            if not mine and not others:
                return blocks
            try:
                if mine:
                    blocks.update((number, block) for number, block in self._fetched(mine) if number in needed)
            finally:
                with _cache.lock:
                    for number in mine:
                        self._pending.pop(number, None)
                done.set()
            for event in others:
                event.wait()

    def _extra(self, last: int, ahead: int) -> list[int]:
        """The blocks after the last one that are to be read ahead; up to one that is there already."""
        extra: list[int] = []
        for number in range(last + 1, min(last + 1 + ahead, -(-self._nbytes // self._width))):
            if number in self._pending or _cache.get((self._number, number)) is not None:
                break
            extra.append(number)
        return extra

    def _fetched(self, numbers: Sequence[int]) -> list[tuple[int, bytes]]:
        """Fetch blocks, which are then kept, and those between them."""
        runs: list[tuple[int, int]] = []
        for number in numbers:
            first, last = runs[-1] if runs else (0, 0)
            if runs and number - last <= _GAP and (number + 1 - first) * self._width <= _LONGEST:
                runs[-1] = first, number + 1
            else:
                runs.append((number, number + 1))
        width = self._width
        parts = self._fetch([(first * width, min(last * width, self._nbytes)) for first, last in runs])
        fetched = [
            (number, bytes(part[(number - first) * width : (number - first + 1) * width]))
            for (first, last), part in zip(runs, parts, strict=True)
            for number in range(first, last)
        ]
        with _cache.lock:
            for number, block in fetched:
                _cache.put((self._number, number), block)
        return fetched


def _begin_in_child() -> None:
    _cache.clear()
    for blocks in list(_LIVE):
        blocks.begin_in_child()


call_in_children(_begin_in_child)
