"""Batches from one worker process to the main one: the ring of slots against torch's DataLoader.

The worker writes every number of every batch. The main process reads one number of each page, so that what a first
access costs is part of the time. Both run steadily: what was made ahead before the clock started is not counted.
"""

from __future__ import annotations

import itertools
import pickle
import timeit
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Race, benchmark, faster, within
from bridgeflow import memory
from bridgeflow.bridge import share
from bridgeflow.pipeline.workers import WorkerPool

MIB = 1 << 20
AHEAD = 2
"""Batches that a worker makes ahead, DataLoader's default."""

PAGE = 1024
"""Numbers of float32 in a page of memory."""


def in_the_slot(numbers: int, n: int) -> torch.Tensor:
    """A batch, written where it will be handed over."""
    return torch.from_numpy(memory.empty(numbers, np.float32)).fill_(n)


def of_our_own(numbers: int, n: int) -> torch.Tensor:
    """A batch in the worker's own memory, which the pool copies into the slot."""
    return torch.empty(numbers, dtype=torch.float32).fill_(n)


class Batches(torch.utils.data.IterableDataset[torch.Tensor]):
    """Batches without end, each full of its number."""

    def __init__(self, numbers: int, *, shared: bool) -> None:
        self.numbers = numbers
        self.shared = shared

    def __iter__(self) -> Iterator[torch.Tensor]:
        for n in itertools.count():
            if self.shared:  # as default_collate does in a worker
                storage = torch.UntypedStorage._new_shared(4 * self.numbers)
                yield torch.tensor([], dtype=torch.float32).set_(storage, 0, (self.numbers,)).fill_(n)
            else:
                yield torch.empty(self.numbers, dtype=torch.float32).fill_(n)


class Steady:
    """Seconds per batch of a stream of batches, while its worker keeps busy."""

    def __init__(self, start: Callable[[], Iterator[Any]], batches: int) -> None:
        self._start = start
        self._batches = batches
        self._stream: Iterator[tuple[int, Any]] | None = None

    def __call__(self) -> float:
        if self._stream is None:
            self._stream = enumerate(self._start())
        for _ in range(AHEAD + 2):
            self._receive()
        start = timeit.default_timer()
        for _ in range(self._batches):
            self._receive()
        return (timeit.default_timer() - start) / self._batches

    def _receive(self) -> None:
        assert self._stream is not None
        n, batch = next(self._stream)
        assert (batch[::PAGE] == n).all()


def loader(numbers: int, *, shared: bool) -> Iterator[torch.Tensor]:
    data = torch.utils.data.DataLoader(Batches(numbers, shared=shared), batch_size=None, num_workers=1)
    return iter(data)


def pool(numbers: int, fetch: Callable[[int, int], torch.Tensor]) -> Iterator[torch.Tensor]:
    with WorkerPool(partial(fetch, numbers), num_workers=1, slot_nbytes=4 * numbers, prefetch_factor=AHEAD) as workers:
        yield from workers.run(itertools.count())


@benchmark("hand-over from one worker, batches of {size} MiB", size=[2, 16, 64])
def handover(size: int) -> Race:
    assert torch.multiprocessing.get_sharing_strategy() == "file_descriptor"
    numbers = size * MIB // 4
    batches = min(8, 128 // size)
    dataloader = "DataLoader"
    return Race(
        ours=Steady(partial(pool, numbers, in_the_slot), batches),
        peers={
            dataloader: Steady(partial(loader, numbers, shared=False), batches),
            "DataLoader, batch written to its shared memory": Steady(partial(loader, numbers, shared=True), batches),
            "ours, batch copied into the slot": Steady(partial(pool, numbers, of_our_own), batches),
            "writing alone, in one process": partial(written, torch.empty(numbers), batches),
        },
        targets={dataloader: faster(3)} if size == 16 else {},
        work=(size, "MiB"),
        self_timed=True,
    )


def written(x: torch.Tensor, batches: int) -> float:
    """Seconds for filling a batch and reading a number of each page."""
    start = timeit.default_timer()
    for n in range(batches):
        assert (x.fill_(n)[::PAGE] == n).all()
    return (timeit.default_timer() - start) / batches


@benchmark("pickle of a buffer of 64 MiB that processes share")
def handle() -> Race:
    large, small = (share(np.zeros(size // 8), across="process") for size in (64 * MIB, 16 * 1024))
    return Race(
        ours=partial(pickle.dumps, large),
        peers={"the same of 16 KiB": partial(pickle.dumps, small)},
        targets={"the same of 16 KiB": within(2)},
    )
