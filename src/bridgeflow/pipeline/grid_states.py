"""Recursive stages with access to any stretch: their states stand on a grid, in a budget of bytes for each recording.

One pass makes the states when they are first needed, in time that grows with the recording and memory that does not:
the grid is as coarse as the budget asks for. A stretch is then computed in blocks of the grid, from the state before
the first of them; blocks that were computed lately come from the cache.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from bridgeflow._forks import renew_in_children
from bridgeflow.pipeline.joining import joined
from bridgeflow.pipeline.saved_states import SavedStates
from bridgeflow.pipeline.stretches import StretchCache, Stretches
from bridgeflow.signal.two_passes import TwoPasses
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.base import LeafTransform

__all__ = ["Carried", "Returning", "StateStorage", "grid_step"]

FINEST: Final = 1024
"""Samples between states at most where the budget allows: about the length of a window."""

_LEAST: Final = 256
"""Samples between states at least."""

_WORTH_A_CALL: Final = 2048
"""Values in a block for which a call of the filter costs less than its work."""

_READ_AT_ONCE: Final = 1 << 16
"""Samples that a pass reads at once, at least."""

_LATEST_NBYTES: Final = 32 << 20
"""Most bytes of what the forward pass has put out last that are kept for the backward pass, which begins there."""

_OBJECT_NBYTES: Final = 400
"""What the dictionary around a state takes, about."""


def grid_step(length: int, state_nbytes: int, budget: int, rows: int = 1) -> int:
    """Samples between states on the grid: a power of two, smaller where there are many rows.

    >>> grid_step(100_000, 512, 1 << 20), grid_step(100_000_000, 512, 1 << 20), grid_step(100_000, 512, 1 << 20, 8)
    (1024, 65536, 256)
    """
    step = FINEST
    while step > _LEAST and step // 2 * rows >= _WORTH_A_CALL:
        step //= 2
    while step < length and -(-length // step) * state_nbytes > budget:
        step *= 2
    return step


class StateStorage(NamedTuple):
    """Where blocks and states are kept.

    Args:
        cache: for blocks.
        budget: bytes of states.
        saved: for states between programs.
    """

    cache: StretchCache
    budget: int
    saved: SavedStates | None = None


class _OnGrid(Stretches):
    """A signal whose states are kept on a grid."""

    def __init__(self, source: Stretches, spec: ArraySpec, storage: StateStorage) -> None:
        self.spec = spec
        self._source = source
        self._cache = storage.cache
        self._saved = storage.saved
        self.begin_in_child()
        renew_in_children(self)

    def begin_in_child(self) -> None:
        """With a lock that is free."""
        self._lock = threading.RLock()


class Carried(_OnGrid):
    """A stage that carries a state forward (`step`), whatever its latency and its rate.

    Args:
        source: the data.
        stage: the stage, whose chunks have the bits of the whole.
        spec: what it makes of the whole.
        storage: where blocks and states are kept.
    """

    def __init__(self, source: Stretches, stage: LeafTransform, spec: ArraySpec, storage: StateStorage) -> None:
        super().__init__(source, spec, storage)
        self._stage = stage
        saved, rows = storage.saved, _rows(source) // 2  # a step costs more than a pass
        first = stage.init_state(source.spec.with_time(None))
        size = _state_nbytes(first)
        self._grid = grid_step(source.length, size, storage.budget, rows)
        self._blocks = max(-(-source.length // self._grid), 1)
        self.state_nbytes = size * self._blocks
        self._states = [first]
        self._places = [0]  # samples of the result before each state; longer by one while a state is added
        self._is_loaded = saved is None or self._blocks == 1
        self._is_saved = self._is_loaded

    def begin_in_child(self) -> None:
        """With a lock that is free, and as many places as states."""
        super().begin_in_child()
        if hasattr(self, "_places"):
            del self._places[len(self._states) :]

    def read(self, start: int, stop: int) -> Any:
        """The stretch, out of the blocks that hold it; start < stop."""
        if not self._is_loaded:
            self._load()
        stretch = self._read(start, stop)
        if not self._is_saved and len(self._states) == self._blocks:
            self._save()
        return stretch

    def _load(self) -> None:
        """Take the states that another program has kept."""
        with self._lock:
            if self._saved is not None and not self._is_loaded:
                kept = self._saved.steps(self._stage, self._states[0], self._blocks, self._grid)
                if kept is not None and kept[1][-1] <= self.length:
                    self._states, self._places = kept
                    self._is_saved = True
                self._is_loaded = True

    def _save(self) -> None:
        """Keep the states for other programs."""
        with self._lock:
            if self._saved is not None and not self._is_saved:
                self._saved.keep_steps(self._stage, self._states, self._places, self._grid)
                self._is_saved = True

    def _read(self, start: int, stop: int) -> Any:
        self._reach(start)
        block = bisect_right(self._places, start) - 1
        first = position = self._places[block]
        parts: list[Any] = []
        while position < stop or not parts:
            ahead = self._uncached(block, stop)
            if ahead > block:
                parts += self._computed(block, ahead)
            else:
                parts += self._cache.get_blocks(self.number, block, block + 1)
                ahead = block + 1
                if parts[-1] is None:  # has just been dropped by another thread
                    parts[-1:] = self._computed(block, ahead)
            block, position = ahead, self._end(ahead)
        together = parts[0] if len(parts) == 1 else joined(parts, -1)
        return together[..., start - first : stop - first]

    def _end(self, block: int) -> int:
        """Samples of the result before a block; all of them after the last."""
        return self.length if block >= self._blocks else self._places[block]

    def _reach(self, start: int) -> None:
        """Make states up to the block that holds a sample of the result."""
        if self._places[-1] > start or len(self._states) == self._blocks:
            return
        with self._lock:
            at_once = max(_READ_AT_ONCE // self._grid, 1)
            rate = self.length / max(self._source.length, 1)
            while self._places[-1] <= start and len(self._states) < self._blocks:
                block = len(self._states) - 1
                left = int((start - self._places[-1]) / max(rate, 1e-9)) // self._grid + 1
                end = min(block + min(at_once, left), self._blocks - 1)
                x = self._source.read(block * self._grid, end * self._grid)
                for number in range(end - block):
                    if self._places[-1] > start:
                        break
                    self._advance(x[..., number * self._grid : (number + 1) * self._grid])

    def _advance(self, x: Any) -> Any:
        """One block at the end of the grid; its result."""
        y, state = self._stage.step(x, self._states[-1])
        self._places.append(self._places[-1] + int(y.shape[-1]))
        self._states.append(state)
        return y

    def _uncached(self, block: int, stop: int) -> int:
        """The block after those, from this one on, that have to be computed for results before `stop`."""
        first = block
        while block < self._blocks and self._cache.get_blocks(self.number, block, block + 1)[0] is None:
            block += 1
            if block >= len(self._places) or self._places[block] >= stop:
                break
        return max(block, first)

    def _computed(self, block: int, end: int) -> list[Any]:
        """The results of blocks that follow each other."""
        first, last = block * self._grid, min(end * self._grid, self._source.length)
        if end < len(self._states):  # the grid knows where each result ends
            y, _ = self._stage.step(self._source.read(first, last), self._states[block])
            places = [place - self._places[block] for place in self._places[block : end + 1]]
            parts = [y[..., a:b] for a, b in pairwise(places)]
        elif end < self._blocks:
            with self._lock:
                if end < len(self._states):
                    return self._computed(block, end)
                parts = []
                x = self._source.read(first, last)
                for number in range(end - block):
                    piece = x[..., number * self._grid : (number + 1) * self._grid]
                    if block + number == len(self._states) - 1:
                        parts.append(self._advance(piece))
                    else:
                        parts.append(self._stage.step(piece, self._states[block + number])[0])
        else:
            parts = self._computed(block, end - 1) if end - 1 > block else []
            x = self._source.read((end - 1) * self._grid, last)
            y, state = self._stage.step(x, self._states[end - 1])
            rest = self._stage.flush(state)
            parts.append(y if rest is None else joined([y, rest], -1))
        own = [one.copy() if isinstance(one, np.ndarray) else one.clone() for one in parts]
        self._cache.put_blocks(self.number, block, own)
        return parts


class Returning(_OnGrid):
    """A zero-phase filter: forwards, and backwards over what comes of it, with the states of both passes on the grid.

    Args:
        source: the data, ndarrays.
        passes: the filter.
        spec: what it makes of the whole.
        storage: where blocks and states are kept.
    """

    def __init__(self, source: Stretches, passes: TwoPasses, spec: ArraySpec, storage: StateStorage) -> None:
        super().__init__(source, spec, storage)
        self._passes = passes
        rows = tuple(n or 0 for n in source.spec.shape[:-1])
        self._shape = passes.state_shape(rows)
        size = 2 * int(np.prod(self._shape)) * passes.work.itemsize
        self._grid = grid_step(source.length, size, storage.budget, _rows(source))
        self._blocks = -(-source.length // self._grid)
        self.state_nbytes = size * self._blocks
        self._states: tuple[Any, Any] | None = None

    def read(self, start: int, stop: int) -> Any:
        """The stretch, out of the blocks that hold it; start < stop."""
        if self._states is None:
            with self._lock:
                if self._states is None:
                    self._states = self._kept_or_computed()
        first, end = start // self._grid, max(-(-stop // self._grid), start // self._grid + 1)
        parts = self._cache.get_blocks(self.number, first, end)
        if all(part is None for part in parts):
            y = self._computed(first, end)
            return y[..., start - first * self._grid : stop - first * self._grid]
        block = 0
        while block < len(parts):
            if parts[block] is not None:
                block += 1
                continue
            after = next((n for n in range(block, len(parts)) if parts[n] is not None), len(parts))
            parts[block:after] = self._in_blocks(self._computed(first + block, first + after))
            block = after
        together = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        return together[..., start - first * self._grid : stop - first * self._grid]

    def _in_blocks(self, y: Any) -> list[Any]:
        return [y[..., at : at + self._grid] for at in range(0, y.shape[-1], self._grid)]

    def _computed(self, block: int, end: int) -> Any:
        """The result of blocks that follow each other: one stretch forwards, one backwards."""
        assert self._states is not None
        ahead, back = self._states
        begin = block * self._grid
        x = self._source.read(begin, min(end * self._grid, self._source.length))
        forward, _ = self._passes.forwards(x, ahead[block])
        y, _ = self._passes.backwards(forward, back[end - 1])
        self._cache.put_blocks(self.number, block, self._in_blocks(y))
        return y

    def _kept_or_computed(self) -> tuple[Any, Any]:
        """The states that another program has kept, or those of one pass each way."""
        if self._saved is None or self._blocks == 1:
            return self._pass_over()
        kept = self._saved.arrays((self._blocks, *self._shape), self._passes.work, 2, self._grid)
        if kept is not None:
            return kept[0], kept[1]
        states = self._pass_over()
        self._saved.keep_arrays(states, self._grid)
        return states

    def _pass_over(self) -> tuple[Any, Any]:
        """The states before each block forwards, and after each block backwards, [blocks, sections, ..., 2] each."""
        source, passes, length = self._source, self._passes, self._source.length
        passes.check_length(length)
        ahead = np.empty((self._blocks, *self._shape), passes.work)
        back = np.empty_like(ahead)
        state = passes.begin(source.read(0, passes.edge + 1))
        at_once = max(_READ_AT_ONCE // self._grid, 1)
        block_nbytes = self._grid * _rows(source) * passes.work.itemsize
        latest: deque[Any] = deque(maxlen=min(self._cache.max_nbytes // 2, _LATEST_NBYTES) // block_nbytes)
        for top in range(0, self._blocks, at_once):
            x = source.read(top * self._grid, min((top + at_once) * self._grid, length))
            for block in range(top, min(top + at_once, self._blocks)):
                ahead[block] = state
                piece = x[..., (block - top) * self._grid : (block - top + 1) * self._grid]
                forward, state = passes.forwards(piece, state)
                latest.append(forward)
            if refusal := passes.refusal(x, state, top * self._grid):  # a state that has met NaN never recovers
                raise refusal
        state = passes.turn(source.read(length - passes.edge - 1, length), forward[..., -1:], state)
        for top in reversed(range(0, self._blocks, at_once)):
            end = min(top + at_once, self._blocks)
            if len(latest) < end - top:
                x = source.read(top * self._grid, min(end * self._grid, length))
            for block in reversed(range(top, end)):
                back[block] = state
                if latest:
                    forward = latest.pop()
                else:
                    piece = x[..., (block - top) * self._grid : (block - top + 1) * self._grid]
                    forward, _ = passes.forwards(piece, ahead[block])
                _, state = passes.backwards(forward, state)
        return ahead, back


def _rows(source: Stretches) -> int:
    """How many rows a signal has."""
    return int(np.prod([n or 1 for n in source.spec.shape[:-1]]))


def _state_nbytes(state: Any) -> int:
    """Bytes of a state: arrays in dictionaries and lists."""
    if isinstance(state, dict):
        return _OBJECT_NBYTES + sum(map(_state_nbytes, state.values()))
    if isinstance(state, (list, tuple)):
        return _OBJECT_NBYTES + sum(map(_state_nbytes, state))
    return 120 + int(getattr(state, "nbytes", 0))
