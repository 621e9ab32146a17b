"""Stages over one recording, stretch by stretch: each gives any stretch of its result with the bits of the whole.

A stage that looks around itself (`reach`) asks for a little more than the stretch. A recursive one starts from a state,
kept on a grid of every 2^k samples (`grid_states`). What needs the whole recording is computed once and kept, as long
as the cache has room.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import count
from typing import Any, Final, Protocol

import numpy as np

from bridgeflow._forks import renew_in_children
from bridgeflow.errors import DataError
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.base import LeafTransform
from bridgeflow.transforms.row_statistics import BLOCK

__all__ = [
    "Across",
    "EveryNth",
    "Nearby",
    "Recorded",
    "RecordedColumn",
    "Stacked",
    "StageStretches",
    "StretchCache",
    "Stretches",
    "Summarized",
    "Whole",
]

_READ_AT_ONCE: Final = 16 * BLOCK
"""Samples that a pass for statistics reads at once."""


class RecordedColumn(Protocol):
    """A column of a recording, as `bridgeflow.recordings` has it."""

    fs: float
    shape: tuple[int, ...]
    dtype: Any
    length: int
    segments: tuple[tuple[int, int], ...]
    onsets: tuple[float, ...]

    def read(self, start: int, stop: int) -> Any:
        """The samples from `start` to `stop`, [channels, stop - start]."""


class StretchCache:
    """What was computed lately, up to a number of bytes; the least recently used goes first. Threads may share it.

    Arrays are kept under a key, or as the blocks of a stretch, which stay and go together.
    """

    def __init__(self, max_nbytes: int) -> None:
        self.max_nbytes = max_nbytes
        self.begin_in_child()
        renew_in_children(self)

    def begin_in_child(self) -> None:
        """With nothing: a thread of the parent may have been changing it."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._blocks: dict[tuple[int, int], tuple[Hashable, Any]] = {}
        self._nbytes = 0

    def get(self, key: Hashable) -> Any | None:
        """What is kept under a key."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def get_blocks(self, number: int, first: int, end: int) -> list[Any]:
        """What is kept of the blocks of a signal that follow each other, `None` for the others."""
        with self._lock:
            entries = [self._blocks.get((number, block)) for block in range(first, end)]
            for stretch in {entry[0] for entry in entries if entry is not None}:
                self._kept.move_to_end(stretch)
        return [None if entry is None else entry[1] for entry in entries]

    def put(self, key: Hashable, value: Any) -> None:
        """Keep an array, unless it is larger than all the room."""
        with self._lock:
            self._put(key, value, int(value.nbytes))

    def put_blocks(self, number: int, first: int, blocks: Sequence[Any]) -> None:
        """Keep blocks of a signal that follow each other, in memory that holds nothing else."""
        stretch, size = ("blocks", number, first, len(blocks)), sum(int(one.nbytes) for one in blocks)
        with self._lock:
            if self._put(stretch, range(first, first + len(blocks)), size):
                for place, one in enumerate(blocks):
                    self._blocks[number, first + place] = stretch, one

    def _put(self, key: Hashable, value: Any, size: int) -> bool:
        """Whether it is kept now, and was not before."""
        if size > self.max_nbytes or key in self._kept:
            return False
        while self._nbytes + size > self.max_nbytes:
            oldest, (dropped, nbytes) = self._kept.popitem(last=False)
            self._nbytes -= nbytes
            if isinstance(dropped, range):
                number: int = oldest[1]  # type: ignore[index]
                for block in dropped:
                    if self._blocks.get((number, block), (None,))[0] == oldest:  # or in a later stretch
                        del self._blocks[number, block]
        self._kept[key] = value, size
        self._nbytes += size
        return True


_NUMBERS = count()


class Stretches(ABC):
    """A signal [channels, time] of which any stretch can be had.

    Attributes:
        spec: what the whole would be.
        state_nbytes: bytes that are kept for it, other than in the cache.
    """

    spec: ArraySpec
    state_nbytes: int = 0

    @cached_property
    def number(self) -> int:
        """Its own in this process, under which the cache keeps its stretches: an `id` may be another's later."""
        return next(_NUMBERS)

    @property
    def length(self) -> int:
        """Samples of the whole."""
        assert self.spec.time is not None
        return self.spec.time

    @abstractmethod
    def read(self, start: int, stop: int) -> Any:
        """The samples from `start` to `stop`, [..., stop - start], start < stop; only to be read."""


class Recorded(Stretches):
    """A segment of a column of a recording, as it was recorded.

    Attributes:
        column, segment: which one.
    """

    def __init__(self, column: RecordedColumn, segment: tuple[int, int], place: str) -> None:
        first, end = segment
        shape = (*column.shape, end - first)
        self.spec = ArraySpec(kind="numpy", dtype=np.dtype(column.dtype).name, shape=shape, fs=float(column.fs))
        self.column = column
        self.segment = segment
        self._first = first
        self._place = place

    def read(self, start: int, stop: int) -> Any:
        """The samples themselves."""
        x = self.column.read(self._first + start, self._first + stop)
        if tuple(x.shape) != (*self.spec.shape[:-1], stop - start):
            shape = [*self.spec.shape[:-1], stop - start]
            raise DataError(f"{self._place}: samples {start} to {stop} must be {shape}, got {list(x.shape)}")
        return x


class StageStretches(Stretches):
    """A stage over a signal.

    Args:
        source: the signal.
        stage: the stage.
        spec: what it makes of the whole.
    """

    def __init__(self, source: Stretches, stage: LeafTransform, spec: ArraySpec) -> None:
        self.spec = spec
        self._source = source
        self._stage = stage


class Nearby(StageStretches):
    """A stage whose result depends on the samples around it alone."""

    def read(self, start: int, stop: int) -> Any:
        """The stretch, from the samples that the stage needs for it."""
        begin, end = self._stage.needs(start, stop, self._source.length)
        return self._stage.stretch(self._source.read(begin, end), begin, start, stop)


class Across(StageStretches):
    """A stage that treats every time step alone, whatever it does across channels."""

    def read(self, start: int, stop: int) -> Any:
        """The stage over the same samples."""
        return self._stage.apply(self._source.read(start, stop))


class Summarized(StageStretches):
    """A stage that treats every sample alone, by statistics of the whole, which are computed once."""

    def __init__(self, source: Stretches, stage: LeafTransform, spec: ArraySpec) -> None:
        super().__init__(source, stage, spec)
        self._settled: Callable[[Any], Any] | None = None
        self.begin_in_child()
        renew_in_children(self)

    def begin_in_child(self) -> None:
        """With a lock that is free."""
        self._lock = threading.Lock()

    def read(self, start: int, stop: int) -> Any:
        """The stretch, by the statistics."""
        if self._settled is None:
            with self._lock:
                if self._settled is None:
                    self._settled = self._stage.settled(self._pieces)
        return self._settled(self._source.read(start, stop))

    def _pieces(self) -> Iterator[Any]:
        for start in range(0, self._source.length, _READ_AT_ONCE):
            yield self._source.read(start, min(start + _READ_AT_ONCE, self._source.length))


class Stacked(Stretches):
    """Results of one length, on a new axis before time."""

    def __init__(self, results: Sequence[Stretches], spec: ArraySpec) -> None:
        self.spec = spec
        self.state_nbytes = sum(one.state_nbytes for one in results)
        self._results = tuple(results)

    def read(self, start: int, stop: int) -> Any:
        """The stretch of each."""
        return np.stack([one.read(start, stop) for one in self._results], axis=-2)


class EveryNth(Stretches):
    """Every n-th sample, from the first on."""

    def __init__(self, source: Stretches, step: int) -> None:
        self.spec = source.spec.with_time(-(-source.length // step))
        if source.spec.fs is not None:
            self.spec = replace(self.spec, fs=source.spec.fs / step)
        self._source = source
        self._step = step

    def read(self, start: int, stop: int) -> Any:
        """The samples that are kept of the stretch."""
        return self._source.read(start * self._step, (stop - 1) * self._step + 1)[..., :: self._step]


class Whole(Stretches):
    """A stage that needs the whole recording: computed once, and again when the cache has dropped it."""

    def __init__(self, source: Stretches, stage: LeafTransform, spec: ArraySpec, cache: StretchCache) -> None:
        self.spec = spec
        self._source = source
        self._stage = stage
        self._cache = cache
        self.begin_in_child()
        renew_in_children(self)

    def begin_in_child(self) -> None:
        """With a lock that is free."""
        self._lock = threading.Lock()

    def read(self, start: int, stop: int) -> Any:
        """The stretch of the whole."""
        y = self._cache.get(self.number)
        if y is None:
            with self._lock:
                y = self._cache.get(self.number)
                if y is None:
                    y = self._stage.apply(self._source.read(0, self._source.length))
                    if int(y.nbytes) > self._cache.max_nbytes:
                        raise DataError(
                            f"{type(self._stage).__name__} needs the whole recording, {int(y.nbytes):,} bytes, more "
                            f"than cache_nbytes={self._cache.max_nbytes:,}; raise it, or put the stage after Window"
                        )
                    self._cache.put(self.number, y)
        return y[..., start:stop]
