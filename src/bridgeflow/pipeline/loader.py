"""`Loader`: the batches of a dataset, epoch by epoch, made ahead by threads or worker processes.

The order of rows is a function of (seed, epoch), so a position is two numbers: the epoch, and how many of its batches
have been handed out. Threads, workers and what they have made ahead are not part of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from multiprocessing.context import BaseContext
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeAlias, TypeVar, cast

import numpy as np

from bridgeflow._threads import compute_threads
from bridgeflow.errors import BatchTooLarge
from bridgeflow.memory import require_shared_memory
from bridgeflow.pipeline.dataset import Parts, SignalDataset
from bridgeflow.pipeline.device import Transfer, transfer_to
from bridgeflow.pipeline.epoch_plans import OrderOptions
from bridgeflow.pipeline.foreign import BatchKey, is_foreign, seeded_globally
from bridgeflow.pipeline.loader_order import loader_order, row_nbytes
from bridgeflow.pipeline.mixture import Mixture
from bridgeflow.pipeline.prefetch import Prefetcher
from bridgeflow.pipeline.profiling import LoaderProfile, ProfiledFetch, transferred
from bridgeflow.pipeline.sampling import Passes, Uneven, parse_state, state_of
from bridgeflow.pipeline.streamed import ENDLESS, StreamOrder
from bridgeflow.pipeline.worker_process import StartMethod
from bridgeflow.pipeline.workers import WorkerPool
from bridgeflow.policy import parse_integer, parse_word, refuse_arguments
from bridgeflow.randomness import parse_seed

if TYPE_CHECKING:
    from bridgeflow.pipeline.samplers import BatchSampler, RowSampler

__all__ = ["Loader"]

Task: TypeAlias = tuple[int, int, "np.ndarray[Any, np.dtype[np.int64]]"]
"""Epoch, number of the batch, rows."""

_LEAST_SLOT: Final = 1 << 20
_COLLATE: Final = 1 << 32
"""The part of a batch's random numbers that is the collation's; smaller ones are stages."""

_Sampler = TypeVar("_Sampler", "BatchSampler", "RowSampler")


class Loader:
    """The batches of a `SignalDataset`: iterate once per epoch, at any worker count the same.

    Batches are made ahead in this process, by threads: filters, conversions and decoders release the GIL. A transform
    that holds it, such as a long Python function, is better off with `num_workers`, processes that hand batches over in
    shared memory. Each `iter(loader)` is the next epoch, whether or not it runs to its end; `set_epoch`
    chooses one. An iterator may be shared by threads: each batch goes to one of them.

    Args:
        dataset: where the rows come from, and the transform; or a `Mixture` of datasets. One of an `IterableDataset`
            has no length, comes in its own order, and is resumed as exactly as its `state_dict` says.
        batch_size: rows in a batch; `None` where the sampler gives whole batches.
        sampler: which rows an epoch has and in which order: `Balanced`, `Weighted`, `PerGroup`, `Bucketed`; or one of
            PyTorch's, or any iterable of row numbers or of lists of them that has a length. Not with `shuffle`.
        shuffle: `True` for `"exact"` (any row at any place) where the source reads single rows at their cost, else for
            `"windowed"` (blocks of rows shuffled, and rows within `window`); `False` for none.
        seed: with the epoch, decides the order of rows and the random numbers in the transform.
        drop_last: leave out a last batch that would be smaller.
        window: for windowed shuffling: how many rows each row moves freely among; `None` for about 64 MiB of them.
        num_workers: processes that make batches; 0 for none.
        threads: threads of this process that make batches where there are no workers, and share torch's number of
            threads among them; `None` for as many, up to 4; 0 makes each batch when it is asked for.
        prefetch_factor: batches that each thread or worker has under way or ready.
        multiprocessing_context: how workers are started: `"fork"`, `"spawn"`, `"forkserver"`, or a context of
            `multiprocessing`.
        device: where tensors are wanted, such as `"cuda"`: they are staged in pinned memory and copied beside the
            computation. `None` or `"cpu"` leaves them.
        collate_fn: makes a batch of a list of samples; `None` for batches made as one.
        rank, world_size: which share of the rows, of how many; see `bridgeflow.pipeline.sampling.Order`.
        uneven: where `world_size` does not divide the rows: `"pad"` with rows that come twice, or `"drop"` some; `None`
            for `"drop"` where a sampler promises that no row comes twice, else `"pad"`.

    Raises:
        ValueError, TypeError: a number out of its range, an unknown word, something of another type; an order for rows
            that have their own.
        NoRoute: a device that this machine lacks.
        UnsupportedSystem: `num_workers`, on a system without memory that processes share.

    >>> examples = {"ecg": np.zeros((5, 2, 100), "float32"), "label": np.arange(5)}
    >>> loader = Loader(SignalDataset(examples), 2, shuffle=True, seed=1)
    >>> [batch["label"].tolist() for batch in loader]
    [[4, 0], [1, 2], [3]]
    """

    def __init__(
        self,
        dataset: SignalDataset | Mixture,
        batch_size: int | None,
        *,
        sampler: Any = None,
        shuffle: bool | Literal["exact", "windowed"] = False,
        seed: int = 0,
        drop_last: bool = False,
        window: int | None = None,
        num_workers: int = 0,
        threads: int | None = None,
        prefetch_factor: int = 2,
        multiprocessing_context: StartMethod | BaseContext = "fork",
        device: Any = None,
        collate_fn: Callable[[Any], Any] | None = None,
        rank: int = 0,
        world_size: int = 1,
        uneven: Uneven | None = None,
        **unknown: NoReturn,
    ) -> None:
        refuse_arguments(unknown, Loader)
        if not isinstance(dataset, (SignalDataset, Mixture)):
            raise TypeError(
                f"Loader: needs a SignalDataset or a Mixture, got a {type(dataset).__name__}; other datasets go "
                "with torch.utils.data.DataLoader, which takes ours too"
            )
        if collate_fn is not None and (isinstance(collate_fn, type) or not callable(collate_fn)):
            raise TypeError(f"Loader: collate_fn must be a function of a list of samples, got {collate_fn!r}")
        context = multiprocessing_context
        method = context.get_start_method() if isinstance(context, BaseContext) else context
        parse_word(method, StartMethod, field="multiprocessing_context")
        threads = min(4, compute_threads()) if threads is None else parse_integer(threads, field="threads", least=0)
        num_workers = parse_integer(num_workers, field="num_workers", least=0)
        prefetch_factor = parse_integer(prefetch_factor, field="prefetch_factor", least=1)
        if num_workers:
            require_shared_memory(f"Loader: num_workers={num_workers}", "threads do without: num_workers=0")
        ahead = max(1, threads, num_workers) * prefetch_factor
        options = OrderOptions(
            batch_size=batch_size, seed=seed, drop_last=drop_last, rank=rank, world_size=world_size, uneven=uneven
        )
        self.dataset = dataset
        self.order = loader_order(dataset, sampler, shuffle, window, options, ahead=ahead)
        self._streamed = self.order if isinstance(self.order, StreamOrder) else None
        self._passes = Passes(len(self.order) if self._streamed is None else 0)
        self._samplers: weakref.WeakSet[BatchSampler | RowSampler] = weakref.WeakSet()
        self._fetch = _Fetch(dataset, collate_fn, self.order.seed)
        self._num_workers, self._threads, self._prefetch_factor = num_workers, threads, prefetch_factor
        self._context = cast(StartMethod, method)
        self._transfer = transfer_to(device, ahead + 1)
        largest = self.order.batch_size or self.order.rows_in_batches // max(1, len(self.order))
        self._slot_nbytes = max(_LEAST_SLOT, 2 * row_nbytes(dataset) * largest)
        self._profile: LoaderProfile | None = None
        self._idle: list[WorkerPool] = []
        self._busy: list[WorkerPool] = []

    @classmethod
    def from_pipeline(cls, pipeline: Parts, part: str = "train", **options: Any) -> Loader:
        """The loader of a part of what `bridgeflow.load_pipeline` read; `options` take the place of the file's.

        Raises:
            KeyNotFound: there is no such part.
        """
        return cls(pipeline.datasets[part], **{**pipeline.loader_options(part), **options})

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.order)

    def __iter__(self) -> Iterator[Any]:
        """The next epoch's batches from the first on, or from where a state or an epoch was set since the last pass.

        Nothing is made before the first batch is asked for; an epoch that is set until then is this pass's too.
        """
        return _Pass(self)

    @property
    def batch_size(self) -> int | None:
        """Rows in a batch; `None` where a sampler gives batches of its own."""
        return self.order.batch_size

    @property
    def drop_last(self) -> bool:
        """Whether a batch that would be smaller is left out."""
        return self.order.drop_last

    @property
    def num_workers(self) -> int:
        """Processes that make batches."""
        return self._num_workers

    @property
    def epoch(self) -> int:
        """Of the pass under way, or of the next one where it has ended or an epoch was set."""
        return self._passes.position[0]

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` the next pass's, from which those after it go on; a restored position in the same epoch stays.

        The samplers of this loader follow.
        """
        number = parse_seed(epoch, field="epoch")
        self._passes.set_epoch(number)
        for sampler in list(self._samplers):
            sampler.follow(number)

    @property
    def batch_sampler(self) -> BatchSampler:
        """The same batches as lists of rows, from the next pass on, for `torch.utils.data.DataLoader`.

        Its passes are its own; `set_epoch` of either is for both.
        """
        from bridgeflow.pipeline.samplers import BatchSampler

        return self._follower(BatchSampler(self.order, self.epoch, on_set_epoch=self.set_epoch))

    @property
    def sampler(self) -> RowSampler:
        """The same rows one by one: where Lightning and others look for `set_epoch`."""
        from bridgeflow.pipeline.samplers import RowSampler

        return self._follower(RowSampler(self.order, self.epoch, on_set_epoch=self.set_epoch))

    def _follower(self, sampler: _Sampler) -> _Sampler:
        self._samplers.add(sampler)
        return sampler

    # --- state ---

    def state_dict(self) -> dict[str, Any]:
        """Where the latest pass is, as plain values: epoch, batches handed out, and what they belong to.

        Batches that were made ahead and not handed out do not count. After the last batch of a pass it is the beginning
        of the next epoch; after a pass that was left early, the place where it was left.
        """
        state = state_of(self._passes, self._identity())
        return state if self._streamed is None else self._streamed.with_state(state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass go on where the state was taken. Workers, threads and device may be others than then.

        Raises:
            DataError: the state is of another dataset or order, or is not a state.
        """
        self._passes.set(*parse_state(state, self._identity(), len(self) if self._streamed is None else ENDLESS))
        if self._streamed is not None:
            self._streamed.restore(state)

    def _identity(self) -> dict[str, Any]:
        part = self.dataset.part if isinstance(self.dataset, SignalDataset) else None
        named = None if part is None else str(part)
        return {"part": named, "dataset": self.dataset.digest(), **self.order.settings()}

    # --- profile ---

    def profile(self) -> LoaderProfile:
        """Measure the passes that begin from now on: how long the consumer waits, and what making batches takes.

        The result prints as a table, at any time; `stop()`, or the end of a `with` block, ends it. Stages run one by
        one meanwhile, with the same numbers. A loader without a profile takes no time for it.

        >>> loader = Loader(SignalDataset({"x": np.arange(6)}), 2)
        >>> with loader.profile() as profile:
        ...     for batch in loader:
        ...         pass
        >>> profile.batches, [row.name for row in profile.stages]
        (3, ['reading', 'collation'])
        """
        if self._profile is not None:
            self._profile.stop()
        self._profile = LoaderProfile(max(1, self._num_workers or self._threads), self._end_profile)
        return self._profile

    def _end_profile(self, profile: LoaderProfile) -> None:
        if self._profile is profile:
            self._profile = None

    # --- batches ---

    def close(self) -> None:
        """End the worker processes; another pass starts them again."""
        pools = self._idle + self._busy
        self._idle.clear()
        self._busy.clear()
        for pool in pools:
            pool.close()

    def _batches(self, epoch: int, first: int) -> Iterator[Any]:
        """Batches as they come from threads or workers, in order, on their way to the device."""
        if self._num_workers:
            return map(self._transfer.send, self._from_workers(epoch, first))
        tasks = self._tasks(epoch, first)
        if self._fetch.foreign:
            # They draw from generators that the process has once. No thread but the consumer's own keeps the consumer
            # from drawing meanwhile, so only what comes before them is made ahead.
            return (
                self._transfer.send(self._fetch.finish(keyed)) for keyed in self._prefetched(self._fetch.begin, tasks)
            )
        return self._prefetched(
            self._fetch if type(self._transfer) is Transfer else _Sending(self._fetch, self._transfer), tasks
        )

    def _profiled_batches(self, profile: LoaderProfile, epoch: int, first: int) -> Iterator[tuple[Any, float]]:
        """`_batches`, each with the time when it was complete."""
        fetch = ProfiledFetch(self._fetch)
        send = self._transfer.send
        if self._num_workers:
            return (transferred(send, fetched, profile) for fetched in self._from_workers(epoch, first, fetch))
        tasks = self._tasks(epoch, first)
        if self._fetch.foreign:
            begun = self._prefetched(fetch.begin, tasks)
            return (transferred(send, fetch.finish(one), profile) for one in begun)
        return self._prefetched(lambda task: transferred(send, fetch(task), profile), tasks)

    def _prefetched(self, function: Callable[[Task], Any], tasks: Iterator[Task]) -> Iterator[Any]:
        if self._threads:
            return Prefetcher(function, tasks, threads=self._threads, size=self._threads * self._prefetch_factor)
        return (function(task) for task in tasks)  # not `map`: it would take a StopIteration for its end

    def _tasks(self, epoch: int, first: int) -> Iterator[Task]:
        for number, rows in enumerate(self.order.batches(epoch, first), first):
            yield epoch, number, rows

    def _from_workers(self, epoch: int, first: int, fetch: ProfiledFetch | None = None) -> Iterator[Any]:
        """Through the ring of a pool; where a batch turns out to be larger than its slots, through a larger one.

        Passes at the same time have a pool each, and one is kept for the passes to come. A pass that is measured has
        `fetch` of its own, and a pool that ends with it.
        """
        while True:
            try:
                pool = self._idle.pop() if fetch is None else self._new_pool(fetch)
            except IndexError:
                pool = self._new_pool(self._fetch)
            self._busy.append(pool)
            run = pool.run(self._tasks(epoch, first))
            try:
                for batch in run:
                    first += 1
                    yield batch
                return
            except BatchTooLarge as error:
                self._slot_nbytes = error.batch_nbytes + error.batch_nbytes // 4
                self._busy.remove(pool)
                pool.close()
            finally:
                run.close()
                self._give_back(pool, keep=fetch is None)

    def _new_pool(self, fetch: Callable[[Task], Any]) -> WorkerPool:
        return WorkerPool(
            fetch,
            num_workers=self._num_workers,
            slot_nbytes=self._slot_nbytes,
            multiprocessing_context=self._context,
            prefetch_factor=self._prefetch_factor,
        )

    def _give_back(self, pool: WorkerPool, *, keep: bool) -> None:
        """A pass has ended: its pool is the next one's, unless another waits already, or it has been closed."""
        if pool in self._busy:
            self._busy.remove(pool)
            if self._idle or not keep:
                pool.close()
            else:
                self._idle.append(pool)


class _Pass(Iterator[Any]):
    """One pass over a loader. Threads that share it wait for each other, and each batch goes to one of them."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._profile = loader._profile
        self._position = loader._passes.enter()
        self._batches: Iterator[Any] | None = None
        self._lock = RLock()

    def __next__(self) -> Any:
        if self._profile is not None:
            return self._measured_next(self._profile)
        return self._loader._transfer.receive(self._next(self._loader._batches))

    def _next(self, batches: Callable[[int, int], Iterator[Any]]) -> Any:
        """The next one of what is made from where the pass begins."""
        with self._lock:
            if self._batches is None:
                self._batches = batches(*self._position.start())
            try:
                item = next(self._batches)
            except StopIteration:
                self._position.end()
                raise
            self._position.advance()
            return item

    def _measured_next(self, profile: LoaderProfile) -> Any:
        asked = profile.asked()
        sent, finished = self._next(partial(self._loader._profiled_batches, profile))
        batch = self._loader._transfer.receive(sent)
        profile.gave(asked, finished)
        return batch

    def __len__(self) -> int:
        """Batches still to come."""
        return len(self._loader) - self._position.number


class _Fetch:
    """Makes the batch of a task; goes to worker processes.

    Attributes:
        foreign: whether callables of others take part, so that `begin` may run in any thread and `finish` in one.
    """

    def __init__(self, dataset: SignalDataset | Mixture, collate: Callable[[Any], Any] | None, seed: int) -> None:
        self._dataset = dataset
        self._collate = collate
        self._seed = seed
        self.foreign = dataset._foreign or (collate is not None and is_foreign(collate))

    def __call__(self, task: Task) -> Any:
        return self.finish(self.begin(task))

    def begin(self, task: Task) -> tuple[BatchKey, Any]:
        """The batch as far as our own stages go."""
        epoch, number, rows = task
        batch = self._dataset._begin(rows, seed=self._seed, epoch=epoch, as_samples=self._collate is not None)
        return BatchKey(self._seed, epoch, number), batch

    def finish(self, keyed: tuple[BatchKey, Any]) -> Any:
        """The whole batch."""
        key, batch = keyed
        samples = self._dataset._finish(batch, key)
        if self._collate is None:
            return samples.batch(self._dataset.ragged)
        with seeded_globally(key, _COLLATE) if is_foreign(self._collate) else nullcontext():
            return self._collate(self._dataset._samples(samples))


class _Sending:
    """Makes a batch and starts it on its way."""

    def __init__(self, fetch: Callable[[Task], Any], transfer: Transfer) -> None:
        self._fetch = fetch
        self._transfer = transfer

    def __call__(self, task: Task) -> Any:
        return self._transfer.send(self._fetch(task))
