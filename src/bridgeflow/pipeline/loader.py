"""`Loader`: the batches of a dataset, epoch by epoch, made ahead by threads or worker processes.

The order of rows is a function of (seed, epoch), so a position is two numbers: the epoch, and how many of its batches
have been handed out. Threads, workers and what they have made ahead are no part of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from bridgeflow.errors import BatchTooLarge
from bridgeflow.pipeline.ahead import Ahead
from bridgeflow.pipeline.dataset import SignalDataset
from bridgeflow.pipeline.device import Lane, lane_to
from bridgeflow.pipeline.randomness import parse_seed
from bridgeflow.pipeline.sampling import BatchSampler, Order, Shuffle, Uneven, parse_state
from bridgeflow.pipeline.workers import StartMethod, WorkerPool
from bridgeflow.signal.iir.native import threads as compute_threads

__all__ = ["Loader"]

Task: TypeAlias = tuple[int, int, "np.ndarray[Any, np.dtype[np.int64]]"]
"""Epoch, number of the batch, rows."""

_BLOCK_NBYTES: Final = 8 << 20
_WINDOW_BLOCKS: Final = 8
_LEAST_SLOT: Final = 1 << 20


class Loader:
    """The batches of a `SignalDataset`: iterate once per epoch, at any worker count the same.

    Batches are made ahead in this process, by threads: filters, conversions and decoders release the GIL. A transform
    that holds it, such as a long Python function, is better off with `workers`, processes that hand batches over in
    shared memory. Each complete pass over the loader is the next epoch; `set_epoch` chooses one.

    Args:
        dataset: where the rows come from, and the transform.
        batch_size: rows in a batch.
        shuffle: `True` for `"exact"` (any row at any place) where the source reads single rows at their cost, else for
            `"windowed"` (blocks of rows shuffled, and rows within `window`); `False` for none.
        seed: with the epoch, decides the order of rows and the random numbers in the transform.
        drop_last: leave out a last batch that would be smaller.
        window: for windowed shuffling: among so many rows each moves freely; `None` for about 64 MiB of them.
        workers: processes that make batches; 0 for none.
        threads: threads of this process that make batches where there are no workers, and share torch's number of
            threads among them; `None` for so many, up to 4; 0 makes each batch when it is asked for.
        prefetch: batches that each thread or worker has under way or ready.
        context: how workers are started: `"fork"`, `"spawn"`, `"forkserver"`.
        device: where tensors are wanted, such as `"cuda"`: they are staged in pinned memory and copied beside the
            computation. `None` or `"cpu"` leaves them.
        collate: makes a batch of a list of samples; `None` for batches made as one.
        rank, world: which share of the rows, of how many; see `bridgeflow.pipeline.sampling.Order`.
        uneven: where `world` does not divide the rows: `"pad"` with rows that come twice, or `"drop"` some.

    Raises:
        ValueError: a number out of its range, a word that is none.
        NoRoute: a device that this machine lacks.

    >>> examples = {"ecg": np.zeros((5, 2, 100), "float32"), "label": np.arange(5)}
    >>> loader = Loader(SignalDataset(examples), 2, shuffle=True, seed=1)
    >>> [batch["label"].tolist() for batch in loader]
    [[4, 0], [1, 2], [3]]
    """

    def __init__(
        self,
        dataset: SignalDataset,
        batch_size: int,
        *,
        shuffle: bool | Literal["exact", "windowed"] = False,
        seed: int = 0,
        drop_last: bool = False,
        window: int | None = None,
        workers: int = 0,
        threads: int | None = None,
        prefetch: int = 2,
        context: StartMethod = "fork",
        device: Any = None,
        collate: Callable[[Any], Any] | None = None,
        rank: int = 0,
        world: int = 1,
        uneven: Uneven = "pad",
    ) -> None:
        if not isinstance(dataset, SignalDataset):
            raise TypeError(
                f"Loader: needs a SignalDataset, got a {type(dataset).__name__}; other datasets go with "
                "torch.utils.data.DataLoader, which takes ours too"
            )
        threads = min(4, compute_threads()) if threads is None else threads
        counts: dict[str, tuple[Any, int]] = {
            "workers": (workers, 0),
            "threads": (threads, 0),
            "prefetch": (prefetch, 1),
        }
        for name, (value, least) in counts.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
        width = _row_nbytes(dataset)
        block = 1 << max(1, _BLOCK_NBYTES // width).bit_length() - 1
        self.dataset = dataset
        self.order = Order(
            rows=len(dataset),
            batch_size=batch_size,
            shuffle=_shuffle(shuffle, dataset),
            seed=seed,
            drop_last=drop_last,
            block=block,
            window=_WINDOW_BLOCKS * block if window is None else window,
            rank=rank,
            world=world,
            uneven=uneven,
        )
        self.epoch = 0
        self._position = 0
        self._resumes = False
        self._latest: weakref.ref[_Pass] | None = None
        self._fetch = _Fetch(dataset, collate, self.order.seed)
        self._workers, self._threads, self._prefetch = workers, threads, prefetch
        self._context: StartMethod = context
        self._lane = lane_to(device, max(1, threads, workers) * prefetch + 1)
        self._slot_nbytes = max(_LEAST_SLOT, 2 * width * self.order.batch_size)
        self._pool: WorkerPool | None = None

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.order)

    def __iter__(self) -> Iterator[Any]:
        """The epoch's batches, from the first on, or from where `load_state_dict` left off."""
        first = self._position if self._resumes else 0
        self._position, self._resumes = first, False
        made = _Pass(self, self.epoch, first)
        self._latest = weakref.ref(made)
        return made

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` the next pass's; a restored position in the same epoch stays."""
        number = parse_seed(epoch, field="epoch")
        if number != self.epoch:
            self.epoch, self._position, self._resumes = number, 0, False
            self._latest = None

    @property
    def batch_sampler(self) -> BatchSampler:
        """The same batches as lists of rows, from the next pass on, for `torch.utils.data.DataLoader`."""
        return BatchSampler(self.order, self.epoch)

    # --- state ---

    def state_dict(self) -> dict[str, Any]:
        """Where the latest pass is, as plain values: epoch, batches handed out, and what they belong to.

        Batches that were made ahead and not handed out do not count. At the end of a pass it is the beginning of the
        next epoch.
        """
        return {"version": 1, "epoch": self.epoch, "batch": self._position, "of": self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass go on where the state was taken. Workers, threads and device may be others than then.

        Raises:
            DataError: the state is of another dataset or order, or is none.
        """
        epoch, batch = parse_state(state, self._identity(), len(self))
        self.epoch, self._position, self._resumes = epoch, batch, True
        self._latest = None

    def _identity(self) -> dict[str, Any]:
        return {"dataset": self.dataset.digest(), **self.order.settings()}

    # --- batches ---

    def close(self) -> None:
        """End the worker processes; another pass starts them again."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _batches(self, epoch: int, first: int) -> Iterator[Any]:
        """Batches as they come from threads or workers, in order, on their way to the device."""
        if self._workers:
            return map(self._lane.send, self._from_workers(epoch, first))
        function = self._fetch if type(self._lane) is Lane else _Sending(self._fetch, self._lane)
        tasks = self._tasks(epoch, first)
        if self._threads:
            return Ahead(function, tasks, threads=self._threads, ahead=self._threads * self._prefetch)
        return (function(task) for task in tasks)

    def _tasks(self, epoch: int, first: int) -> Iterator[Task]:
        for number, rows in enumerate(self.order.batches(epoch, first), first):
            yield epoch, number, rows

    def _from_workers(self, epoch: int, first: int) -> Iterator[Any]:
        """Through the ring; where a batch turns out to be larger than its slots, through a larger one."""
        while True:
            if self._pool is None:
                self._pool = WorkerPool(
                    self._fetch,
                    workers=self._workers,
                    slot_nbytes=self._slot_nbytes,
                    context=self._context,
                    ahead=self._prefetch,
                )
            run = self._pool.run(self._tasks(epoch, first))
            try:
                for batch in run:
                    first += 1
                    yield batch
                return
            except BatchTooLarge as error:
                self._slot_nbytes = error.batch_nbytes + error.batch_nbytes // 4
                self.close()

    def _handed_out(self, made: _Pass, number: int) -> None:
        if self._latest is not None and self._latest() is made:
            self._position = number

    def _ended(self, made: _Pass) -> None:
        if self._latest is not None and self._latest() is made:
            self.epoch, self._position, self._latest = self.epoch + 1, 0, None


class _Pass(Iterator[Any]):
    """One pass over a loader."""

    def __init__(self, loader: Loader, epoch: int, first: int) -> None:
        self._loader = loader
        self._number = first
        self._batches = loader._batches(epoch, first)

    def __next__(self) -> Any:
        try:
            sent = next(self._batches)
        except StopIteration:
            self._loader._ended(self)
            raise
        self._number += 1
        self._loader._handed_out(self, self._number)
        return self._loader._lane.receive(sent)

    def __len__(self) -> int:
        """Batches still to come."""
        return len(self._loader) - self._number


class _Fetch:
    """Makes the batch of a task; goes to worker processes."""

    def __init__(self, dataset: SignalDataset, collate: Callable[[Any], Any] | None, seed: int) -> None:
        self._dataset = dataset
        self._collate = collate
        self._seed = seed

    def __call__(self, task: Task) -> Any:
        epoch, _, rows = task
        if self._collate is None:
            return self._dataset.batch(rows, seed=self._seed, epoch=epoch)
        return self._collate(self._dataset.samples(rows, seed=self._seed, epoch=epoch))


class _Sending:
    """Makes a batch and starts it on its way."""

    def __init__(self, fetch: Callable[[Task], Any], lane: Lane) -> None:
        self._fetch = fetch
        self._lane = lane

    def __call__(self, task: Task) -> Any:
        return self._lane.send(self._fetch(task))


def _shuffle(wanted: object, dataset: SignalDataset) -> Shuffle:
    if wanted is True:
        return "exact" if dataset.source.random_access else "windowed"
    if wanted is False:
        return "none"
    if wanted in ("exact", "windowed"):
        return wanted
    raise ValueError(f"shuffle must be True, False, 'exact' or 'windowed', got {wanted!r}")


def _row_nbytes(dataset: SignalDataset) -> int:
    """Bytes of a row of all columns; a guess for text and lists."""
    sizes = [spec.expected_nbytes() for spec in dataset.source.specs.values()]
    rows = max(1, len(dataset))
    return max(1, sum(64 if size is None else -(-size // rows) for size in sizes))
