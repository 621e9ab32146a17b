"""A ring of slots: one segment, cut up, in which some processes write batches and another reads them.

Nothing is locked between processes. One process, the coordinator, knows who may use which slot: it takes a free slot,
tells a worker to write there, and leases what was written to its own consumer. The slot is free again when the last
view of the lease has died. A worker meanwhile allocates its results in the slot with `empty()`.
"""

from __future__ import annotations

import mmap
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bridgeflow.memory.mapping import Mapping
from bridgeflow.memory.segment import Segment

__all__ = ["ALIGNMENT", "Lease", "Ring", "Slot", "empty", "in_slot", "writing_batch"]

ALIGNMENT: Final = 64
"""Bytes: a cache line, what vector units and Arrow like."""

_PAGE: Final = mmap.PAGESIZE


class Ring:
    """Slots of equal size in one segment, and which of them are free.

    Pickled, it becomes a ring over the same memory in another process, where `slot()` and `lease()` give the same
    slots; who may use which is decided where the ring was created.

    Args:
        slots: how many, at least 1.
        slot_nbytes: bytes of each, rounded up to whole pages.

    Raises:
        OutOfSharedMemory: the memory cannot be had.

    >>> ring = Ring(2, 4096)
    >>> number = ring.take()
    >>> ring.slot(number).empty((3,), "float32")[:] = 5
    >>> batch = ring.lease(number).bytes()[:12].view("float32")
    >>> ring.free, ring.leased
    (1, 1)
    >>> float(batch.sum())
    15.0
    >>> del batch
    >>> ring.free, ring.leased
    (2, 0)
    """

    def __init__(self, slots: int, slot_nbytes: int) -> None:
        if slots < 1 or slot_nbytes < 1:
            raise ValueError(f"a ring has at least one slot of at least one byte, got {slots} of {slot_nbytes}")
        rounded = -(-slot_nbytes // _PAGE) * _PAGE
        self._begin(Segment(slots * rounded), slots, rounded)

    def _begin(self, segment: Segment, slots: int, slot_nbytes: int) -> None:
        self.segment = segment
        self.slots = slots
        self.slot_nbytes = slot_nbytes
        self._mappings = [self._mapped(number) for number in range(slots)]
        self._free = list(reversed(range(slots)))
        self._leased: dict[int, weakref.ref[Lease]] = {}
        # Leases die in any thread, at any moment: appending to a deque needs no lock.
        self._returned: deque[int] = deque()

    @property
    def free(self) -> int:
        """How many slots can be taken."""
        self._collect()
        return len(self._free)

    @property
    def leased(self) -> int:
        """How many slots are with consumers."""
        self._collect()
        return len(self._leased)

    def take(self) -> int | None:
        """A free slot, from now on taken; `None` where there is none."""
        self._collect()
        return self._free.pop() if self._free else None  # the one used last, which caches may still hold

    def give(self, number: int) -> None:
        """A slot that was taken is free again."""
        self._free.append(number)

    def lease(self, number: int) -> Lease:
        """A slot that was taken, for a consumer: it belongs to the holders of arrays over it alone.

        When the last of them has died the slot is free again. Over a private mapping, what the consumer has written is
        dropped then, so that the next lease shows what the producer writes next.
        """
        lease = Lease(self._mappings[number])
        self._leased[number] = weakref.ref(lease)
        weakref.finalize(lease, self._returned.append, number).atexit = False
        return lease

    def slot(self, number: int) -> Slot:
        """A slot to write to."""
        return Slot(self._mappings[number])

    def detach(self, number: int, nbytes: int) -> None:
        """Let arrays over the first `nbytes` of a slot, which this process still holds, have memory of their own.

        They keep their values, and neither see nor disturb what others do with the slot.
        """
        self._mappings[number].detach(nbytes)
        self._mappings[number] = self._mapped(number)

    def _mapped(self, number: int) -> Mapping:
        """A slot has a mapping of its own, which ends with the last array over it."""
        whole = self.segment.mapping
        return Mapping(whole.descriptor, self.slot_nbytes, whole.access, number * self.slot_nbytes)

    def private(self) -> Ring:
        """The same slots, mapped copy-on-write: what consumers write into their leases stays in this process."""
        return _reopened(self.segment.private(), self.slots, self.slot_nbytes)

    def _collect(self) -> None:
        while self._returned:
            number = self._returned.popleft()
            del self._leased[number]
            if self.segment.access == "private":
                self._mappings[number].forget(0, self.slot_nbytes)
            self._free.append(number)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.segment, self.slots, self.slot_nbytes)

    def __repr__(self) -> str:
        return f"Ring(slots={self.slots}, slot_nbytes={self.slot_nbytes}, free={self.free}, leased={self.leased})"


def _reopened(segment: Segment, slots: int, slot_nbytes: int) -> Ring:
    ring = Ring.__new__(Ring)
    ring._begin(segment, slots, slot_nbytes)
    return ring


class _Part:
    """A slot as NumPy sees it. Arrays keep the object alive, and so its end is theirs."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self.address = mapping.address
        self.nbytes = mapping.nbytes

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._mapping.__array_interface__

    def bytes(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """All of it, uint8 `[nbytes]`."""
        return np.asarray(self)


class Lease(_Part):
    """A slot in the hands of a consumer."""


class Slot(_Part):
    """A slot while a batch is written to it: arrays are cut from it in order, each on a cache line."""

    def __init__(self, mapping: Mapping) -> None:
        super().__init__(mapping)
        self.used = 0
        self._lock = threading.Lock()

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike) -> np.ndarray[Any, Any] | None:
        """An array `shape` in C order whose values are whatever lies there; `None` where it does not fit any more."""
        kind = np.dtype(dtype)
        needed = prod(shape) * kind.itemsize
        with self._lock:
            start = -(-self.used // ALIGNMENT) * ALIGNMENT
            if kind.hasobject or start + needed > self.nbytes:
                return None
            self.used = start + needed
        array: np.ndarray[Any, Any] = np.ndarray(tuple(shape), kind, self.bytes(), start)
        return array


_MAKING: ContextVar[Slot | None] = ContextVar("bridgeflow_slot", default=None)


@contextmanager
def writing_batch(slot: Slot) -> Iterator[None]:
    """Until the block ends, `empty()` cuts arrays from this slot, in this thread."""
    token = _MAKING.set(slot)
    try:
        yield
    finally:
        _MAKING.reset(token)


def empty(shape: int | Sequence[int], dtype: npt.DTypeLike = np.float64) -> np.ndarray[Any, Any]:
    """`np.empty`, in memory that the result of a worker process can be handed over in without a copy.

    In a worker of `bridgeflow.pipeline.WorkerPool`, while it assembles a batch, the array lies in the batch's slot of
    the shared ring as long as there is room; anywhere else this is `np.empty`. A process that keeps such an array after
    its batch was handed over has it for itself from then on, at the price of a copy.

    >>> empty((2, 3), "float32").shape
    (2, 3)
    """
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    array = in_slot(lengths, dtype)
    return np.empty(lengths, dtype) if array is None else array


def in_slot(shape: Sequence[int], dtype: npt.DTypeLike) -> np.ndarray[Any, Any] | None:
    """The same while a batch is written and its slot has room; `None` for the caller to find memory elsewhere."""
    slot = _MAKING.get()
    return None if slot is None else slot.empty(shape, dtype)
